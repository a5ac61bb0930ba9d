//! The floor: a server that takes the same messages over the same TLS and HTTP, judges them by the bare primitives (base64url, ES256,
//! JSON, JSON Schema, SHA-256) and keeps nothing. What the gateway costs is divided by what this costs in the same run.
//!
//! It is a process of its own, so that its processor time can be read; it ends with the standard input that started it.

use std::convert::Infallible;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use jsonschema::Validator;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde::Deserialize;
use serde_json::{Value, json};
use silkgate_message::catalogue::Catalogue;
use silkgate_message::jws::{Digest, SigningCertificate};
use support::{Pair, wire};
use tokio_rustls::TlsAcceptor;

use crate::measure::cost_us;

/// Of an answer: about that of a receipt.
const ANSWER_BYTES: usize = 1200;
/// What stands for a message's type in the load.
const KIND: &str = "alert.vehicle";

/// The floor's process.
pub(crate) struct Floor {
    process: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Floor {
    /// Starts it as Jordan's gateway, with Iraq as its only partner.
    pub(crate) fn start(pair: &Pair) -> Result<Self> {
        let mut process = Command::new(std::env::current_exe()?)
            .arg("floor")
            .args([&pair.jo.path, &pair.iq.path])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut address = String::new();
        BufReader::new(process.stdout.take().context("its output")?).read_line(&mut address)?;
        ensure!(!address.is_empty(), "the floor did not start");
        Ok(Self { process, address: address.trim().to_owned() })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.process.id()
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What it judges by.
struct Checks {
    certificate: SigningCertificate,
    schema: Validator,
}

#[derive(Deserialize)]
struct Flattened<'a> {
    payload: &'a str,
    protected: &'a str,
    signature: &'a str,
}

impl Checks {
    fn of(partner: &Path) -> Result<Self> {
        let der = wire::certificates(&partner.join("certs/message.pem")).remove(0);
        let certificate = SigningCertificate::parse(&der).context("a signing certificate")?;
        let kind = Catalogue::embedded().newest(KIND).context("a type of the catalogue")?;
        let schema = jsonschema::options().should_validate_formats(true).build(&kind.standalone_schema())?;
        Ok(Self { certificate, schema })
    }

    /// Each step that no gateway can leave out.
    fn judge(&self, body: &[u8]) -> Option<Digest> {
        let outer: Flattened<'_> = serde_json::from_slice(body).ok()?;
        let payload = URL_SAFE_NO_PAD.decode(outer.payload).ok()?;
        let signature = URL_SAFE_NO_PAD.decode(outer.signature).ok()?;
        let input = signing_input(&outer);
        if !self.certificate.verifies(input.as_bytes(), &signature) {
            return None;
        }
        let event: Value = serde_json::from_slice(&payload).ok()?;
        self.schema.is_valid(&event["data"]).then(|| Digest::of(input.as_bytes()))
    }
}

fn signing_input(outer: &Flattened<'_>) -> String {
    format!("{}.{}", outer.protected, outer.payload)
}

/// `silkgate-bench floor HOME PARTNERS-HOME`: serves until its standard input ends.
pub(crate) fn serve(home: &Path, partner: &Path) -> Result<()> {
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(0);
    });
    let checks = Arc::new(Checks::of(partner)?);
    let tls = TlsAcceptor::from(Arc::new(tls(home, partner)?));
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?);
        loop {
            let (stream, _) = listener.accept().await?;
            stream.set_nodelay(true)?;
            let (tls, checks) = (tls.clone(), checks.clone());
            tokio::spawn(async move {
                let Ok(stream) = tls.accept(stream).await else { return };
                let service = service_fn(move |request| answer(checks.clone(), request));
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    })
}

async fn answer(
    checks: Arc<Checks>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let judged = request.uri().path() != NOTHING;
    let body = match request.into_body().collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => Bytes::new(),
    };
    let is_sound = !judged || checks.judge(&body).is_some();
    let mut response = Response::new(Full::new(Bytes::from_static(&[b' '; ANSWER_BYTES])));
    if !is_sound {
        *response.status_mut() = StatusCode::BAD_REQUEST;
    }
    Ok(response)
}

/// What is asked for nothing but an answer.
pub(crate) const NOTHING: &str = "/nothing";

/// As the gateway's partner plane: TLS 1.3, certificates on both sides, no resumption.
fn tls(home: &Path, partner: &Path) -> Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut roots = RootCertStore::empty();
    for anchor in wire::certificates(&partner.join("certs/tls-ca.pem")) {
        roots.add(anchor)?;
    }
    let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider.clone()).build()?;
    let (chain, key) = wire::identity(&home.join("certs/tls.pem"), &home.join("keys/tls.key"));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13])?
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    config.send_tls13_tickets = 0;
    Ok(config)
}

/// What each primitive costs by itself, in microseconds, on one of the load's own messages.
pub(crate) fn primitives(pair: &Pair, body: &[u8]) -> Result<Value> {
    let checks = Checks::of(&pair.iq.path)?;
    ensure!(checks.judge(body).is_some(), "the floor takes the message");
    let outer: Flattened<'_> = serde_json::from_slice(body)?;
    let (payload, signature) =
        (URL_SAFE_NO_PAD.decode(outer.payload)?, URL_SAFE_NO_PAD.decode(outer.signature)?);
    let input = signing_input(&outer);
    let event: Value = serde_json::from_slice(&payload)?;
    Ok(json!({
        "decode": cost_us(|| URL_SAFE_NO_PAD.decode(outer.payload).is_ok()),
        "verify": cost_us(|| checks.certificate.verifies(input.as_bytes(), &signature)),
        "parse": cost_us(|| serde_json::from_slice::<Value>(&payload).is_ok()),
        "validate": cost_us(|| checks.schema.is_valid(&event["data"])),
        "hash": cost_us(|| Digest::of(input.as_bytes()) != Digest::of(b"")),
    }))
}

/// Milliseconds until so many bytes at the end of a file are on the disk: the median of fifty.
pub(crate) fn sync_ms(folder: &Path, bytes: usize) -> Result<f64> {
    use std::io::Write as _;
    let mut file = std::fs::File::create(folder.join("synced"))?;
    let block = vec![0x5a; bytes];
    let mut times = Vec::new();
    for _ in 0..50 {
        file.write_all(&block)?;
        let started = Instant::now();
        file.sync_data()?;
        times.push(started.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    Ok(times[times.len() / 2])
}
