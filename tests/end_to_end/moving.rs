//! `silkgate move`: a state goes from one kind of database to the other, whole or not at all.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use support::home::{Backend, binary};
use support::postgres::{Cluster, Database};
use support::{Home, Pair};

use crate::erasure::{IQ, JO, alert, exchange};

/// A gateway's state with everything in it: messages of both ways, one that waits, one that was erased, cosignatures.
fn lived(backend: Backend) -> (Pair, String) {
    let mut pair = Pair::start_on(backend);
    let id = exchange(&pair, &alert(IQ, JO));
    let gone = exchange(&pair, &alert(IQ, JO));
    for (from, to, home) in [(IQ, JO, &pair.iq), (JO, IQ, &pair.jo), (IQ, JO, &pair.iq)] {
        let event = alert(from, to);
        assert_eq!(home.back_end(from).submit(&event).status, 202);
        assert_eq!(home.back_end(from).outcome(event["id"].as_str().unwrap())["state"], "receipted");
    }
    pair.jo.ok(&["erase", &gone, "--reason", "court order 4711"]);
    assert_eq!(pair.jo.stop(), Some(0));
    (pair, id)
}

fn logs(home: &Home) -> Value {
    home.json(&["status"])["logs"].clone()
}

fn setting(home: &Path, name: &str) -> String {
    let text = std::fs::read_to_string(home.join("silkgate.toml")).unwrap();
    let line = text.lines().find(|line| line.starts_with(&format!("{name} = "))).unwrap();
    line.split('"').nth(1).unwrap().to_owned()
}

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn files(home: &Path, word: &str) -> Vec<PathBuf> {
    let all = ["", "keys"].map(|folder| std::fs::read_dir(home.join(folder)).unwrap());
    let all = all.into_iter().flatten().map(|entry| entry.unwrap().path());
    all.filter(|path| path.to_string_lossy().contains(word)).collect()
}

#[test]
fn a_state_moves_to_postgres_and_back_and_goes_on() {
    let (mut pair, id) = lived(Backend::Sqlite);
    let cluster = Cluster::shared();
    let (data, keys) = (cluster.database("moved"), cluster.database("moved_keys"));
    let before = logs(&pair.jo);
    let moved =
        pair.jo.json(&["move", "sqlite", "postgres", "--database", &data.url(), "--key-store", &keys.url()]);
    assert_eq!(moved["audit"]["findings"], 0);
    let tables = moved["moved"][0]["tables"].as_array().unwrap();
    let rows =
        |name: &str| tables.iter().find(|table| table["table"] == name).unwrap()["rows"].as_u64().unwrap();
    assert!(
        tables.len() >= 22 && rows("message") == 5 && rows("payload") == 4 && rows("erasure") == 1,
        "{moved}"
    );
    assert_eq!(
        (setting(&pair.jo.path, "database"), setting(&pair.jo.path, "key_store")),
        (data.url(), keys.url())
    );
    assert_eq!(mode(&pair.jo.path.join("silkgate.toml")), 0o600, "it names a server");
    assert!(
        !pair.jo.path.join("silkgate.db").exists() && !pair.jo.path.join("keys/payload-keys.db").exists()
    );
    assert_eq!(files(&pair.jo.path, ".moved-").len(), 2, "what was there is kept, under another name");
    assert_eq!(pair.jo.json(&["status"])["database"]["kind"], "postgres");
    assert_eq!(logs(&pair.jo), before);
    assert_eq!(pair.jo.json(&["show", &id])["event"]["id"], id.as_str(), "its payload opens");
    assert_eq!(pair.jo.audit(), Vec::<Value>::new());
    // Rows are numbered on: a partner that is added has a log of its own.
    pair.jo.start();
    let taker = pair.jo.back_end(JO);
    let waiting = taker.deliveries("?max=10&wait=5");
    assert_eq!(waiting.len(), 2, "what waited for its back end still waits");
    waiting.iter().for_each(|delivery| assert_eq!(taker.acknowledge(delivery).status, 200));
    exchange(&pair, &alert(IQ, JO));
    let sa = Home::init_on(pair.folder.path(), "SA/border-guard", Backend::Sqlite);
    pair.jo.add_partner(&sa, None);
    assert_eq!(pair.jo.audit(), Vec::<Value>::new());
    assert_eq!(pair.jo.json(&["status"])["alarms"], json!([]));
    assert_eq!(pair.jo.stop(), Some(0));
    // And back, into the files that a new home has.
    let before = logs(&pair.jo);
    let back = ["move", "postgres", "sqlite", "--key-store", "keys/payload-keys.db"];
    let told = pair.jo.ok(&back);
    assert!(told.contains("read on both sides and equal") && told.contains("Start the gateway"), "{told}");
    assert_eq!(logs(&pair.jo), before);
    assert_eq!(mode(&pair.jo.path.join("keys/payload-keys.db")), 0o600);
    let kept = data.rows("SELECT 1 FROM pg_namespace WHERE nspname LIKE 'silkgate_moved_%'");
    let left = data.rows("SELECT 1 FROM pg_tables WHERE schemaname = 'public'");
    assert_eq!((kept.len(), left.len()), (1, 0), "the old tables stand in a schema of their own");
    pair.jo.start();
    exchange(&pair, &alert(IQ, JO));
    assert_eq!(pair.jo.audit(), Vec::<Value>::new());
    assert!(pair.iq.audit().is_empty());
}

