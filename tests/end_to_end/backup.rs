//! Backups: taken beside a running gateway, restored or refused, and found out by whoever has seen more.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::{Value, json};
use support::home::{Backend, set};
use support::postgres::Cluster;
use support::{Home, Pair, wait_for};

use crate::erasure::{IQ, JO, alert, exchange};
use crate::moving::{copy_home, killed_at, on, said};

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}

/// Both running, with something exchanged, and everything cosigned.
fn lived() -> Pair {
    lived_on(Backend::of_this_run())
}

fn lived_on(backend: Backend) -> Pair {
    let mut pair = Pair::set_up_on(None, backend);
    for home in [&pair.iq, &pair.jo] {
        set(home, "show_seconds", "0");
    }
    pair.iq.start();
    pair.jo.start();
    exchange(&pair, &alert(IQ, JO));
    // How keys are exchanged each way is told once: then the house log stands still.
    wait_for("both directions to be told", || {
        let house = pair.jo.log(&["--partner", "house"]);
        (house.iter().filter(|entry| entry["what"] == "key_exchange").count() == 2).then_some(())
    });
    cosigned(&pair.jo);
    pair
}

fn cosigned(home: &Home) {
    wait_for("every entry to be cosigned", || {
        let status = home.json(&["status"]);
        status["witness"].as_array().unwrap().iter().all(|w| w["size"] == w["of"]).then_some(())
    });
}

fn backup(pair: &Pair, name: &str) -> PathBuf {
    let file = pair.folder.path().join(name);
    pair.jo.ok(&["backup", &text(&file)]);
    file
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn logs(home: &Home) -> Value {
    home.json(&["status"])["logs"].clone()
}

/// Runs a command that must not succeed; what it said.
fn fails(home: &Home, code: i32, args: &[&str]) -> String {
    let output = home.run(args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
    said(&output) + &String::from_utf8_lossy(&output.stdout)
}

#[test]
fn a_backup_is_taken_beside_a_running_gateway_and_restored() {
    let mut pair = lived();
    let file = pair.folder.path().join("jo.silkgate");
    // While messages come in.
    let done = std::sync::atomic::AtomicBool::new(false);
    let report = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(std::sync::atomic::Ordering::SeqCst) {
                let event = alert(IQ, JO);
                assert_eq!(pair.iq.back_end(IQ).submit(&event).status, 202);
            }
        });
        let report = pair.jo.json(&["backup", &text(&file)]);
        done.store(true, std::sync::atomic::Ordering::SeqCst);
        report
    });
    let backup = &report["backups"][0];
    assert_eq!(
        (mode(&file), backup["bytes"].as_u64()),
        (0o600, Some(std::fs::metadata(&file).unwrap().len()))
    );
    let names: Vec<&str> = backup["files"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(names.contains(&"silkgate.toml") && names.contains(&"certs/tls.pem"), "{names:?}");
    let bytes = std::fs::read(&file).unwrap();
    for secret in ["PRIVATE KEY", "Nadelmarke"] {
        assert!(!bytes.windows(secret.len()).any(|at| at == secret.as_bytes()), "{secret}");
    }
    assert!(fails(&pair.jo, 2, &["backup", &text(&file)]).contains("exists"), "nothing is overwritten");
    let checked = pair.jo.json(&["restore", &text(&file), "--check"]);
    assert!(checked["messages"].as_u64().unwrap() >= 1, "beside the gateway: {checked}");
    assert!(fails(&pair.jo, 2, &["restore", &text(&file)]).contains("the gateway must be stopped"));
    // Stopped, and nothing was exchanged since.
    cosigned(&pair.jo);
    let second = self::backup(&pair, "second.silkgate");
    assert_eq!(pair.jo.stop(), Some(0));
    let before = logs(&pair.jo);
    let report = pair.jo.json(&["restore", &text(&second)]);
    assert_eq!((&report["read_only"], &report["asked"]), (&json!(false), &json!(true)));
    let states: Vec<&Value> = report["witnesses"].as_array().unwrap().iter().map(|w| &w["state"]).collect();
    assert_eq!(states, [&json!("agrees"), &json!("agrees")], "{report}");
    assert!(report["restored"]["kept_aside"].is_string(), "what was in force is kept");
    assert_eq!(logs(&pair.jo), before);
    pair.jo.start();
    exchange(&pair, &alert(IQ, JO));
    assert_eq!((pair.jo.audit(), pair.iq.audit()), (vec![], vec![]));
}

