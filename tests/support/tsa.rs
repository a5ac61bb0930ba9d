//! A time-stamping authority made of `openssl`, and an HTTP server in front of it that can lie.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crate::Home;
use crate::wire::{self, Identity};

/// Where the digest and the nonce of a query with SHA-256 and a nonce of 8 bytes begin.
const QUERY_DIGEST: usize = 22;
const QUERY_NONCE: usize = 56;

const CONFIG: &str = "\
[req]
distinguished_name = dn
prompt = no
[dn]
CN = of the command line
[ca]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign,cRLSign
subjectKeyIdentifier = hash
[tsa]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
extendedKeyUsage = critical,timeStamping
subjectKeyIdentifier = hash
[no_purpose]
basicConstraints = critical,CA:FALSE
keyUsage = critical,digitalSignature
subjectKeyIdentifier = hash
[not_critical]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = timeStamping
subjectKeyIdentifier = hash
[not_alone]
basicConstraints = critical,CA:FALSE
extendedKeyUsage = critical,timeStamping,codeSigning
subjectKeyIdentifier = hash
[stamps]
serial = FOLDER/serial
signer_digest = DIGEST
default_policy = 1.3.6.1.4.1.32473.1
digests = sha256
accuracy = secs:1, millisecs:500
clock_precision_digits = 3
tsa_name = yes
ess_cert_id_alg = ESS
";

/// The key of an authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// RSA, so many bits.
    Rsa(u32),
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// Ed25519; `openssl ts` cannot sign with it.
    Ed25519,
}

/// An authority with a CA of its own.
#[derive(Clone, Debug)]
pub struct Tsa {
    folder: PathBuf,
}

/// Runs openssl in `folder`; what it printed.
fn openssl(folder: &Path, args: &[&str]) -> Vec<u8> {
    let output = Command::new("openssl").args(args).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.expect("openssl starts; tests/run installs it");
    assert!(
        output.status.success(),
        "openssl {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr)
    );
    output.stdout
}

impl Tsa {
    /// An authority in a new folder `name` under `folder`, whose tokens hold digests of SHA-256.
    pub fn create(folder: &Path, name: &str, kind: Kind) -> Self {
        Self::with(folder, name, kind, "sha256", "sha256")
    }

    /// The same with these digests: of the signature, and of the attribute that names the certificate (`sha1`: RFC 2634).
    pub fn with(folder: &Path, name: &str, kind: Kind, digest: &str, ess: &str) -> Self {
        let folder = folder.join(name);
        fs::create_dir_all(&folder).expect("a folder");
        let home = folder.to_str().expect("a path in UTF-8");
        let config = CONFIG.replace("FOLDER", home).replace("DIGEST", digest).replace("ESS", ess);
        fs::write(folder.join("tsa.cnf"), config).expect("the configuration is written");
        fs::write(folder.join("serial"), "01\n").expect("the serial is written");
        let tsa = Self { folder };
        tsa.key("ca", Kind::P256);
        let subject = format!("/CN=Time-stamp CA {name}");
        let request = ["req", "-x509", "-config", "tsa.cnf", "-extensions", "ca", "-days", "30"];
        let files = ["-key", "ca.key", "-out", "ca.pem", "-subj", &subject];
        openssl(&tsa.folder, &[&request[..], &files[..]].concat());
        tsa.key("tsa", kind);
        tsa.certificate("tsa", "tsa", 10);
        tsa
    }

    fn key(&self, name: &str, kind: Kind) {
        let bits = |bits: u32| format!("rsa_keygen_bits:{bits}");
        let curve = |name: &str| format!("ec_paramgen_curve:{name}");
        let (algorithm, option) = match kind {
            Kind::Rsa(size) => ("RSA", Some(bits(size))),
            Kind::P256 => ("EC", Some(curve("P-256"))),
            Kind::P384 => ("EC", Some(curve("P-384"))),
            Kind::Ed25519 => ("ED25519", None),
        };
        let file = format!("{name}.key");
        let mut args = vec!["genpkey", "-algorithm", algorithm, "-out", &file];
        args.extend(option.as_deref().map(|option| ["-pkeyopt", option]).into_iter().flatten());
        openssl(&self.folder, &args);
    }

