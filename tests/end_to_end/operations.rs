//! The operations plane: whether a gateway lives, whether it can take messages and what is missing, what it counts, and the
//! line that each event leaves.

mod monitoring;

use std::fs::OpenOptions;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;

use serde_json::{Value, json};
use silkgate_certs::{Authority, Profile};
use support::home::{Home, free_ports, set};
use support::wire::read_answer;
use support::{Client, Pair, event, now_ms, sign, wait_for};
use tempfile::TempDir;
use time::OffsetDateTime;

use crate::witness::{all_cosigned, submit};

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";

/// A home's operations plane.
struct Plane {
    port: u16,
}

impl Plane {
    /// Switched on from the next start on.
    fn of(home: &Home) -> Self {
        let [port, _] = free_ports();
        set(home, "# listen", &format!("\"127.0.0.1:{port}\""));
        Self { port }
    }

    fn get(&self, path: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
        let answer = read_answer(&mut stream).unwrap();
        (answer.status, String::from_utf8(answer.body).unwrap())
    }

    /// The codes of what is missing; none where it is ready.
    fn missing(&self) -> Vec<String> {
        let (status, body) = self.get("/readyz");
        let body: Value = serde_json::from_str(&body).unwrap();
        if status == 200 {
            assert_eq!(body, json!({ "ready": true }));
            return Vec::new();
        }
        assert_eq!((status, &body["ready"]), (503, &json!(false)), "{body}");
        let missing = body["missing"].as_array().unwrap();
        assert!(missing.iter().all(|missing| !missing["why"].as_str().unwrap().is_empty()), "{body}");
        missing.iter().map(|missing| missing["what"].as_str().unwrap().to_owned()).collect()
    }

    fn wait_until_missing(&self, what: &[&str]) {
        wait_for(&format!("{what:?} to be missing"), || (self.missing() == what).then_some(()));
        // Nothing of it is mended by a restart at this moment.
        assert_eq!(self.get("/livez").0, 200);
    }

    fn metrics(&self) -> String {
        let (status, text) = self.get("/metrics");
        assert!(status == 200 && text.ends_with("# EOF\n"), "{text}");
        text
    }

    /// The value of a figure, its labels as they are written.
    fn value(&self, name: &str) -> Option<f64> {
        let text = self.metrics();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
        line.parse().ok()
    }

    fn wait_for_value(&self, name: &str, value: f64) {
        let mut seen = None;
        let reached = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            wait_for(name, || {
                seen = self.value(name);
                (seen == Some(value)).then_some(())
            });
        }));
        assert!(reached.is_ok(), "{name} is {seen:?}, not {value}:\n{}", self.metrics());
    }
}

#[test]
fn readiness_says_what_is_missing_and_liveness_does_not_depend_on_it() {
    let mut pair = Pair::set_up(None);
    [&pair.iq, &pair.jo].into_iter().for_each(|home| set(home, "show_seconds", "0"));
    let plane = Plane::of(&pair.jo);
    pair.iq.start();
    pair.jo.start();
    wait_for("Jordan to be ready", || plane.missing().is_empty().then_some(()));
    plane.wait_for_value("silkgate_messages_pass{partner=\"IQ\"}", 1.0);
    // What cannot be read.
    pair.jo.execute("ALTER TABLE generation RENAME TO taken_away");
    plane.wait_until_missing(&["database"]);
    pair.jo.execute("ALTER TABLE taken_away RENAME TO generation");
    let (keys, aside) = (pair.jo.path.join("keys/payload-keys.db"), pair.jo.path.join("keys/aside"));
    std::fs::rename(&keys, &aside).unwrap();
    plane.wait_until_missing(&["key_store"]);
    std::fs::rename(&aside, &keys).unwrap();
    wait_for("Jordan to be ready again", || plane.missing().is_empty().then_some(()));
    // The word of the partner that has witnessed before.
    submit(&pair.iq, IQ, JO);
    all_cosigned(&pair.jo);
    assert_eq!(pair.jo.stop(), Some(0));
    let older = pair.jo.snapshot();
    pair.iq.kill();
    pair.jo.start();
    plane.wait_until_missing(&["witness_word"]);
    assert_eq!(plane.value("silkgate_missing{what=\"witness_word\"}"), Some(1.0));
    assert_eq!(plane.value("silkgate_messages_pass{partner=\"IQ\"}"), Some(0.0));
    pair.iq.start();
    wait_for("Jordan to be ready again", || plane.missing().is_empty().then_some(()));
    // An older database.
    submit(&pair.iq, IQ, JO);
    all_cosigned(&pair.jo);
    assert_eq!(pair.jo.stop(), Some(0));
    pair.jo.put_back(&older);
    pair.jo.start();
    plane.wait_until_missing(&["read_only"]);
    assert_eq!(plane.value("silkgate_read_only"), Some(1.0));
    // One for the channel, and one for the house log where that one had been shown later words too.
    let parts = ["ALARM: a partner holds a LATER", "partner=IQ code=rollback log=gateway.jo.example/JO/"];
    wait_for("the line of the channel", || line_with(&pair.jo, &[parts[0], parts[1], "/JO/IQ "]));
    wait_for("as many alarms open as lines", || {
        let log = pair.jo.gateway_log();
        let lines = log.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count();
        (plane.value("silkgate_alarms_open{kind=\"rollback\"}") == Some(lines as f64)).then_some(())
    });
}

