//! Keys in hardware, with SoftHSM2: they sign, follow each other, are away and come back, and no other stands in for them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};

use silkgate_certs::{Authority, Profile};
use silkgate_message::jws::Digest;
use support::home::{Home, set};
use support::token::{PIN, Tokens};
use support::{Pair, event, wait_for};

use crate::evidence::fixture::verdicts;
use crate::reload::{shown, taken_up};
use crate::rollover::{all_cosigned, exchange, hand_over};

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";
const NAMES: [&str; 4] = ["message", "log", "witness", "tls"];

/// Has Jordan's keys of these names followed by ones in the token of that label. The gateway may be stopped.
fn into_token(pair: &Pair, names: &[&str], label: &str) {
    for name in names {
        pair.jo.ok(&["key", "new", name, "--token", label]);
    }
    if !names.is_empty() {
        hand_over(pair);
    }
    for name in names {
        pair.jo.ok(&["key", "use", name]);
    }
}

/// A pair, Jordan's keys of these names in its token from the first start on.
fn with_keys_in_token(names: &[&str]) -> (Pair, Tokens) {
    let mut pair = Pair::set_up(None);
    let tokens = Tokens::new(pair.folder.path());
    tokens.connect(&mut pair.jo);
    into_token(&pair, names, "silkgate");
    pair.jo.with_operations();
    (pair, tokens)
}

fn key_file(home: &Home, name: &str) -> PathBuf {
    home.path.join(format!("keys/{name}.key"))
}

fn uri(home: &Home, name: &str) -> String {
    std::fs::read_to_string(key_file(home, name)).unwrap()
}

/// The label of the object that a key file names.
fn object(home: &Home, name: &str) -> String {
    uri(home, name).split("object=").nth(1).unwrap().split(';').next().unwrap().to_owned()
}

fn submit(home: &Home, from: &str, to: &str) -> (String, u16) {
    let event = event(from, to);
    let answer = home.back_end(from).submit(&event);
    (event["id"].as_str().unwrap().to_owned(), answer.status)
}

