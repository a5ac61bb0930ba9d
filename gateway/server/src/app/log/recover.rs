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
use crate::store::{Connection, ledger, partner, revocation};
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

/// Whose log lost something.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whose {
    /// Ours: the partner has cosigned a history that we no longer hold.
    Ours,
    /// The partner's: we have cosigned a history that it no longer holds.
    Theirs,
}

/// One log that goes on with another history than the one that was witnessed.
struct Gap {
    origin: String,
    /// The newest checkpoint of the history that is given up.
    given_up: Vec<u8>,
    /// The last cosigned checkpoint that both sides hold; None: there is none, it goes on from its beginning.
    goes_on: Option<Vec<u8>>,
    /// The open alarms about it.
    alarms: Vec<Alarm>,
}

impl Gap {
    fn text(&self) -> Result<String> {
        let goes_on = match &self.goes_on {
            Some(note) => text(note)?,
            None => "from the beginning\n".to_owned(),
        };
        Ok(format!("{}\n{goes_on}\n", text(&self.given_up)?))
    }
}

/// Goes on with another history than the one that was witnessed.
pub(super) async fn recover(cx: &Cx, country: Country, code: Option<&str>) -> Result<Found> {
    let (config, store) = admin::open(cx).await?;
    // Nothing is locked while the partner is asked.
    let (partner, whose, known) = {
        let mut tx = store.read().await?;
        let partner = find(&mut tx, country, &config).await?;
        let (whose, known) = known(&mut tx, country).await?;
        (partner, whose, known)
    };
    let gaps = match whose {
        Whose::Ours => known,
        Whose::Theirs => {
            let mut tx = store.read().await?;
            let cards = partner::cards(&mut tx).await?;
            drop(tx);
            held_by(cx, &config, &partner, known, &cards).await?
        }
    };
    if gaps.is_empty() {
        eprintln!("silkgate: both sides hold all that the other has cosigned: there is nothing to give up");
        return Ok(Found::Wrong);
    }
    let texts = gaps.iter().map(Gap::text).collect::<Result<Vec<_>>>()?;
    let expected = Fingerprint::of_recovery(texts.concat().as_bytes());
    let said = code.map(|code| code.parse::<Fingerprint>().map_err(|error| anyhow!("--code: {error}")));
    if said.transpose()? != Some(expected) {
        return tell(cx, country, whose, &gaps, expected, code.is_some());
    }
    let digest = Digest::of(texts.concat().as_bytes());
    let mut tx = store.write().await?;
    let (still, now) = self::known(&mut tx, country).await?;
    let unchanged =
        |gap: &Gap| now.iter().any(|now| now.origin == gap.origin && now.given_up == gap.given_up);
    // Not settled by another run of this command meanwhile.
    let open: Vec<i64> = witness::open_alarms(&mut tx).await?.iter().map(|alarm| alarm.id).collect();
    let all_open = |gap: &Gap| gap.alarms.iter().all(|alarm| open.contains(&alarm.id));
    if still != whose || !gaps.iter().all(|gap| unchanged(gap) && all_open(gap)) {
        bail!("something was cosigned meanwhile; run the command again without --code");
    }
    let at = clock::now();
    let acts = settle(&mut tx, country, whose, &gaps, (at, digest)).await?;
    partner::touch(&mut tx).await?;
    admin::commit_settled(cx, tx, &acts, at).await?;
    cx.print(&json!({ "partner": country, "recovered": true, "digest": digest.to_string() }), || {
        let other = match whose {
            Whose::Ours => "Our logs go on from what this database holds",
            Whose::Theirs => "Their logs may go on from the last checkpoint that both sides hold",
        };
        format!(
            "{other}; what was given up stands in our logs by its digest {digest}. When {country}'s operator has done the same, \
             `silkgate reconcile {country}` names each message that one side lost."
        )
    })?;
    Ok(Found::Good)
}

/// What this database knows: of our logs the open alarms, or of the partner's what we cosigned.
async fn known(conn: &mut Connection, country: Country) -> Result<(Whose, Vec<Gap>)> {
    let mut alarms = witness::open_alarms(conn).await?;
    alarms.retain(|alarm| alarm.partner == country.as_str());
    let mut gaps: Vec<Gap> = Vec::new();
    for alarm in alarms.iter().filter(|alarm| alarm.kind == AlarmKind::Rollback) {
        let heads = ledger::heads(conn).await?;
        let head = heads.into_iter().find(|head| head.origin == alarm.origin);
        let head = head.ok_or_else(|| anyhow!("there is no log {}", alarm.origin))?;
        let goes_on = match witness::newest_cosigned(conn, head.id, country.as_str()).await? {
            Some(size) => ledger::checkpoint(conn, head.id, size).await?,
            None => None,
        };
        let (origin, given_up) = (alarm.origin.clone(), alarm.theirs.clone());
        gaps.push(Gap { origin, given_up, goes_on, alarms: vec![alarm.clone()] });
    }
    if !gaps.is_empty() {
        gaps.sort_by(|a, b| a.origin.cmp(&b.origin));
        return Ok((Whose::Ours, gaps));
    }
    for row in witness::all_witnessed(conn).await?.into_iter().filter(|row| row.partner == country.as_str()) {
        let of_log = alarms.iter().filter(|alarm| alarm.origin == row.origin);
        let alarms = of_log.cloned().collect();
        gaps.push(Gap { origin: row.origin, given_up: row.note, goes_on: None, alarms });
    }
    Ok((Whose::Theirs, gaps))
}

