//! Payloads at rest, and what is left of them once they are erased: nothing.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use silkgate_message::instant::Instant;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use support::peer::example;
use support::trace::{forms, found};
use support::{Home, Pair, event, now_ms, question, sign, wait_for};

const IQ: &str = "IQ/traffic-police";
const JO: &str = "JO/public-security";
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

fn execute(path: &Path, sql: &str) {
    run(async {
        let mut conn = open(path).await;
        let done = sqlx::query(AssertSqlSafe(sql.to_owned())).execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
        assert!(done.rows_affected() > 0, "{sql}");
    });
}

/// The rows' blobs, each piece long enough to be no accident: what a search for what is left looks for.
fn blobs(path: &Path, sql: &str) -> Vec<Vec<u8>> {
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

fn needles() -> Vec<Vec<u8>> {
    NEEDLES.iter().flat_map(|needle| forms(needle)).collect()
}

/// An alert full of needles.
fn alert(source: &str, recipient: &str) -> Value {
    let mut event = event(source, recipient);
    event["data"]["make"] = json!("Nadelmarke");
    event["data"]["model"] = json!("Nadelmodell");
    event["data"]["decisionReference"] = json!("NADEL-2026/77");
    event
}

/// A message long enough for overflow pages.
fn manifest(source: &str, recipient: &str) -> Value {
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
fn exchange(pair: &Pair, event: &Value) -> String {
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

fn database(home: &Home) -> PathBuf {
    home.path.join("silkgate.db")
}

fn key_store(home: &Home) -> PathBuf {
    home.path.join("keys/payload-keys.db")
}

fn erased(home: &Home, partner: &str) -> Vec<Value> {
    home.log(&["--partner", partner]).into_iter().filter(|entry| entry["kind"] == "erased").collect()
}

#[test]
fn the_search_finds_what_is_there() {
    let pair = Pair::set_up(None);
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
    let mut pair = Pair::start();
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
    let pair = Pair::start();
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

/// The partner's newest cosignature told of that time, and came in at that one, from now.
fn clock_told(home: &Home, theirs: i64, ours: i64) {
    let (theirs, ours) = (now_ms() + theirs, now_ms() + ours);
    execute(
        &database(home),
        &format!("UPDATE partner SET clock_theirs_ms = {theirs}, clock_ours_ms = {ours}"),
    );
}

/// As if the retention day of every payload had come.
fn let_time_pass(home: &Home) {
    execute(&key_store(home), "UPDATE day_key SET day = day - 10000 WHERE destroyed_ms IS NULL");
}

fn look_often(home: &Home) {
    let file = home.path.join("silkgate.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("every_seconds = 3600", "every_seconds = 1")).unwrap();
}

#[test]
fn the_schedule_erases_what_is_due_and_destroys_its_keys() {
    let mut pair = Pair::set_up(None);
    look_often(&pair.jo);
    pair.iq.start();
    pair.jo.start();
    let id = exchange(&pair, &alert(IQ, JO));
    let waiting = alert(IQ, JO);
    assert_eq!(pair.iq.back_end(IQ).submit(&waiting).status, 202);
    assert_eq!(pair.iq.back_end(IQ).outcome(waiting["id"].as_str().unwrap())["state"], "receipted");
    // A backup of the data, taken while the gateway runs: a killed process leaves its write-ahead log behind.
    pair.jo.kill();
    let backup = pair.folder.path().join("backup");
    std::fs::create_dir(&backup).unwrap();
    for name in ["silkgate.db", "silkgate.db-wal"] {
        std::fs::copy(pair.jo.path.join(name), backup.join(name)).unwrap();
    }
    pair.jo.start();
    let keys = blobs(&key_store(&pair.jo), "SELECT key FROM day_key");
    assert!(!found(&pair.jo, &keys).is_empty());

    // The day has come, by our clock alone: nothing is destroyed.
    pair.iq.stop();
    clock_told(&pair.jo, -7_200_000, -7_200_000);
    let_time_pass(&pair.jo);
    wait_for("the alarm", || pair.jo.gateway_log().contains("NOTHING IS ERASED").then_some(()));
    assert_eq!(erased(&pair.jo, "IQ"), Vec::<Value>::new());
    // A clock that is an hour off confirms nothing either.
    let alarms = pair.jo.gateway_log().matches("NOTHING IS ERASED").count();
    clock_told(&pair.jo, -3_600_000, 0);
    wait_for("two more looks", || {
        (pair.jo.gateway_log().matches("NOTHING IS ERASED").count() > alarms + 1).then_some(())
    });
    assert_eq!(erased(&pair.jo, "IQ"), Vec::<Value>::new());
    // Iraq is back and cosigns: its word counts.
    pair.iq.start();
    let logged = wait_for("the erasure", || erased(&pair.jo, "IQ").pop());
    assert_eq!((&logged["id"], &logged["rule"]), (&json!(id), &json!("retention")));
    wait_for("the line about it", || pair.jo.gateway_log().contains("erased=1 waiting=1").then_some(()));
    assert_eq!(pair.jo.audit().len(), 1, "the day of the payload that waits was moved: it no longer opens");
    assert!(!found(&pair.jo, &keys).is_empty(), "what waits for its back end keeps its key");

    // Its hand-over done, the rest goes, and the key with it.
    let taker = pair.jo.back_end(JO);
    execute(&key_store(&pair.jo), "UPDATE day_key SET day = day + 10000 WHERE destroyed_ms IS NULL");
    let delivery = wait_for("the delivery", || taker.deliveries("?wait=2").pop());
    assert_eq!(taker.acknowledge(&delivery).status, 200);
    let_time_pass(&pair.jo);
    wait_for("the second erasure", || (erased(&pair.jo, "IQ").len() == 2).then_some(()));
    wait_for("the key to be destroyed", || found(&pair.jo, &keys).is_empty().then_some(()));
    assert_eq!(pair.jo.audit(), Vec::<Value>::new());
    // What comes later has a new key, and is not touched.
    let later = exchange(&pair, &alert(IQ, JO));
    assert_eq!(pair.jo.json(&["show", &later])["event"]["id"], later.as_str());
    // An erasure after which a crash kept the key alive: the next look finishes it.
    let keys = blobs(&key_store(&pair.jo), "SELECT key FROM day_key WHERE destroyed_ms IS NULL");
    pair.jo.ok(&["erase", &later, "--reason", "to be forgotten"]);
    assert!(!found(&pair.jo, &keys).is_empty(), "a key stays until its day");
    let_time_pass(&pair.jo);
    wait_for("the key to be destroyed", || found(&pair.jo, &keys).is_empty().then_some(()));
    // The reason has its day too; the log keeps the digest.
    assert_eq!(pair.jo.json(&["show", &later])["erased"]["reason"], "to be forgotten");
    execute(&database(&pair.jo), "UPDATE erasure SET reason_day = 1 WHERE reason IS NOT NULL");
    wait_for("the reason to be taken away", || {
        found(&pair.jo, &[b"to be forgotten".to_vec()]).is_empty().then_some(())
    });
    assert_eq!(pair.jo.json(&["show", &later])["erased"]["rule"], "operator");
    assert_eq!(pair.jo.audit(), Vec::<Value>::new());
    assert_eq!(pair.jo.stop(), Some(0));
    a_backup_cannot_show_it(&pair, &backup, &id);
}

/// Yesterday's database with today's key store.
fn a_backup_cannot_show_it(pair: &Pair, backup: &Path, id: &str) {
    for name in ["silkgate.db", "silkgate.db-wal"] {
        std::fs::copy(backup.join(name), pair.jo.path.join(name)).unwrap();
    }
    let _ = std::fs::remove_file(pair.jo.path.join("silkgate.db-shm"));
    let shown = pair.jo.json(&["show", id]);
    assert_eq!(shown["event"], Value::Null);
    assert!(shown["unreadable"].as_str().unwrap().contains("its day key was destroyed at 20"), "{shown}");
    assert!(
        pair.jo
            .audit()
            .iter()
            .any(|finding| finding["what"].as_str().unwrap().contains("cannot be decrypted"))
    );
}

/// Of a database that comes from a backup: its keys were destroyed since.
#[test]
fn what_a_backup_brings_back_without_its_key_is_erased_again() {
    let mut pair = Pair::start();
    let id = exchange(&pair, &alert(IQ, JO));
    assert_eq!(pair.jo.stop(), Some(0));
    let now = now_ms();
    execute(&key_store(&pair.jo), &format!("UPDATE day_key SET key = zeroblob(32), destroyed_ms = {now}"));
    assert!(pair.jo.audit()[0]["what"].as_str().unwrap().contains("its day key was destroyed"));
    look_often(&pair.jo);
    pair.jo.start();
    let logged = wait_for("the erasure", || erased(&pair.jo, "IQ").pop());
    assert_eq!((&logged["id"], &logged["rule"]), (&json!(id), &json!("retention")));
    assert_eq!(pair.jo.audit(), Vec::<Value>::new());
}

#[test]
fn how_long_is_what_type_agreement_and_record_say() {
    let pair = Pair::set_up(None);
    let kept = |pair: &Pair, event: &Value| {
        let id = exchange(pair, event);
        pair.jo.json(&["show", &id])["kept_until"].as_str().unwrap().to_owned()
    };
    let in_days = |days: i64| {
        let day = Instant(now_ms()).day() + days;
        Instant::of_day(day).date()
    };
    pair.jo.ok(&["partner", "allow", "IQ", "--retention-days", "900"]);
    pair.jo.ok(&[
        "partner",
        "allow",
        "IQ",
        "--type",
        "manifest.passenger",
        "--receive",
        "--retention-days",
        "7",
    ]);
    let shown = pair.jo.json(&["partner", "show", "IQ"]);
    assert_eq!(shown["agreement"]["retention_days"], 900);
    let text = pair.jo.ok(&["partner", "show", "IQ"]);
    assert!(text.contains("retention_days = 900") && text.contains("retention_days = 7"), "{text}");
    let refused = pair.jo.run(&["partner", "allow", "IQ", "--retention-days", "0"]);
    assert_eq!(refused.status.code(), Some(2));
    let mut pair = pair;
    pair.iq.start();
    pair.jo.start();
    let mut stated = event(IQ, JO);
    let mut open = stated.clone();
    stated["data"]["retention"] = json!({ "deleteBy": in_days(20), "reviewBy": in_days(10) });
    open["id"] = event(IQ, JO)["id"].clone();
    open["subject"] = json!("R-OPEN");
    open["data"]["recordId"] = json!("R-OPEN");
    open["data"]["retention"] = json!({ "deleteBy": in_days(1000), "reviewBy": in_days(10) });
    assert_eq!(kept(&pair, &stated), in_days(21), "it may be used on its last day");
    assert_eq!(kept(&pair, &open), in_days(900));
    assert_eq!(kept(&pair, &manifest(IQ, JO)), in_days(7));
}

#[test]
fn without_its_key_store_a_gateway_does_not_start_as_if_all_were_well() {
    let mut pair = Pair::start();
    let id = exchange(&pair, &alert(IQ, JO));
    assert_eq!(pair.jo.stop(), Some(0));
    std::fs::remove_file(key_store(&pair.jo)).unwrap();
    let refused = pair.jo.run(&["serve"]);
    assert_eq!(refused.status.code(), Some(2));
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("put its backup back"), "{said}");
    assert_eq!(pair.jo.audit().len(), 1, "the payload cannot be read; everything else stands");
    assert!(pair.jo.ok(&["show", &id]).contains("CANNOT BE READ: the key store does not hold its day key"));
    // The operator's word that there is no backup.
    std::fs::write(key_store(&pair.jo), "").unwrap();
    let exposed = pair.jo.run(&["serve"]);
    assert!(
        String::from_utf8_lossy(&exposed.stderr).contains("chmod 600"),
        "a file that others may read is not used"
    );
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(key_store(&pair.jo), std::fs::Permissions::from_mode(0o600)).unwrap();
    pair.jo.start();
    let later = exchange(&pair, &alert(IQ, JO));
    assert_eq!(pair.jo.json(&["show", &later])["event"]["id"], later.as_str());
    assert_eq!(pair.jo.audit().len(), 1, "what was lost stays lost, and no new key is taken for it");
}