#[test]
fn keys_move_into_a_token_and_from_one_to_another_under_traffic() {
    let mut pair = Pair::set_up(None);
    let tokens = Tokens::new(pair.folder.path());
    tokens.add("spare");
    tokens.connect(&mut pair.jo);
    for home in [&pair.iq, &pair.jo] {
        set(home, "show_seconds", "0");
    }
    pair.iq.start();
    pair.jo.start();
    let maps = |home: &Home| std::fs::read_to_string(format!("/proc/{}/maps", home.pid())).unwrap();
    assert!(!maps(&pair.jo).contains("softhsm"), "nothing is loaded as long as no key names a token");
    let [first, _] = exchange(&pair);
    let stop = AtomicBool::new(false);
    let client = pair.iq.as_partner_of(&pair.jo);
    let before = shown(&client);
    let sent = std::thread::scope(|scope| {
        let traffic = [(&pair.iq, IQ, JO), (&pair.jo, JO, IQ)].map(|(home, from, to)| {
            let stop = &stop;
            scope.spawn(move || {
                let mut sent = Vec::new();
                while !stop.load(Ordering::SeqCst) {
                    let (id, status) = submit(home, from, to);
                    assert_eq!(status, 202);
                    sent.push(id);
                }
                sent
            })
        });
        let turn = |round: usize, label: &str| {
            into_token(&pair, &NAMES, label);
            for name in NAMES {
                // Where the key before is beside it, its going is a change too.
                let overlaps = matches!(name, "log" | "witness");
                taken_up(&pair.jo, name, if overlaps { 2 * round + 1 } else { round + 1 });
                let place = uri(&pair.jo, name);
                assert!(place.starts_with(&format!("pkcs11:token={label};object={name}-")), "{place}");
                assert_eq!(
                    std::fs::metadata(key_file(&pair.jo, name)).unwrap().permissions().mode() & 0o777,
                    0o600
                );
            }
            exchange(&pair);
            // The last that the key before signed is through.
            wait_for("the outbox to be empty", || {
                let waiting = pair.jo.json(&["status"]);
                let waiting = waiting["queues"]["outbox"].as_array().unwrap();
                waiting.iter().all(|queue| queue["waiting"].as_i64() < Some(3)).then_some(())
            });
            for name in NAMES {
                pair.jo.ok(&["key", "retire", name, "--stolen"]);
            }
            for name in ["log", "witness"] {
                taken_up(&pair.jo, name, 2 * round + 2);
            }
            hand_over(&pair);
            exchange(&pair);
        };
        turn(0, "silkgate");
        assert_eq!(tokens.private_keys("silkgate").len(), 4);
        let in_token = shown(&client);
        assert_ne!(in_token, before);
        turn(1, "spare");
        stop.store(true, Ordering::SeqCst);
        traffic.map(|thread| thread.join().unwrap())
    });
    assert!(tokens.private_keys("silkgate").is_empty(), "retired keys are destroyed in their token");
    let keys = tokens.private_keys("spare");
    assert_eq!(keys.len(), 4);
    for (name, about) in &keys {
        assert!(about.contains("sensitive") && about.contains("never extractable"), "{name}: {about}");
        assert!(!about.contains("decrypt") && !about.contains("unwrap"), "{name}: {about}");
    }
    let leaf = support::wire::certificates(&pair.jo.path.join("certs/tls.pem"));
    assert_eq!(shown(&client), leaf[0]);
    for ((home, from), ids) in [(&pair.iq, IQ), (&pair.jo, JO)].into_iter().zip(&sent) {
        assert!(ids.len() > 5, "{}", ids.len());
        for id in ids {
            assert_eq!(home.back_end(from).outcome(id)["state"], "receipted");
        }
    }
    let [newest, answered] = exchange(&pair);
    all_cosigned(&pair.iq);
    all_cosigned(&pair.jo);
    for (home, partner) in [(&pair.iq, "JO"), (&pair.jo, "IQ")] {
        assert!(home.audit().is_empty());
        home.ok(&["reconcile", partner]);
    }
    // Receipts and evidence under keys of files and of tokens.
    let folder = pair.folder.path().to_string_lossy().into_owned();
    pair.iq.ok(&["show", &newest, "--save", &folder]);
    let (receipt, card) = (format!("{folder}/{newest}.receipt"), pair.jo.path.with_extension("card"));
    pair.iq.ok(&["verify", &receipt, "--card", &card.to_string_lossy()]);
    for id in [&first, &answered] {
        let bundle = pair.folder.path().join(format!("{id}.zip"));
        pair.jo.ok(&["evidence", "export", id, "--out", &bundle.to_string_lossy()]);
        assert_eq!(verdicts(&[(id.clone(), std::fs::read(bundle).unwrap())]), [(true, true)]);
    }
    let list = pair.jo.json(&["key", "list"]);
    for row in list.as_array().unwrap() {
        assert_eq!((&row["where"], &row["reached"]), (&"token".into(), &true.into()), "{row}");
    }
    let house = pair.jo.log(&["--partner", "house"]);
    for what in ["key_new", "key_use", "key_stolen", "own_card"] {
        assert!(house.iter().filter(|entry| entry["what"] == what).count() > 1, "{what}");
    }
}