#[test]
fn what_must_not_be_moved_stays_where_it_is() {
    let (mut pair, _) = lived(Backend::Sqlite);
    let target = Cluster::shared().database("taken");
    let url = target.url();
    let to_server = ["move", "sqlite", "postgres", "--database", &url];
    let refuses = |home: &Home, args: &[&str], why: &str| {
        let output = home.run(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}: {}", said(&output));
        assert!(said(&output).contains(why), "{args:?}: {}", said(&output));
        assert_eq!(setting(&home.path, "database"), "silkgate.db");
    };
    refuses(&pair.iq, &to_server, "the gateway must be stopped");
    refuses(&pair.jo, &["move", "postgres", "sqlite"], "the state is not on postgres");
    refuses(&pair.jo, &["move", "sqlite", "postgres"], "--database names the new database");
    refuses(&pair.jo, &["move", "sqlite", "postgres", "--database", "other.db"], "are of one kind");
    target.execute("CREATE TABLE somebody (id BIGINT)");
    refuses(&pair.jo, &to_server, "is not empty");
    target.execute("DROP TABLE somebody");
    // A state that does not stand up to the audit.
    let database = pair.jo.path.join("silkgate.db");
    let sound = std::fs::read(&database).unwrap();
    crate::erasure::execute(&database, "UPDATE message SET digest = zeroblob(32) WHERE seq = 1");
    let output = pair.jo.run(&to_server);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("FOUND message 1") && said(&output).contains("nothing was changed"));
    assert_eq!(setting(&pair.jo.path, "database"), "silkgate.db");
    assert_eq!(target.rows("SELECT 1 FROM pg_namespace WHERE nspname LIKE 'silkgate%'").len(), 0);
    // A gateway that runs on the server.
    std::fs::write(&database, sound).unwrap();
    pair.jo.ok(&to_server);
    let copy = pair.folder.path().join("copy");
    copy_home(&pair.jo.path, &copy);
    pair.jo.start();
    let output = on(&copy, &["move", "postgres", "sqlite"]);
    assert!(said(&output).contains("stop every one"), "{}", said(&output));
}

pub(crate) fn copy_home(from: &Path, to: &Path) {
    assert!(Command::new("cp").arg("-a").args([from, to]).status().unwrap().success());
}

pub(crate) fn on(home: &Path, args: &[&str]) -> Output {
    Command::new(binary()).arg("-d").arg(home).args(args).stdin(Stdio::null()).output().unwrap()
}

/// Runs a command that is killed at the `n`th of those system calls of a thread; whether it was.
pub(crate) fn killed_at(home: &Path, args: &[&str], calls: &str, n: u32) -> bool {
    let inject = format!("inject={calls}:signal=SIGKILL:when={n}");
    let trace = ["-f", "-qq", "-o", "/dev/null", "-e"];
    let mut command = Command::new("strace");
    command
        .args(trace)
        .arg(format!("trace={calls}"))
        .args(["-e", &inject])
        .arg(binary())
        .arg("-d")
        .arg(home)
        .args(args);
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    let code = std::os::unix::process::ExitStatusExt::signal(&status);
    assert!(status.success() || code == Some(9), "{status}");
    code == Some(9)
}

/// After a kill one of the two states is in force, whole; and the command brings it about when it is given again.
#[test]
fn a_move_that_is_killed_anywhere_leaves_one_state_in_force() {
    let (pair, _) = lived(Backend::Sqlite);
    let before = logs(&pair.jo);
    let (mut old, mut new) = (0, 0);
    for (calls, steps) in [
        ("sendto", [20, 150, 400].as_slice()),
        ("fsync,fdatasync,rename,link,linkat,unlink", &[1, 2, 4, 6, 8]),
    ] {
        for n in steps {
            let home = pair.folder.path().join(format!("{}-{n}", &calls[..5]));
            copy_home(&pair.jo.path, &home);
            let target = Cluster::shared().database("killed");
            let args = ["move", "sqlite", "postgres", "--database", &target.url()];
            let killed = killed_at(&home, &args, calls, *n);
            let moved = setting(&home, "database") != "silkgate.db";
            *(if moved { &mut new } else { &mut old }) += 1;
            let status: Value = serde_json::from_slice(&on(&home, &["status", "--json"]).stdout).unwrap();
            assert_eq!(status["logs"], before, "{calls} {n}");
            assert!(on(&home, &["audit", "verify", "--offline"]).status.success(), "{calls} {n}");
            if killed && !moved {
                again(&home, &args, &target);
            }
        }
    }
    assert!(old > 3 && new > 0, "kills before and after the stroke: {old} and {new}");
}

/// Gives the command again; where the copy had arrived but was not named yet, the operator empties the database first.
fn again(home: &Path, args: &[&str], target: &Database) {
    let mut output = on(home, args);
    if said(&output).contains("is not empty") {
        target.execute("DROP SCHEMA public CASCADE");
        target.execute("CREATE SCHEMA public");
        output = on(home, args);
    }
    assert!(output.status.success(), "{}", said(&output));
    assert!(on(home, &["audit", "verify", "--offline"]).status.success());
}