#[test]
fn an_older_backup_is_read_only_until_what_is_lost_is_given_up() {
    let mut pair = lived();
    let file = backup(&pair, "older.silkgate");
    let lost = exchange(&pair, &alert(IQ, JO));
    cosigned(&pair.jo);
    assert_eq!(pair.jo.stop(), Some(0));
    let told = fails(&pair.jo, 1, &["restore", &text(&file)]);
    assert!(
        told.contains("READ-ONLY") && told.contains("log recover IQ") && told.contains("NOT those here"),
        "{told}"
    );
    // The state is read-only before any gateway starts.
    assert!(fails(&pair.jo, 2, &["partner", "suspend", "IQ"]).contains("read-only"));
    pair.jo.start();
    wait_for("the alarm", || pair.jo.gateway_log().contains("ALARM still open").then_some(()));
    assert_eq!(pair.jo.back_end(JO).submit(&alert(JO, IQ)).status, 503);
    assert!(pair.jo.run(&["show", &lost]).status.code() != Some(0), "the lost message is not there");
    recover(&pair);
    let report = pair.jo.run(&["reconcile", "IQ", "--json"]);
    let report: Value = serde_json::from_slice(&report.stdout).unwrap();
    assert!(
        report["given_up"].as_array().unwrap().iter().any(|found| found["id"] == lost.as_str()),
        "{report}"
    );
    exchange(&pair, &alert(IQ, JO));
    assert_eq!((pair.jo.audit(), pair.iq.audit()), (vec![], vec![]));
}

/// Both operators give up what was lost.
fn recover(pair: &Pair) {
    let told = pair.jo.run(&["log", "recover", "IQ", "--json"]);
    let told: Value = serde_json::from_slice(&told.stdout).unwrap();
    let code = told["code"].as_str().unwrap().to_owned();
    pair.jo.ok(&["log", "recover", "IQ", "--code", &code]);
    pair.iq.ok(&["log", "recover", "JO", "--code", &code]);
    wait_for("messages to pass again", || {
        (pair.jo.back_end(JO).submit(&alert(JO, IQ)).status == 202).then_some(())
    });
}

#[test]
fn without_the_partners_word_the_next_start_finds_out() {
    let mut pair = lived();
    let file = backup(&pair, "older.silkgate");
    exchange(&pair, &alert(IQ, JO));
    cosigned(&pair.jo);
    assert_eq!(pair.jo.stop(), Some(0));
    let told = pair.jo.ok(&["restore", &text(&file), "--offline"]);
    assert!(told.contains("NOBODY WAS ASKED"), "{told}");
    assert_eq!(pair.jo.json(&["status"])["alarms"], json!([]));
    pair.jo.start();
    wait_for("the guard", || pair.jo.gateway_log().contains("READ-ONLY").then_some(()));
    // A partner that is away: it says so, and does not fail.
    assert_eq!(pair.jo.stop(), Some(0));
    pair.iq.kill();
    let told = pair.jo.ok(&["restore", &text(&file)]);
    assert!(told.contains("IQ COULD NOT BE ASKED"), "{told}");
}

