//! Evidence bundles: what each kind of message leaves for a judge, and that no altered bundle passes either of two
//! verifiers, also where the exporter alters it and signs the manifest again.

mod carrier;
mod exporter;
pub(crate) mod fixture;
mod foreign;
mod forger;
mod lists;

use std::collections::{BTreeMap, HashSet};

use fixture::{States, verdicts};
use silkgate_evidence::container;
use silkgate_message::jws::Digest;
use support::{Pair, event, now_ms, uuid_v7};

#[test]
fn every_outcome_leaves_evidence_that_both_verifiers_take() {
    let states = States::exchanged();
    let (iq, jo) = (&states.pair.iq, &states.pair.jo);
    let mut files =
        vec![("running".to_owned(), std::fs::read(states.pair.folder.path().join("running.zip")).unwrap())];
    for (what, id) in &states.ids {
        files.push((format!("IQ {what}"), states.export(iq, &[id])));
        if !what.starts_with("third") && !["conflict", "refused received", "queued"].contains(what) {
            files.push((format!("JO {what}"), states.export(jo, &[id])));
        }
    }
    for query in
        ["partner=JO", "partner=SA,type=alert.vehicle", "verdict=rejected", "since=2020-01-01T00:00:00Z"]
    {
        files.push((query.to_owned(), states.export(iq, &["--query", query])));
    }
    for ((name, _), verdict) in files.iter().zip(verdicts(&files)) {
        assert_eq!(verdict, (true, true), "{name}");
    }
}

/// Made before bundles held lists, by a gateway with which one was in force: it said that none was.
#[test]
fn a_bundle_of_the_former_format_is_taken() {
    let former = include_bytes!("evidence/former.zip").to_vec();
    let state = container::decode(&former).unwrap().remove("messages/0001/revocation.json").unwrap();
    assert!(String::from_utf8(state).unwrap().ends_with("\"v\":1}"));
    assert_eq!(verdicts(&[("former".to_owned(), former.clone())]), [(true, true)]);
    let folder = tempfile::TempDir::new().unwrap();
    let file = folder.path().join("former.zip");
    std::fs::write(&file, former).unwrap();
    let pair = Pair::set_up_files(None);
    let said = pair.iq.ok(&["verify", &file.to_string_lossy()]);
    assert!(said.contains("which revocation lists were in force the bundle does not say"), "{said}");
}

#[test]
fn export_and_verify_say_what_they_cannot_do() {
    let pair = Pair::set_up(None);
    let (iq, folder) = (&pair.iq, pair.folder.path());
    let exported = |args: &[&str]| iq.run(&[&["evidence", "export"], args].concat()).status.code();
    let unknown = uuid_v7(now_ms());
    assert_eq!(exported(&[&unknown]), Some(1), "no such message");
    assert_eq!(exported(&["--query", "partner=JO"]), Some(1), "nothing fits");
    for bad in [
        &["x"][..],
        &[],
        &["--query", "colour=white"],
        &["--query", "since=today"],
        &[&unknown, "--query", "partner=JO"],
    ] {
        assert_eq!(exported(bad), Some(2), "{bad:?}");
    }
    let file = folder.join("x").to_string_lossy().into_owned();
    let verified = |args: &[&str]| iq.run(&[&["verify"], args].concat()).status.code();
    assert_eq!(verified(&[&file]), Some(2), "no such file");
    std::fs::write(&file, b"PK\x03\x04").unwrap();
    assert_eq!(verified(&[&file]), Some(1), "a ZIP file that is no bundle");
    assert_eq!(verified(&[&file, "--card", &file]), Some(2), "a bundle brings its cards");
    std::fs::write(&file, b"c2sp.org/tlog-proof@v1\n").unwrap();
    assert_eq!(verified(&[&file]), Some(2), "a receipt needs a card");
}

