//! The collector: where it is, by what it is known, and why it cannot be reached.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::net::sockopt;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::{Home, Syslog};
use crate::keys::{self, Identity};
use crate::line::causes;
use crate::tls::{self, Fault};

/// For a connection with its handshake.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// The name of the client key's file.
const KEY: &str = "syslog";

/// Where the logs are sent, and how soon an entry counts as sent.
pub struct Collector {
    /// `host:port`.
    pub(super) address: String,
    /// How long a connection must stand after an entry was written on it.
    pub(super) confirm: Duration,
    name: ServerName<'static>,
    home: Home,
    anchors: PathBuf,
    certificate: Option<PathBuf>,
}

/// Why nothing is sent at present.
#[derive(Debug)]
pub(super) struct Down {
    /// What is wrong; it never changes its meaning.
    pub(super) fault: &'static str,
    /// In words.
    pub(super) reason: String,
    /// What to do about it.
    pub(super) remedy: &'static str,
}

impl Collector {
    /// From `[syslog]`; an error is a mistake in the configuration, which the start of the gateway reports.
    pub fn new(home: &Home, settings: &Syslog) -> Result<Self> {
        let address = settings.address.clone();
        let wrong = || anyhow!("[syslog] address is no host:port, such as siem.iq.example:6514");
        let (host, port) = address.rsplit_once(':').ok_or_else(wrong)?;
        port.parse::<u16>().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        // An IPv6 address stands in brackets beside a port, and without them in a certificate.
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        let name = ServerName::try_from(host.to_owned()).map_err(|_| wrong())?;
        if !(1..=3600).contains(&settings.confirm_seconds) {
            bail!("[syslog] confirm_seconds is 1 to 3600");
        }
        let collector = Self {
            address,
            confirm: Duration::from_secs(settings.confirm_seconds),
            name,
            home: home.clone(),
            anchors: home.path().join(&settings.anchors),
            certificate: settings.certificate.as_ref().map(|file| home.path().join(file)),
        };
        collector.tls()?;
        Ok(collector)
    }

    /// Read for each connection: a certificate that was renewed counts from the next one on.
    fn tls(&self) -> Result<Arc<rustls::ClientConfig>> {
        let anchors = keys::chain(&self.anchors).context("[syslog] anchors")?;
        let identity = |file: &PathBuf| Identity::with_key_of(&self.home, file, KEY);
        let identity = self.certificate.as_ref().map(identity).transpose().context("[syslog] certificate")?;
        let identity = identity.map(|identity| (identity.chain, identity.key));
        tls::collector_client(&anchors, identity).context("[syslog]")
    }

    /// Connects. Nothing is said to a server that has not proved its name.
    pub(super) async fn dial(&self) -> Result<TlsStream<TcpStream>, Down> {
        let config = self.tls().map_err(|error| Down {
            fault: "settings",
            reason: format!("{error:#}"),
            remedy: "mend the file; it is read again for each connection",
        })?;
        let dial = async {
            let stream = TcpStream::connect(&self.address).await.map_err(|error| Down::unreached(&error))?;
            self.notice_silence(&stream).map_err(|error| Down::unreached(&error))?;
            let handshake = TlsConnector::from(config).connect(self.name.clone(), stream);
            tls::explained(handshake)
                .await
                .map_err(|(error, refused)| Down::tls(refused.fault, causes(&error)))
        };
        let late = || Down::unreached(&"no TLS connection within 10 s");
        tokio::time::timeout(CONNECT_WITHIN, dial).await.unwrap_or_else(|_| Err(late()))
    }

    /// A connection whose other end is gone, or takes nothing, ends before what was written on it counts as sent: the system tells
    /// (RFC 9293 §3.8.3, TCP_USER_TIMEOUT), and asks while nothing is written.
    fn notice_silence(&self, stream: &TcpStream) -> io::Result<()> {
        let half = u32::try_from(self.confirm.as_millis() / 2).unwrap_or(u32::MAX);
        let ask = (self.confirm / 6).max(Duration::from_secs(1));
        sockopt::set_tcp_user_timeout(stream, half)?;
        sockopt::set_tcp_keepidle(stream, ask)?;
        sockopt::set_tcp_keepintvl(stream, ask)?;
        sockopt::set_socket_keepalive(stream, true)?;
        Ok(())
    }
}

impl Down {
    fn unreached(why: &dyn std::fmt::Display) -> Self {
        Self {
            fault: "unreached",
            reason: why.to_string(),
            remedy: "look at the collector, and at the way to it; [syslog] address names it",
        }
    }

    fn tls(fault: Fault, reason: String) -> Self {
        let remedy = match fault {
            Fault::Issuer | Fault::IssuerUnfit | Fault::Signature => {
                "[syslog] anchors must hold the authority of the collector's certificate; if it does, this is not your collector"
            }
            Fault::Name => {
                "the collector's certificate must be for the host of [syslog] address (RFC 5425 section 5.2)"
            }
            Fault::Expired | Fault::NotYetValid => {
                "the collector's operator renews its certificate; or a clock is wrong"
            }
            Fault::OursRefused => {
                "the collector wants a certificate that it knows: [syslog] certificate, and keys/syslog.key"
            }
            Fault::Unlike => "the collector must speak TLS 1.2 with ECDHE, or 1.3",
            Fault::Other | Fault::Broken => {
                "look whether this is a port for syslog over TLS (RFC 5425), mostly 6514"
            }
            _ => "the collector's operator mends its certificate",
        };
        Self { fault: fault.code(), reason, remedy }
    }

    /// It takes nothing.
    pub(super) fn unread(within: Duration) -> Self {
        Self {
            fault: "unread",
            reason: format!("it took nothing for {} s", within.as_secs()),
            remedy: "look at the collector: its queue or its disk may be full",
        }
    }

    /// A write failed.
    pub(super) fn broken(error: &io::Error) -> Self {
        let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
        match cause {
            // With TLS 1.3 a server refuses a client's certificate after the handshake is done here.
            Some(cause) => Self::tls(tls::fault(cause), causes(error)),
            None => Self {
                fault: "closed",
                reason: format!("the connection ended: {error}"),
                remedy: "look at the collector: it was stopped, or closed the connection",
            },
        }
    }
}

/// Resolves when the connection is no longer one that a collector takes messages on. A collector says nothing (RFC 5425): one that answers
/// is something else, and what it was given may be nowhere.
pub(super) async fn ended(mut read: impl AsyncRead + Unpin) -> Down {
    let mut byte = [0];
    match read.read(&mut byte).await {
        Ok(0) => Down::broken(&io::Error::other("the collector closed it")),
        Ok(_) => Down {
            fault: "answers",
            reason: "it answers, which no collector does".to_owned(),
            remedy: "look whether [syslog] address is a collector's: what speaks there is another protocol",
        },
        Err(error) => Down::broken(&error),
    }
}
