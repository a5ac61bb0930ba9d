//! Certificates and keys change while the gateway runs: nothing is dropped, and a wrong file changes nothing.

use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;

use rustls_pki_types::CertificateDer;
use silkgate_certs::{Authority, Issued, Profile};
use silkgate_message::jws::Digest;
use support::home::Home;
use support::wire::{Client, read_answer};
use support::{Pair, event, now_ms, wait_for};
use time::OffsetDateTime;

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";
const DAY_S: i64 = 86_400;

/// Waits until the running gateway of `home` has taken up what was put into these files, so many times in all after `init`,
/// which states what it made.
pub fn taken_up(home: &Home, what: &str, times: usize) {
    let name = format!("{what}_loaded");
    wait_for(&name, || {
        let house = home.log(&["--partner", "house"]);
        (house.iter().filter(|entry| entry["what"] == name).count() == times + 1).then_some(())
    });
}

fn authority(home: &Home) -> Authority {
    let read = |path: &str| std::fs::read_to_string(home.path.join(path)).unwrap();
    Authority::load(&read("certs/tls-ca.pem"), &read("keys/tls-ca.key")).unwrap()
}

fn days_from_now(days: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(now_ms() / 1000 + days * DAY_S).unwrap()
}

fn leaf(authority: &Authority, host: &str) -> Issued {
    authority
        .issue(&Profile::Gateway { host: host.to_owned(), addresses: Vec::new() }, days_from_now(0))
        .unwrap()
}

fn put(home: &Home, name: &str, issued: &Issued) {
    std::fs::write(home.path.join(format!("certs/{name}.pem")), &issued.certificate_pem).unwrap();
    std::fs::write(home.path.join(format!("keys/{name}.key")), &issued.key_pem).unwrap();
}

/// The certificate that the server shows now.
pub fn shown(client: &Client) -> CertificateDer<'static> {
    let line = client.connect().unwrap();
    line.conn.peer_certificates().unwrap()[0].clone().into_owned()
}

fn refused(home: &Home) -> f64 {
    home.figure("silkgate_files_refused{what=\"tls\"}").unwrap_or(0.0)
}

fn exchange(pair: &Pair) {
    for (home, from, to) in [(&pair.iq, IQ, JO), (&pair.jo, JO, IQ)] {
        let event = event(from, to);
        let back_end = home.back_end(from);
        assert_eq!(back_end.submit(&event).status, 202);
        assert_eq!(back_end.outcome(event["id"].as_str().unwrap())["state"], "receipted");
    }
}

