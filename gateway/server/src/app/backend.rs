//! `silkgate backend`: client certificates of the national plane, and back ends that are told what is for them.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, anyhow, bail};
use silkgate_message::jws::Digest;
use silkgate_message::party::Party;

use super::admin::{self, Act, Where};
use super::init::{ed25519, issue_client, replace};
use super::{Cx, Found};
use crate::config::Home;
use crate::push::{self, Endpoint, PushKey, Way};
use crate::store::partner::{self, ClientRow};
use crate::store::push::{self as store_push, Push};
use crate::{clock, keys};

/// Back ends: the authorities' own systems behind the gateway.
#[derive(clap::Subcommand)]
pub(crate) enum Backend {
    /// Issue a client certificate for the back end of an authority.
    #[command(
        after_help = "Example:\n  silkgate -d iq backend add IQ/general-customs-authority\n\nWrites certificate and key \
                            under clients/; hand both to the back end's operator. A party's second certificate \
                            gets a number behind its name; both are valid."
    )]
    Add {
        /// The authority it acts as, of this gateway's own state.
        party: Party,
    },
    /// Tell a back end what is for it, instead of waiting until it asks.
    #[command(
        after_help = "Examples:\n  silkgate -d iq backend push IQ/traffic-police https://police.iq.example/silkgate --anchors police-ca.pem\n  \
                            silkgate -d iq backend push IQ/traffic-police tls://nats.iq.example:4222 --anchors nats-ca.pem --credentials police.nk\n\n\
                            An https:// server gets each delivery by a signed POST (RFC 9421), and acknowledges it by a status of 2xx. A NATS server \
                            with JetStream gets it under the subject silkgate.deliveries.<state>.<authority>.<type>. See docs/operations/push.md. \
                            A running gateway follows within a moment."
    )]
    Push {
        /// The authority.
        party: Party,
        /// https://HOST[:PORT]/PATH or tls://HOST[:PORT]
        url: String,
        /// The certificates of the authority by which that server is known, PEM.
        #[arg(long, value_name = "FILE")]
        anchors: PathBuf,
        /// NATS only: a file with an NKey seed, or a credentials file. Its content is kept in keys/, mode 0600.
        #[arg(long, value_name = "FILE")]
        credentials: Option<PathBuf>,
    },
    /// Let a back end ask again for what is for it.
    #[command(after_help = "Example:\n  silkgate -d iq backend pull IQ/traffic-police")]
    Pull {
        /// The authority.
        party: Party,
    },
    /// List the client certificates, and where back ends are told what is for them.
    #[command(after_help = "Example:\n  silkgate -d iq backend list")]
    List,
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, command: Backend) -> Result<Found> {
    match command {
        Backend::Add { party } => add(cx, &party).await,
        Backend::Push { party, url, anchors, credentials } => {
            push(cx, &party, url, &anchors, credentials.as_deref()).await
        }
        Backend::Pull { party } => pull(cx, &party).await,
        Backend::List => list(cx).await,
    }
}

async fn add(cx: &Cx, party: &Party) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    if party.country() != config.country() {
        bail!("{party} is of another state; this gateway serves {}", config.country());
    }
    let issued = issue_client(&cx.home, "backend", party.as_str(), &format!("backend-{}", party.slug()))?;
    let mut tx = store.write().await?;
    partner::add_client(&mut tx, &issued.row, clock::now()).await?;
    let act = Act { log: Where::House, what: "client", digest: Some(issued.row.certificate), about: None };
    admin::commit(cx, tx, &[act]).await?;
    let report = serde_json::json!({
        "party": party, "certificate": issued.certificate, "key": issued.key, "until": issued.row.until.to_string(),
    });
    cx.print(&report, || {
        format!("{party} may connect with\n  {}\n  {}", issued.certificate.display(), issued.key.display())
    })?;
    Ok(Found::Good)
}

