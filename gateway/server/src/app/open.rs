//! `silkgate open`: a link that opens the pages in a browser which holds no certificate.

use anyhow::{Context as _, Result, bail};
use serde_json::json;

use super::client::Client;
use super::{Cx, Found};
use crate::keys::{self, Identity};

/// As whom.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  silkgate -d iq open auditor-alice\n\nAsks the running gateway, with that person's certificate and key, for a link to the pages on \
                        `[pages] listen`. The link is opened once, within five minutes, in one browser on this machine; the session \
                        lasts eight hours at most and shows what the person's role may see. Exit code 1: the gateway refused."
)]
pub(crate) struct Args {
    /// A name under clients/, such as auditor-alice, or a certificate whose key lies beside it.
    #[arg(value_name = "NAME|FILE")]
    person: String,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, args: Args) -> Result<Found> {
    let config = cx.home.config()?;
    let mut certificate = cx.home.client(&args.person);
    if !certificate.exists() {
        certificate = args.person.clone().into();
    }
    if !certificate.exists() {
        bail!("`{}` is neither a name under clients/ nor a certificate", args.person);
    }
    let identity = Identity::read(&certificate, &certificate.with_extension("key"))?;
    let anchor = keys::one(&cx.home.certificate("national-ca"))?;
    let client = Client::new(&[anchor], identity, &config.host, &config.national_plane.listen.to_string())?;
    let answer = client.post("/v1/pages/link", "application/json", Vec::new()).await?;
    let said = answer.json()?;
    let Some(url) = said["url"].as_str() else {
        let text = |name: &str| said[name].as_str().unwrap_or_default();
        eprintln!("silkgate: {}: {} {}", text("code"), text("title"), text("detail"));
        return Ok(Found::Wrong);
    };
    cx.print(&json!({ "url": url }), || url.to_owned()).context("the link")?;
    Ok(Found::Good)
}
