//! `silkgate log confirm` and `silkgate log recover`: what two operators settle by telephone.

use anyhow::{Result, anyhow, bail};
use serde_json::json;
use silkgate_ledger::{Checkpoint, Note};
use silkgate_message::card::{Card, Fingerprint};
use silkgate_message::instant::Instant;
use silkgate_message::jws::Digest;
use silkgate_message::party::Country;

use super::super::admin::{self, Act, Where};
use super::super::client::Client;
use super::super::{Cx, Found};
use crate::clock;
use crate::config::Config;
use crate::directory::{self, Partner};
use crate::keys::{self, Identity};
use crate::store::witness::{self, Alarm, AlarmKind};
use crate::store::{Connection, Write, ledger, partner};
use crate::witness::origin_hash;

/// Gives the word in the place of a partner that cannot be reached.
pub(super) async fn confirm(cx: &Cx, country: Country) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let mut tx = store.write().await?;
    find(&mut tx, country, &config).await?;
    witness::confirm(&mut tx, country.as_str(), clock::now()).await?;
    let act = Act { log: Where::House, what: "log_confirmed", digest: None, about: Some(country) };
    admin::commit(cx, tx, &[act]).await?;
    cx.print(&json!({ "partner": country, "confirmed": true }), || {
        format!(
            "The gateway goes on without {country}'s word on our logs, until {country} witnesses again. If this database was put \
             back from a backup, {country} will find out then."
        )
    })?;
    Ok(Found::Good)
}

/// What is given up, and whose log it is of.
enum Loss {
    /// Ours: the partner has cosigned a history that we no longer hold.
    Ours(Vec<Alarm>),
    /// The partner's: we have cosigned a history that it no longer holds.
    Theirs(Vec<witness::Witnessed>),
}

/// Goes on with another history than the one that was witnessed.
pub(super) async fn recover(cx: &Cx, country: Country, code: Option<&str>) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    let mut tx = store.write().await?;
    let partner = find(&mut tx, country, &config).await?;
    let alarms = witness::open_alarms(&mut tx).await?;
    let of_partner = alarms.into_iter().filter(|alarm| alarm.partner == country.as_str());
    let (ours, forks): (Vec<_>, Vec<_>) = of_partner.partition(|alarm| alarm.kind == AlarmKind::Rollback);
    let loss = if ours.is_empty() {
        let cosigned = witness::all_witnessed(&mut tx).await?;
        Loss::Theirs(cosigned.into_iter().filter(|row| row.partner == country.as_str()).collect())
    } else {
        Loss::Ours(ours)
    };
    let given_up = match &loss {
        Loss::Ours(alarms) => {
            let cards = directory::own_cards(&mut tx, config.country()).await?;
            let seen = seen_by(cx, &config, &partner, &cards).await?;
            // Where the partner has given it up already, what it had seen is kept here.
            if seen.is_empty() { kept(&mut tx, alarms, country).await? } else { seen }
        }
        Loss::Theirs(rows) => rows.iter().map(|row| text(&row.note)).collect::<Result<Vec<_>>>()?,
    };
    if given_up.is_empty() {
        eprintln!(
            "silkgate: neither side has cosigned anything of the other's logs: there is nothing to give up"
        );
        return Ok(Found::Wrong);
    }
    let digest = Digest::of(given_up.concat().as_bytes());
    let expected = Fingerprint::of_recovery(given_up.concat().as_bytes());
    let said = code.map(|code| code.parse::<Fingerprint>().map_err(|error| anyhow!("--code: {error}")));
    if said.transpose()? != Some(expected) {
        drop(tx);
        return tell(cx, country, &loss, &given_up, expected, code.is_some());
    }
    let acts = match &loss {
        Loss::Ours(alarms) => settle_ours(&mut tx, alarms, country, digest).await?,
        Loss::Theirs(rows) => settle_theirs(&mut tx, rows, &forks, country, digest).await?,
    };
    partner::touch(&mut tx).await?;
    admin::commit_settled(cx, tx, &acts.1, acts.0).await?;
    cx.print(&json!({ "partner": country, "recovered": true, "digest": digest.to_string() }), || {
        let other = match loss {
            Loss::Ours(_) => "Our logs go on from what this database holds",
            Loss::Theirs(_) => "Their logs may go on with another history than we cosigned",
        };
        format!(
            "{other}; what was given up stands in our logs by its digest {digest}. When {country}'s operator has done the same, \
             `silkgate reconcile {country}` names each message that one side lost."
        )
    })?;
    Ok(Found::Good)
}

/// Tells how things stand, and the code to compare. Nothing is changed.
fn tell(
    cx: &Cx,
    country: Country,
    loss: &Loss,
    given_up: &[String],
    code: Fingerprint,
    was_wrong: bool,
) -> Result<Found> {
    let checkpoints: Vec<&String> = given_up.iter().collect();
    let whose = if matches!(loss, Loss::Ours(_)) { "ours" } else { "theirs" };
    let report = json!({ "partner": country, "lost": whose, "given_up": checkpoints, "code": code.to_string(),
                         "recovered": false, "code_was_wrong": was_wrong });
    cx.print(&report, || {
        let what = match loss {
            Loss::Ours(_) => format!(
                "{country} has cosigned these checkpoints of our logs, and this database holds no such history: an older one was put \
                 back, or it was altered. The better way out is the newest database, if there is one: stop, put it in place, start.\n\
                 Otherwise what was logged since is given up on our side; {country} keeps its own log of it."
            ),
            Loss::Theirs(_) => format!(
                "We have cosigned these checkpoints of {country}'s logs. Give them up only if {country}'s operator tells you, by telephone \
                 and by name, that they have lost what was logged since; if they cannot tell when and why, their log was altered."
            ),
        };
        let shown = given_up.iter().map(|text| text.trim_end().replace('\n', " ")).collect::<Vec<_>>();
        let wrong = if was_wrong { "The code is not this one. " } else { "" };
        format!(
            "{what}\n\n  {}\n\n{wrong}Nothing was changed. Both operators compare this code and then run the command with it, on each side:\n\n  \
             silkgate log recover … --code {code}",
            shown.join("\n  ")
        )
    })?;
    Ok(Found::Wrong)
}

