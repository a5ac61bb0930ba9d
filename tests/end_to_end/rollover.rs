//! A signing, a log and a witness key are each followed by another, under traffic, and what the old ones signed stays good.

use silkgate_ledger::Receipt;
use silkgate_message::card::Card;
use support::home::{Home, set};
use support::{Pair, event, wait_for};

use crate::evidence::fixture::verdicts;
use crate::reload::taken_up;

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";

/// A message each way, both receipted.
pub fn exchange(pair: &Pair) -> [String; 2] {
    [(&pair.iq, IQ, JO), (&pair.jo, JO, IQ)].map(|(home, from, to)| {
        let event = event(from, to);
        let back_end = home.back_end(from);
        assert_eq!(back_end.submit(&event).status, 202);
        let id = event["id"].as_str().unwrap().to_owned();
        let outcome = back_end.outcome(&id);
        assert_eq!(outcome["state"], "receipted", "{outcome}");
        id
    })
}

/// Jordan's present card, added by Iraq.
pub fn hand_over(pair: &Pair) -> Card {
    let (card, fingerprint) = pair.jo.card();
    pair.iq.ok(&["partner", "add", &card.to_string_lossy(), "--fingerprint", &fingerprint]);
    Card::parse(&std::fs::read(card).unwrap()).unwrap()
}

pub fn all_cosigned(home: &Home) {
    wait_for("every entry to be cosigned", || {
        let status = home.json(&["status"]);
        status["witness"].as_array().unwrap().iter().all(|w| w["size"] == w["of"]).then_some(())
    });
}

