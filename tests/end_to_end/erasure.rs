//! Payloads at rest, and what is left of them once they are erased: nothing.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use silkgate_message::instant::Instant;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use support::home::Backend;
use support::peer::example;
use support::trace::{forms, found};
use support::{Home, Pair, event, question, sign, wait_for};

pub(crate) const IQ: &str = "IQ/traffic-police";
pub(crate) const JO: &str = "JO/public-security";
/// What stands in the messages below and nowhere else.
const NEEDLES: [&str; 6] =
    ["1HGCM82633A004352", "Nadelmarke", "Nadelmodell", "NADEL-2026/77", "22 A 12345", "NADEL998877"];

fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

async fn open(path: &Path) -> SqliteConnection {
    // As the gateway writes: what the test itself leaves behind would be found too.
    let options =
        SqliteConnectOptions::new().filename(path).foreign_keys(false).pragma("secure_delete", "ON");
    options.busy_timeout(std::time::Duration::from_secs(10)).connect().await.unwrap()
}

pub(crate) fn execute(path: &Path, sql: &str) {
    run(async {
        let mut conn = open(path).await;
        let done = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
        assert!(done.rows_affected() > 0, "{sql}");
    });
}

/// The rows' blobs, each piece long enough to be no accident: what a search for what is left looks for.
pub(crate) fn blobs(path: &Path, sql: &str) -> Vec<Vec<u8>> {
    run(async {
        let mut conn = open(path).await;
        let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut conn).await.unwrap();
        let found = rows
            .iter()
            .flat_map(|row| (0..row.len()).map(|at| row.get::<Vec<u8>, _>(at)).collect::<Vec<_>>());
        let pieces = found.flat_map(|blob| {
            blob.chunks(4096).map(|part| part[..part.len().min(24)].to_vec()).collect::<Vec<_>>()
        });
        let pieces: Vec<Vec<u8>> = pieces.filter(|piece| piece.len() == 24).collect();
        conn.close().await.unwrap();
        pieces
    })
}

pub(crate) fn needles() -> Vec<Vec<u8>> {
    NEEDLES.iter().flat_map(|needle| forms(needle)).collect()
}

/// An alert full of needles.
pub(crate) fn alert(source: &str, recipient: &str) -> Value {
    let mut event = event(source, recipient);
    event["data"]["make"] = json!("Nadelmarke");
    event["data"]["model"] = json!("Nadelmodell");
    event["data"]["decisionReference"] = json!("NADEL-2026/77");
    event
}

/// A message long enough for overflow pages.
pub(crate) fn manifest(source: &str, recipient: &str) -> Value {
    let mut event = example("manifest.passenger", 1, source, recipient);
    let traveller = event["data"]["travellers"][0].clone();
    let travellers = (1..=150).map(|number| {
        let mut traveller = traveller.clone();
        traveller["number"] = json!(number);
        traveller["document"]["number"] = json!(format!("NADEL{:06}", 998_877 + number - 1));
        traveller
    });
    event["data"]["travellers"] = travellers.collect();
    event["data"]["totals"] = json!({ "travellers": 150, "crew": 0 });
    event
}

/// Iraq's back end submits, Jordan's takes it over; the id.
pub(crate) fn exchange(pair: &Pair, event: &Value) -> String {
    let (back_end, taker) = (pair.iq.back_end(IQ), pair.jo.back_end(JO));
    let taken = back_end.submit(event);
    assert_eq!(taken.status, 202, "{}", String::from_utf8_lossy(&taken.body));
    let id = event["id"].as_str().unwrap().to_owned();
    let outcome = back_end.outcome(&id);
    assert_eq!(outcome["state"], "receipted", "{outcome}");
    let delivery = wait_for("the delivery", || taker.deliveries("?wait=2").pop());
    assert_eq!(taker.acknowledge(&delivery).status, 200);
    id
}

pub(crate) fn database(home: &Home) -> PathBuf {
    home.path.join("silkgate.db")
}

pub(crate) fn key_store(home: &Home) -> PathBuf {
    home.path.join("keys/payload-keys.db")
}

pub(crate) fn erased(home: &Home, partner: &str) -> Vec<Value> {
    home.log(&["--partner", partner]).into_iter().filter(|entry| entry["kind"] == "erased").collect()
}