/// The one line with all of these.
fn line_with(home: &Home, parts: &[&str]) -> Option<String> {
    let log = home.gateway_log();
    let mut found = log.lines().filter(|line| parts.iter().all(|part| line.contains(part)));
    let first = found.next()?.to_owned();
    assert_eq!(found.next(), None, "one line for one event: {parts:?}");
    Some(first)
}

#[test]
fn a_gateway_without_partners_is_ready_and_one_with_an_expired_certificate_is_not() {
    let folder = TempDir::new().unwrap();
    let mut home = Home::init(folder.path(), IQ);
    let plane = Plane::of(&home);
    home.start();
    assert_eq!(plane.missing(), Vec::<String>::new());
    assert_eq!(plane.get("/livez"), (200, "{\"live\":true}".to_owned()));
    assert_eq!(plane.get("/").0, 404);
    let days = plane.metrics();
    for certificate in ["tls", "tls_ca", "message", "national", "national_ca", "client"] {
        let name = format!("silkgate_certificate_remaining_seconds{{certificate=\"{certificate}\"");
        let value = days.lines().find(|line| line.starts_with(&name)).expect(certificate);
        let seconds: i64 = value.rsplit(' ').next().unwrap().parse().unwrap();
        assert!(seconds > 300 * 86_400, "{value}");
    }
    assert_eq!(home.stop(), Some(0));
    let read = |path: &str| std::fs::read_to_string(home.path.join(path)).unwrap();
    let authority = Authority::load(&read("certs/tls-ca.pem"), &read("keys/tls-ca.key")).unwrap();
    let long_ago = OffsetDateTime::from_unix_timestamp(now_ms() / 1000 - 400 * 86_400).unwrap();
    let profile = Profile::Gateway { host: home.host.clone(), addresses: Vec::new() };
    let expired = authority.issue(&profile, long_ago).unwrap();
    std::fs::write(home.path.join("certs/tls.pem"), &expired.certificate_pem).unwrap();
    std::fs::write(home.path.join("keys/tls.key"), &expired.key_pem).unwrap();
    home.start();
    plane.wait_until_missing(&["certificate"]);
    assert!(plane.get("/readyz").1.contains("`tls` ran out at "));
}