/// Of what we cosigned, the logs that the partner no longer holds so far, or that have an alarm; each with the newest
/// checkpoint under our own cosignature that the partner does hold.
async fn held_by(
    cx: &Cx,
    config: &Config,
    partner: &Partner,
    known: Vec<Gap>,
    cards: &[(String, Vec<u8>)],
) -> Result<Vec<Gap>> {
    let identity = Identity::partner_plane(&cx.home)?;
    let client = Client::of_partner(partner, identity)?;
    let cards: Vec<Card> = cards.iter().filter_map(|(_, bytes)| Card::parse(bytes).ok()).collect();
    let of = |country: Country| cards.iter().filter(|c| c.content().country == country).collect::<Vec<_>>();
    let own = directory::own_witness_keys(&keys::witness(&cx.home, config)?, &of(config.country()));
    let mut gaps = Vec::new();
    for mut gap in known {
        let path = format!("/v1/log/cosigned/{}", origin_hash(&gap.origin));
        let answer = client.ask(&path).await?;
        gap.goes_on = match answer.status.as_u16() {
            200 => {
                let note = Note::parse(&answer.body)?;
                note.verify(&directory::ever_log_keys(&of(partner.country), &gap.origin))?;
                if !own.iter().any(|key| matches!(key.cosigned(&note), Ok(Some(_)))) {
                    bail!("{}: what {} shows as our cosignature is none", gap.origin, partner.country);
                }
                Some(answer.body.to_vec())
            }
            404 => None,
            status => bail!("{path}: the partner answers {status}"),
        };
        let (ours, theirs) = (head(&gap.given_up)?, gap.goes_on.as_deref().map(head).transpose()?);
        let of_log = |theirs: &Checkpoint| theirs.origin == ours.origin && theirs.size <= ours.size;
        if !theirs.as_ref().is_none_or(of_log) {
            bail!("{}: it holds more than we cosigned", gap.origin);
        }
        if !gap.alarms.is_empty() || theirs.is_none_or(|theirs| theirs.size < ours.size) {
            gaps.push(gap);
        }
    }
    Ok(gaps)
}

/// Tells how things stand, and the code to compare. Nothing is changed.
fn tell(
    cx: &Cx,
    country: Country,
    whose: Whose,
    gaps: &[Gap],
    code: Fingerprint,
    was_wrong: bool,
) -> Result<Found> {
    let given_up = gaps.iter().map(|gap| text(&gap.given_up)).collect::<Result<Vec<_>>>()?;
    let mut lines = Vec::new();
    for gap in gaps {
        let lost = head(&gap.given_up)?;
        let kept = gap.goes_on.as_deref().map(head).transpose()?.map_or(0, |kept| kept.size);
        lines.push(format!(
            "{}: {} entries were cosigned; {} of them are given up, it goes on after the first {kept}",
            gap.origin,
            lost.size,
            lost.size - kept.min(lost.size)
        ));
    }
    let lost = if whose == Whose::Ours { "ours" } else { "theirs" };
    let report = json!({ "partner": country, "lost": lost, "given_up": given_up, "logs": lines,
                         "code": code.to_string(), "recovered": false, "code_was_wrong": was_wrong });
    cx.print(&report, || {
        let what = match whose {
            Whose::Ours => format!(
                "{country} has cosigned these checkpoints of our logs, and this database holds no such history: an older one was put \
                 back, or it was altered. The better way out is the newest database, if there is one: stop, put it in place, start.\n\
                 Otherwise what was logged since is given up on our side; {country} keeps its own log of it."
            ),
            Whose::Theirs => format!(
                "We have cosigned these checkpoints of {country}'s logs. Give them up only if {country}'s operator tells you, by telephone \
                 and by name, that they have lost what was logged since; if they cannot tell when and why, their log was altered."
            ),
        };
        let wrong = if was_wrong { "The code is not this one. " } else { "" };
        format!(
            "{what}\n\n  {}\n\n{wrong}Nothing was changed. Both operators compare this code and then run the command with it, on each side:\n\n  \
             silkgate log recover STATE --code {code}",
            lines.join("\n  ")
        )
    })?;
    Ok(Found::Wrong)
}

fn text(note: &[u8]) -> Result<String> {
    Ok(head(note)?.text())
}

fn head(note: &[u8]) -> Result<Checkpoint> {
    Ok(Checkpoint::parse(Note::parse(note)?.text())?)
}

/// Settles the alarms; of the partner's log, our witness goes back to the checkpoint that both sides hold.
async fn settle(
    tx: &mut Connection,
    country: Country,
    whose: Whose,
    gaps: &[Gap],
    (at, digest): (Instant, Digest),
) -> Result<Vec<Act>> {
    let what = if whose == Whose::Ours { "log_recovered" } else { "partner_log_recovered" };
    let mut acts = both(what, country, digest);
    for gap in gaps {
        let mut alarms = gap.alarms.clone();
        if alarms.is_empty() {
            // What we cosigned is kept as an alarm of its own, settled at once.
            let (fork, given_up) = (AlarmKind::Fork, gap.given_up.clone());
            let mut alarm = Alarm::new(country.as_str(), &gap.origin, fork, at, given_up, Vec::new());
            acts.push(house("alarm", Digest(alarm.digest()), country));
            alarm.id = witness::insert_alarm(tx, &alarm).await?;
            alarms.push(alarm);
        }
        for alarm in alarms {
            let goes_on = gap.goes_on.as_deref();
            witness::settle(tx, alarm.id, at, goes_on).await?;
            acts.push(house("alarm_settled", Digest(alarm.settled_digest(goes_on)), country));
        }
        if whose == Whose::Theirs {
            let (origin, kept) = (&gap.origin, gap.goes_on.as_deref());
            witness::rewind_witnessed(tx, origin, country.as_str(), kept).await?;
        }
    }
    Ok(acts)
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
    Partner::read(row, config.country(), &revocation::lists(conn).await?).map_err(|what| anyhow!("{what}"))
}
