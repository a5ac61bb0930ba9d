//! A collector of syslog over TLS (RFC 5425) that does as a test likes, and keeps what it was given.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::net::sockopt;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::home::free_ports;
use crate::{Home, receiver, wait_for, wire};

/// A message (RFC 5424 §6), read strictly.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Message {
    /// On which connection it came, from 1.
    pub connection: usize,
    /// PRIVAL.
    pub pri: u8,
    /// TIMESTAMP.
    pub at: String,
    /// HOSTNAME.
    pub host: String,
    /// MSGID.
    pub id: String,
    /// The parameters of the one element.
    pub params: BTreeMap<String, String>,
    /// MSG.
    pub text: String,
}

impl Message {
    fn parse(connection: usize, bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii())?;
        let (pri, rest) = text.strip_prefix('<')?.split_once('>')?;
        let mut fields = rest.splitn(7, ' ');
        let mut next = || fields.next().filter(|field| !field.is_empty());
        let ("1", at, host, "silkgate", "-", id, rest) =
            (next()?, next()?, next()?, next()?, next()?, next()?, next()?)
        else {
            return None;
        };
        let mut rest = rest.strip_prefix("[silkgate@32473")?;
        let mut params = BTreeMap::new();
        while let Some(param) = rest.strip_prefix(' ') {
            let (name, value) = param.split_once("=\"")?;
            let mut end = None;
            let (mut chars, mut read) = (value.char_indices(), String::new());
            while let Some((place, c)) = chars.next() {
                match c {
                    '"' => {
                        end = Some(place);
                        break;
                    }
                    '\\' => read.push(chars.next()?.1),
                    ']' => return None,
                    c => read.push(c),
                }
            }
            rest = &value[end? + 1..];
            params.insert(name.to_owned(), read);
        }
        let text = rest.strip_prefix("] ")?.to_owned();
        let (at, host, id) = (at.to_owned(), host.to_owned(), id.to_owned());
        Some(Self { connection, pri: pri.parse().ok()?, at, host, id, params, text })
    }

    /// MSG as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).expect("MSG is JSON")
    }
}

/// What it does.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mood {
    /// It reads.
    Reads,
    /// It takes connections, and reads nothing.
    Stalls,
    /// It dies in the middle of the frame after so many.
    Breaks(usize),
    /// It answers, as a web server would.
    Answers,
    /// It is not there.
    Away,
}

/// How it is reached, and as whom.
pub struct Server {
    /// None: without TLS.
    pub tls: Option<wire::Identity>,
    /// Under which authority clients must show a certificate.
    pub clients: Option<PathBuf>,
}

#[derive(Default)]
struct Got {
    connections: usize,
    messages: Vec<Message>,
    /// What was read and is no message.
    wrong: Vec<String>,
    open: Vec<TcpStream>,
    /// Whether nothing listens and nothing is open.
    is_away: bool,
}

/// The collector.
pub struct Collector {
    /// `localhost:PORT`.
    pub address: String,
    /// The certificate of its authority.
    pub anchors: PathBuf,
    mood: Arc<Mutex<Mood>>,
    got: Arc<Mutex<Got>>,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn pause() {
    // What is waited for is asked again after it.
    std::thread::park_timeout(Duration::from_millis(5));
}

impl Collector {
    /// Serves `localhost` until the test's process ends.
    pub fn start(folder: &Path) -> Self {
        let (anchors, certificate, key) = receiver::server_certificate(folder, "collector");
        Self::start_as(anchors, Server { tls: Some(wire::identity(&certificate, &key)), clients: None })
    }

    /// The same as that server. `anchors`: what the gateway is told to believe.
    pub fn start_as(anchors: PathBuf, Server { tls, clients }: Server) -> Self {
        let [port, _] = free_ports();
        let config = tls.map(|identity| config(identity, clients.as_deref()));
        let (mood, got) = (Arc::new(Mutex::new(Mood::Reads)), Arc::new(Mutex::new(Got::default())));
        let collector =
            Self { address: format!("localhost:{port}"), anchors, mood: mood.clone(), got: got.clone() };
        std::thread::spawn(move || {
            let mut listener = None;
            loop {
                let is_away = *held(&mood) == Mood::Away;
                if is_away {
                    listener = None;
                    held(&got).open.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
                }
                held(&got).is_away = is_away;
                if !is_away && listener.is_none() {
                    listener = TcpListener::bind(("127.0.0.1", port)).ok();
                    if let Some(listener) = &listener {
                        listener.set_nonblocking(true).expect("a listener that need not wait");
                        // Little room: what is not read stays with the sender.
                        sockopt::set_socket_recv_buffer_size(listener, 4096).expect("a small buffer");
                    }
                }
                match listener.as_ref().and_then(|listener| listener.accept().ok()) {
                    Some((stream, _)) => {
                        stream.set_nonblocking(false).expect("a stream that waits");
                        held(&got).open.push(stream.try_clone().expect("a second handle"));
                        let (config, mood, got) = (config.clone(), mood.clone(), got.clone());
                        std::thread::spawn(move || serve(stream, config, &mood, &got));
                    }
                    None => pause(),
                }
            }
        });
        collector
    }

    /// From now on it does that. One that is to be away is.
    pub fn does(&self, mood: Mood) {
        *held(&self.mood) = mood;
        if mood == Mood::Away {
            wait_for("the collector to be away", || held(&self.got).is_away.then_some(()));
        }
    }

