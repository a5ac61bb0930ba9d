//! A NATS server with JetStream of a test's own, over TLS, which knows its clients by their NKeys.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use async_nats::jetstream::{self, stream};
use async_nats::{ConnectOptions, HeaderMap, Message};

use crate::receiver::server_certificate;
use crate::wait_for;

/// The server. It ends when this is dropped.
pub struct Nats {
    /// `tls://localhost:PORT`.
    pub url: String,
    /// The certificate of its authority.
    pub anchors: PathBuf,
    /// The file with the gateway's seed.
    pub seed: PathBuf,
    config: PathBuf,
    port: u16,
    server: Option<Child>,
    runtime: tokio::runtime::Runtime,
}

impl Nats {
    /// A server with an empty store in `folder`; not started yet.
    pub fn new(folder: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let (anchors, certificate, key) = server_certificate(folder, "nats");
        let client = nkeys::KeyPair::new_user();
        let seed = folder.join("gateway.nk");
        std::fs::write(&seed, client.seed().expect("a seed")).expect("the seed is written");
        let config = folder.join("nats.conf");
        let text = format!(
            "listen: 127.0.0.1:{port}\njetstream {{ store_dir: {:?} }}\ntls {{ cert_file: {:?}, key_file: {:?} }}\n\
             authorization {{ users = [ {{ nkey: {} }} ] }}\n",
            folder.join("jetstream"),
            certificate,
            key,
            client.public_key()
        );
        std::fs::write(&config, text).expect("the configuration is written");
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        Self { url: format!("tls://localhost:{port}"), anchors, seed, config, port, server: None, runtime }
    }

    /// Starts it, and waits until it listens.
    pub fn start(&mut self) {
        let server = Command::new("nats-server")
            .arg("-c")
            .arg(&self.config)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nats-server is installed");
        self.server = Some(server);
        wait_for("the NATS server to listen", || TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let mut server = self.server.take().expect("the server runs");
        server.kill().expect("it can be killed");
        server.wait().expect("it can be waited for");
    }

    /// Makes the stream of everything that is delivered; `max_message_size` in bytes, -1 for any.
    pub fn create_stream(&self, max_message_size: i32) {
        self.runtime.block_on(async {
            let config = stream::Config {
                name: "SILKGATE".to_owned(),
                subjects: vec!["silkgate.deliveries.>".to_owned()],
                max_message_size,
                ..stream::Config::default()
            };
            self.context().await.create_stream(config).await.expect("the stream is made");
        });
    }

    /// Puts a message into the stream.
    pub fn publish(&self, subject: &str, id: &str, body: serde_json::Value) {
        self.runtime.block_on(async {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Msg-Id", id);
            let (subject, body) = (subject.to_owned(), body.to_string().into());
            let context = self.context().await;
            let kept = context.publish_with_headers(subject, headers, body).await.expect("it is sent");
            kept.await.expect("it is kept");
        });
    }

    /// Everything the stream holds.
    pub fn messages(&self) -> Vec<Message> {
        self.runtime.block_on(async {
            let stream = self.context().await.get_stream("SILKGATE").await.expect("the stream");
            let state = stream.cached_info().state.clone();
            let mut messages = Vec::new();
            for sequence in state.first_sequence.max(1)..=state.last_sequence {
                let raw = stream.get_raw_message(sequence).await.expect("a message");
                messages.push(Message {
                    subject: raw.subject,
                    reply: None,
                    length: raw.payload.len(),
                    payload: raw.payload,
                    headers: Some(raw.headers),
                    status: None,
                    description: None,
                });
            }
            messages
        })
    }

    async fn context(&self) -> jetstream::Context {
        let seed = std::fs::read_to_string(&self.seed).expect("the seed");
        let options = ConnectOptions::with_nkey(seed)
            .require_tls(true)
            .add_root_certificates(self.anchors.clone())
            .connection_timeout(Duration::from_secs(10));
        jetstream::new(options.connect(&self.url).await.expect("the server is reached"))
    }
}

impl Drop for Nats {
    fn drop(&mut self) {
        if self.server.is_some() {
            self.kill();
        }
    }
}
