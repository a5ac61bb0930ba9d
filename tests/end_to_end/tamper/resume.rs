//! An audit that was interrupted goes on, and trusts nothing that somebody else could have written.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection as _, Row as _};
use support::home::{Home, binary};
use support::{Pair, event, sign, wait_for};

use super::exchanged::{IQ, JO, database, put, stop};
use super::{open, run};

/// Kills an audit once it has kept how far it came.
fn interrupt(home: &Home, kept: &Path) {
    let mut audit = Command::new(binary())
        .arg("-d")
        .arg(&home.path)
        .args(["audit", "verify", "--offline"])
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the audit to keep how far it came", || kept.exists().then_some(()));
    audit.kill().unwrap();
    audit.wait().unwrap();
}

fn resumed(home: &Home, more: &[&str]) -> (Option<i32>, Value) {
    let output = home.run(&[&["audit", "verify", "--offline", "--json"], more].concat());
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap())
}

fn with_messages(count: usize) -> Pair {
    let mut pair = Pair::set_up_files(None);
    pair.jo.start();
    let (client, key) = (pair.iq.as_partner_of(&pair.jo), pair.iq.message_key());
    for _ in 0..count {
        assert_eq!(client.message(&sign(&key, &event(IQ, JO)).bytes).status, 200);
    }
    stop(&mut pair.jo);
    pair
}

#[test]
fn a_killed_audit_goes_on_where_it_was_and_proves_that_nothing_changed_since() {
    let pair = with_messages(800);
    let home = &pair.jo;
    let kept = home.path.join("audit.progress");
    let (code, whole) = resumed(home, &[]);
    assert_eq!((code, &whole["resumed"], &whole["payloads"]), (Some(0), &0.into(), &800.into()));
    assert!(!kept.exists(), "a complete audit leaves nothing behind");

    interrupt(home, &kept);
    assert_eq!(std::fs::metadata(&kept).unwrap().permissions().mode() & 0o777, 0o600);
    let progress = std::fs::read(&kept).unwrap();
    let (code, report) = resumed(home, &[]);
    assert_eq!((code, &report["payloads"], &report["messages"]), (Some(0), &800.into(), &800.into()));
    assert!(report["resumed"].as_u64().unwrap() > 0, "{report}");
    assert!(!kept.exists());

    // The operator wants everything again; somebody else wrote the file; it is of other bytes.
    put_progress(&kept, &progress);
    assert_eq!(resumed(home, &["--fresh"]).1["resumed"], 0);
    let text = String::from_utf8(progress.clone()).unwrap();
    let at = text.find("\"at\":").unwrap() + 5;
    put_progress(&kept, text.replacen(&text[at..=at], "9", 1).as_bytes());
    assert_eq!(resumed(home, &[]).1["resumed"], 0, "its MAC does not fit");

    let path = database(home);
    let sound = std::fs::read(&path).unwrap();
    put_progress(&kept, &progress);
    run(async {
        let mut conn = open(&path).await;
        // The signature alone, in the middle of its base64: no digest covers it.
        let of_first =
            "WHERE (log, size) = (SELECT log, size FROM checkpoint ORDER BY log DESC, size LIMIT 1)";
        let sql = AssertSqlSafe(format!("SELECT note FROM checkpoint {of_first}"));
        let mut note: Vec<u8> = sqlx::query(sql).fetch_one(&mut conn).await.unwrap().get(0);
        let at = note.len() - 20;
        note[at] = if note[at] == b'A' { b'B' } else { b'A' };
        let sql = AssertSqlSafe(format!("UPDATE checkpoint SET note = $1 {of_first}"));
        let query = sqlx::query(sql).bind(note);
        query.execute(&mut conn).await.unwrap();
        conn.close().await.unwrap();
    });
    let (code, report) = resumed(home, &[]);
    assert_eq!(code, Some(1), "changed since it was verified: {report}");
    put(&path, &sound);
    assert_eq!(resumed(home, &[]).0, Some(0));
}

fn put_progress(kept: &Path, bytes: &[u8]) {
    std::fs::write(kept, bytes).unwrap();
}

#[test]
fn progress_is_told_where_it_is_asked_for() {
    let pair = with_messages(3);
    let output = pair.jo.run(&["audit", "verify", "--offline", "--progress", "--json"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("JO/IQ: ") && said.contains(" entries, ") && said.contains(" a second, "),
        "{said}"
    );
    let quiet = pair.jo.run(&["audit", "verify", "--offline", "--json"]);
    assert!(quiet.status.success() && quiet.stderr.is_empty());
}
