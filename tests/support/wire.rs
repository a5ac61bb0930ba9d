//! A blocking client over mutual TLS, one request per connection, and raw bytes where HTTP is to be
//! broken.

use std::io::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;

/// A certificate chain and its key.
pub type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

/// Every certificate of a PEM file.
pub fn certificates(path: &Path) -> Vec<CertificateDer<'static>> {
    let found =
        CertificateDer::pem_file_iter(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    found.map(|certificate| certificate.expect("a certificate")).collect()
}

/// The private key of a PEM file.
pub fn private_key(path: &Path) -> PrivateKeyDer<'static> {
    PrivateKeyDer::from_pem_file(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Both.
pub fn identity(certificate: &Path, key: &Path) -> Identity {
    (certificates(certificate), private_key(key))
}

/// Takes one TLS connection as a server of that identity, which asks for no client certificate: what
/// stands in a partner's place, and is none.
pub fn accept(listener: &TcpListener, identity: Identity) -> StreamOwned<ServerConnection, TcpStream> {
    accept_on(listener, identity).expect("a connection")
}

/// The same on a listener that need not wait; None where nobody is there.
pub fn accept_on(
    listener: &TcpListener,
    (chain, key): Identity,
) -> Option<StreamOwned<ServerConnection, TcpStream>> {
    let (stream, _) = listener.accept().ok()?;
    stream.set_nonblocking(false).expect("a stream that waits");
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("the key fits");
    Some(StreamOwned::new(ServerConnection::new(Arc::new(config)).expect("a session"), stream))
}

/// Where to connect, and as whom.
pub struct Client {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
    address: String,
}

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The HTTP status.
    pub status: u16,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

impl Client {
    /// Trusts the anchor in `anchor`; shows `identity` if the server asks.
    pub fn new(anchor: &Path, identity: Option<Identity>, host: &str, address: &str) -> Self {
        Self::with_versions(anchor, identity, host, address, &[&rustls::version::TLS13])
    }

    /// The same, with these versions of TLS.
    pub fn with_versions(
        anchor: &Path,
        identity: Option<Identity>,
        host: &str,
        address: &str,
        versions: &[&'static rustls::SupportedProtocolVersion],
    ) -> Self {
        let mut roots = RootCertStore::empty();
        for certificate in certificates(anchor) {
            roots.add(certificate).expect("an anchor");
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .expect("versions")
            .with_root_certificates(roots);
        let config = match identity {
            Some((chain, key)) => config.with_client_auth_cert(chain, key).expect("the key fits"),
            None => config.with_no_client_auth(),
        };
        let name = ServerName::try_from(host.to_owned()).expect("a host name");
        Self { config: Arc::new(config), name, address: address.to_owned() }
    }

    /// The same client, which speaks HTTP/2.
    pub fn with_h2(mut self) -> Self {
        Arc::make_mut(&mut self.config).alpn_protocols = vec![b"h2".to_vec()];
        self
    }

    /// A TLS connection; the error of the handshake, also of one that the server refuses late.
    pub fn connect(&self) -> std::io::Result<StreamOwned<ClientConnection, TcpStream>> {
        let stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        stream.set_write_timeout(Some(Duration::from_secs(30)))?;
        stream.set_nodelay(true)?;
        let session =
            ClientConnection::new(self.config.clone(), self.name.clone()).map_err(std::io::Error::other)?;
        let mut tls = StreamOwned::new(session, stream);
        while tls.conn.is_handshaking() {
            tls.conn.complete_io(&mut tls.sock)?;
        }
        Ok(tls)
    }

    /// Sends these bytes and reads to the end of the answer or of the connection.
    pub fn raw(&self, bytes: &[u8]) -> std::io::Result<Answer> {
        let mut tls = self.connect()?;
        // The server may answer and close before all is written: then the answer is what counts.
        let written = tls.write_all(bytes).and_then(|()| tls.flush());
        match read_answer(&mut tls) {
            Ok(answer) => Ok(answer),
            Err(error) => written.and(Err(error)),
        }
    }

    /// One request.
    pub fn request(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &[u8],
    ) -> std::io::Result<Answer> {
        let mut bytes = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nContent-Type: {content_type}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.address,
            body.len()
        )
        .into_bytes();
        bytes.extend_from_slice(body);
        self.raw(&bytes)
    }

    /// `GET`.
    pub fn get(&self, path: &str) -> Answer {
        self.request("GET", path, "application/json", b"")
            .unwrap_or_else(|error| panic!("GET {path}: {error}"))
    }

    /// `POST`.
    pub fn post(&self, path: &str, content_type: &str, body: &[u8]) -> Answer {
        self.request("POST", path, content_type, body).unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    /// Posts a message to the partner plane.
    pub fn message(&self, message: &[u8]) -> Answer {
        self.post("/v1/messages", "application/jose+json", message)
    }

    /// Submits an event to the national plane.
    pub fn submit(&self, event: &Value) -> Answer {
        self.post("/v1/submissions", "application/cloudevents+json", event.to_string().as_bytes())
    }

    /// Waits for the outcome of a submission.
    pub fn outcome(&self, id: &str) -> Value {
        crate::wait_for("the outcome of a submission", || {
            let status = self.get(&format!("/v1/submissions/{id}?wait=5")).json();
            (status["state"] != "queued").then_some(status)
        })
    }

    /// Fetches deliveries.
    pub fn deliveries(&self, query: &str) -> Vec<Value> {
        let answer = self.get(&format!("/v1/deliveries{query}"));
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        answer.json()["deliveries"].as_array().expect("deliveries").clone()
    }

    /// Acknowledges a delivery.
    pub fn acknowledge(&self, delivery: &Value) -> Answer {
        let path = format!("/v1/deliveries/{}/ack", delivery["id"].as_str().expect("an id"));
        let lease = serde_json::json!({ "lease": delivery["lease"] });
        self.post(&path, "application/json", lease.to_string().as_bytes())
    }
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| {
            panic!("status {}: no JSON: {}", self.status, String::from_utf8_lossy(&self.body))
        })
    }

    /// The `code` of a problem document; empty for other answers.
    pub fn code(&self) -> String {
        let body: Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["code"].as_str().unwrap_or_default().to_owned()
    }

    /// A header.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_str())
    }
}

