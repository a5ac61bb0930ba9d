//! The time-stamping authority over HTTP (RFC 3161 §3.4). Its address is the operator's own setting; nothing that a partner says gets here.

use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use axum::http::header;
use bytes::Bytes;
use rustls_pki_types::CertificateDer;
use silkgate_timestamp::TOKEN_MAX_BYTES;

use crate::config::{Home, Timestamp};
use crate::keys;
use crate::web::{Unusable, Web};

/// Where to ask, and whom to believe.
pub struct Authority {
    /// Its CA certificates.
    pub anchors: Vec<CertificateDer<'static>>,
    /// Between two time-stamps of one log.
    pub every: Duration,
    timeout: Duration,
    web: Web,
}

impl Authority {
    /// From `[timestamp]`; an error is a mistake in the configuration, which the start of the gateway reports.
    pub fn new(home: &Home, settings: &Timestamp) -> Result<Self> {
        let anchors = keys::chain(&home.path().join(&settings.anchors)).context("[timestamp] anchors")?;
        let read = |roots: &std::path::PathBuf| {
            let file = home.path().join(roots);
            std::fs::read(&file).with_context(|| format!("[timestamp] roots: {}", file.display()))
        };
        let roots = settings.roots.as_ref().map(read).transpose()?;
        let web = Web::read(&settings.url, roots.as_deref());
        let web = web.map_err(|unusable| match unusable {
            Unusable::Address => anyhow!("[timestamp] url is {unusable}"),
            Unusable::Roots(_) => anyhow!("[timestamp] roots: {unusable}"),
        })?;
        if settings.every_seconds == 0 || settings.timeout_seconds == 0 {
            bail!("[timestamp] every_seconds and timeout_seconds are 1 at least");
        }
        Ok(Self {
            anchors,
            every: Duration::from_secs(settings.every_seconds),
            timeout: Duration::from_secs(settings.timeout_seconds),
            web,
        })
    }

    /// Sends a query; the body of the answer, which nobody has judged yet. Bounded in time and size.
    pub async fn ask(&self, query: Vec<u8>) -> Result<Bytes> {
        let asked = self.web.post("application/timestamp-query", query, TOKEN_MAX_BYTES, self.timeout).await;
        let (fields, body) = asked?;
        let kind = fields.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !kind.eq_ignore_ascii_case("application/timestamp-reply") {
            bail!("{}: the answer is not of type application/timestamp-reply", self.web.address);
        }
        Ok(body)
    }
}