#[test]
fn the_search_finds_what_is_there() {
    let pair = Pair::set_up_files(None);
    for engine in [&URL_SAFE_NO_PAD, &STANDARD_NO_PAD] {
        for before in ["", "x", "xy", "xyz"] {
            let text = engine.encode(format!("{before}22 A 12345 and more"));
            std::fs::write(pair.iq.path.join("trace"), format!("..{text}..")).unwrap();
            assert!(!found(&pair.iq, &needles()).is_empty(), "{before}: {text}");
        }
    }
}

#[test]
fn an_operator_erases_a_message_and_nothing_of_it_is_left() {
    let mut pair = Pair::start_on(Backend::Sqlite);
    let first = alert(IQ, JO);
    let long = manifest(IQ, JO);
    let (id, long_id) = (exchange(&pair, &first), exchange(&pair, &long));
    let kept = exchange(&pair, &event(IQ, JO));
    // Encrypted at rest: no word of it stands in any file, before anything is erased.
    for home in [&pair.iq, &pair.jo] {
        assert_eq!(found(home, &needles()), [], "{}", home.country);
    }
    // What is still needed stays.
    let waiting = alert(IQ, JO);
    assert_eq!(pair.iq.back_end(IQ).submit(&waiting).status, 202);
    let waiting = waiting["id"].as_str().unwrap();
    assert_eq!(pair.iq.back_end(IQ).outcome(waiting)["state"], "receipted");
    let refused = pair.jo.run(&["erase", waiting, "--reason", "too early"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("has not acknowledged it"));
    an_open_question_stays(&pair);
    let unknown = pair.jo.run(&["erase", "01a20c91-a000-7000-8000-000000000001", "--reason", "unknown"]);
    assert_eq!(unknown.status.code(), Some(1));

    let signed = pair.iq.back_end(IQ).get(&format!("/v1/submissions/{id}/message"));
    assert_eq!(signed.status, 200);
    let seqs = format!(
        "SELECT wrapped, bytes FROM payload WHERE seq IN (SELECT seq FROM message WHERE hex(id) IN ('{}', '{}'))",
        id.replace('-', "").to_uppercase(),
        long_id.replace('-', "").to_uppercase()
    );
    for home in [&pair.iq, &pair.jo] {
        let pieces = blobs(&database(home), &seqs);
        assert!(pieces.len() > 10, "the long one spans pages");
        assert!(!found(home, &pieces).is_empty(), "the search finds them while they are there");
        for id in [&id, &long_id] {
            let kept_until = home.json(&["show", id])["kept_until"].as_str().unwrap().to_owned();
            let report = home.json(&["erase", id, "--reason", "Gerichtsbeschluss 4711"]);
            assert_eq!(report["files_clean"], true, "{report}");
            assert_eq!(report["messages"][0]["now"], true);
            let last = Instant::parse(&format!("{kept_until}T00:00:00Z")).unwrap().day() + 30;
            assert_eq!(report["messages"][0]["gone_from_backups"], Instant::of_day(last).date().as_str());
        }
        assert_eq!(found(home, &pieces), [], "{}: wrapped keys and ciphertext are gone", home.country);
    }
    // Again: it is done, and says since when.
    let again = pair.jo.ok(&["erase", &id, "--reason", "once more"]);
    assert!(again.contains("was erased on"), "{again}");
    everything_else_still_holds(&mut pair, &id, &first, &signed.body);
    let shown = pair.jo.json(&["show", &kept]);
    assert_eq!(shown["event"]["type"], "alert.vehicle", "the others are there");
}

fn an_open_question_stays(pair: &Pair) {
    let asked = question(JO, IQ, 1_800_000);
    let (asker, asked_of) = (pair.jo.back_end(JO), pair.iq.back_end(IQ));
    assert_eq!(asker.submit(&asked).status, 202);
    let id = asked["id"].as_str().unwrap();
    assert_eq!(asker.outcome(id)["state"], "receipted");
    let delivery = wait_for("the question", || asked_of.deliveries("?wait=2").pop());
    assert_eq!(asked_of.acknowledge(&delivery).status, 200);
    for home in [&pair.iq, &pair.jo] {
        let refused = home.run(&["erase", id, "--reason", "too early"]);
        assert_eq!(refused.status.code(), Some(1));
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(said.contains("still waits for its answer"), "{said}");
    }
}

/// What a partner said when it refused may repeat what it refused: its code is what stays.
#[test]
fn with_a_refused_message_go_the_partners_words_about_it() {
    let pair = Pair::start_on(Backend::Sqlite);
    pair.iq.ok(&["partner", "allow", "JO", "--purpose", "customs-control"]);
    let mut event = event(IQ, JO);
    event["purpose"] = json!("customs-control");
    let back_end = pair.iq.back_end(IQ);
    wait_for("the agreement to be read again", || (back_end.submit(&event).status == 202).then_some(()));
    let id = event["id"].as_str().unwrap();
    assert_eq!(back_end.outcome(id)["state"], "rejected");
    // Jordan's words as a careless neighbour would choose them.
    let words = "UPDATE refusal SET problem = CAST(replace(CAST(problem AS TEXT), 'clause receive', 'Nadelmarke') AS BLOB)";
    execute(&database(&pair.iq), words);
    let words = forms("Nadelmarke");
    assert!(!found(&pair.iq, &words).is_empty());
    assert_eq!(pair.iq.json(&["erase", id, "--reason", "refused"])["files_clean"], true);
    assert_eq!(found(&pair.iq, &words), []);
    assert_eq!(pair.iq.json(&["show", id])["problem"]["code"], "agreement_purpose");
    assert_eq!(back_end.get(&format!("/v1/submissions/{id}")).json()["code"], "agreement_purpose");
    assert_eq!(pair.iq.audit(), Vec::<Value>::new());
    // Jordan never kept its body: there is nothing to erase.
    let refused = pair.jo.run(&["erase", id, "--reason", "refused"]);
    assert_eq!(refused.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&refused.stderr).contains("its body never kept"));
    // Words that came back would be noticed.
    let words = r#"UPDATE refusal SET problem = CAST(replace(CAST(problem AS TEXT), '}', ',"detail":"no"}') AS BLOB)"#;
    execute(&database(&pair.iq), words);
    assert_eq!(pair.iq.audit()[0]["what"], "the kept refusal is not the one logged");
}