/// Reads one answer, to its end or to that of the connection.
pub fn read_answer(stream: &mut impl std::io::Read) -> std::io::Result<Answer> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 16384];
    let broken = |what: &str| std::io::Error::new(std::io::ErrorKind::UnexpectedEof, what.to_owned());
    let (head, mut body) = loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            break (String::from_utf8_lossy(&bytes).into_owned(), body);
        }
        match stream.read(&mut buffer)? {
            0 => return Err(broken("the connection ended before an answer")),
            n => bytes.extend_from_slice(&buffer[..n]),
        }
    };
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok());
    let status = status.ok_or_else(|| broken("no status line"))?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_lowercase(), value.trim().to_owned()))
        .collect();
    let length =
        headers.iter().find(|(name, _)| name == "content-length").and_then(|(_, v)| v.parse::<usize>().ok());
    while length.is_none_or(|length| body.len() < length) {
        match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(n) => body.extend_from_slice(&buffer[..n]),
            // Without a length the end of the connection is the end of the body.
            Err(_) if length.is_none() => break,
            Err(error) => return Err(error),
        }
    }
    if headers.iter().any(|(name, value)| name == "transfer-encoding" && value == "chunked") {
        body = unchunked(&body).ok_or_else(|| broken("an answer without its last chunk"))?;
    }
    Ok(Answer { status, headers, body })
}

/// A body without its chunks' sizes (RFC 9112 §7.1), if its last chunk is there.
fn unchunked(mut bytes: &[u8]) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = bytes.windows(2).position(|two| two == b"\r\n")?;
        let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).ok()?, 16).ok()?;
        if size == 0 {
            return Some(body);
        }
        body.extend_from_slice(bytes.get(end + 2..end + 2 + size)?);
        bytes = bytes.get(end + 4 + size..)?;
    }
}
