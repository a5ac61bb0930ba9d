//! `silkgate client`: people on the national plane, and every certificate that may connect there.

use anyhow::{Result, anyhow, bail};
use serde_json::json;
use silkgate_message::jws::Digest;

use super::admin::{self, Act, Where};
use super::approval::{self, Plan};
use super::init::issue_client;
use super::{Cx, Found};
use crate::clock;
use crate::roles::Role;
use crate::store::partner::{self, ClientRow};
use crate::store::push as store_push;

/// People on the national plane, and every certificate that may connect there.
#[derive(clap::Subcommand)]
pub(crate) enum Clients {
    /// Issue a client certificate for an operator, an auditor or a data-protection officer.
    #[command(
        after_help = "Example:\n  silkgate -d iq client add auditor alice\n\nWrites clients/<role>-<name>.pem and .key (mode 0600); hand both \
                            to that person. A second certificate of the same name gets a number behind it; both are valid. What each \
                            role may do: docs/operations/roles.md. Back ends: `silkgate backend add`."
    )]
    Add {
        /// operator, auditor or data-protection
        #[arg(value_parser = person)]
        role: Role,
        /// Who it is: up to 48 letters, digits, `.`, `_` and `-`.
        name: String,
    },
    /// List every certificate that may connect to the national plane.
    #[command(after_help = "Example:\n  silkgate -d iq client list")]
    List,
    /// Take a certificate off the list: it is cut off at once, also on connections that are open.
    #[command(
        after_help = "Examples:\n  silkgate -d iq client remove alice\n  silkgate -d iq client remove 47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU\n\n\
                            A name takes away every certificate of it; a digest, as `silkgate client list` shows it, that one only. For a back end \
                            the name is its authority, such as IQ/traffic-police; with its last certificate it is told nothing more \
                            (`silkgate backend pull`). Files under clients/ stay. Exit code 1: there is no such certificate."
    )]
    Remove {
        /// The certificate's digest, or the name it is registered under.
        certificate: String,
    },
}

/// A role that a person has.
fn person(text: &str) -> Result<Role, String> {
    match Role::parse(text) {
        Some(Role::BackEnd) => Err("for a back end: silkgate backend add".to_owned()),
        Some(role) => Ok(role),
        None => Err("the role is operator, auditor or data-protection".to_owned()),
    }
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, command: Clients) -> Result<Found> {
    match command {
        Clients::Add { role, name } => add(cx, role, &name).await,
        Clients::List => list(cx).await,
        Clients::Remove { certificate } => remove(cx, &certificate).await,
    }
}

pub(super) async fn add(cx: &Cx, role: Role, name: &str) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let mut tx = store.write().await?;
    if role == Role::Operator {
        // Who could make a second operator alone would be both pairs of eyes.
        let plan = Plan::OperatorAdd { name: name.to_owned() };
        let Some(next) = approval::stands(cx, &config, tx, &plan).await? else { return Ok(Found::Good) };
        tx = next;
    }
    let issued = issue_client(&cx.home, role.as_str(), name, &format!("{}-{name}", role.as_str()))?;
    partner::add_client(&mut tx, &issued.row, clock::now()).await?;
    let act = Act { log: Where::House, what: "client", digest: Some(issued.row.certificate), about: None };
    admin::commit(cx, tx, &[act]).await?;
    let report = json!({
        "role": role, "name": name, "digest": issued.row.certificate.to_string(), "certificate": issued.certificate,
        "key": issued.key, "until": issued.row.until.to_string(),
    });
    cx.print(&report, || {
        let (certificate, key) = (issued.certificate.display(), issued.key.display());
        format!("{name} may connect as {} with\n  {certificate}\n  {key}", role.as_str())
    })?;
    Ok(Found::Good)
}

async fn list(cx: &Cx) -> Result<Found> {
    let (_, store) = admin::open(cx).await?;
    let rows = partner::clients(&mut store.read().await?).await?;
    let report: Vec<_> = rows.iter().map(described).collect();
    let now = clock::now();
    cx.print(&report, || {
        let line = |row: &ClientRow| {
            let ended = if row.until <= now { "  (has run out)" } else { "" };
            format!("{:<15} {:<44} until {}  {}{ended}", row.role, row.subject, row.until, row.certificate)
        };
        rows.iter().map(line).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Found::Good)
}

fn described(row: &ClientRow) -> serde_json::Value {
    json!({
        "role": row.role, "name": row.subject, "digest": row.certificate.to_string(), "until": row.until.to_string(),
    })
}

async fn remove(cx: &Cx, which: &str) -> Result<Found> {
    let (_, store) = admin::open(cx).await?;
    let mut tx = store.write().await?;
    let all = partner::clients(&mut tx).await?;
    let by_digest = all.iter().position(|row| row.certificate.to_string() == which);
    let gone: Vec<&ClientRow> = match by_digest {
        Some(at) => all.get(at).into_iter().collect(),
        None => all.iter().filter(|row| row.subject == which).collect(),
    };
    let Some(first) = gone.first() else {
        tx.rollback().await?;
        eprintln!("silkgate: no certificate has this name or digest; `silkgate client list` shows all");
        return Ok(Found::Wrong);
    };
    if gone.iter().any(|row| row.role != first.role) {
        let each = gone.iter().map(|row| format!("\n  {} {}", row.certificate, row.role)).collect::<String>();
        bail!("{which} stands for more than one role; name the certificate by its digest:{each}");
    }
    let mut acts = Vec::new();
    for row in &gone {
        partner::remove_client(&mut tx, &row.certificate).await?;
        let digest = Some(row.certificate);
        acts.push(Act { log: Where::House, what: "client_remove", digest, about: None });
    }
    let stays = |row: &&ClientRow| row.role == first.role && row.subject == first.subject;
    let is_last = all.iter().filter(stays).count() == gone.len();
    // Whoever is cut off is not told anything either.
    let is_untold = is_last
        && Role::parse(&first.role) == Some(Role::BackEnd)
        && store_push::remove(&mut tx, &first.subject).await?;
    if is_untold {
        let digest = Some(Digest::of(first.subject.as_bytes()));
        acts.push(Act { log: Where::House, what: "pull", digest, about: None });
    }
    admin::commit(cx, tx, &acts).await.map_err(|error| anyhow!("nothing was removed: {error:#}"))?;
    let report = json!({ "removed": gone.iter().map(|row| described(row)).collect::<Vec<_>>() });
    cx.print(&report, || {
        let line = |row: &&ClientRow| format!("{} {} is cut off: {}", row.role, row.subject, row.certificate);
        let mut lines: Vec<String> = gone.iter().map(line).collect();
        lines.extend(is_untold.then(|| format!("{} is told nothing more", first.subject)));
        lines.join("\n")
    })?;
    Ok(Found::Good)
}