#[test]
fn a_pinned_fingerprint_must_be_that_of_the_card_key() {
    let pair = Pair::start();
    let event = event(&pair.iq.party, &pair.jo.party);
    let police = pair.iq.back_end(&pair.iq.party);
    assert_eq!(police.submit(&event).status, 202);
    assert_eq!(police.outcome(event["id"].as_str().unwrap())["state"], "receipted");
    let out = pair.folder.path().join("out.zip").to_string_lossy().into_owned();
    let report = pair.iq.json(&["evidence", "export", event["id"].as_str().unwrap(), "--out", &out]);
    assert_eq!((&report["messages"], report["file"].as_str()), (&1.into(), Some(out.as_str())));
    let [iq, jo] = [&pair.iq, &pair.jo].map(|home| home.card().1);
    let verified = |pins: &[String]| {
        let pins = pins.iter().flat_map(|pin| ["--fingerprint", pin]).collect::<Vec<_>>();
        let output = pair.iq.run(&[&["verify", &out, "--json"], &pins[..]].concat());
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    let (code, said) = verified(&[format!("IQ={iq}"), format!("JO={jo}")]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains(&iq) && said.contains(&jo), "the fingerprints are told: {said}");
    for pins in [[format!("IQ={jo}")], [format!("JO={iq}")], [format!("SA={iq}")]] {
        let (code, said) = verified(&pins);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("\"check\":\"pinned fingerprints\",\"passed\":false"), "{said}");
    }
    assert_eq!(verified(&["IQ=x".into()]).0, Some(2));
    let said = pair.jo.ok(&["verify", &out]);
    assert!(said.ends_with("The bundle is good.\n"), "{said}");
}

/// Short enough to be read in court, with nothing but the standard library and `cryptography`, and no process started.
#[test]
fn the_second_verifier_is_small_and_stands_alone() {
    let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/verify.py");
    let text = std::fs::read_to_string(file).unwrap();
    assert!(text.lines().count() <= 150 && text.lines().all(|line| line.chars().count() <= 120));
    let imported = text.lines().filter(|line| line.starts_with("import ") || line.starts_with("from "));
    let foreign: Vec<&str> = imported.skip(1).filter(|line| !line.starts_with("from cryptography")).collect();
    assert!(foreign.is_empty(), "{foreign:?}");
    for started in ["subprocess", "os", "silkgate_", "urllib", "socket"] {
        assert!(!text.contains(&format!(" {started}")), "{started}");
    }
}

/// A bundle that must be refused.
struct Altered {
    kind: &'static str,
    name: String,
    bytes: Vec<u8>,
}

impl Altered {
    fn new(kind: &'static str, name: String, bytes: Vec<u8>) -> Self {
        Self { kind, name, bytes }
    }
}

#[test]
fn no_altered_bundle_passes_either_verifier() {
    let states = States::exchanged();
    let good = states.export(&states.pair.iq, &[&states.ids["sent"]]);
    let several = states.export(&states.pair.iq, &["--query", "partner=JO"]);
    let members = container::decode(&good).unwrap();
    let mut all = carrier::flips(&good, 150);
    all.extend(carrier::flips(&several, 50));
    all.extend(carrier::containers(&good));
    all.extend(carrier::members(&members));
    all.extend(exporter::altered(&states));
    // What two ways make alike counts once.
    let mut seen = HashSet::from([Digest::of(&good)]);
    all.retain(|altered| seen.insert(Digest::of(&altered.bytes)));
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    all.iter().for_each(|altered| *counts.entry(altered.kind).or_default() += 1);
    let files: Vec<_> = all.iter().map(|altered| (altered.name.clone(), altered.bytes.clone())).collect();
    let mut wrong = Vec::new();
    for (altered, verdict) in all.iter().zip(verdicts(&files)) {
        if verdict != (false, false) {
            wrong.push(format!(
                "{}: {}: silkgate verify {}, verify.py {}",
                altered.kind, altered.name, verdict.0, verdict.1
            ));
        }
    }
    println!("{} altered bundles, each refused by both verifiers:", all.len());
    counts.iter().for_each(|(kind, count)| println!("{count:>6}  {kind}"));
    assert!(
        wrong.is_empty(),
        "{} taken for good, or the verifiers differ:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(all.len() >= 400, "{}", all.len());
}