    /// Issues another certificate `name.pem` for the authority's key, with the extensions of that section, for so many days; fewer than none: expired.
    pub fn certificate(&self, name: &str, section: &str, days: i32) {
        let (subject, days) = (format!("/CN=Time-stamps {name}"), days.to_string());
        openssl(
            &self.folder,
            &["req", "-new", "-config", "tsa.cnf", "-key", "tsa.key", "-out", "tsa.csr", "-subj", &subject],
        );
        let file = format!("{name}.pem");
        let issue =
            ["x509", "-req", "-in", "tsa.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        let with = ["-days", &days, "-extfile", "tsa.cnf", "-extensions", section, "-out", &file];
        openssl(&self.folder, &[&issue[..], &with[..]].concat());
    }

    /// A file of the authority: `ca.pem`, `tsa.pem`, `tsa.key`.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// `openssl ts -reply`: the TimeStampResp, with the certificate `name.pem`.
    pub fn reply_as(&self, name: &str, query: &[u8]) -> Vec<u8> {
        // Several queries at once would fight over the serial number.
        static ONE: Mutex<()> = Mutex::new(());
        let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        fs::write(self.file("query.tsq"), query).expect("the query is written");
        let signer = format!("{name}.pem");
        let reply = ["ts", "-reply", "-config", "tsa.cnf", "-section", "stamps", "-queryfile", "query.tsq"];
        let keys = ["-signer", &signer, "-inkey", "tsa.key", "-chain", "ca.pem", "-out", "reply.tsr"];
        openssl(&self.folder, &[&reply[..], &keys[..]].concat());
        fs::read(self.file("reply.tsr")).expect("the reply")
    }

    /// The same with the authority's own certificate.
    pub fn reply(&self, query: &[u8]) -> Vec<u8> {
        self.reply_as("tsa", query)
    }

    /// The token of a TimeStampResp.
    pub fn token(&self, reply: &[u8]) -> Vec<u8> {
        fs::write(self.file("in.tsr"), reply).expect("the reply is written");
        openssl(&self.folder, &["ts", "-reply", "-in", "in.tsr", "-token_out", "-out", "out.tst"]);
        fs::read(self.file("out.tst")).expect("the token")
    }

    /// The TSTInfo of a token.
    pub fn statement(&self, token: &[u8]) -> Vec<u8> {
        fs::write(self.file("in.tst"), token).expect("the token is written");
        openssl(
            &self.folder,
            &["cms", "-verify", "-noverify", "-inform", "DER", "-in", "in.tst", "-out", "out.der"],
        );
        fs::read(self.file("out.der")).expect("the statement")
    }

    /// `openssl cms -sign` over a TSTInfo with the certificate `name.pem`, whatever that is for. `with`: further options; `-cades` makes it a token,
    /// with the attribute that names the certificate.
    pub fn sign_as(&self, name: &str, statement: &[u8], with: &[&str]) -> Vec<u8> {
        fs::write(self.file("in.der"), statement).expect("the statement is written");
        let signer = format!("{name}.pem");
        let sign = ["cms", "-sign", "-binary", "-nodetach", "-outform", "DER", "-in", "in.der"];
        let kind = ["-econtent_type", "1.2.840.113549.1.9.16.1.4", "-out", "out.cms"];
        let keys = ["-signer", &signer, "-inkey", "tsa.key"];
        openssl(&self.folder, &[&sign[..], &kind[..], &keys[..], with].concat());
        fs::read(self.file("out.cms")).expect("the token")
    }

    /// Sets this authority, served at `url`, in a home's configuration, with further settings of `[timestamp]`.
    pub fn configure(&self, home: &Home, url: &str, settings: &str) {
        let file = home.path.join("silkgate.toml");
        let mut text = fs::read_to_string(&file).expect("the configuration");
        let anchors = self.file("ca.pem");
        text.push_str(&format!(
            "\n[timestamp]\nurl = \"{url}\"\nanchors = \"{}\"\n{settings}\n",
            anchors.display()
        ));
        fs::write(&file, text).expect("the configuration is written");
    }

    /// Whether `openssl ts -verify` takes the token as one over `text`.
    pub fn openssl_accepts(&self, token: &[u8], text: &[u8]) -> bool {
        fs::write(self.file("judged.tst"), token).expect("the token is written");
        fs::write(self.file("judged.txt"), text).expect("the text is written");
        let args =
            ["ts", "-verify", "-token_in", "-in", "judged.tst", "-data", "judged.txt", "-CAfile", "ca.pem"];
        let output = Command::new("openssl").args(args).current_dir(&self.folder).output().expect("openssl");
        output.status.success()
    }
}

/// A granted TimeStampResp around a token.
pub fn granted(token: &[u8]) -> Vec<u8> {
    let mut body = vec![0x30, 3, 2, 1, 0];
    body.extend_from_slice(token);
    let length = u16::try_from(body.len()).expect("a short token").to_be_bytes();
    [&[0x30, 0x82], &length[..], &body].concat()
}

/// What the server answers.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A sound time-stamp.
    Sound,
    /// One over another digest.
    OtherImprint,
    /// One with another nonce.
    OtherNonce,
    /// One whose signature was altered.
    WrongKey,
    /// Signed with this certificate of the authority's.
    As(&'static str),
    /// From another authority.
    Other(Tsa),
    /// These bytes.
    Bytes(Vec<u8>),
    /// This status of HTTP.
    Status(u16),
    /// A sound one, under another content type.
    ContentType(&'static str),
    /// A body without end.
    Endless,
    /// Nothing, while the connection stays open.
    Silence,
}

/// An HTTP server on loopback in front of an authority.
pub struct TsaServer {
    /// `http://127.0.0.1:PORT/tsa`.
    pub url: String,
    answer: Arc<Mutex<Answer>>,
    taken: Arc<AtomicUsize>,
}

impl TsaServer {
    /// Serves until the test's process ends.
    pub fn start(tsa: Tsa) -> Self {
        let accept = |listener: &TcpListener| {
            let (stream, _) = listener.accept().expect("a connection");
            // A gateway that was killed does not keep a thread.
            stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a timeout");
            Box::new(stream) as Box<dyn Stream>
        };
        Self::with(tsa, "http", accept)
    }

    /// The same over TLS.
    pub fn start_tls(tsa: Tsa, (chain, key): Identity) -> Self {
        let accept = move |listener: &TcpListener| {
            Box::new(wire::accept(listener, (chain.clone(), key.clone_key()))) as Box<dyn Stream>
        };
        Self::with(tsa, "https", accept)
    }

    fn with(
        tsa: Tsa,
        scheme: &str,
        accept: impl Fn(&TcpListener) -> Box<dyn Stream> + Send + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("{scheme}://{}/tsa", listener.local_addr().expect("an address"));
        let answer = Arc::new(Mutex::new(Answer::Sound));
        let taken = Arc::new(AtomicUsize::new(0));
        let server = Self { url, answer: answer.clone(), taken: taken.clone() };
        std::thread::spawn(move || {
            loop {
                let stream = accept(&listener);
                let (tsa, answer, taken) = (tsa.clone(), answer.clone(), taken.clone());
                std::thread::spawn(move || {
                    // The gateway may hang up on a liar.
                    let _ = serve(stream, &tsa, &answer, &taken);
                });
            }
        });
        server
    }

    /// From now on the server answers so.
    pub fn answer(&self, answer: Answer) {
        *self.answer.lock().unwrap_or_else(PoisonError::into_inner) = answer;
    }

    /// Queries taken so far.
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::SeqCst)
    }
}

