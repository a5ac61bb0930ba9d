//! The message matrix: every check of `docs/protocol.md` broken on purpose, alone and in pairs. The earlier one
//! answers, whatever else is wrong.

mod draft;
mod faults;
mod forgeries;
mod sound;
mod world;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use draft::{Base, Draft, Row};
use faults::{EITHER, ELSEWHERE, FAULTS, Fault, NOT_WITH, Partner};
use serde_json::Value;
use silkgate_message::jws::Digest;
use silkgate_message::problem::Code;
use support::{Answer, Client, now_ms, wait_for};
use world::World;

/// A row of the matrix: its faults in the order of the checks, and the code that it must be answered with.
struct Case {
    faults: Vec<&'static Fault>,
}

impl Case {
    fn code(&self) -> Code {
        self.faults[0].code
    }

    fn name(&self) -> String {
        self.faults.iter().map(|fault| fault.name).collect::<Vec<_>>().join(" + ")
    }

    fn partner(&self) -> Partner {
        self.faults
            .iter()
            .map(|fault| fault.partner)
            .find(|partner| *partner != Partner::Well)
            .unwrap_or(Partner::Well)
    }

    fn draft(&self) -> Draft {
        let mut draft = Draft::sound();
        self.faults.iter().for_each(|fault| (fault.put)(&mut draft));
        draft
    }
}

/// Why two faults cannot be in one message.
fn excluded(a: &Fault, b: &Fault) -> Option<&'static str> {
    let both = EITHER.iter().find(|(names, _)| names.contains(&a.name) && names.contains(&b.name));
    let one = NOT_WITH.iter().find(|(name, others, _)| {
        (*name == a.name && others.contains(&b.name)) || (*name == b.name && others.contains(&a.name))
    });
    both.map(|(_, why)| *why).or(one.map(|(_, _, why)| *why))
}

fn singles() -> Vec<Case> {
    FAULTS.iter().map(|fault| Case { faults: vec![fault] }).collect()
}

fn pairs() -> Vec<Case> {
    let mut pairs = Vec::new();
    for (at, first) in FAULTS.iter().enumerate() {
        let after = FAULTS[at + 1..].iter().filter(|second| excluded(first, second).is_none());
        pairs.extend(after.map(|second| Case { faults: vec![first, second] }));
    }
    pairs
}

/// Does `work` for each item on several threads, so that the gateway commits in batches; what was found, in order.
pub fn at_once<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = AtomicUsize::new(0);
    let found = Mutex::new(BTreeMap::new());
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    let Some(item) = items.get(at) else { break };
                    let result = work(item);
                    found.lock().unwrap().insert(at, result);
                }
            });
        }
    });
    found.into_inner().unwrap().into_values().collect()
}

fn said(answer: &Answer) -> String {
    format!("{} {}", answer.status, String::from_utf8_lossy(&answer.body))
}

/// The receipt in a problem document; empty where there is none.
fn receipt(answer: &Answer) -> String {
    let problem: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    problem["receipt"].as_str().unwrap_or_default().to_owned()
}

/// Sends what must come before a row.
fn prepare(client: &Client, row: &Row) -> Result<(), String> {
    for message in &row.before {
        let answer = client.message(message);
        if answer.status != 200 {
            return Err(format!("what comes before was not accepted: {}", said(&answer)));
        }
    }
    if let Some(first) = &row.first {
        let answer = client.message(first);
        if answer.status != 200 && receipt(&answer).is_empty() {
            return Err(format!("the first message of the id got no verdict: {}", said(&answer)));
        }
    }
    Ok(())
}

/// Whether the answer is the one of that code: status, and a receipt exactly where it is a verdict.
fn holds(code: Code, answer: &Answer) -> Result<(), String> {
    let is_receipted = receipt(answer).starts_with("c2sp.org/tlog-proof@v1");
    if answer.code() != code.as_str() || answer.status != code.status() || is_receipted != code.is_verdict() {
        return Err(format!("not {code}, but {}", said(answer)));
    }
    Ok(())
}