/// Our logs as the partner last cosigned them; only what we signed ourselves counts.
async fn seen_by(cx: &Cx, config: &Config, partner: &Partner, cards: &[Card]) -> Result<Vec<String>> {
    let identity = Identity::read(&cx.home.certificate("tls"), &cx.home.key("tls"))?;
    let content = partner.card.content();
    let client = Client::new(&partner.trust().anchors, identity, &content.host, &partner.address)?;
    let in_use = keys::log(&cx.home)?;
    let mut seen = Vec::new();
    let mut origins = [config.channel_origin(partner.country), config.house_origin()];
    origins.sort();
    for origin in origins {
        let answer = client.get(&format!("/v1/witness/{}/checkpoint", origin_hash(&origin))).await?;
        if answer.status == 404 {
            continue;
        }
        if answer.status != 200 {
            bail!("{}: the partner answers {}", partner.country, answer.status);
        }
        let note = Note::parse(&answer.body)?;
        note.verify(&directory::own_log_keys(&origin, &in_use, cards))?;
        seen.push(note.text().to_owned());
    }
    Ok(seen)
}

/// The same by what is kept here: of a log with an alarm what contradicts it, of another its newest cosigned checkpoint.
async fn kept(conn: &mut Connection, alarms: &[Alarm], country: Country) -> Result<Vec<String>> {
    let mut heads = ledger::heads(conn).await?;
    heads.retain(|head| head.partner.is_none_or(|partner| partner == country));
    heads.sort_by(|a, b| a.origin.cmp(&b.origin));
    let mut kept = Vec::new();
    for head in heads {
        if let Some(alarm) = alarms.iter().find(|alarm| alarm.origin == head.origin) {
            kept.push(text(&alarm.theirs)?);
        } else if let Some(size) = witness::newest_cosigned(conn, head.id, country.as_str()).await?
            && let Some(note) = ledger::checkpoint(conn, head.id, size).await?
        {
            kept.push(text(&note)?);
        }
    }
    Ok(kept)
}

fn text(note: &[u8]) -> Result<String> {
    let note = Note::parse(note)?;
    Checkpoint::parse(note.text())?;
    Ok(note.text().to_owned())
}

/// Both logs go on from here.
async fn settle_ours(
    tx: &mut Write,
    alarms: &[Alarm],
    country: Country,
    digest: Digest,
) -> Result<(Instant, Vec<Act>)> {
    let at = clock::now();
    let mut acts = both("log_recovered", country, digest);
    for alarm in alarms {
        witness::settle(tx, alarm.id, at).await?;
        acts.push(house("alarm_settled", Digest(alarm.digest()), country));
    }
    Ok((at, acts))
}

/// What we cosigned is kept as an alarm that is settled, and our witness begins anew.
async fn settle_theirs(
    tx: &mut Write,
    rows: &[witness::Witnessed],
    open: &[Alarm],
    country: Country,
    digest: Digest,
) -> Result<(Instant, Vec<Act>)> {
    let at = clock::now();
    let mut acts = both("partner_log_recovered", country, digest);
    for row in rows {
        let known = open.iter().find(|alarm| alarm.origin == row.origin).cloned();
        let alarm = match known {
            Some(alarm) => alarm,
            None => {
                let fork = AlarmKind::Fork;
                let mut alarm = Alarm::new(&row.partner, &row.origin, fork, at, row.note.clone(), Vec::new());
                let Some(id) = witness::raise(tx, &alarm).await? else { continue };
                acts.push(house("alarm", Digest(alarm.digest()), country));
                alarm.id = id;
                alarm
            }
        };
        witness::settle(tx, alarm.id, at).await?;
        acts.push(house("alarm_settled", Digest(alarm.digest()), country));
        witness::forget_witnessed(tx, &row.origin, &row.partner).await?;
    }
    Ok((at, acts))
}

fn both(what: &'static str, country: Country, digest: Digest) -> Vec<Act> {
    let channel = Act { log: Where::Channel(country), what, digest: Some(digest), about: None };
    vec![channel, house(what, digest, country)]
}

fn house(what: &'static str, digest: Digest, country: Country) -> Act {
    Act { log: Where::House, what, digest: Some(digest), about: Some(country) }
}

async fn find(conn: &mut Connection, country: Country, config: &Config) -> Result<Partner> {
    let rows = partner::all(conn).await?;
    let row = rows.iter().find(|row| row.country == country.as_str());
    let row = row.ok_or_else(|| anyhow!("{country} is no partner"))?;
    let heads = ledger::heads(conn).await?;
    heads
        .iter()
        .any(|head| head.partner == Some(country))
        .then_some(())
        .ok_or_else(|| anyhow!("there is no log of the channel with {country}"))?;
    Partner::read(row, config.country()).map_err(|what| anyhow!("{what}"))
}