#[test]
fn a_token_that_is_away_is_shown_before_a_message_needs_it_and_nothing_is_lost() {
    let (mut pair, tokens) = with_keys_in_token(&["message", "log"]);
    pair.iq.start();
    pair.jo.start();
    exchange(&pair);
    assert_eq!(pair.jo.figure("silkgate_token_reachable{what=\"log\"}"), Some(1.0));
    assert!(pair.jo.missing().is_empty());
    tokens.take_away();
    wait_for("the token to be missing", || {
        (pair.jo.figure("silkgate_token_reachable{what=\"log\"}") == Some(0.0)).then_some(())
    });
    let missing = pair.jo.missing();
    assert!(missing.iter().all(|missing| missing["what"] == "token"), "{missing:?}");
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(pair.jo.gateway_log().contains("ALARM: a key in a token is not reached"));
    let status = pair.jo.json(&["status"]);
    assert_eq!(status["keys_in_tokens"][0]["reached"], false, "{status}");
    assert!(pair.jo.json(&["key", "list"]).to_string().contains("does not start"));

    // What comes is put off, on either side, and nobody is told that it was taken.
    let size = |home: &Home| home.json(&["status"])["logs"].clone();
    let (logs, (waits, status)) = (size(&pair.jo), submit(&pair.iq, IQ, JO));
    assert_eq!(status, 202);
    let refused = event(JO, IQ);
    let answer = pair.jo.back_end(JO).submit(&refused);
    assert_eq!((answer.status, answer.code().as_str()), (503, "unavailable"));
    wait_for("an attempt", || {
        let shown = pair.iq.json(&["show", &waits]);
        (shown["attempts"].as_array().is_some_and(|attempts| !attempts.is_empty())).then_some(())
    });
    assert_eq!(size(&pair.jo), logs);
    assert!(pair.jo.is_alive());

    tokens.bring_back();
    wait_for("the token to be reached again", || {
        (pair.jo.figure("silkgate_token_reachable{what=\"log\"}") == Some(1.0)).then_some(())
    });
    assert!(pair.jo.missing().is_empty());
    assert!(pair.jo.gateway_log().contains("the key in a token is reached again"));
    assert_eq!(pair.iq.back_end(IQ).outcome(&waits)["state"], "receipted");
    assert_eq!(pair.jo.back_end(JO).submit(&refused).status, 202);
    assert_eq!(pair.jo.back_end(JO).outcome(refused["id"].as_str().unwrap())["state"], "receipted");
    assert!(pair.jo.audit().is_empty() && pair.iq.audit().is_empty());
}