/// A row that was sent, and what it was answered.
struct Sent {
    row: Row,
    answer: Answer,
}

/// Sends a request. Of one that is answered before all of it was read the answer may be lost on the way, as TCP is.
fn ask(client: &Client, request: &[u8]) -> Result<Answer, String> {
    let mut lost = String::new();
    for _ in 0..20 {
        match client.raw(request) {
            Ok(answer) => return Ok(answer),
            Err(error) => lost = format!("no answer in twenty attempts: {error}"),
        }
    }
    Err(lost)
}

fn play(world: &World, client: &Client, case: &Case) -> Result<Sent, String> {
    let attempt = || {
        let row = case.draft().build(world);
        prepare(client, &row)?;
        let answer = ask(client, &row.request)?;
        holds(case.code(), &answer)?;
        Ok(Sent { row, answer })
    };
    attempt().map_err(|what: String| format!("{}: {what}", case.name()))
}

fn all_hold<T>(results: Vec<Result<T, String>>) -> Vec<T> {
    let (good, bad): (Vec<_>, Vec<_>) = results.into_iter().partition(Result::is_ok);
    let bad: Vec<String> = bad.into_iter().filter_map(Result::err).collect();
    assert!(bad.is_empty(), "{} rows of {}:\n{}", bad.len(), good.len() + bad.len(), bad.join("\n"));
    good.into_iter().filter_map(Result::ok).collect()
}

/// The channel log's entries by the digest of the message, or of the bytes read.
fn logged(world: &World) -> BTreeMap<String, Vec<Value>> {
    let mut found: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for entry in world.pair.jo.log(&["--partner", "IQ"]) {
        if let Some(digest) = entry["jws"].as_str().or(entry["body"].as_str()) {
            found.entry(digest.to_owned()).or_default().push(entry.clone());
        }
    }
    found
}

/// The one entry that a refusal must leave, or none.
fn entry_holds(case: &Case, sent: &Sent, log: &BTreeMap<String, Vec<Value>>) -> Result<(), String> {
    let code = case.code();
    let body = Digest::of(&sent.row.body).to_string();
    let found: Vec<&Value> =
        [&sent.row.digest, &body].iter().filter_map(|digest| log.get(*digest)).flatten().collect();
    let fits = |entry: &Value| {
        let verdict = if code.is_verdict() { Some("rejected") } else { None };
        entry["kind"] == "rejected" && entry["code"] == code.as_str() && entry["verdict"].as_str() == verdict
    };
    // Of a body that was not read to its end, the bytes that were are not told here.
    let is_cut = matches!(
        code,
        Code::BodyTooLarge | Code::BodyTimeout | Code::BodyIncomplete | Code::ContentTypeUnsupported
    );
    let is_silent = code.is_not_yet() || case.faults[0].step == 1;
    match (found.as_slice(), is_silent) {
        ([], _) if is_silent || is_cut => Ok(()),
        ([entry], false) if fits(entry) => Ok(()),
        (entries, _) => Err(format!("{}: {code} left {entries:?}", case.name())),
    }
}

