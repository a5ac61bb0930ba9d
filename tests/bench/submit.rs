//! Events from back ends: what fills an outbox.

use anyhow::{Result, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use rustls_pki_types::ServerName;
use serde_json::Value;
use support::{Home, event, wire};
use tokio::net::TcpStream;

use crate::load::connector_as;

/// Connections of back ends in [`submit_many`].
const SUBMITTERS: u64 = 16;

/// Submits that many events to a home's national plane, each for a record of its own.
pub(crate) async fn submit_many(home: &Home, count: u64) -> Result<()> {
    submit_each(home, count, || event("IQ/traffic-police", "JO/public-security")).await
}

/// The same of events of any kind.
pub(crate) async fn submit_each(home: &Home, count: u64, make: fn() -> Value) -> Result<()> {
    let certificate = home.path.join("clients/backend-traffic-police.pem");
    let identity = wire::identity(&certificate, &certificate.with_extension("key"));
    let connector = connector_as(identity, &home.path.join("certs/national-ca.pem"), false)?;
    let name = ServerName::try_from(home.host.clone())?;
    let mut submitters = Vec::new();
    for n in 0..SUBMITTERS {
        let share = count / SUBMITTERS + u64::from(n < count % SUBMITTERS);
        let stream = TcpStream::connect(&home.national_plane).await?;
        stream.set_nodelay(true)?;
        let line = TokioIo::new(connector.connect(name.clone(), stream).await?);
        let (mut sender, connection) = hyper::client::conn::http1::handshake(line).await?;
        tokio::spawn(connection);
        submitters.push(tokio::spawn(async move {
            for _ in 0..share {
                let body = make().to_string();
                let request = Request::post("/v1/submissions")
                    .header("host", "silkgate")
                    .header("content-type", "application/cloudevents+json")
                    .body(Full::new(Bytes::from(body)))?;
                let response = sender.send_request(request).await?;
                ensure!(response.status() == 202, "a submission was answered {}", response.status());
                response.into_body().collect().await?;
            }
            Ok::<_, anyhow::Error>(())
        }));
    }
    for submitter in submitters {
        submitter.await??;
    }
    Ok(())
}