/// Logs, receipts, replays and references of an erased message.
fn everything_else_still_holds(pair: &mut Pair, id: &str, event: &Value, signed: &[u8]) {
    for (home, partner) in [(&pair.iq, "JO"), (&pair.jo, "IQ")] {
        assert_eq!(home.audit(), Vec::<Value>::new());
        let logged = erased(home, partner);
        assert_eq!(logged.len(), 2);
        let of = home
            .log(&["--partner", partner])
            .into_iter()
            .position(|e| e["id"] == id && e["kind"] != "erased");
        assert_eq!(logged[0]["of"], of.unwrap().to_string().as_str());
        assert_eq!((&logged[0]["rule"], &logged[0]["id"]), (&json!("operator"), &json!(id)));
        let house = home.log(&["--partner", "house"]);
        let acts: Vec<&Value> = house.iter().filter(|entry| entry["what"] == "erase").collect();
        assert_eq!((acts.len(), &acts[0]["of"]), (2, &json!(id)));
        assert!(
            acts[0]["digest"].is_string() && !acts[0].to_string().contains("4711"),
            "the text is not in the log"
        );
        let shown = home.json(&["show", id]);
        assert_eq!((&shown["event"], &shown["erased"]["rule"]), (&Value::Null, &json!("operator")));
        assert_eq!(shown["erased"]["reason"], "Gerichtsbeschluss 4711");
        assert!(shown["receipt"].as_str().unwrap().starts_with("c2sp.org/tlog-proof@v1"));
        assert!(home.ok(&["show", id]).contains("payload      erased"));
    }
    assert_eq!(pair.iq.back_end(IQ).get(&format!("/v1/submissions/{id}/message")).status, 404);
    assert_eq!(pair.iq.back_end(IQ).get(&format!("/v1/submissions/{id}")).json()["state"], "receipted");
    let client = pair.iq.as_partner_of(&pair.jo);
    assert_eq!(
        client.message(signed).header("silkgate-replay"),
        Some("true"),
        "its first answer still comes"
    );
    let digest = pair.jo.json(&["show", id])["digest"].clone();
    let mut update = alert(IQ, JO);
    update["subject"] = event["subject"].clone();
    update["data"]["recordId"] = event["subject"].clone();
    update["data"]["action"] = json!("update");
    update["data"]["recordVersion"] = json!(2);
    update["data"]["supersedes"] = json!({ "messageId": id, "digest": digest });
    assert_eq!(
        client.message(&sign(&pair.iq.message_key(), &update).bytes).status,
        200,
        "its record goes on"
    );
    // With the gateways stopped it is the same.
    pair.iq.stop();
    pair.jo.stop();
    assert_eq!(pair.jo.audit(), Vec::<Value>::new());
    for home in [&pair.iq, &pair.jo] {
        assert_eq!(found(home, &needles()), []);
    }
}