#[test]
fn a_new_certificate_is_shown_at_once_and_open_connections_go_on() {
    let mut pair = Pair::set_up(None);
    pair.iq.start();
    pair.jo.start();
    exchange(&pair);
    let client = pair.iq.as_partner_of(&pair.jo);
    let mut open = client.connect().unwrap();
    let mut ask = || {
        open.write_all(b"GET /v1/channel HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        read_answer(&mut open).unwrap().status
    };
    assert_eq!(ask(), 200);
    // As server and as client: Jordan sends under it too, and Iraq's gateway judges it by Jordan's anchor.
    let renewed = leaf(&authority(&pair.jo), &pair.jo.host);
    put(&pair.jo, "tls", &renewed);
    taken_up(&pair.jo, "tls", 1);
    let house = pair.jo.log(&["--partner", "house"]);
    let entry = house.iter().rfind(|entry| entry["what"] == "tls_loaded").unwrap();
    assert_eq!(entry["digest"], Digest::of(&renewed.certificate_der).to_string());
    assert_eq!(shown(&client).as_ref(), &renewed.certificate_der[..]);
    assert_eq!(ask(), 200, "the connection of before goes on");
    exchange(&pair);

    // The national plane, and its clients' authority with it.
    let read = |path: &str| std::fs::read_to_string(pair.jo.path.join(path)).unwrap();
    let national = Authority::load(&read("certs/national-ca.pem"), &read("keys/national-ca.key")).unwrap();
    let renewed = leaf(&national, &pair.jo.host);
    put(&pair.jo, "national", &renewed);
    taken_up(&pair.jo, "national", 1);
    assert_eq!(shown(&pair.jo.back_end(JO)).as_ref(), &renewed.certificate_der[..]);
    exchange(&pair);
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn a_wrong_file_is_refused_with_its_reason_and_the_old_one_stays() {
    let mut pair = Pair::set_up(None);
    pair.jo.with_operations();
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    let before = shown(&client);
    let (certificate, key) = (pair.jo.path.join("certs/tls.pem"), pair.jo.path.join("keys/tls.key"));
    let sound = [std::fs::read(&certificate).unwrap(), std::fs::read(&key).unwrap()];
    let own = authority(&pair.jo);
    let (foreign, _) = Authority::create("another", days_from_now(0)).unwrap();
    let gateway = Profile::Gateway { host: pair.jo.host.clone(), addresses: Vec::new() };
    let other = leaf(&own, &pair.jo.host);
    let private = |mode: u32| std::fs::set_permissions(&key, std::fs::Permissions::from_mode(mode)).unwrap();
    type Spoil<'a> = Box<dyn Fn() + 'a>;
    let wrong: Vec<(&str, &str, Spoil<'_>)> = vec![
        ("rubbish", "tls.pem", Box::new(|| std::fs::write(&certificate, "rubbish").unwrap())),
        ("no certificate", "No such file", Box::new(|| std::fs::remove_file(&certificate).unwrap())),
        ("no key", "No such file", Box::new(|| std::fs::remove_file(&key).unwrap())),
        ("another's key", "KeyMismatch", Box::new(|| std::fs::write(&key, &other.key_pem).unwrap())),
        ("a key that others can read", "chmod 600", Box::new(|| private(0o644))),
        (
            "another name",
            "NotValidForName",
            Box::new(|| put(&pair.jo, "tls", &leaf(&own, "gateway.xx.example"))),
        ),
        (
            "another authority",
            "UnknownIssuer",
            Box::new(|| put(&pair.jo, "tls", &leaf(&foreign, &pair.jo.host))),
        ),
        (
            "an old one",
            "xpired",
            Box::new(|| {
                put(&pair.jo, "tls", &own.issue(&gateway, days_from_now(-400)).unwrap());
            }),
        ),
        (
            "one of the future",
            "not valid yet",
            Box::new(|| {
                put(&pair.jo, "tls", &own.issue(&gateway, days_from_now(2)).unwrap());
            }),
        ),
        (
            "a back end's",
            "serverAuth and clientAuth",
            Box::new(|| {
                let client = Profile::NationalClient { role: "backend".to_owned(), subject: JO.to_owned() };
                let names =
                    own.issue_with_names(&client, &[pair.jo.host.as_str()], days_from_now(0)).unwrap();
                put(&pair.jo, "tls", &names);
            }),
        ),
        (
            "an authority that is gone",
            "tls-ca.pem",
            Box::new(|| {
                std::fs::rename(pair.jo.path.join("certs/tls-ca.pem"), pair.jo.path.join("certs/away"))
                    .unwrap();
            }),
        ),
    ];
    for (number, (name, reason, spoil)) in wrong.iter().enumerate() {
        spoil();
        wait_for(name, || (refused(&pair.jo) == 1.0).then_some(()));
        // Lines are written by a thread of their own, after the figure.
        let alarms = wait_for(name, || {
            let log = pair.jo.gateway_log();
            let alarms = log.lines().filter(|line| line.contains("cannot be used; those before"));
            let alarms: Vec<String> = alarms.map(str::to_owned).collect();
            (alarms.len() == number + 1).then_some(alarms)
        });
        assert!(alarms[number].contains(reason), "{name}: {}", alarms[number]);
        assert_eq!(shown(&client), before, "{name}: the old one stays");
        assert_eq!(client.get("/v1/channel").status, 200, "{name}");
        // Put right again.
        let _ = std::fs::rename(pair.jo.path.join("certs/away"), pair.jo.path.join("certs/tls-ca.pem"));
        std::fs::write(&certificate, &sound[0]).unwrap();
        std::fs::write(&key, &sound[1]).unwrap();
        private(0o600);
        taken_up(&pair.jo, "tls", number + 1);
        assert_eq!(refused(&pair.jo), 0.0, "{name}");
    }
    // Of the other parts one each.
    let message = std::fs::read(pair.jo.path.join("certs/message.pem")).unwrap();
    for (what, file) in [
        ("message", "certs/message.pem"),
        ("log", "keys/log.key"),
        ("witness", "keys/witness.key"),
        ("national", "certs/national-ca.pem"),
    ] {
        std::fs::write(pair.jo.path.join(file), "rubbish").unwrap();
        let figure = format!("silkgate_files_refused{{what=\"{what}\"}}");
        wait_for(&figure, || (pair.jo.figure(&figure) == Some(1.0)).then_some(()));
    }
    std::fs::write(pair.jo.path.join("certs/message.pem"), &message).unwrap();
    let sound = support::sign(&pair.iq.message_key(), &event(IQ, JO));
    assert_eq!(client.message(&sound.bytes).status, 200, "what is in force signs and receives");
}

/// How often the house log states a part of the keys that came into force.
fn stated(home: &Home) -> Vec<String> {
    let house = home.log(&["--partner", "house"]);
    let what = house.iter().filter_map(|entry| entry["what"].as_str()?.strip_suffix("_loaded"));
    what.map(str::to_owned).collect()
}

#[test]
fn what_changed_while_nothing_ran_is_stated_once() {
    let mut pair = Pair::set_up(None);
    let jo = &mut pair.jo;
    jo.start();
    for part in ["tls", "national", "message", "log", "witness"] {
        taken_up(jo, part, 0);
    }
    // An entry that was lost with the process, or a file that was changed after it: both look alike at a start.
    jo.kill();
    let renewed = leaf(&authority(jo), &jo.host);
    put(jo, "tls", &renewed);
    jo.start();
    taken_up(jo, "tls", 1);
    let house = jo.log(&["--partner", "house"]);
    let entry = house.iter().rfind(|entry| entry["what"] == "tls_loaded").unwrap();
    assert_eq!(entry["digest"], Digest::of(&renewed.certificate_der).to_string());
    wait_for("the line", || {
        jo.gateway_log().contains("they changed while nothing ran what=\"tls\"").then_some(())
    });
    assert_eq!(stated(jo).len(), 6, "{:?}", stated(jo));
    // A start that finds what is stated, also one that has to read the logs anew, says nothing: what changes after it comes next.
    for remembered in [true, false] {
        assert_eq!(jo.stop(), Some(0));
        if !remembered {
            std::fs::remove_file(jo.path.join("stated.json")).unwrap();
        }
        jo.start();
        let renewed = leaf(&authority(jo), &jo.host);
        put(jo, "tls", &renewed);
        taken_up(jo, "tls", if remembered { 2 } else { 3 });
    }
    assert_eq!(stated(jo).len(), 8, "{:?}", stated(jo));
    assert!(jo.audit().is_empty());
}
