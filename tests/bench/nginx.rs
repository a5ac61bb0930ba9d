//! nginx with certificates on both sides and one static answer: what a well-known server takes on this machine, in the same run.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use anyhow::{Context as _, Result};
use support::home::free_ports;
use support::{Pair, wait_for};

use crate::measure::memory_mb_of_family;

/// More than any load here opens.
const CONNECTIONS: u32 = 12_000;

/// nginx's processes.
pub(crate) struct Nginx {
    master: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Nginx {
    /// Starts it as Jordan's gateway, with Iraq as its only partner, and one worker.
    pub(crate) fn start(pair: &Pair) -> Result<Self> {
        let [port, _] = free_ports();
        let folder = pair.folder.path().join("nginx");
        std::fs::create_dir_all(&folder)?;
        std::fs::write(folder.join("nginx.conf"), configuration(pair, &folder, port))?;
        let master = Command::new(binary())
            .arg("-p")
            .arg(&folder)
            .args(["-c", "nginx.conf", "-e", "error.log"])
            .stdin(Stdio::null())
            .spawn()
            .context("nginx does not start")?;
        wait_for("nginx", || std::net::TcpStream::connect(("127.0.0.1", port)).ok());
        Ok(Self { master, address: format!("127.0.0.1:{port}") })
    }

    /// The process that started the workers.
    pub(crate) fn pid(&self) -> u32 {
        self.master.id()
    }

    /// Of all of its processes.
    pub(crate) fn memory_mb(&self) -> Result<f64> {
        memory_mb_of_family(self.pid())
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // SIGTERM, which the workers are told of: they would outlive a master that was killed.
        let _ = Command::new("kill").arg(self.master.id().to_string()).status();
        let _ = self.master.wait();
    }
}

/// Debian keeps it where not every user's path leads.
fn binary() -> PathBuf {
    let known = Path::new("/usr/sbin/nginx");
    if known.exists() { known.to_owned() } else { PathBuf::from("nginx") }
}

fn configuration(pair: &Pair, folder: &Path, port: u16) -> String {
    let (jo, iq, folder) = (pair.jo.path.display(), pair.iq.path.display(), folder.display());
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("  {name}_temp_path {folder}/{name};\n"))
        .concat();
    let answer = "x".repeat(1200);
    format!(
        "daemon off;
worker_processes 1;
worker_rlimit_nofile {CONNECTIONS};
pid {folder}/nginx.pid;
events {{ worker_connections {CONNECTIONS}; }}
http {{
  access_log off;
{temporary}  keepalive_requests 1000000000;
  keepalive_timeout 3600;
  client_body_buffer_size 64k;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {jo}/certs/tls.pem;
    ssl_certificate_key {jo}/keys/tls.key;
    ssl_client_certificate {iq}/certs/tls-ca.pem;
    ssl_verify_client on;
    ssl_verify_depth 2;
    ssl_protocols TLSv1.3;
    ssl_session_tickets off;
    location / {{ return 200 \"{answer}\"; }}
  }}
}}
"
    )
}