#[test]
fn the_first_check_that_fails_answers() {
    let began = now_ms();
    let world = World::begin();
    let jo = &world.pair.jo;
    let client = world.client();
    let told = |what: &str| println!("{what}: {} ms", now_ms() - began);
    told("set up");
    let (singles, pairs) = (singles(), pairs());
    let well = |cases: &[Case]| -> Vec<usize> {
        (0..cases.len()).filter(|at| cases[*at].partner() == Partner::Well).collect()
    };

    // Nothing wrong: each kind of message is accepted, so that a row's fault is what refuses it.
    let brief = Draft { lifetime_ms: 2000, ..Draft::sound() };
    let kinds = [Base::Movement, Base::Hit, Base::Answer].map(|base| Draft { base, ..Draft::sound() });
    let sound = kinds.into_iter().chain([brief]).map(|draft| {
        let row = draft.build(&world);
        let answer = client.raw(&row.request).unwrap();
        assert_eq!(answer.status, 200, "{}", said(&answer));
        (row, answer)
    });
    let sound: Vec<(Row, Answer)> = sound.collect();

    let at = well(&singles);
    let sent = all_hold(at_once(&at, |at| play(&world, &client, &singles[*at])));
    told("singles");
    let log = logged(&world);
    all_hold(at.iter().zip(&sent).map(|(at, sent)| entry_holds(&singles[*at], sent, &log)).collect());
    for code in [Code::BodyTooLarge, Code::BodyTimeout, Code::BodyIncomplete, Code::ContentTypeUnsupported] {
        let entries = jo.log(&["--partner", "IQ"]);
        assert!(entries.iter().any(|entry| entry["code"] == code.as_str()), "{code} left no entry");
    }

    let at = well(&pairs);
    let sent = all_hold(at_once(&at, |at| play(&world, &client, &pairs[*at])));
    told("pairs");
    let log = logged(&world);
    let verdicts: Vec<(&Case, &Sent)> =
        at.iter().map(|at| &pairs[*at]).zip(&sent).filter(|(case, _)| case.code().is_verdict()).collect();
    all_hold(verdicts.iter().map(|(case, sent)| entry_holds(case, sent, &log)).collect());
    let rows: BTreeSet<&str> = sent.iter().map(|sent| sent.row.digest.as_str()).collect();
    let accepted = |entry: &&Value| entry["kind"] == "received";
    let taken = log.values().flatten().filter(accepted).filter_map(|entry| entry["jws"].as_str());
    assert_eq!(taken.filter(|digest| rows.contains(digest)).count(), 0, "none of them is accepted");

    // The replay beats all that follows: the same bytes again, after their certificate was revoked.
    world.revoke(2, true);
    wait_for("the certificate to be refused", || {
        (client.raw(&Draft::sound().build(&world).request).unwrap().code() == "certificate_revoked")
            .then_some(())
    });
    wait_for("the brief one to expire", || (now_ms() > began + 10_000).then_some(()));
    for (row, first) in &sound {
        let answer = client.raw(&row.request).unwrap();
        let is_replay = answer.header("silkgate-replay") == Some("true");
        assert_eq!((answer.status, is_replay), (200, true), "{}", said(&answer));
        let entry =
            |answer: &Answer| String::from_utf8_lossy(&answer.body).lines().take(3).collect::<String>();
        assert_eq!(entry(&answer), entry(first), "the same entry at the same place");
    }
    let known: Vec<&(&Case, &Sent)> =
        verdicts.iter().filter(|(case, _)| case.code() != Code::IdConflict).collect();
    let again = at_once(&known, |(case, sent)| {
        let answer = client.raw(&sent.row.request).map_err(|error| error.to_string())?;
        let what = format!("{}: not the first answer, but {}", case.name(), said(&answer));
        let entry = |answer: &Answer| receipt(answer).lines().take(3).map(str::to_owned).collect::<Vec<_>>();
        let is_same =
            entry(&answer) == entry(&sent.answer) && answer.header("silkgate-replay") == Some("true");
        holds(case.code(), &answer).and(if is_same { Ok(()) } else { Err(what) })
    });
    let replays = all_hold(again).len();
    told("replays");

    let hasty = of_partner(&world, &client, &singles, &pairs, Partner::Hasty);
    told("hasty");
    let suspended = of_partner(&world, &client, &singles, &pairs, Partner::Suspended);
    told("suspended");
    assert!(jo.audit().is_empty());
    let removed = of_partner(&world, &client, &singles, &pairs, Partner::Removed);
    told("removed");
    assert_eq!(
        singles.len() + pairs.len(),
        well(&singles).len() + well(&pairs).len() + hasty + suspended + removed
    );
    let (all, count) = (FAULTS.len() * (FAULTS.len() - 1) / 2, pairs.len());
    println!(
        "{} singles, {count} pairs of {all} ({} excluded), {replays} replays",
        singles.len(),
        all - count
    );
}