    /// What it does: one that was to break may have.
    pub fn mood(&self) -> Mood {
        *held(&self.mood)
    }

    /// Connections whose handshake was done.
    pub fn connections(&self) -> usize {
        held(&self.got).connections
    }

    /// Everything it was given, in order.
    pub fn messages(&self) -> Vec<Message> {
        let got = held(&self.got);
        assert!(got.wrong.is_empty(), "no frames of messages: {:?}", got.wrong);
        got.messages.clone()
    }

    /// What it was given by log and index. On each connection a log goes on without a gap, and a repeat says the same again.
    pub fn entries(&self) -> BTreeMap<String, BTreeMap<u64, String>> {
        let mut entries: BTreeMap<String, BTreeMap<u64, String>> = BTreeMap::new();
        let mut last: BTreeMap<(usize, String), u64> = BTreeMap::new();
        for message in self.messages() {
            let json = message.json();
            let (log, index) =
                (json["log"].as_str().expect("a log"), json["index"].as_u64().expect("an index"));
            let log_entries = entries.entry(log.to_owned()).or_default();
            let before = last.insert((message.connection, log.to_owned()), index);
            assert!(before.is_none_or(|before| before + 1 == index), "{log}: {index} after {before:?}");
            let reaches = log_entries.last_key_value().map_or(0, |(last, _)| last + 1);
            assert!(index <= reaches, "{log}: {index} where {reaches} was to come");
            let before = log_entries.insert(index, message.text.clone());
            assert!(before.is_none_or(|before| before == message.text), "{log} {index} was another before");
        }
        entries
    }

    /// Whether it has every entry of a home's logs.
    pub fn has_all_of(&self, home: &Home) -> bool {
        let entries = self.entries();
        let logs = home.json(&["status"])["logs"].as_array().expect("logs").clone();
        logs.iter().all(|log| {
            let had = entries.get(log["origin"].as_str().expect("an origin")).map_or(0, BTreeMap::len);
            Some(had as u64) >= log["size"].as_u64()
        })
    }

    /// Has a home send its logs here, from its next start on.
    pub fn configure(&self, home: &Home, settings: &str) {
        let file = home.path.join("silkgate.toml");
        let mut text = std::fs::read_to_string(&file).expect("the configuration");
        let anchors = self.anchors.display();
        text.push_str(&format!(
            "\n[syslog]\naddress = \"{}\"\nanchors = \"{anchors}\"\n{settings}\n",
            self.address
        ));
        std::fs::write(&file, text).expect("the configuration is written");
    }
}

fn config((chain, key): wire::Identity, clients: Option<&Path>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .expect("versions");
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(anchor) => {
            let mut roots = RootCertStore::empty();
            wire::certificates(anchor).into_iter().for_each(|der| roots.add(der).expect("an anchor"));
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.expect("a verifier"))
        }
    };
    Arc::new(builder.with_single_cert(chain, key).expect("the key fits"))
}

fn serve(mut stream: TcpStream, config: Option<Arc<ServerConfig>>, mood: &Mutex<Mood>, got: &Mutex<Got>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    let Some(config) = config else {
        // Without TLS there is nothing to be read but a greeting that is not understood.
        while let Ok(read) = stream.read(&mut buffer) {
            bytes.extend_from_slice(&buffer[..read]);
            let _ = stream.write_all(b"-ERR what?\r\n");
            let is_told = bytes.windows(15).any(|part| part == b"silkgate@32473 ");
            held(got).wrong.extend(is_told.then(|| "an entry in the clear".to_owned()));
            if read == 0 {
                return;
            }
        }
        return;
    };
    let mut tls = StreamOwned::new(ServerConnection::new(config).expect("a session"), stream);
    while tls.conn.is_handshaking() {
        if tls.conn.complete_io(&mut tls.sock).is_err() {
            return;
        }
    }
    let connection = {
        let mut got = held(got);
        got.connections += 1;
        got.connections
    };
    let mut taken = 0;
    loop {
        while *held(mood) == Mood::Stalls {
            pause();
        }
        let read = match tls.read(&mut buffer) {
            Ok(read) if read > 0 => read,
            _ => return,
        };
        bytes.extend_from_slice(&buffer[..read]);
        let now = *held(mood);
        if now == Mood::Answers {
            let _ = tls.write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n");
            return;
        }
        loop {
            if now == Mood::Breaks(taken) && !bytes.is_empty() {
                *held(mood) = Mood::Away;
                return;
            }
            let Some((message, rest)) = frame(&bytes) else { break };
            match Message::parse(connection, message) {
                Some(message) => held(got).messages.push(message),
                None => held(got).wrong.push(String::from_utf8_lossy(message).into_owned()),
            }
            bytes = rest.to_vec();
            taken += 1;
        }
        if bytes.len() > 10 && frame_length(&bytes).is_none() {
            held(got).wrong.push(String::from_utf8_lossy(&bytes).into_owned());
            return;
        }
    }
}

/// `MSG-LEN SP` (RFC 5425 §4.3): the length, and where the message begins.
fn frame_length(bytes: &[u8]) -> Option<(usize, usize)> {
    let space = bytes.iter().position(|byte| *byte == b' ')?;
    let digits = std::str::from_utf8(&bytes[..space]).ok()?;
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    is_number.then(|| Some((digits.parse().ok()?, space + 1)))?
}

/// The first message, and what follows.
fn frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, begin) = frame_length(bytes)?;
    Some((bytes.get(begin..begin + length)?, &bytes[begin + length..]))
}
