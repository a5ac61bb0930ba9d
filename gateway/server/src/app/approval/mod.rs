//! Four eyes: what one operator proposes is done when another one approves it, each by a certificate of its own.

mod operator;
mod plan;

use anyhow::{Result, anyhow, bail};
use serde_json::json;
use silkgate_ledger::entry::{Entry, Kind};
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use uuid::Uuid;

use super::{Cx, Found, admin, both_times};
use crate::accept::entry_at;
use crate::clock;
use crate::config::Config;
use crate::store::ledger::hash;
use crate::store::proposal::{self, Decision, Proposal};
use crate::store::{Connection, Store};
use operator::{Operator, is_signed, name, public_key};
pub(super) use plan::Plan;

/// For which a proposal waits: long enough for a weekend and a feast.
const WAITS_MS: i64 = 7 * 86_400_000;

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  silkgate -d iq approve\n  silkgate -d iq approve 01a20d81-c7bd-7df7-bf7c-a7e8983eeab7 --as /media/samira/operator.pem\n\nWithout an id: \
                            what waits. The one who approves is another operator than the one who proposed, with another key. See docs/operations/approval.md.\n\n\
                            Exit codes: 0 done, 1 it cannot be approved (by you, any more, as things are), 2 could not be done."
)]
pub(crate) struct Args {
    /// The proposal.
    id: Option<Uuid>,
    /// Refuse it instead.
    #[arg(long, requires = "id")]
    refuse: bool,
}

/// What a second operator approved, on its way to be done.
pub(crate) struct Approved {
    proposal: Proposal,
    decision: Decision,
}

impl Approved {
    /// Notes in the transaction that does it that it is approved; the entry for the house log.
    pub(super) async fn settle(&self, tx: &mut Connection) -> Result<Entry> {
        if !proposal::decide(tx, &self.proposal.id, "approved", &self.decision).await? {
            bail!("{} was decided meanwhile", self.proposal.id);
        }
        Ok(entry("approved", &self.proposal, &self.decision.second, self.decision.at))
    }
}

/// Whether a command may go on. None: it waits for another operator, and that was said.
pub(super) async fn stands(
    cx: &Cx,
    config: &Config,
    mut tx: Connection,
    plan: &Plan,
) -> Result<Option<Connection>> {
    if !config.approval.four_eyes || cx.approved.is_some() {
        return Ok(Some(tx));
    }
    let who = cx.operator.as_deref().ok_or_else(|| {
        anyhow!("two operators are needed ([approval] four_eyes): say who you are with --as NAME, and another one approves it")
    })?;
    let (operator, now) = (Operator::read(&cx.home, who)?, clock::now());
    let named = name(&mut tx, &operator.certificate, now).await?;
    let mut row = Proposal {
        id: clock::uuid_v7(now).to_string(),
        plan: serde_json::to_vec(plan)?,
        at: now,
        until: now.plus_ms(WAITS_MS),
        first: operator.certificate.clone(),
        first_signature: Vec::new(),
        state: "open".to_owned(),
        decision: None,
    };
    row.first_signature = operator.sign(&proposed_text(config, &row))?;
    proposal::insert(&mut tx, &row).await?;
    admin::commit_entries(cx, tx, &[entry("proposed", &row, &row.first, now)]).await?;
    let report = json!({ "proposed": row.id, "by": named, "until": row.until.to_string(), "plan": plan });
    cx.print(&report, || {
        format!(
            "Proposed by {named}: {}.\nNothing is done yet. Another operator approves it until {}:\n  silkgate approve {} --as NAME",
            plan.sentence(),
            both_times(row.until),
            row.id
        )
    })?;
    Ok(None)
}

/// What the first one signs.
fn proposed_text(config: &Config, row: &Proposal) -> Vec<u8> {
    let plan = Digest::of(&row.plan);
    let (house, id, at, until) = (config.house_origin(), &row.id, row.at, row.until);
    format!("silkgate proposal v1\n{house}\n{id}\n{plan}\n{at}\n{until}\n").into_bytes()
}

/// What the second one signs: the decision about that very proposal.
fn decided_text(config: &Config, row: &Proposal, state: &str, at: Instant) -> Vec<u8> {
    let proposed = Digest::of(&proposed_text(config, row));
    let first = Digest::of(&row.first);
    format!("silkgate decision v1\n{state}\n{proposed}\n{first}\n{at}\n").into_bytes()
}

fn entry(what: &str, row: &Proposal, by: &[u8], at: Instant) -> Entry {
    let mut entry = entry_at(Kind::Admin, at);
    entry.what = Some(what.to_owned());
    entry.digest = Some(hash(Digest::of(&row.plan)));
    entry.cert = Some(hash(Digest::of(by)));
    entry.of = Some(row.id.clone());
    entry.role = Some("operator".to_owned());
    entry
}

/// Runs the command.
pub(crate) async fn run(cx: &Cx, args: Args) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    match args.id {
        None => list(cx, &config, &store).await,
        Some(id) => decide(cx, &config, &store, &id.to_string(), args.refuse).await,
    }
}

