//! Who may connect: wrong certificates get a TLS alert and nothing else, on both planes and both ways.

use serde_json::json;
use silkgate_certs::{Authority, Issued, Profile};
use support::home::{Home, free_ports};
use support::wire::{self, Identity};
use support::{Client, Pair, event, now_ms, wait_for};
use time::OffsetDateTime;

fn instant(offset_days: i64) -> OffsetDateTime {
    OffsetDateTime::from_unix_timestamp(now_ms() / 1000 + offset_days * 86_400).unwrap()
}

fn authority(home: &Home, name: &str) -> Authority {
    let read = |path: String| std::fs::read_to_string(home.path.join(path)).unwrap();
    Authority::load(&read(format!("certs/{name}.pem")), &read(format!("keys/{name}.key"))).unwrap()
}

fn identity(issued: &Issued) -> Identity {
    use rustls_pki_types::pem::PemObject as _;
    let key = rustls_pki_types::PrivateKeyDer::from_pem_slice(issued.key_pem.as_bytes()).unwrap();
    (vec![issued.certificate_der.clone().into()], key)
}

fn gateway(host: &str) -> Profile {
    Profile::Gateway { host: host.to_owned(), addresses: Vec::new() }
}

#[test]
fn wrong_certificates_get_an_alert_only() {
    let pair = Pair::start();
    let (iq, jo) = (&pair.iq, &pair.jo);
    let own = authority(iq, "tls-ca");
    let (foreign, _) = Authority::create("Silkgate TLS IQ", instant(0)).unwrap();
    let issue = |authority: &Authority, profile: Profile, days: i64| {
        Some(identity(&authority.issue(&profile, instant(days)).unwrap()))
    };
    let server_only = Profile::NationalServer { host: iq.host.clone(), addresses: Vec::new() };
    let client_of_nation =
        Profile::NationalClient { role: "backend".into(), subject: "IQ/traffic-police".into() };
    let wrong: Vec<(&str, Option<Identity>)> = vec![
        ("no certificate", None),
        ("the right name under another authority of the same name", issue(&foreign, gateway(&iq.host), 0)),
        (
            "the right name under Jordan's own authority",
            issue(&authority(jo, "tls-ca"), gateway(&iq.host), 0),
        ),
        ("the right authority, another name", issue(&own, gateway("other.iq.example"), 0)),
        ("the right authority, a name below", issue(&own, gateway(&format!("a.{}", iq.host)), 0)),
        ("the right authority, a wildcard", issue(&own, gateway("*.iq.example"), 0)),
        ("expired", issue(&own, gateway(&iq.host), -400)),
        ("not yet valid", issue(&own, gateway(&iq.host), 10)),
        ("for servers only", issue(&own, server_only, 0)),
        ("without a name", issue(&own, client_of_nation, 0)),
        (
            "a back end of Iraq",
            Some(wire::identity(
                &iq.path.join("clients/backend-traffic-police.pem"),
                &iq.path.join("clients/backend-traffic-police.key"),
            )),
        ),
        (
            "the message certificate",
            Some(wire::identity(&iq.path.join("certs/message.pem"), &iq.path.join("keys/message.key"))),
        ),
        (
            "the authority itself",
            Some(wire::identity(&iq.path.join("certs/tls-ca.pem"), &iq.path.join("keys/tls-ca.key"))),
        ),
    ];
    let count = wrong.len();
    let anchor = jo.path.join("certs/tls-ca.pem");
    for (name, identity) in wrong {
        let client = Client::new(&anchor, identity, &jo.host, &jo.partner_plane);
        let answer = client.request("GET", "/v1/channel", "application/json", b"");
        let error = answer.expect_err(name).to_string();
        assert!(error.contains("alert"), "{name}: {error}");
    }
    let tls12 = Client::with_versions(
        &anchor,
        Some(iq.tls_identity()),
        &jo.host,
        &jo.partner_plane,
        &[&rustls::version::TLS12],
    );
    assert!(tls12.connect().is_err(), "TLS 1.2");
    let logged = wait_for("the refusals to be logged", || {
        let house = jo.log(&["--partner", "house"]);
        let refused = house.iter().filter(|entry| entry["code"] == "tls_stranger").count();
        (refused >= 10).then_some(refused)
    });
    assert!(logged <= 20, "a budget for all strangers together: {logged} of {count} and more");
    assert_eq!(iq.as_partner_of(jo).get("/v1/channel").status, 200, "the right one");
    assert!(jo.audit().is_empty());
}