#[test]
fn a_file_that_is_not_this_gateways_whole_backup_changes_nothing() {
    let mut pair = lived();
    let file = backup(&pair, "good.silkgate");
    let other = pair.folder.path().join("other.silkgate");
    pair.iq.ok(&["backup", &text(&other)]);
    let keys = pair.folder.path().join("jo.keys");
    pair.jo.ok(&["backup", "--keys", &text(&keys)]);
    assert_eq!((mode(&keys), pair.jo.stop()), (0o600, Some(0)));
    let before = logs(&pair.jo);
    let good = std::fs::read(&file).unwrap();
    let flipped = |at: usize| {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        bytes
    };
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("empty", Vec::new(), "no backup of silkgate"),
        ("cut", good[..good.len() / 2].to_vec(), "cut off"),
        ("cut by one", good[..good.len() - 1].to_vec(), "cut off"),
        ("longer", [good.clone(), b"x".to_vec()].concat(), "cut off"),
        ("flip in the first page", flipped(20), "damaged"),
        ("flip in the middle", flipped(good.len() / 2), "damaged"),
        ("flip in the checksum", flipped(good.len() - 5), "damaged"),
        ("a database", vec![7; 200_000], "no backup"),
    ];
    for (name, bytes, why) in cases {
        let path = pair.folder.path().join("bad.silkgate");
        std::fs::write(&path, bytes).unwrap();
        let told = fails(&pair.jo, 2, &["restore", &text(&path)]);
        assert!(told.contains(why), "{name}: {told}");
        assert!(fails(&pair.jo, 2, &["restore", &text(&path), "--check"]).contains(why), "{name}");
    }
    assert!(fails(&pair.jo, 2, &["restore", &text(&other)]).contains("a backup of another gateway"));
    assert!(fails(&pair.jo, 2, &["restore", &text(&keys)]).contains("goes behind --keys"));
    assert!(fails(&pair.jo, 2, &["restore", "--keys", &text(&file)]).contains("not of the key store"));
    assert!(fails(&pair.jo, 2, &["restore", "--keys", &text(&keys)]).contains("holds keys"));
    // The same name, and other keys: a home that was made anew.
    let key = pair.jo.path.join("keys/log.key");
    let kept = std::fs::read(&key).unwrap();
    std::fs::copy(pair.iq.path.join("keys/log.key"), &key).unwrap();
    let told = fails(&pair.jo, 1, &["restore", &text(&file)]);
    assert!(told.contains("FOUND") && told.contains("nothing was changed"), "{told}");
    std::fs::write(&key, kept).unwrap();
    assert_eq!(logs(&pair.jo), before);
    pair.jo.start();
    exchange(&pair, &alert(IQ, JO));
    assert_eq!(pair.jo.audit(), Vec::<Value>::new());
}

/// The machine is gone: what is left is a backup, a backup of the keys, and the private keys.
#[test]
fn a_new_machine_takes_the_gateway_over_on_either_database() {
    for (from, to) in [(Backend::Sqlite, Backend::Postgres), (Backend::Postgres, Backend::Sqlite)] {
        let mut pair = lived_on(from);
        let id = exchange(&pair, &alert(IQ, JO));
        cosigned(&pair.jo);
        let (file, keys) = (pair.folder.path().join("jo.silkgate"), pair.folder.path().join("jo.keys"));
        pair.jo.ok(&["backup", &text(&file), "--keys", &text(&keys)]);
        assert_eq!(pair.jo.stop(), Some(0));
        let old = pair.folder.path().join("old-machine");
        std::fs::rename(&pair.jo.path, &old).unwrap();
        std::fs::create_dir(&pair.jo.path).unwrap();
        let told = fails(&pair.jo, 2, &["restore", &text(&file), "--keys", &text(&keys)]);
        assert!(told.contains("put them in place first"), "{told}");
        for folder in ["keys", "clients"] {
            std::fs::create_dir_all(pair.jo.path.join(folder)).unwrap();
            for entry in std::fs::read_dir(old.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_some_and(|ending| ending == "key") {
                    std::fs::copy(&path, pair.jo.path.join(folder).join(path.file_name().unwrap())).unwrap();
                }
            }
        }
        // The other kind of database: the configuration is written first, and says another place.
        let other = match to {
            Backend::Sqlite => "silkgate.db".to_owned(),
            Backend::Postgres | Backend::Shared => Cluster::shared().database("new").url(),
        };
        let settings = std::fs::read_to_string(old.join("silkgate.toml")).unwrap();
        let line = settings.lines().find(|line| line.starts_with("database = ")).unwrap().to_owned();
        let settings = settings.replace(&line, &format!("database = \"{other}\""));
        std::fs::write(pair.jo.path.join("silkgate.toml"), settings).unwrap();
        for folder in ["certs", "clients"] {
            assert!(
                Command::new("cp")
                    .arg("-an")
                    .args([old.join(folder), pair.jo.path.clone()])
                    .status()
                    .unwrap()
                    .success()
            );
        }
        let report = pair.jo.json(&["restore", &text(&file), "--keys", &text(&keys)]);
        assert_eq!(
            (&report["read_only"], &report["restored"]["kept_aside"]),
            (&json!(false), &Value::Null),
            "{report}"
        );
        assert_eq!(pair.jo.json(&["show", &id])["event"]["id"], id.as_str(), "its payload opens");
        pair.jo.start();
        exchange(&pair, &alert(IQ, JO));
        assert_eq!(pair.jo.audit(), Vec::<Value>::new());
    }
}