async fn decide(cx: &Cx, config: &Config, store: &Store, id: &str, refuse: bool) -> Result<Found> {
    let who = cx.operator.as_deref().ok_or_else(|| anyhow!("say who you are: --as NAME"))?;
    let (operator, now) = (Operator::read(&cx.home, who)?, clock::now());
    let mut tx = store.write().await?;
    let Some(row) = proposal::find(&mut tx, id).await? else {
        eprintln!("silkgate: there is no proposal {id}; `silkgate approve` lists what waits");
        return Ok(Found::Wrong);
    };
    let second = name(&mut tx, &operator.certificate, now).await?;
    if let Some(why) = unfit(config, &mut tx, &row, &operator, &second, refuse, now).await? {
        eprintln!("silkgate: {why}");
        return Ok(Found::Wrong);
    }
    let state = if refuse { "refused" } else { "approved" };
    let signature = operator.sign(&decided_text(config, &row, state, now))?;
    let decision = Decision { second: operator.certificate.clone(), signature, at: now };
    if refuse {
        if !proposal::decide(&mut tx, id, state, &decision).await? {
            bail!("{id} was decided meanwhile");
        }
        admin::commit_entries(cx, tx, &[entry(state, &row, &operator.certificate, now)]).await?;
        cx.print(&json!({ "refused": id, "by": second }), || format!("{id} is refused; nothing was done"))?;
        return Ok(Found::Good);
    }
    // The command has a transaction of its own, in which the approval is noted with what it does.
    tx.rollback().await?;
    let plan: Plan = serde_json::from_slice(&row.plan)?;
    if !cx.json {
        super::line(&format!("Approved by {second}: {}.", plan.sentence()))?;
    }
    let approved = Some(Approved { proposal: row, decision });
    let cx = Cx { home: cx.home.clone(), json: cx.json, operator: cx.operator.clone(), approved };
    plan.carry_out(&cx).await
}

/// Why this operator cannot decide this proposal now.
async fn unfit(
    config: &Config,
    tx: &mut Connection,
    row: &Proposal,
    operator: &Operator,
    second: &str,
    refuse: bool,
    now: Instant,
) -> Result<Option<String>> {
    let id = &row.id;
    if row.state != "open" {
        return Ok(Some(format!("{id} was {} already", row.state)));
    }
    if now > row.until {
        return Ok(Some(format!("{id} waited until {}: propose it anew", both_times(row.until))));
    }
    if !is_signed(&row.first, &proposed_text(config, row), &row.first_signature) {
        return Ok(Some(format!("{id} is not as it was signed: somebody has changed the database")));
    }
    let first = match name(tx, &row.first, now).await {
        Ok(first) => first,
        Err(why) => return Ok(Some(format!("{id}: who proposed it is no operator any more: {why}"))),
    };
    // Whoever proposed it may take it back.
    let is_same = first == second || public_key(&row.first)? == public_key(&operator.certificate)?;
    if is_same && !refuse {
        return Ok(Some(format!("{second} proposed {id}: another operator approves it")));
    }
    Ok(None)
}

async fn list(cx: &Cx, config: &Config, store: &Store) -> Result<Found> {
    let mut tx = store.read().await?;
    let (rows, now) = (proposal::all(&mut tx).await?, clock::now());
    let mut shown = Vec::new();
    for row in rows.iter().filter(|row| row.state == "open" && now <= row.until) {
        let sound = is_signed(&row.first, &proposed_text(config, row), &row.first_signature);
        let by = name(&mut tx, &row.first, now).await.unwrap_or_else(|why| format!("nobody ({why})"));
        // One that was changed in the database must not hide the others.
        let plan: Option<Plan> = serde_json::from_slice(&row.plan).ok();
        shown.push((row, sound, by, plan));
    }
    let report: Vec<_> = shown
        .iter()
        .map(|(row, sound, by, plan)| {
            json!({ "id": row.id, "by": by, "at": row.at.to_string(), "until": row.until.to_string(),
                    "signed": sound, "plan": plan })
        })
        .collect();
    cx.print(&report, || {
        if shown.is_empty() {
            return "nothing waits to be approved".to_owned();
        }
        let sentence =
            |plan: &Option<Plan>| plan.as_ref().map_or("what cannot be read".to_owned(), Plan::sentence);
        let text = |(row, sound, by, plan): &(&Proposal, bool, String, Option<Plan>)| {
            let warning = if *sound { "" } else { "  NOT AS IT WAS SIGNED" };
            let more = match plan {
                Some(Plan::Agreement { agreement, .. }) => format!("\n\n{agreement}"),
                _ => String::new(),
            };
            format!("{}  {by} at {}: {}{warning}{more}", row.id, both_times(row.at), sentence(plan))
        };
        shown.iter().map(text).collect::<Vec<_>>().join("\n")
    })?;
    Ok(Found::Good)
}