#[test]
fn a_stop_is_told_before_anything_closes_and_requests_under_way_finish() {
    let mut pair = Pair::set_up(None);
    let plane = Plane::of(&pair.iq);
    pair.iq.start();
    let back_end = pair.iq.back_end(IQ);
    // Under way: the gateway asks for the body that it will get later.
    let mut request = back_end.connect().unwrap();
    let body = event(IQ, JO).to_string();
    write!(
        request,
        "POST /v1/submissions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/cloudevents+json\r\n\
         Expect: 100-continue\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    )
    .unwrap();
    request.flush().unwrap();
    let mut go_on = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
    request.read_exact(&mut go_on).unwrap();
    assert!(go_on.starts_with(b"HTTP/1.1 100 "), "{}", String::from_utf8_lossy(&go_on));
    pair.iq.tell_to_stop();
    plane.wait_until_missing(&["stopping"]);
    request.write_all(body.as_bytes()).unwrap();
    assert_eq!(read_answer(&mut request).unwrap().status, 202);
    assert_eq!(pair.iq.wait_for_end(), Some(0));
    let log = pair.iq.gateway_log();
    let [stopping, submitted, stopped] = [": stopping", ": message submitted ", ": stopped"]
        .map(|text| log.find(text).unwrap_or_else(|| panic!("{text}: {log}")));
    assert!(stopping < submitted && submitted < stopped && log.contains(": serving "), "{log}");
    // With time for a balancer: told, and everything still taken.
    set(&pair.iq, "drain_seconds", "600");
    pair.iq.start();
    pair.iq.tell_to_stop();
    plane.wait_until_missing(&["stopping"]);
    assert_eq!(back_end.submit(&event(IQ, JO)).status, 202);
    pair.iq.kill();
}

#[test]
fn what_happened_is_counted_and_each_event_has_one_line_without_a_payload() {
    let mut pair = Pair::set_up(None);
    let (iq, jo) = (Plane::of(&pair.iq), Plane::of(&pair.jo));
    pair.iq.start();
    pair.jo.start();
    let back_end = pair.iq.back_end(IQ);
    let good = event(IQ, JO);
    let good_id = good["id"].as_str().unwrap();
    assert_eq!((back_end.submit(&good).status, back_end.submit(&good).status), (202, 202));
    assert_eq!(back_end.outcome(good_id)["state"], "receipted");
    // Jordan takes less than Iraq may send.
    pair.iq.ok(&["partner", "allow", "JO", "--purpose", "customs-control"]);
    let mut other = event(IQ, JO);
    other["purpose"] = json!("customs-control");
    wait_for("the agreement to be read again", || (back_end.submit(&other).status == 202).then_some(()));
    let other_id = other["id"].as_str().unwrap();
    assert_eq!(back_end.outcome(other_id)["state"], "rejected");
    assert_eq!(back_end.submit(&event(IQ, "SA/border-guard")).code(), "partner_unknown");
    // By hand: the same twice, one without a signature, and someone without a certificate.
    let client = pair.iq.as_partner_of(&pair.jo);
    let by_hand = sign(&pair.iq.message_key(), &event(IQ, JO));
    assert_eq!(client.message(&by_hand.bytes).status, 200);
    assert_eq!(client.message(&by_hand.bytes).header("silkgate-replay"), Some("true"));
    assert_eq!(client.message(b"{").code(), "json_invalid");
    let anchor = pair.jo.path.join("certs/tls-ca.pem");
    let stranger = Client::new(&anchor, None, &pair.jo.host, &pair.jo.partner_plane);
    assert!(stranger.request("GET", "/v1/channel", "application/json", b"").is_err());
    let deliveries = pair.jo.back_end(JO).deliveries("?max=10");
    assert_eq!((deliveries.len(), &deliveries[0]["id"]), (2, &good["id"]));
    assert_eq!(pair.jo.back_end(JO).acknowledge(&deliveries[0]).status, 200);

    let received = |rest: &str| {
        format!(
            "silkgate_messages_total{{partner=\"IQ\",direction=\"received\",type=\"alert.vehicle\",{rest}}}"
        )
    };
    jo.wait_for_value(&received("verdict=\"accepted\",code=\"none\""), 2.0);
    jo.wait_for_value(&received("verdict=\"rejected\",code=\"agreement_purpose\""), 1.0);
    jo.wait_for_value(&received("verdict=\"again\",code=\"none\""), 1.0);
    let refused = received("verdict=\"refused\",code=\"json_invalid\"").replace("alert.vehicle", "other");
    jo.wait_for_value(&refused, 1.0);
    jo.wait_for_value("silkgate_deliveries_handed_out_total{recipient=\"JO/public-security\"}", 2.0);
    jo.wait_for_value("silkgate_deliveries_acknowledged_total{recipient=\"JO/public-security\"}", 1.0);
    jo.wait_for_value("silkgate_deliveries_waiting{recipient=\"JO/public-security\"}", 1.0);
    // Not exactly one: whoever looked whether the gateway listens is a stranger too.
    let strangers = "silkgate_connections_refused_total{plane=\"partner\",code=\"tls_stranger\"}";
    assert!(jo.value(strangers).unwrap() >= 1.0);
    jo.wait_for_value("silkgate_receive_duration_seconds_count", 5.0);
    let sent = |rest: &str| {
        format!("silkgate_messages_total{{partner=\"JO\",direction=\"sent\",type=\"alert.vehicle\",{rest}}}")
    };
    iq.wait_for_value(&sent("verdict=\"receipted\",code=\"none\""), 1.0);
    iq.wait_for_value(&sent("verdict=\"rejected\",code=\"agreement_purpose\""), 1.0);
    let submissions = "silkgate_submissions_total{partner=\"JO\",type=\"alert.vehicle\",verdict=";
    iq.wait_for_value(&format!("{submissions}\"accepted\",code=\"none\"}}"), 2.0);
    iq.wait_for_value(&format!("{submissions}\"again\",code=\"none\"}}"), 1.0);
    let unknown =
        format!("{submissions}\"refused\",code=\"partner_unknown\"}}").replace("\"JO\"", "\"other\"");
    iq.wait_for_value(&unknown, 1.0);
    iq.wait_for_value("silkgate_attempts_total{partner=\"JO\",outcome=\"accepted\"}", 1.0);
    iq.wait_for_value("silkgate_attempts_total{partner=\"JO\",outcome=\"rejected\"}", 1.0);
    iq.wait_for_value("silkgate_attempt_duration_seconds_count{partner=\"JO\"}", 2.0);
    iq.wait_for_value("silkgate_submission_to_receipt_seconds_count{partner=\"JO\"}", 1.0);
    iq.wait_for_value("silkgate_outbox_messages{partner=\"JO\"}", 0.0);
    assert!(iq.value("silkgate_commit_batch_jobs_count").unwrap() >= 4.0);
    lines(&pair, good_id, other_id, &by_hand.id);
    nothing_of_the_payload(&pair, &[iq.metrics(), jo.metrics()], &[&good, &other]);
    monitoring::the_manual_names_every_figure(&jo.metrics());
}

#[test]
fn nobody_who_does_not_read_the_lines_holds_up_a_message() {
    let mut pair = Pair::set_up_files(None);
    let pipe = pair.jo.path.join("gateway.log");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    // Held open and never read. It has no name any more once the gateway has it.
    let unread = OpenOptions::new().read(true).write(true).open(&pipe).unwrap();
    pair.jo.start();
    std::fs::remove_file(&pipe).unwrap();
    let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
    let message = sign(&key, &event(IQ, JO));
    // Each leaves a line of more than a hundred bytes; a pipe takes 64 KiB.
    for _ in 0..480 {
        assert_eq!(client.message(&message.bytes).status, 200);
    }
    assert_eq!(client.message(&sign(&key, &event(IQ, JO)).bytes).status, 200, "and a commit passes");
    assert_eq!(pair.jo.stop(), Some(0));
    drop(unread);
    assert_eq!(pair.jo.log(&["--type", "alert.vehicle"]).len(), 2);
}

/// One line for each event.
fn lines(pair: &Pair, good: &str, other: &str, by_hand: &str) {
    let one = |home: &Home, parts: &[&str]| {
        wait_for(&format!("the line {parts:?}"), || line_with(home, parts));
    };
    let of_iq = "type=alert.vehicle verdict=accepted log=gateway.jo.example/JO/IQ entry=";
    one(&pair.jo, &[": message received partner=IQ id=", good, of_iq]);
    one(&pair.jo, &[": message received ", other, "verdict=rejected code=agreement_purpose log="]);
    one(&pair.jo, &[": message received ", by_hand, "verdict=accepted"]);
    one(&pair.jo, &[": message received ", by_hand, "verdict=again"]);
    one(&pair.jo, &[": message refused partner=IQ verdict=refused code=json_invalid"]);
    one(
        &pair.jo,
        &[
            ": connection refused code=tls_stranger fault=certificate_missing reason=\"peer sent no certificates\" from=",
        ],
    );
    one(&pair.jo, &[": message delivered partner=IQ id=", good, "recipient=JO/public-security log="]);
    one(&pair.iq, &[": message submitted partner=JO id=", good, "log=gateway.iq.example/IQ/JO entry="]);
    one(&pair.iq, &[": message settled partner=JO id=", good, "verdict=receipted log="]);
    one(&pair.iq, &[": message settled ", other, "verdict=rejected code=agreement_purpose log="]);
    one(&pair.iq, &[": submission refused id=", "from=IQ/traffic-police code=partner_unknown"]);
    one(&pair.iq, &[": partner changed partner=JO what=agreement"]);
    assert_eq!(
        line_with(&pair.iq, &[": attempt to send"]),
        None,
        "what brought a verdict has that line only"
    );
}

/// Neither the data of these events nor their salt, subject or signed bytes.
fn nothing_of_the_payload(pair: &Pair, figures: &[String], events: &[&Value]) {
    let logs = [pair.iq.gateway_log(), pair.jo.gateway_log()];
    for event in events {
        let mut secrets = Vec::new();
        strings(&event["data"], &mut secrets);
        secrets.extend(["salt", "subject"].map(|name| event[name].as_str().unwrap()));
        // Short words stand everywhere.
        let secrets: Vec<_> = secrets.into_iter().filter(|secret| secret.len() > 4).collect();
        assert!(secrets.len() > 4, "{secrets:?}");
        for text in logs.iter().chain(figures) {
            for secret in &secrets {
                assert!(!text.contains(secret), "{secret} stands in {text}");
            }
            assert!(!text.contains("eyJ"), "something signed stands in {text}");
        }
    }
}

fn strings<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::String(text) => found.push(text),
        Value::Array(items) => items.iter().for_each(|item| strings(item, found)),
        Value::Object(members) => members.values().for_each(|member| strings(member, found)),
        _ => {}
    }
}
