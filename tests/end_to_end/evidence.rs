//! Evidence bundles: what each kind of message leaves for a judge, and that no altered bundle passes either of two
//! verifiers, also where the exporter alters it and signs the manifest again.

mod carrier;
mod exporter;
mod fixture;
mod forger;

use std::collections::{BTreeMap, HashSet};

use fixture::{States, verdicts};
use silkgate_evidence::container;
use silkgate_message::jws::Digest;

#[test]
fn every_outcome_leaves_evidence_that_both_verifiers_take() {
    let states = States::exchanged();
    let (iq, jo) = (&states.pair.iq, &states.pair.jo);
    let mut files = vec![("running".to_owned(), std::fs::read(states.pair.folder.path().join("running.zip")).unwrap())];
    for (what, id) in &states.ids {
        files.push((format!("IQ {what}"), states.export(iq, &[id])));
        if !what.starts_with("third") && !["conflict", "refused received", "queued"].contains(what) {
            files.push((format!("JO {what}"), states.export(jo, &[id])));
        }
    }
    for query in ["partner=JO", "partner=SA,type=alert.vehicle", "verdict=rejected", "since=2020-01-01T00:00:00Z"] {
        files.push((query.to_owned(), states.export(iq, &["--query", query])));
    }
    for ((name, _), verdict) in files.iter().zip(verdicts(&files, &[])) {
        assert_eq!(verdict, (true, true), "{name}");
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
    for (altered, verdict) in all.iter().zip(verdicts(&files, &[])) {
        if verdict != (false, false) {
            wrong.push(format!("{}: {}: silkgate verify {}, verify.py {}", altered.kind, altered.name, verdict.0, verdict.1));
        }
    }
    println!("{} altered bundles, each refused by both verifiers:", all.len());
    counts.iter().for_each(|(kind, count)| println!("{count:>6}  {kind}"));
    assert!(wrong.is_empty(), "{} taken for good, or the verifiers differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(all.len() >= 400, "{}", all.len());
}