#[test]
fn an_empty_folder_is_furnished_from_the_backup() {
    let mut pair = lived_on(Backend::Sqlite);
    let (file, keys) = (pair.folder.path().join("jo.silkgate"), pair.folder.path().join("jo.keys"));
    pair.jo.ok(&["backup", &text(&file), "--keys", &text(&keys)]);
    assert_eq!(pair.jo.stop(), Some(0));
    let old = pair.folder.path().join("old-machine");
    std::fs::rename(&pair.jo.path, &old).unwrap();
    std::fs::create_dir(&pair.jo.path).unwrap();
    for folder in ["keys", "clients"] {
        let copy =
            format!("mkdir {1}/{2} && cp -p {0}/{2}/*.key {1}/{2}/", text(&old), text(&pair.jo.path), folder);
        assert!(Command::new("sh").args(["-c", &copy]).status().unwrap().success());
    }
    let report = pair.jo.json(&["restore", &text(&file), "--keys", &text(&keys)]);
    assert!(report["files"].as_array().unwrap().iter().any(|name| name == "silkgate.toml"), "{report}");
    pair.jo.start();
    exchange(&pair, &alert(IQ, JO));
    assert_eq!(pair.jo.audit(), Vec::<Value>::new());
}

/// Whether this test may mount: as root only.
fn small_disk(at: &Path, kilobytes: u32) -> bool {
    std::fs::create_dir_all(at).unwrap();
    let options = format!("size={kilobytes}k");
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(at).status();
    mounted.is_ok_and(|status| status.success())
}

#[test]
fn a_full_disk_leaves_no_half_backup() {
    let pair = lived();
    let disk = pair.folder.path().join("disk");
    if !small_disk(&disk, 300) {
        eprintln!("not root: no disk can be filled here");
        return;
    }
    let file = disk.join("jo.silkgate");
    let told = fails(&pair.jo, 2, &["backup", &text(&file)]);
    let left: Vec<_> = std::fs::read_dir(&disk).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    assert!(told.contains("there is no backup") && told.contains("full"), "{told}");
    assert_eq!(left, Vec::<PathBuf>::new());
    exchange(&pair, &alert(IQ, JO));
}

/// After a kill the former state is in force or the backup's, whole.
#[test]
fn a_restore_that_is_killed_anywhere_leaves_one_state_in_force() {
    let mut pair = lived_on(Backend::Sqlite);
    let file = backup(&pair, "older.silkgate");
    let older = logs(&pair.jo);
    exchange(&pair, &alert(IQ, JO));
    assert_eq!(pair.jo.stop(), Some(0));
    let newer = logs(&pair.jo);
    let (mut old, mut new) = (0, 0);
    let everything = "fsync,fdatasync,rename,link,linkat,unlink";
    let all = [1, 2, 3, 5, 8, 12].map(|n| (everything, n));
    // The rename is the stroke; what the command's own thread syncs behind it is the folder.
    let stroke = [("rename", 1), ("fsync", 3), ("fsync", 4), ("fsync", 5), ("fsync", 6)];
    for (calls, n) in all.into_iter().chain(stroke) {
        let home = pair.folder.path().join(format!("killed-{}-{n}", &calls[..6.min(calls.len())]));
        copy_home(&pair.jo.path, &home);
        let args = ["restore", &text(&file), "--offline"];
        let killed = killed_at(&home, &args, calls, n);
        let status: Value = serde_json::from_slice(&on(&home, &["status", "--json"]).stdout).unwrap();
        let is_older = status["logs"] == older;
        assert!(is_older || status["logs"] == newer, "{calls} {n}: {status}");
        *(if is_older { &mut new } else { &mut old }) += 1;
        assert!(on(&home, &["audit", "verify", "--offline"]).status.success(), "{n}");
        assert!(killed || is_older);
        let again = on(&home, &args);
        assert!(again.status.success(), "{}", said(&again));
    }
    assert!(old > 0 && new > 0, "kills before and after the stroke: {old} and {new}");
}

