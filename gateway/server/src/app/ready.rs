//! `silkgate ready`: what the running gateway says of itself, for whoever looks after it and has no other program at hand.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow};
use axum::http::StatusCode;
use serde_json::Value;

use super::{Cx, Found};
use crate::web::Web;

/// For an answer: a probe of the gateway's own waits 2 s for the database.
const WITHIN: Duration = Duration::from_secs(4);
/// Every code with its reason is far below it.
const ANSWER_MAX_BYTES: usize = 64 << 10;

/// What is asked.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  silkgate -d iq ready\n\nAsks the operations plane (`[operations] listen` in silkgate.toml) of the gateway that serves this home, on \
                        this machine: /readyz, or with --live /livez. It prints what is missing. Exit codes: 0 ready; 1 not; 2 it \
                        could not be asked."
)]
pub(crate) struct Args {
    /// Only whether it lives: a restart helps where it does not.
    #[arg(long)]
    live: bool,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, args: Args) -> Result<Found> {
    let config = cx.home.config()?;
    let listen = config.operations.listen.ok_or_else(|| {
        anyhow!("there is no operations plane to ask: set `[operations] listen` in silkgate.toml and restart")
    })?;
    let path = if args.live { "livez" } else { "readyz" };
    let plane = Web::read(&format!("http://{}/{path}", near(listen)), None)?;
    let asked = plane.state(ANSWER_MAX_BYTES, WITHIN).await;
    let (status, body) = asked.context("is the gateway running? (silkgate serve)")?;
    let said: Value = serde_json::from_slice(&body).context("what answers there is no gateway")?;
    cx.print(&said, || text(&said, path))?;
    Ok(if status == StatusCode::OK { Found::Good } else { Found::Wrong })
}

/// Where a plane is reached from its own machine: one that listens on every address, by the loopback.
fn near(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(Ipv4Addr::UNSPECIFIED) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(Ipv6Addr::UNSPECIFIED) => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

fn text(said: &Value, path: &str) -> String {
    let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(missing) = said["missing"].as_array() {
        let line = |one: &Value| format!("missing: {}: {}", word(&one["what"]), word(&one["why"]));
        return missing.iter().map(line).collect::<Vec<_>>().join("\n");
    }
    match (said["why"].as_str(), path) {
        (Some(why), _) => format!("not live: {why}"),
        (None, "livez") => "live".to_owned(),
        (None, _) => "ready".to_owned(),
    }
}
