//! The schedule: what is due goes by itself, its keys with it, and a clock of one's own is not enough.

use std::path::Path;

use serde_json::{Value, json};
use silkgate_message::instant::Instant;
use support::home::Backend;
use support::home::set;
use support::trace::found;
use support::{Home, Pair, event, now_ms, wait_for};

use crate::erasure::{IQ, JO, alert, blobs, database, erased, exchange, execute, key_store, manifest};

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
    let mut pair = Pair::set_up_files(None);
    look_often(&pair.jo);
    // Iraq is asked for a cosignature also while nothing is exchanged.
    set(&pair.jo, "idle_seconds", "1");
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
    let mut pair = Pair::start_on(Backend::Sqlite);
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
    let pair = Pair::set_up_files(None);
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
    let mut pair = Pair::start_on(Backend::Sqlite);
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