/// The same on a server, where the stroke is a transaction.
#[test]
fn a_restore_on_postgres_that_is_killed_anywhere_leaves_one_state_in_force() {
    let mut pair = lived_on(Backend::Postgres);
    let file = backup(&pair, "older.silkgate");
    let older = logs(&pair.jo);
    exchange(&pair, &alert(IQ, JO));
    let last = backup(&pair, "newer.silkgate");
    assert_eq!(pair.jo.stop(), Some(0));
    let newer = logs(&pair.jo);
    let mut old = 0;
    for n in [20, 120, 250, 330, 400] {
        pair.jo.ok(&["restore", &text(&last), "--offline"]);
        let args = ["restore", &text(&file), "--offline"];
        let killed = killed_at(&pair.jo.path, &args, "sendto", n);
        let found = logs(&pair.jo);
        assert!(found == older || found == newer, "{n}: {found}");
        assert!(killed || found == older, "{n}");
        old += u32::from(found == newer);
        assert!(pair.jo.run(&["audit", "verify", "--offline"]).status.success(), "{n}");
    }
    assert!(old > 1, "kills before the stroke: {old}");
    pair.jo.ok(&["restore", &text(&file), "--offline"]);
    assert_eq!(logs(&pair.jo), older);
}

/// What an operator erased is back until its day: the former database tells what is to be erased again.
#[test]
fn what_operators_erased_since_is_named() {
    let mut pair = lived();
    let id = exchange(&pair, &alert(IQ, JO));
    let file = backup(&pair, "older.silkgate");
    pair.jo.ok(&["erase", &id, "--reason", "court order 4711"]);
    cosigned(&pair.jo);
    assert_eq!(pair.jo.stop(), Some(0));
    let output = pair.jo.run(&["restore", &text(&file), "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&report["erase_again"], &report["read_only"]), (&json!([id]), &json!(true)), "{report}");
    pair.jo.start();
    recover(&pair);
    pair.jo.ok(&["erase", &id, "--reason", "court order 4711"]);
    assert_eq!(pair.jo.audit(), Vec::<Value>::new());
}

/// What the schedule has destroyed stays destroyed, whatever a backup brings back.
#[test]
fn what_retention_destroyed_does_not_come_back() {
    let mut pair = lived_on(Backend::Sqlite);
    let id = exchange(&pair, &alert(IQ, JO));
    let file = backup(&pair, "older.silkgate");
    assert_eq!(pair.jo.stop(), Some(0));
    let keys = pair.jo.path.join("keys/payload-keys.db");
    let now = support::now_ms();
    crate::erasure::execute(&keys, &format!("UPDATE day_key SET key = zeroblob(32), destroyed_ms = {now}"));
    let report = pair.jo.json(&["restore", &text(&file)]);
    assert_eq!(report["restored"]["keys_destroyed"], 2, "{report}");
    assert_eq!(pair.jo.json(&["show", &id])["event"], Value::Null);
    let settings = pair.jo.path.join("silkgate.toml");
    let often =
        std::fs::read_to_string(&settings).unwrap().replace("every_seconds = 3600", "every_seconds = 1");
    std::fs::write(&settings, often).unwrap();
    pair.jo.start();
    wait_for("the first look", || (crate::erasure::erased(&pair.jo, "IQ").len() == 2).then_some(()));
    assert_eq!(pair.jo.audit(), Vec::<Value>::new());
}