/// A connection, with or without TLS.
trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

fn serve(
    mut stream: Box<dyn Stream>,
    tsa: &Tsa,
    answer: &Mutex<Answer>,
    taken: &AtomicUsize,
) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).to_lowercase();
    assert!(head.starts_with("post /tsa http/1.1\r\n"), "{head}");
    assert!(head.contains("\r\ncontent-type: application/timestamp-query\r\n"), "{head}");
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
    let mut query = vec![0; length.expect("a length")];
    stream.read_exact(&mut query)?;
    let answer = answer.lock().unwrap_or_else(PoisonError::into_inner).clone();
    // Counted once it is known how it will be answered.
    taken.fetch_add(1, Ordering::SeqCst);
    let (mut status, mut kind) = (200, "application/timestamp-reply");
    let body = match answer {
        Answer::Sound => tsa.reply(&query),
        Answer::OtherImprint => tsa.reply(&altered(query, QUERY_DIGEST)),
        Answer::OtherNonce => tsa.reply(&altered(query, QUERY_NONCE + 3)),
        Answer::WrongKey => {
            let reply = tsa.reply(&query);
            let last = reply.len() - 1;
            altered(reply, last)
        }
        Answer::As(name) => {
            let statement = tsa.statement(&tsa.token(&tsa.reply(&query)));
            granted(&tsa.sign_as(name, &statement, &["-cades"]))
        }
        Answer::Other(other) => other.reply(&query),
        Answer::Bytes(bytes) => bytes,
        Answer::Status(code) => {
            status = code;
            tsa.reply(&query)
        }
        Answer::ContentType(other) => {
            kind = other;
            tsa.reply(&query)
        }
        Answer::Endless => return endless(stream),
        Answer::Silence => {
            // Until the gateway hangs up.
            let _ = stream.read(&mut [0]);
            return Ok(());
        }
    };
    let head = format!(
        "HTTP/1.1 {status} x\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes())?;
    stream.write_all(&body)
}

fn altered(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] ^= 1;
    bytes
}

/// Until the gateway hangs up; 1 GiB is more than it may ever take.
fn endless(mut stream: Box<dyn Stream>) -> std::io::Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 x\r\nContent-Type: application/timestamp-reply\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    let mut chunk = b"10000\r\n".to_vec();
    chunk.extend_from_slice(&[0x30; 0x10000]);
    chunk.extend_from_slice(b"\r\n");
    for _ in 0..16_384 {
        stream.write_all(&chunk)?;
    }
    panic!("the gateway read 1 GiB of an answer");
}
