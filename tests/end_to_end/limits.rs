//! What a hostile partner may do on its connections, and no more.

use std::io::{Read as _, Write as _};

use serde_json::{Value, json};
use support::h2::{self, Line, frame, kind};
use support::home::set;
use support::wire::read_answer;
use support::{Pair, event, sign, wait_for};

const SOUND: [(&str, &str); 4] =
    [(":method", "GET"), (":scheme", "https"), (":authority", "x"), (":path", "/v1/channel")];

/// Jordan's gateway with these settings, watched.
fn pair(settings: &[(&str, &str)]) -> Pair {
    let mut pair = Pair::set_up(None);
    for (name, value) in settings {
        set(&pair.jo, name, value);
    }
    pair.jo.with_operations();
    pair.jo.start();
    pair
}

fn refused(pair: &Pair, code: &str) -> f64 {
    let name = format!("silkgate_connections_refused_total{{plane=\"partner\",code=\"{code}\"}}");
    pair.jo.figure(&name).unwrap_or(0.0)
}

fn still_well(pair: &Pair) {
    let message = sign(&pair.iq.message_key(), &event("IQ/traffic-police", "JO/public-security"));
    assert_eq!(pair.iq.as_partner_of(&pair.jo).message(&message.bytes).status, 200);
}

#[test]
fn floods_of_what_carries_nothing_end_the_connection() {
    let pair = pair(&[]);
    let client = pair.iq.as_partner_of(&pair.jo).with_h2();
    type Flood = fn(u32) -> Vec<u8>;
    let floods: [(&str, Flood); 8] = [
        ("rapid reset", |n| {
            [h2::request(n, &SOUND), frame(kind::RST_STREAM, 0, n, &8_u32.to_be_bytes())].concat()
        }),
        ("pings", |_| frame(kind::PING, 0, 0, &[0; 8])),
        ("settings", |_| frame(kind::SETTINGS, 0, 0, &[])),
        ("priorities", |n| frame(kind::PRIORITY, 0, n, &[0; 5])),
        ("unknown frames", |_| frame(77, 0, 0, b"x")),
        ("window updates", |_| frame(kind::WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
        ("data without data", |n| match n {
            1 => h2::request_with_body(1, &SOUND),
            _ => frame(kind::DATA, 0, 1, &[]),
        }),
        ("continuations", |n| match n {
            1 => h2::request_unended(1, &SOUND),
            _ => frame(kind::CONTINUATION, 0, 1, &[]),
        }),
    ];
    for (name, flood) in floods {
        let before = refused(&pair, "http2_flood");
        let mut line = Line::open(&client, &[]);
        let sent = (0..2000_u32).take_while(|n| line.send(&flood(2 * n + 1))).count();
        let came = line.to_the_end();
        assert!(came < 2000, "{name}: {sent} sent, {came} came");
        // The library itself has a bound on continuations and on what was reset before it was looked at.
        let library_ends_it = matches!(name, "continuations" | "rapid reset" | "data without data");
        wait_for(name, || (library_ends_it || refused(&pair, "http2_flood") > before).then_some(()));
    }
    assert!(refused(&pair, "http2_flood") >= 5.0);
    still_well(&pair);
}

#[test]
fn http_2_that_two_readers_understand_differently_is_refused() {
    let pair = pair(&[]);
    let client = pair.iq.as_partner_of(&pair.jo).with_h2();
    let with = |change: &[(&'static str, &'static str)]| {
        let mut fields = SOUND.to_vec();
        for (name, value) in change {
            match fields.iter_mut().find(|(known, _)| known == name) {
                Some(field) => field.1 = value,
                None => fields.push((name, value)),
            }
        }
        fields
    };
    let answered = |fields: &[(&str, &str)]| {
        let mut line = Line::open(&client, &[]);
        line.send(&h2::request(1, fields));
        let body = line.body(1).unwrap_or_default();
        serde_json::from_slice::<Value>(&body).unwrap_or_default()
    };
    assert!(answered(&SOUND)["code"].is_null(), "the sound one is answered");
    for (name, fields) in [
        ("a host that differs", with(&[("host", "other.example")])),
        ("a host with a port that differs", with(&[("host", "x:8443")])),
        ("two hosts", [with(&[("host", "x")]), vec![("host", "x")]].concat()),
        ("plain http", with(&[(":scheme", "http")])),
        ("another scheme", with(&[(":scheme", "gopher")])),
        ("a backslash", with(&[(":path", "/v1\\channel")])),
        ("two lengths", [with(&[("content-length", "0")]), vec![("content-length", "0")]].concat()),
        ("our own mark", with(&[("silkgate-refused", "no")])),
    ] {
        assert_eq!(answered(&fields)["code"], "request_malformed", "{name}");
    }
    // What the library refuses: the stream or the connection ends, and nothing is answered but a status.
    for (name, fields) in [
        ("an upper-case name", with(&[("X-Name", "y")])),
        ("a line end in a value", with(&[("x", "y\r\nhost: z")])),
        ("a NUL in a value", with(&[("x", "y\0")])),
        ("a colon in a name", with(&[("x:y", "z")])),
        ("a blank in a name", with(&[("x y", "z")])),
        ("chunks", with(&[("transfer-encoding", "chunked")])),
        ("a connection", with(&[("connection", "close")])),
        ("an upgrade", with(&[("upgrade", "h2c")])),
        ("an unknown pseudo-field", with(&[(":x", "y")])),
        ("a pseudo-field behind a field", [vec![("x", "y")], SOUND.to_vec()].concat()),
        ("a pseudo-field twice", [SOUND.to_vec(), vec![(":path", "/")]].concat()),
        ("no path", SOUND.iter().filter(|(name, _)| *name != ":path").copied().collect()),
        ("an empty path", with(&[(":path", "")])),
        ("no method", SOUND.iter().filter(|(name, _)| *name != ":method").copied().collect()),
        ("a length that is not the body's", with(&[("content-length", "5")])),
        ("a length with a sign", with(&[("content-length", "+0")])),
        ("an answer's status", with(&[(":status", "200")])),
    ] {
        let answer = answered(&fields);
        assert!(answer["size"].is_null() && answer["origin"].is_null(), "{name}: {answer}");
    }
    let long = "y".repeat(17 << 10);
    let answer = answered(&[&SOUND[..], &[("x", &long)]].concat());
    assert!(answer.is_null(), "a head of more than 16 KiB: {answer}");
    still_well(&pair);
}

#[test]
fn who_does_not_read_its_answers_loses_the_connection() {
    let pair = pair(&[("answer_seconds", "1")]);
    let client = pair.iq.as_partner_of(&pair.jo).with_h2();
    // No window: the answer cannot leave (RFC 9113 §6.9.2, SETTINGS_INITIAL_WINDOW_SIZE).
    let mut line = Line::open(&client, &[(4, 0)]);
    for stream in [1, 3, 5] {
        line.send(&h2::request(stream, &SOUND));
    }
    assert!(line.body(1).is_none(), "the connection ends, though the peer keeps it alive");
    wait_for("it to be counted", || (refused(&pair, "answer_unread") > 0.0).then_some(()));
    still_well(&pair);
}

#[test]
fn who_asks_nothing_does_not_keep_a_connection() {
    let pair = pair(&[("handshake_seconds", "1"), ("idle_seconds", "1")]);
    for client in [pair.iq.as_partner_of(&pair.jo), pair.iq.as_partner_of(&pair.jo).with_h2()] {
        let mut silent = client.connect().unwrap();
        // What the server says of itself, and then the end: nothing was asked within a second.
        let _ = silent.read_to_end(&mut Vec::new());
    }
    let mut line = Line::open(&pair.iq.as_partner_of(&pair.jo).with_h2(), &[]);
    assert_eq!(line.frame().map(|frame| frame.kind), Some(kind::SETTINGS));
    line.send(&h2::request(1, &SOUND));
    assert!(line.body(1).is_some());
    line.to_the_end();
    let mut line = pair.iq.as_partner_of(&pair.jo).connect().unwrap();
    line.write_all(b"GET /v1/channel HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
    assert_eq!(read_answer(&mut line).unwrap().status, 200);
    assert!(read_answer(&mut line).is_err(), "nothing more was asked within a second");
    let mut line = pair.iq.as_partner_of(&pair.jo).connect().unwrap();
    line.write_all(b"GET /v1/channel HTTP/1.1\r\nHost: x\r\n\r\nGET /v1/ch").unwrap();
    assert_eq!(read_answer(&mut line).unwrap().status, 200);
    assert!(read_answer(&mut line).is_err(), "the next head was not finished within a second");
    still_well(&pair);
}

#[test]
fn one_address_and_one_partner_have_so_many_connections() {
    let pair = pair(&[("connections_per_address", "5"), ("connections_per_peer", "3")]);
    let client = pair.iq.as_partner_of(&pair.jo);
    let ask = |line: &mut rustls::StreamOwned<rustls::ClientConnection, std::net::TcpStream>| {
        line.write_all(b"GET /v1/channel HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
        read_answer(line).ok().map(|answer| answer.status)
    };
    let mut open: Vec<_> = (0..3).map(|_| client.connect().unwrap()).collect();
    for line in &mut open {
        assert_eq!(ask(line), Some(200));
    }
    wait_for("a fourth connection to be refused", || {
        let mut fourth = client.connect().ok()?;
        ask(&mut fourth).is_none().then_some(())
    });
    assert!(refused(&pair, "connections_per_peer") >= 1.0);
    // Whoever has not said who it is has the rest of the address.
    let silent: Vec<_> =
        (0..2).map(|_| std::net::TcpStream::connect(&pair.jo.partner_plane).unwrap()).collect();
    wait_for("a sixth connection to be refused", || {
        let _ = client.connect();
        (refused(&pair, "connections_per_address") >= 1.0).then_some(())
    });
    assert!(open.iter_mut().all(|line| ask(line) == Some(200)), "those that are there keep their service");
    assert!(pair.jo.gateway_log().contains("connections beyond a bound are closed"));
    drop((open, silent));
    wait_for("room", || ask(&mut client.connect().ok()?).filter(|status| *status == 200));
}

#[test]
fn one_address_begins_so_many_handshakes_a_second() {
    let pair = pair(&[("handshakes_per_second", "1")]);
    let client = pair.iq.as_partner_of(&pair.jo);
    let begun = (0..100).take_while(|_| client.connect().is_ok()).count();
    // Ten at once and one a second, of which the test's own look at the start took some.
    assert!(begun < 40, "{begun}");
    assert!(refused(&pair, "handshakes_per_second") >= 1.0);
    wait_for("the next second's", || client.connect().ok().map(drop));
}

#[test]
fn a_partner_asks_so_many_questions_a_second_and_its_messages_pass() {
    let mut pair = Pair::set_up(None);
    set(&pair.jo, "questions_per_second", "1");
    pair.jo.with_operations();
    pair.jo.start();
    let client = pair.iq.as_partner_of(&pair.jo);
    // A reconciliation needs two questions: so many are left after one second, and it waits for that.
    let put_off = (0..25).filter(|_| {
        let answer = client.get("/v1/log/checkpoint");
        if answer.status == 429 {
            assert_eq!(
                (answer.code().as_str(), answer.header("retry-after")),
                ("questions_exceeded", Some("1"))
            );
        }
        answer.status == 429
    });
    assert!(put_off.count() >= 5);
    still_well(&pair);
    let asked = |code: &str| {
        let name = format!("silkgate_questions_total{{partner=\"IQ\",code=\"{code}\"}}");
        pair.jo.figure(&name).unwrap_or(0.0)
    };
    let before = (asked("none"), asked("questions_exceeded"));
    assert!(before.0 >= 10.0 && before.1 >= 5.0, "{before:?}");
    // Our own commands and the running gateway wait and go on.
    let output = pair.iq.run(&["reconcile", "JO", "--json"]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let report: Value = serde_json::from_slice(&output.stdout).expect(&said);
    assert!(report["entries"].as_u64() > Some(0) && report["inconsistent"] == json!([]), "{report}");
    assert!(pair.iq.ok(&["partner", "test", "JO"]).contains("signed by the card's log key"));
    assert!(asked("questions_exceeded") > before.1, "it was put off, and went on");
    for _ in 0..12 {
        client.get("/v1/log/checkpoint");
    }
    pair.iq.start();
    wait_for("Jordan's word on Iraq's logs", || {
        pair.iq.gateway_log().contains("the partner has seen nothing of our logs").then_some(())
    });
    assert!(!pair.iq.gateway_log().contains("our logs were not witnessed"), "{}", pair.iq.gateway_log());
    assert!(pair.iq.audit().is_empty());
}
