//! A back end that is told: an HTTPS server that answers as a test likes, and keeps what it was told.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use silkgate_certs::{Authority, Issued, Profile};
use time::OffsetDateTime;

use crate::wire;

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Told {
    /// `POST /path`.
    pub line: String,
    /// Names in lower case, values as they were.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Told {
    /// A header's value.
    pub fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value)
    }

    /// The delivery.
    pub fn delivery(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a delivery")
    }
}

/// What it answers.
#[derive(Clone, Debug)]
pub enum Reply {
    /// This status and these headers.
    Status(u16, Vec<(&'static str, &'static str)>),
    /// This status, and a body that is longer than anybody reads, and breaks off.
    Long(u16),
    /// Nothing, and the connection stays open.
    Silence,
}

impl Reply {
    /// A status alone.
    pub fn status(status: u16) -> Self {
        Reply::Status(status, Vec::new())
    }
}

type Answers = Box<dyn FnMut(&Told) -> Reply + Send>;

/// The server.
pub struct Receiver {
    /// `https://localhost:PORT/told`.
    pub url: String,
    /// The certificate of its authority.
    pub anchors: PathBuf,
    told: Arc<Mutex<Vec<Told>>>,
    answers: Arc<Mutex<Answers>>,
}

impl Receiver {
    /// Serves until the test's process ends.
    pub fn start(folder: &Path, answers: impl FnMut(&Told) -> Reply + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let (anchors, certificate, key) = server_certificate(folder, "receiver");
        let told = Arc::new(Mutex::new(Vec::new()));
        let answers: Arc<Mutex<Answers>> = Arc::new(Mutex::new(Box::new(answers)));
        let receiver = Self {
            url: format!("https://localhost:{port}/told"),
            anchors,
            told: told.clone(),
            answers: answers.clone(),
        };
        std::thread::spawn(move || {
            loop {
                let Some(tls) = wire::accept_on(&listener, wire::identity(&certificate, &key)) else {
                    return;
                };
                let (told, answers) = (told.clone(), answers.clone());
                std::thread::spawn(move || serve(tls, &told, &answers));
            }
        });
        receiver
    }

    /// From now on it answers so.
    pub fn answer(&self, answers: impl FnMut(&Told) -> Reply + Send + 'static) {
        *self.answers.lock().unwrap_or_else(PoisonError::into_inner) = Box::new(answers);
    }

    /// Everything it was told so far.
    pub fn told(&self) -> Vec<Told> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An authority and a server of `localhost` under it: the authority's certificate, the server's, and its key, as files in `folder`.
pub fn server_certificate(folder: &Path, name: &str) -> (PathBuf, PathBuf, PathBuf) {
    certificate_of(folder, name, "localhost", 0)
}

/// The same for a server of any name, issued so many days ago: after 398 it has expired.
pub fn certificate_of(folder: &Path, name: &str, host: &str, days_ago: i64) -> (PathBuf, PathBuf, PathBuf) {
    let now = OffsetDateTime::from_unix_timestamp(crate::now_ms() / 1000).expect("an instant");
    let (authority, own) = Authority::create(name, now).expect("an authority");
    let addresses = vec!["127.0.0.1".parse().expect("an address")];
    let profile = Profile::NationalServer { host: host.to_owned(), addresses };
    let issued = authority.issue(&profile, now - time::Duration::days(days_ago));
    let Issued { certificate_pem, key_pem, .. } = issued.expect("a certificate");
    let file = |ending: &str, text: &str| {
        let path = folder.join(format!("{name}-{ending}.pem"));
        std::fs::write(&path, text).expect("the file is written");
        path
    };
    (file("ca", &own.certificate_pem), file("cert", &certificate_pem), file("key", &key_pem))
}

fn serve(
    mut tls: rustls::StreamOwned<rustls::ServerConnection, std::net::TcpStream>,
    told: &Mutex<Vec<Told>>,
    answers: &Mutex<Answers>,
) {
    let _ = tls.sock.set_read_timeout(Some(Duration::from_secs(60)));
    let mut bytes = Vec::new();
    let mut buffer = [0; 16384];
    let (head, body) = loop {
        match tls.read(&mut buffer) {
            Ok(read) if read > 0 => bytes.extend_from_slice(&buffer[..read]),
            // Who does not trust this server hangs up.
            _ => return,
        }
        let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let length = head.to_lowercase().split("content-length: ").nth(1).map_or(0, |rest| {
            rest.split("\r\n").next().unwrap_or_default().parse::<usize>().expect("a length")
        });
        if bytes.len() >= end + 4 + length {
            break (head, bytes.split_off(end + 4));
        }
    };
    let mut lines = head.split("\r\n");
    let line = lines.next().unwrap_or_default().trim_end_matches(" HTTP/1.1").to_owned();
    let headers = lines.filter_map(|line| line.split_once(": "));
    let headers = headers.map(|(name, value)| (name.to_lowercase(), value.to_owned())).collect();
    let request = Told { line, headers, body };
    let reply = answers.lock().unwrap_or_else(PoisonError::into_inner)(&request);
    told.lock().unwrap_or_else(PoisonError::into_inner).push(request);
    match reply {
        Reply::Status(status, headers) => {
            let more: String = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
            let text = format!("HTTP/1.1 {status} X\r\n{more}Content-Length: 0\r\nConnection: close\r\n\r\n");
            let _ = tls.write_all(text.as_bytes());
            tls.conn.send_close_notify();
            let _ = tls.flush();
        }
        Reply::Long(status) => {
            let head = format!("HTTP/1.1 {status} X\r\nContent-Length: 100000000\r\n\r\n");
            let _ = tls.write_all(head.as_bytes());
            let _ = tls.write_all(&[b' '; 65536]);
        }
        Reply::Silence => {
            // Until the other side gives up.
            let _ = tls.read(&mut buffer);
        }
    }
}