#[test]
fn each_key_is_followed_by_another_and_old_evidence_stays_good() {
    let mut pair = Pair::set_up(None);
    for home in [&pair.iq, &pair.jo] {
        set(home, "show_seconds", "0");
    }
    pair.iq.start();
    pair.jo.start();
    let [first, _] = exchange(&pair);
    all_cosigned(&pair.jo);
    let folder = pair.folder.path().to_string_lossy().into_owned();
    pair.iq.ok(&["show", &first, "--save", &folder]);
    let old_card = pair.folder.path().join("old.card");
    std::fs::copy(pair.jo.path.with_extension("card"), &old_card).unwrap();
    let old_receipt = pair.folder.path().join(format!("{first}.receipt"));
    let (_, old_keys) = (0, pair.jo.json(&["key", "list"]));
    assert_eq!(old_keys.as_array().unwrap().len(), 4);

    // The next ones are made and announced.
    for name in ["message", "log", "witness"] {
        assert_eq!(pair.jo.run(&["key", "use", name]).status.code(), Some(1), "there is no next one yet");
        pair.jo.ok(&["key", "new", name]);
        assert_eq!(pair.jo.run(&["key", "new", name]).status.code(), Some(2), "one at a time");
    }
    let announced = hand_over(&pair);
    assert_eq!((announced.content().logs.len(), announced.content().signing_certificates.len()), (2, 2));
    exchange(&pair);

    // They are used; Iraq has the card that names them, but for the witness's.
    for name in ["message", "log", "witness"] {
        pair.jo.ok(&["key", "use", name]);
        taken_up(&pair.jo, name, 1);
    }
    let [_, sent] = exchange(&pair);
    all_cosigned(&pair.iq);
    let event = pair.jo.json(&["show", &sent]);
    let certificate = silkgate_message::jws::Digest::of(
        &support::wire::certificates(&pair.jo.path.join("certs/message.pem"))[0],
    );
    assert_eq!(event["certificate"], certificate.to_string(), "the new key signs");
    let note = pair.iq.as_partner_of(&pair.jo).get("/v1/log/checkpoint").body;
    let note = silkgate_ledger::Note::parse(&note).unwrap();
    assert_eq!(note.signatures().len(), 2, "both keys sign, for partners with either card");
    for home in [&pair.iq, &pair.jo] {
        let bundle = pair.folder.path().join(format!("{}.zip", home.host));
        home.ok(&["evidence", "export", &sent, "--out", &bundle.to_string_lossy()]);
        let judged = verdicts(&[("in the overlap".to_owned(), std::fs::read(bundle).unwrap())]);
        assert_eq!(judged, [(true, true)], "evidence of the overlap is good for both judges");
    }
    for name in ["message", "log", "witness"] {
        assert_eq!(
            pair.jo.run(&["key", "retire", name]).status.code(),
            Some(1),
            "not before the overlap is over"
        );
    }
    hand_over(&pair);
    exchange(&pair);
    all_cosigned(&pair.iq);

    // The old ones are destroyed.
    for name in ["message", "log", "witness"] {
        pair.jo.ok(&["key", "retire", name, "--stolen"]);
        assert!(!pair.jo.path.join(format!("keys/{name}.previous.key")).exists());
    }
    for name in ["log", "witness"] {
        taken_up(&pair.jo, name, 2);
    }
    let last = hand_over(&pair);
    assert_eq!((last.content().logs.len(), last.content().signing_certificates.len()), (1, 1));
    let [newest, _] = exchange(&pair);
    all_cosigned(&pair.iq);
    all_cosigned(&pair.jo);
    let new_keys = pair.jo.json(&["key", "list"]);
    for key in old_keys.as_array().unwrap().iter().filter(|key| key["key"] != "tls") {
        assert!(!new_keys.as_array().unwrap().contains(key), "{key}");
    }

    // What the old keys signed is judged by the card of its time, what the new ones signed by the new card.
    let verify = |receipt: &std::path::Path, card: &std::path::Path| {
        pair.iq.run(&["verify", &receipt.to_string_lossy(), "--card", &card.to_string_lossy()]).status.code()
    };
    let new_card = pair.jo.path.with_extension("card");
    pair.iq.ok(&["show", &newest, "--save", &folder]);
    let new_receipt = pair.folder.path().join(format!("{newest}.receipt"));
    assert_eq!(verify(&old_receipt, &old_card), Some(0));
    assert_eq!(verify(&new_receipt, &new_card), Some(0));
    assert_eq!(verify(&old_receipt, &new_card), Some(1), "the old key is on no card of now");
    assert_eq!(verify(&new_receipt, &old_card), Some(1));
    assert!(Receipt::parse(&std::fs::read(&new_receipt).unwrap()).is_ok());
    for (home, partner) in [(&pair.iq, "JO"), (&pair.jo, "IQ")] {
        assert!(home.audit().is_empty(), "the audit judges by every card there ever was");
        home.ok(&["reconcile", partner]);
    }
    let house = pair.jo.log(&["--partner", "house"]);
    for what in ["key_new", "key_use", "key_stolen", "own_card"] {
        assert!(house.iter().any(|entry| entry["what"] == what), "{what}");
    }
}

#[test]
fn a_crash_in_the_middle_of_a_change_of_keys_is_mended_by_repeating_it() {
    let folder = tempfile::TempDir::new().unwrap();
    let mut home = Home::init(folder.path(), JO);
    home.ok(&["key", "new", "message"]);
    let file = |name: &str| home.path.join(name);
    // The certificate took its place, the key did not.
    std::fs::hard_link(file("certs/message.pem"), file("certs/message.previous.pem")).unwrap();
    std::fs::rename(file("certs/message.next.pem"), file("certs/message.pem")).unwrap();
    assert_eq!(home.run(&["serve"]).status.code(), Some(2), "the key is not the certificate's");
    home.ok(&["key", "use", "message"]);
    home.start();
    assert_eq!(home.json(&["key", "list"]).as_array().unwrap().len(), 5, "four in use and one before");
    // Retired: the certificate went, the key did not.
    std::fs::remove_file(home.path.join("certs/message.previous.pem")).unwrap();
    home.ok(&["key", "retire", "message", "--stolen"]);
    assert!(!home.path.join("keys/message.previous.key").exists());
    let (card, _) = home.card();
    let card = Card::parse(&std::fs::read(card).unwrap()).unwrap();
    assert_eq!(card.content().signing_certificates.len(), 1);
}