async fn push(
    cx: &Cx,
    party: &Party,
    url: String,
    anchors: &Path,
    credentials: Option<&Path>,
) -> Result<Found> {
    let (_, store) = admin::open(cx).await?;
    let anchors = std::fs::read(anchors).with_context(|| anchors.display().to_string())?;
    let endpoint = Endpoint::read(&url, &anchors).map_err(|what| anyhow!("{what}"))?;
    if credentials.is_some() && endpoint.way != Way::Nats {
        bail!("--credentials is for a NATS server; an https:// server knows the gateway by its signature");
    }
    let mut tx = store.write().await?;
    let known = partner::clients(&mut tx).await?;
    if !known.iter().any(|row| row.role == "backend" && row.subject == party.as_str()) {
        bail!("{party} is no back end of this gateway yet: silkgate backend add {party}");
    }
    let key = signing_key(&cx.home)?;
    if endpoint.way == Way::Nats {
        keep_credentials(&cx.home, party, credentials)?;
    }
    let mut row =
        Push { party: party.to_string(), url, anchors, signature: Vec::new(), added_at: clock::now() };
    row.signature = key.sign_endpoint(&row);
    store_push::put(&mut tx, &row).await?;
    let digest = Digest::of(&[row.party.as_bytes(), b"\n", row.url.as_bytes(), b"\n", &row.anchors].concat());
    let act = Act { log: Where::House, what: "push", digest: Some(digest), about: None };
    admin::commit(cx, tx, &[act]).await?;
    // A stream knows the gateway by its credentials.
    let shown = (endpoint.way == Way::Webhook).then_some(&key);
    let report = serde_json::json!({
        "party": party, "url": row.url, "keyid": shown.map(PushKey::id), "public_key": shown.map(PushKey::public_pem),
    });
    cx.print(&report, || {
        let told = format!("what is for {party} is handed over at {}", row.url);
        match shown {
            None => told,
            Some(key) => format!(
                "{told}\nsigned (RFC 9421, Ed25519, keyid {}) by the key whose public part its server needs:\n{}",
                key.id(),
                key.public_pem().trim_end()
            ),
        }
    })?;
    Ok(Found::Good)
}

/// The key that signs deliveries; made when it is first needed.
fn signing_key(home: &Home) -> Result<PushKey> {
    let file = push::key_file(home);
    if !file.exists() {
        ed25519(&file)?;
    }
    let pkcs8 = keys::private_key(&file)?;
    PushKey::from_pkcs8(pkcs8.secret_der()).ok_or_else(|| anyhow!("{}: no Ed25519 key", file.display()))
}

/// Keeps a back end's secret for its NATS server in the place of the one before; without a new one that stays.
fn keep_credentials(home: &Home, party: &Party, credentials: Option<&Path>) -> Result<()> {
    let Some(credentials) = credentials else { return Ok(()) };
    let secret = std::fs::read(credentials).with_context(|| credentials.display().to_string())?;
    let file = push::credentials_file(home, party);
    replace(&file, &secret, 0o600)
}

async fn pull(cx: &Cx, party: &Party) -> Result<Found> {
    let (_, store) = admin::open(cx).await?;
    let mut tx = store.write().await?;
    if !store_push::remove(&mut tx, party.as_str()).await? {
        tx.rollback().await?;
        eprintln!("silkgate: {party} asks already; `silkgate backend list` shows who does not");
        return Ok(Found::Wrong);
    }
    let digest = Some(Digest::of(party.as_str().as_bytes()));
    let act = Act { log: Where::House, what: "pull", digest, about: None };
    admin::commit(cx, tx, &[act]).await?;
    cx.print(&serde_json::json!({ "party": party }), || format!("{party} asks for what is for it"))?;
    Ok(Found::Good)
}

async fn list(cx: &Cx) -> Result<Found> {
    let (_, store) = admin::open(cx).await?;
    let mut tx = store.read().await?;
    let rows = partner::clients(&mut tx).await?;
    let pushes = store_push::all(&mut tx).await?;
    let url = |row: &ClientRow| {
        let push = pushes.iter().find(|push| row.role == "backend" && push.party == row.subject);
        push.map(|push| push.url.clone())
    };
    let describe = |row: &ClientRow| {
        serde_json::json!({
            "role": row.role, "subject": row.subject, "certificate": row.certificate.to_string(),
            "until": row.until.to_string(), "push": url(row),
        })
    };
    let report = rows.iter().map(describe).collect::<Vec<_>>();
    cx.print(&report, || {
        let row = |row: &ClientRow| {
            let told = url(row).map(|url| format!("  told at {url}")).unwrap_or_default();
            format!("{:<9} {:<44} until {}{told}", row.role, row.subject, row.until)
        };
        rows.iter().map(row).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Found::Good)
}