#[test]
fn another_key_in_its_place_signs_nothing() {
    let (mut pair, tokens) = with_keys_in_token(&["message", "log"]);
    pair.iq.start();
    pair.jo.start();
    exchange(&pair);
    let label = object(&pair.jo, "log");
    let id = uri(&pair.jo, "log").split(";id=").nth(1).unwrap().split(';').next().unwrap().replace('%', "");
    for kind in ["privkey", "pubkey"] {
        assert!(tokens.tool("silkgate", &["--delete-object", "--type", kind, "--id", &id]).status.success());
    }
    let made = ["--keypairgen", "--key-type", "EC:edwards25519", "--label", &label, "--id", &id];
    assert!(tokens.tool("silkgate", &made).status.success());
    let logs = pair.jo.json(&["status"])["logs"].clone();
    let (_, status) = submit(&pair.jo, JO, IQ);
    assert_eq!(status, 503);
    assert_eq!(pair.jo.json(&["status"])["logs"], logs, "nothing stands under the other key");
    wait_for("the other key to be noticed", || {
        pair.jo.missing().iter().find(|missing| missing["why"].to_string().contains("another key")).cloned()
    });
    // And none of ours for a message either: the certificate is of another key.
    pair.jo.stop();
    std::fs::copy(key_file(&pair.jo, "log"), key_file(&pair.jo, "message")).unwrap();
    let output = pair.jo.run(&["serve"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("not a key for Es256"));
}

#[test]
fn what_does_not_do_is_refused_with_its_reason() {
    let (mut pair, tokens) = with_keys_in_token(&["message", "log"]);
    let sound = uri(&pair.jo, "message");
    let serve = |home: &Home, why: &str| {
        let output = home.run(&["serve"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{why}: {said}");
        assert!(said.contains(why), "{why}: {said}");
        assert!(!said.contains(PIN), "{said}");
    };
    // Attributes that nothing protects.
    let made = ["--keypairgen", "--key-type", "EC:prime256v1", "--label", "loose", "--extractable"];
    assert!(tokens.tool("silkgate", &made).status.success());
    let twice = ["--keypairgen", "--key-type", "EC:prime256v1", "--label", "twice"];
    (0..2).for_each(|_| assert!(tokens.tool("silkgate", &twice).status.success()));
    let curve = ["--keypairgen", "--key-type", "EC:prime256v1", "--label", "other"];
    assert!(tokens.tool("silkgate", &curve).status.success());
    let wrong = [
        ("pkcs11:token=silkgate;object=loose", "the key can be read out of it"),
        ("pkcs11:token=silkgate;object=twice", "more than one"),
        ("pkcs11:token=silkgate;object=other", "not the key of the signing certificate"),
        ("pkcs11:token=silkgate;object=nobody", "is not in it"),
        ("pkcs11:token=elsewhere;object=other", "there is no token of that label"),
        ("pkcs11:token=silkgate;object=other?pin-value=1234", "holds a PIN"),
        ("pkcs11:token=silkgate;object=other?module-path=/tmp/x.so", "silkgate.toml"),
    ];
    for (text, why) in wrong {
        std::fs::write(key_file(&pair.jo, "message"), text).unwrap();
        serve(&pair.jo, why);
    }
    std::fs::write(key_file(&pair.jo, "message"), &sound).unwrap();
    let mode = |file: &str, mode: u32| {
        std::fs::set_permissions(pair.jo.path.join(file), std::fs::Permissions::from_mode(mode)).unwrap();
    };
    for file in ["keys/message.key", "keys/token.pin"] {
        mode(file, 0o640);
        serve(&pair.jo, "chmod 600");
        mode(file, 0o600);
    }
    tokens.give_pin(&pair.jo, "00000000");
    serve(&pair.jo, "it refuses the PIN");
    // The environment goes before the file.
    pair.jo.with_environment("SILKGATE_TOKEN_PIN", PIN);
    pair.iq.start();
    pair.jo.start();
    exchange(&pair);
    // While it runs the one before stays in force.
    std::fs::write(key_file(&pair.jo, "message"), wrong[2].0).unwrap();
    wait_for("the refusal", || {
        (pair.jo.figure("silkgate_files_refused{what=\"message\"}") == Some(1.0)).then_some(())
    });
    assert!(pair.jo.gateway_log().contains("not the key of the signing certificate"));
    exchange(&pair);
}

#[test]
fn a_tls_key_gets_its_certificate_from_an_authority_that_is_elsewhere() {
    let (mut pair, tokens) = with_keys_in_token(&[]);
    pair.iq.start();
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let (authority, offline) = (key_file(&pair.jo, "tls-ca"), pair.folder.path().join("tls-ca.key"));
    std::fs::rename(&authority, &offline).unwrap();
    pair.jo.ok(&["key", "new", "tls", "--token"]);
    assert_eq!(pair.jo.run(&["key", "use", "tls"]).status.code(), Some(1), "it is not signed yet");
    let file = |name: &str| pair.jo.path.join("certs").join(name).to_string_lossy().into_owned();
    let extensions = pair.folder.path().join("tls.ext");
    std::fs::write(
        &extensions,
        "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n",
    )
    .unwrap();
    let signed = std::process::Command::new("openssl")
        .args(["x509", "-req", "-in", &file("tls.next.csr"), "-CA", &file("tls-ca.pem"), "-CAkey"])
        .args([&offline, std::path::Path::new("-extfile"), &extensions])
        .args(["-copy_extensions", "copy", "-days", "397", "-out", &file("tls.next.pem")])
        .output()
        .unwrap();
    assert!(signed.status.success(), "{}", String::from_utf8_lossy(&signed.stderr));
    pair.jo.ok(&["key", "use", "tls"]);
    taken_up(&pair.jo, "tls", 1);
    assert_eq!(shown(&client), support::wire::certificates(&pair.jo.path.join("certs/tls.pem"))[0]);
    exchange(&pair);
    pair.jo.ok(&["key", "retire", "tls"]);
    assert!(!key_file(&pair.jo, "tls.previous").exists());

    // One that partners would not take is not put into its place.
    std::fs::rename(&offline, &authority).unwrap();
    pair.jo.ok(&["key", "new", "tls"]);
    let now = time::OffsetDateTime::from_unix_timestamp(support::now_ms() / 1000).unwrap();
    let (foreign, _) = Authority::create("another", now).unwrap();
    let other =
        foreign.issue(&Profile::Gateway { host: pair.jo.host.clone(), addresses: Vec::new() }, now).unwrap();
    std::fs::write(file("tls.next.pem"), other.certificate_pem).unwrap();
    assert_eq!(pair.jo.run(&["key", "use", "tls"]).status.code(), Some(2));
    assert_eq!(tokens.private_keys("silkgate").len(), 1);
    let present = Digest::of(&support::wire::certificates(&pair.jo.path.join("certs/tls.pem"))[0]);
    let list = pair.jo.json(&["key", "list"]);
    let in_use = list.as_array().unwrap().iter().find(|row| row["key"] == "tls" && row["stage"] == "in use");
    assert_eq!(in_use.unwrap()["digest"], present.to_string());
}