#[test]
fn the_national_plane_knows_registered_certificates_only() {
    let pair = Pair::start();
    let iq = &pair.iq;
    let anchor = iq.path.join("certs/national-ca.pem");
    let request = |identity: Option<Identity>| {
        let client = Client::new(&anchor, identity, &iq.host, &iq.national_plane);
        client.request("GET", "/v1/deliveries", "application/json", b"")
    };
    let profile = Profile::NationalClient { role: "backend".into(), subject: "IQ/traffic-police".into() };
    let issued = authority(iq, "national-ca").issue(&profile, instant(0)).unwrap();
    let answer = request(Some(identity(&issued))).unwrap();
    assert_eq!(answer.code(), "peer_unknown", "of the right authority, but never registered");
    for (name, identity) in [
        ("no certificate", None),
        ("our own gateway", Some(iq.tls_identity())),
        ("the partner's gateway", Some(pair.jo.tls_identity())),
        (
            "a back end of Jordan",
            Some(wire::identity(
                &pair.jo.path.join("clients/backend-public-security.pem"),
                &pair.jo.path.join("clients/backend-public-security.key"),
            )),
        ),
    ] {
        assert!(request(identity).is_err(), "{name}");
    }
}

#[test]
fn no_session_is_ever_resumed() {
    let pair = Pair::start();
    let client = pair.iq.as_partner_of(&pair.jo);
    for _ in 0..3 {
        // One client configuration, so tickets would be used if there were any.
        let mut line = client.connect().unwrap();
        std::io::Write::write_all(
            &mut line,
            b"GET /v1/channel HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        )
        .unwrap();
        let mut answer = Vec::new();
        let _ = std::io::Read::read_to_end(&mut line, &mut answer);
        assert!(answer.starts_with(b"HTTP/1.1 200"));
        assert_eq!(line.conn.handshake_kind(), Some(rustls::HandshakeKind::Full));
    }
}

#[test]
fn nothing_is_sent_to_a_server_that_is_not_the_partner() {
    let [port, _] = free_ports();
    let address = format!("127.0.0.1:{port}");
    let mut pair = Pair::set_up(Some(&address));
    pair.iq.start();
    let (foreign, _) = Authority::create("Silkgate TLS JO", instant(0)).unwrap();
    let right_name = foreign.issue(&gateway(&pair.jo.host), instant(0)).unwrap();
    let wrong_name = authority(&pair.jo, "tls-ca").issue(&gateway("other.jo.example"), instant(0)).unwrap();
    let listener = std::net::TcpListener::bind(&address).unwrap();
    let police = pair.iq.back_end("IQ/traffic-police");
    let event = event("IQ/traffic-police", "JO/public-security");
    assert_eq!(police.submit(&event).status, 202);
    let path = format!("/v1/submissions/{}", event["id"].as_str().unwrap());
    let mut status = json!({});
    for (attempts, issued) in [(1, right_name), (2, wrong_name)] {
        // The message is not all that the gateway asks a partner: each line is tried until the attempt is noted.
        while status["attempts"].as_u64() < Some(attempts) {
            let mut tls = wire::accept(&listener, identity(&issued));
            let mut received = Vec::new();
            let _ = std::io::Read::read_to_end(&mut tls, &mut received);
            assert!(received.is_empty(), "the gateway spoke to a stranger");
            status = police.get(&path).json();
        }
    }
    assert_eq!(status["state"], "queued");
    assert!(status["last_attempt"].as_str().unwrap().contains("certificate"), "{status}");
}
