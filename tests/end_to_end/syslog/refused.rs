//! Who is not the collector is told nothing.

use std::os::unix::fs::PermissionsExt as _;

use support::collector::{Collector, Mood, Server};
use support::receiver::{certificate_of, server_certificate};
use support::{Home, Pair, wait_for, wire};

use super::{counted, send, wait_for_all};

const DOWN: &str = "entries are not sent to the collector; they wait in the logs";

/// Lines of the gateway's log about a collector that is down.
fn lines(home: &Home) -> Vec<String> {
    home.gateway_log().lines().filter(|line| line.contains(DOWN)).map(str::to_owned).collect()
}

#[test]
fn a_server_that_is_not_the_collector_is_told_nothing() {
    let mut pair = Pair::set_up_files(None);
    let folder = pair.folder.path().to_owned();
    let (anchors, certificate, key) = server_certificate(&folder, "sound");
    let (other, _, _) = server_certificate(&folder, "other");
    let file = pair.jo.path.join("silkgate.toml");
    let plain = std::fs::read_to_string(&file).unwrap();
    let as_is = |certificate, key| Server { tls: Some(wire::identity(certificate, key)), clients: None };
    let (named, named_certificate, named_key) = certificate_of(&folder, "named", "siem.example", 0);
    let (old, old_certificate, old_key) = certificate_of(&folder, "old", "localhost", 500);
    for (what, anchors, server, mood, fault) in [
        ("another authority", &other, as_is(&certificate, &key), Mood::Reads, "certificate_issuer"),
        ("another name", &named, as_is(&named_certificate, &named_key), Mood::Reads, "certificate_name"),
        ("expired", &old, as_is(&old_certificate, &old_key), Mood::Reads, "certificate_expired"),
        ("no TLS", &anchors, Server { tls: None, clients: None }, Mood::Reads, "handshake_refused"),
        (
            "a certificate is wanted",
            &anchors,
            Server { clients: Some(other.clone()), ..as_is(&certificate, &key) },
            Mood::Reads,
            "certificate_ours_refused",
        ),
        ("a web server", &anchors, as_is(&certificate, &key), Mood::Answers, "answers"),
        ("nobody", &anchors, as_is(&certificate, &key), Mood::Away, "unreached"),
    ] {
        let collector = Collector::start_as(anchors.clone(), server);
        collector.does(mood);
        std::fs::write(&file, &plain).unwrap();
        collector.configure(&pair.jo, "confirm_seconds = 1");
        let _ = std::fs::remove_file(pair.jo.path.join("gateway.log"));
        pair.jo.start();
        let line = wait_for(what, || lines(&pair.jo).pop());
        assert!(line.contains(fault) && line.contains("remedy") && line.contains("reason"), "{what}: {line}");
        send(&pair);
        assert_eq!(counted(&pair.jo), 0, "{what}");
        assert!(collector.messages().is_empty(), "{what}");
        assert_eq!(pair.jo.stop(), Some(0));
        assert_eq!(lines(&pair.jo).len(), 1, "{what}: told once");
    }
}

#[test]
fn a_collector_that_asks_gets_a_certificate() {
    let mut pair = Pair::set_up_files(None);
    let folder = pair.folder.path().to_owned();
    let (anchors, certificate, key) = server_certificate(&folder, "collector");
    let clients = pair.jo.path.join("certs/tls-ca.pem");
    let server = Server { tls: Some(wire::identity(&certificate, &key)), clients: Some(clients) };
    let collector = Collector::start_as(anchors, server);
    collector.configure(&pair.jo, "certificate = \"certs/syslog.pem\"");
    let refused = pair.jo.run(&["serve"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("certs/syslog.pem"), "{said}");
    let (own, own_key) = (pair.jo.path.join("certs/syslog.pem"), pair.jo.path.join("keys/syslog.key"));
    std::fs::copy(pair.jo.path.join("certs/tls.pem"), own).unwrap();
    std::fs::copy(pair.jo.path.join("keys/tls.key"), &own_key).unwrap();
    std::fs::set_permissions(&own_key, std::fs::Permissions::from_mode(0o644)).unwrap();
    let refused = pair.jo.run(&["serve"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(refused.status.code() == Some(2) && said.contains("others may read this key"), "{said}");
    std::fs::set_permissions(&own_key, std::fs::Permissions::from_mode(0o600)).unwrap();
    pair.jo.start();
    wait_for_all(&collector, &pair.jo);
}

#[test]
fn a_mistake_in_the_settings_is_told_at_the_start() {
    let pair = Pair::set_up_files(None);
    let collector = Collector::start(pair.folder.path());
    let file = pair.jo.path.join("silkgate.toml");
    let plain = std::fs::read_to_string(&file).unwrap();
    let whole = {
        collector.configure(&pair.jo, "confirm_seconds = 30");
        std::fs::read_to_string(&file).unwrap()
    };
    let anchors = collector.anchors.display().to_string();
    for (from, to, what) in [
        (collector.address.as_str(), "localhost", "address is no host:port"),
        (&collector.address, "localhost:0", "address is no host:port"),
        (&collector.address, "tls://localhost:6514", "address is no host:port"),
        (&anchors, "none.pem", "none.pem"),
        (&anchors, "silkgate.toml", "holds no certificate"),
        ("confirm_seconds = 30", "confirm_seconds = 0", "confirm_seconds is 1 to 3600"),
        ("confirm_seconds = 30", "tls = false", "tls"),
    ] {
        assert!(whole.contains(from) && whole.len() > plain.len());
        let (before, settings) = whole.split_at(plain.len());
        std::fs::write(&file, format!("{before}{}", settings.replace(from, to))).unwrap();
        let output = pair.jo.run(&["serve"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{to}: {said}");
        assert!(said.contains(what), "{to}: {said}");
    }
}