/// The rows of what has to be so of the partner: how many.
fn of_partner(world: &World, client: &Client, singles: &[Case], pairs: &[Case], partner: Partner) -> usize {
    let jo = &world.pair.jo;
    let cases: Vec<&Case> = singles.iter().chain(pairs).filter(|case| case.partner() == partner).collect();
    let build = |case: &Case| case.draft().build(world).request;
    match partner {
        Partner::Hasty => {
            jo.ok(&["partner", "allow", "IQ", "--rate", "1"]);
            all_hold(at_once(&cases, |case| {
                let request = build(case);
                // A message a second is let through: one that is in nobody's way, so that a body that stalls for a
                // second does not find it free each time.
                let answer = wait_for("the rate to be used up", || {
                    while client.message(b"x").code() != "rate_exceeded" {}
                    let answer = ask(client, &request).ok()?;
                    (answer.code() == case.code().as_str()).then_some(answer)
                });
                holds(case.code(), &answer).map_err(|what| format!("{}: {what}", case.name()))
            }))
            .len()
        }
        Partner::Suspended | Partner::Removed => {
            let (act, code) = match partner {
                Partner::Suspended => ("suspend", Code::PartnerSuspended),
                _ => ("remove", Code::PeerUnknown),
            };
            jo.ok(&["partner", act, "IQ"]);
            wait_for("the partner to be cut off", || {
                let answer = client.raw(&Draft::sound().build(world).request).unwrap();
                (answer.code() == code.as_str()).then_some(())
            });
            all_hold(at_once(&cases, |case| {
                let held = ask(client, &build(case)).and_then(|answer| holds(case.code(), &answer));
                held.map_err(|what| format!("{}: {what}", case.name()))
            }))
            .len()
        }
        Partner::Well => 0,
    }
}

/// Every code that a message can be answered with has its row.
#[test]
fn the_matrix_is_whole() {
    let in_matrix: BTreeSet<Code> = FAULTS.iter().map(|fault| fault.code).collect();
    let elsewhere: BTreeSet<Code> = ELSEWHERE.iter().map(|(code, _)| *code).collect();
    assert_eq!(in_matrix.intersection(&elsewhere).count(), 0);
    let missing: Vec<&Code> =
        Code::ALL.iter().filter(|code| !in_matrix.contains(code) && !elsewhere.contains(code)).collect();
    assert!(missing.is_empty(), "no row has {missing:?}");
    let names: BTreeSet<&str> = FAULTS.iter().map(|fault| fault.name).collect();
    assert_eq!(names.len(), FAULTS.len(), "names tell faults apart");
    let named = EITHER.iter().flat_map(|(names, _)| names.iter().copied());
    let named =
        named.chain(NOT_WITH.iter().flat_map(|(name, others, _)| others.iter().copied().chain([*name])));
    for name in named {
        assert!(names.contains(name), "no fault is called {name:?}");
    }
}

/// The order of the faults is that of the page, and each stands in its step.
#[test]
fn the_order_is_the_documents() {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/protocol.md");
    let page = std::fs::read_to_string(page).unwrap();
    let section =
        page.split("### The order of checks\n").nth(1).unwrap().split("\n`degraded` is").next().unwrap();
    assert!(FAULTS.is_sorted_by_key(|fault| fault.step));
    for step in 1..=13 {
        let start = section.find(&format!("\n{step}. ")).unwrap();
        let text = &section[start..];
        let text = text.split(&format!("\n{}. ", step + 1)).next().unwrap();
        let mentioned: Vec<&str> = text.split('`').skip(1).step_by(2).collect();
        let mut rest = mentioned.as_slice();
        for fault in FAULTS.iter().filter(|fault| fault.step == step) {
            let code = fault.code.as_str();
            let is_it = |word: &&str| **word == *code || (**word == *"json_…" && code.starts_with("json_"));
            let at = rest.iter().position(is_it);
            // What is mentioned as `json_…` stands for several, and a code may have several faults.
            let at = at.unwrap_or_else(|| {
                panic!("step {step}: {code} ({}) does not follow in {mentioned:?}", fault.name)
            });
            rest = &rest[at..];
        }
    }
}
