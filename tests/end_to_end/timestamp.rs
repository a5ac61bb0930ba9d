//! Time-stamps over checkpoints, by an authority made of `openssl`: a sound one, and ones that lie.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use support::home::{Backend, Home, free_ports, set};
use support::tsa::{Answer, Kind, Tsa, TsaServer};
use support::{Pair, event, sign, wait_for};

/// What the gateway's log says of each failure.
const WARNING: &str = "no time-stamp; messages go on without";

fn with_database<T>(home: &Home, work: impl AsyncFnOnce(&mut SqliteConnection) -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(home.path.join("silkgate.db"));
        let mut conn = options.foreign_keys(false).connect().await.unwrap();
        let done = work(&mut conn).await;
        conn.close().await.unwrap();
        done
    })
}

/// Log, size, token and checkpoint of each time-stamp.
fn stamps(home: &Home) -> Vec<(i64, i64, Vec<u8>, Vec<u8>)> {
    let sql = "SELECT t.log, t.size, t.token, c.note FROM timestamp t JOIN checkpoint c USING (log, size) ORDER BY 1, 2";
    with_database(home, async |conn| {
        let rows = sqlx::query(sql).fetch_all(conn).await.unwrap();
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2), row.get(3))).collect()
    })
}

fn change(home: &Home, sql: &str) -> u64 {
    with_database(home, async |conn| {
        sqlx::query(AssertSqlSafe(sql.to_owned())).execute(conn).await.unwrap().rows_affected()
    })
}

/// Waits until each log is time-stamped to its end.
fn stamped(home: &Home) -> Vec<Value> {
    wait_for("a time-stamp over each log", || {
        let logs = home.json(&["status"])["logs"].as_array().unwrap().clone();
        logs.iter().all(|log| log["timestamp"]["size"] == log["size"]).then_some(logs)
    })
}

fn warnings(home: &Home) -> Vec<String> {
    home.gateway_log().lines().filter(|line| line.contains(WARNING)).map(ToOwned::to_owned).collect()
}

/// The text of a note: everything before the empty line, which the time-stamp covers.
fn text(note: &[u8]) -> &[u8] {
    let end = note.windows(2).position(|w| w == b"\n\n").unwrap();
    &note[..=end]
}

fn written(folder: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    path
}

/// `silkgate verify --timestamp`; its exit code and what it said.
fn verify(home: &Home, token: &Path, checkpoint: &Path, anchors: &Path) -> (Option<i32>, String) {
    let [token, checkpoint, anchors] = [token, checkpoint, anchors].map(|path| path.to_str().unwrap());
    let output = home.run(&["verify", "--timestamp", token, "--checkpoint", checkpoint, "--tsa", anchors]);
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn send(pair: &Pair) {
    let message = sign(&pair.iq.message_key(), &event("IQ/traffic-police", "JO/public-security"));
    assert_eq!(pair.iq.as_partner_of(&pair.jo).message(&message.bytes).status, 200);
}

#[test]
fn checkpoints_are_time_stamped_and_openssl_agrees() {
    for kind in [Kind::Rsa(2048), Kind::P384] {
        let mut pair = Pair::set_up_files(None);
        let folder = pair.folder.path().to_owned();
        let tsa = Tsa::create(&folder, "tsa", kind);
        let server = TsaServer::start(tsa.clone());
        tsa.configure(&pair.jo, &server.url, "every_seconds = 1");
        assert!(pair.jo.ok(&["status"]).contains("not time-stamped yet"));
        pair.jo.start();
        stamped(&pair.jo);
        send(&pair);
        let logs = stamped(&pair.jo);
        assert_eq!(pair.jo.stop(), Some(0));
        assert!(pair.jo.ok(&["status"]).contains(" of them time-stamped at "));
        assert!(warnings(&pair.jo).is_empty(), "{:?}", warnings(&pair.jo));
        let kept = stamps(&pair.jo);
        assert!(kept.len() > logs.len(), "the channel's log grew, and was stamped again");
        // A log that does not grow is not stamped again.
        assert_eq!(server.taken(), kept.len());
        for (_, _, token, note) in &kept {
            assert!(tsa.openssl_accepts(token, text(note)));
            assert!(!tsa.openssl_accepts(token, note), "not over the signatures");
        }
        assert!(pair.jo.audit().is_empty());
        let report = pair.jo.json(&["audit", "verify"]);
        assert_eq!(
            (&report["timestamps"], &report["timestamps_anchored"]),
            (&kept.len().into(), &true.into())
        );

        let (_, _, token, note) = &kept[0];
        let (token_file, note_file) = (written(&folder, "a.tst", token), written(&folder, "a.note", note));
        let anchors = tsa.file("ca.pem");
        let (code, said) = verify(&pair.jo, &token_file, &note_file, &anchors);
        assert_eq!(code, Some(0), "{said}");
        assert!(
            said.contains("saw exactly this checkpoint") && said.contains("CN=Time-stamps tsa"),
            "{said}"
        );
        let other = written(&folder, "b.note", &kept.last().unwrap().3);
        let (code, said) = verify(&pair.jo, &token_file, &other, &anchors);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("timestamp_other_imprint"), "{said}");
        let stranger = pair.jo.path.join("certs/tls-ca.pem");
        assert_eq!(verify(&pair.jo, &token_file, &note_file, &stranger).0, Some(1));
        assert_eq!(verify(&pair.jo, &folder.join("none"), &note_file, &anchors).0, Some(2));
        assert_eq!(verify(&pair.jo, &token_file, &token_file, &anchors).0, Some(1));
    }
}

#[test]
fn a_changed_time_stamp_is_found_by_the_audit() {
    let mut pair = Pair::set_up_files(None);
    let tsa = Tsa::create(pair.folder.path(), "tsa", Kind::P256);
    tsa.configure(&pair.jo, &TsaServer::start(tsa.clone()).url, "every_seconds = 1");
    pair.jo.start();
    stamped(&pair.jo);
    send(&pair);
    stamped(&pair.jo);
    assert_eq!(pair.jo.stop(), Some(0));
    assert!(pair.jo.audit().is_empty());
    let database = pair.jo.path.join("silkgate.db");
    let sound = std::fs::read(&database).unwrap();
    for (sql, what) in [
        ("DELETE FROM timestamp WHERE log = 1", "time-stamps, but"),
        ("UPDATE log SET stamped = stamped + 1 WHERE id = 1", "time-stamps, but"),
        ("UPDATE timestamp SET at_ms = at_ms + 1 WHERE log = 1", "`at_ms`"),
        ("UPDATE timestamp SET size = size + 1000 WHERE log = 1", "no checkpoint of that size"),
        ("UPDATE timestamp SET size = -size WHERE log = 1", "time-stamps of no log"),
        ("UPDATE timestamp SET log = 99 WHERE log = 1", "time-stamps of no log"),
        (
            "UPDATE timestamp SET token = CAST(substr(token, 1, length(token) - 1) || 'x' AS BLOB)",
            "signature",
        ),
        (
            "UPDATE timestamp SET token = (SELECT t.token FROM timestamp t WHERE t.log != timestamp.log)",
            "something else",
        ),
        ("UPDATE timestamp SET token = x''", "not a time-stamp"),
    ] {
        std::fs::write(&database, &sound).unwrap();
        for ending in ["db-wal", "db-shm"] {
            let _ = std::fs::remove_file(database.with_extension(ending));
        }
        assert!(change(&pair.jo, sql) > 0, "{sql}");
        let found: Vec<String> = pair.jo.audit().iter().map(|finding| finding["what"].to_string()).collect();
        assert!(found.iter().any(|found| found.contains(what)), "{sql}: {found:?}");
    }
    std::fs::write(&database, &sound).unwrap();
    // Without anchors a time-stamp shows that nothing was altered since, and the report says that it is no more.
    let file = pair.jo.path.join("silkgate.toml");
    let configured = std::fs::read_to_string(&file).unwrap();
    let (before, _) = configured.split_once("\n[timestamp]").unwrap();
    std::fs::write(&file, before).unwrap();
    assert!(pair.jo.audit().is_empty());
    assert_eq!(pair.jo.json(&["audit", "verify"])["timestamps_anchored"], false);
    assert!(pair.jo.ok(&["audit", "verify"]).contains("nobody vouches"));
    // Under the anchors of another authority it is none.
    let other = Tsa::create(pair.folder.path(), "other", Kind::P256);
    other.configure(&pair.jo, "http://127.0.0.1:9/", "");
    assert!(pair.jo.audit().iter().all(|finding| finding["what"].to_string().contains("not trusted")));
    assert!(!pair.jo.audit().is_empty());
}

#[test]
fn a_lying_authority_leaves_nothing_but_a_warning() {
    let mut pair = Pair::set_up_files(None);
    let folder = pair.folder.path().to_owned();
    let tsa = Tsa::create(&folder, "tsa", Kind::P256);
    let other = Tsa::create(&folder, "other", Kind::P256);
    tsa.certificate("no_purpose", "no_purpose", 10);
    tsa.certificate("not_alone", "not_alone", 10);
    tsa.certificate("expired", "tsa", -1);
    let lies = [
        (Answer::OtherImprint, "is for something else"),
        (Answer::OtherNonce, "answers another request"),
        (Answer::WrongKey, "does not verify with its certificate"),
        (Answer::As("no_purpose"), "no extended key usage"),
        (Answer::As("not_alone"), "not for time-stamping alone"),
        (Answer::As("expired"), "had expired"),
        (Answer::Other(other), "is not trusted"),
        (Answer::Bytes(vec![0x30, 5, 0x30, 3, 2, 1, 2]), "refused: status 2"),
        (Answer::Bytes(b"<html>".to_vec()), "not a time-stamp"),
        (Answer::Bytes(Vec::new()), "not a time-stamp"),
        (Answer::Status(503), "status 503"),
        (Answer::ContentType("text/html"), "not of type"),
        (Answer::Endless, "length limit exceeded"),
        (Answer::Silence, "no answer within 2 s"),
    ];
    let server = TsaServer::start(tsa.clone());
    server.answer(lies[0].0.clone());
    tsa.configure(&pair.jo, &server.url, "every_seconds = 1\ntimeout_seconds = 2");
    pair.jo.start();
    for (lie, what) in lies {
        server.answer(lie.clone());
        wait_for(&format!("a warning of {lie:?}"), || {
            warnings(&pair.jo).last().is_some_and(|line| line.contains(what)).then_some(())
        });
        send(&pair);
    }
    assert!(stamps(&pair.jo).is_empty(), "nothing is kept");
    // One line for each failure, and not more.
    server.answer(Answer::Sound);
    stamped(&pair.jo);
    assert_eq!(pair.jo.stop(), Some(0));
    assert_eq!(server.taken(), warnings(&pair.jo).len() + stamps(&pair.jo).len());
    assert!(pair.jo.audit().is_empty());
}

#[test]
fn an_authority_that_hangs_or_is_down_holds_nothing_up() {
    let mut pair = Pair::set_up_files(None);
    let tsa = Tsa::create(pair.folder.path(), "tsa", Kind::P256);
    let server = TsaServer::start(tsa.clone());
    server.answer(Answer::Silence);
    tsa.configure(&pair.jo, &server.url, "timeout_seconds = 600");
    let [port, _] = free_ports();
    set(&pair.jo, "# listen", &format!("\"127.0.0.1:{port}\""));
    // Nothing listens on port 9.
    tsa.configure(&pair.iq, "http://127.0.0.1:9/tsa", "every_seconds = 1");
    pair.jo.start();
    pair.iq.start();
    wait_for("the authority to be asked", || (server.taken() == 1).then_some(()));
    wait_for("a warning that nothing listens", || {
        warnings(&pair.iq).iter().any(|line| line.contains("127.0.0.1:9")).then_some(())
    });
    let began = Instant::now();
    for _ in 0..5 {
        send(&pair);
    }
    let back_end = pair.iq.back_end("IQ/traffic-police");
    let taken = back_end.submit(&event("IQ/traffic-police", "JO/public-security")).json();
    assert_eq!(back_end.outcome(taken["id"].as_str().unwrap())["state"], "receipted");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // It still hangs, in its first answer; and nothing else was said of it.
    assert_eq!((server.taken(), warnings(&pair.jo).len(), stamps(&pair.jo).len()), (1, 0, 0));
    // Monitoring sees it.
    let mut monitoring = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    monitoring.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut figures = String::new();
    monitoring.read_to_string(&mut figures).unwrap();
    let none = "silkgate_log_timestamped_entries{origin=\"gateway.jo.example/JO/IQ\"} 0";
    assert!(figures.lines().any(|line| line == none), "{figures}");
    let stopping = Instant::now();
    assert_eq!(pair.jo.stop(), Some(0));
    assert!(stopping.elapsed() < Duration::from_secs(10), "{:?}", stopping.elapsed());
}

/// After a start the partner's word on our logs is awaited: until then they may be those of an older database.
#[test]
fn a_log_whose_history_is_in_doubt_is_not_time_stamped() {
    let mut pair = Pair::start_on(Backend::Sqlite);
    send(&pair);
    wait_for("Iraq to witness Jordan's logs", || {
        let seen = pair.jo.json(&["status"])["witness"].as_array().unwrap().clone();
        seen.iter().all(|log| !log["size"].is_null() && log["size"] == log["of"]).then_some(())
    });
    assert_eq!((pair.iq.stop(), pair.jo.stop()), (Some(0), Some(0)));
    let tsa = Tsa::create(pair.folder.path(), "tsa", Kind::P256);
    let server = TsaServer::start(tsa.clone());
    tsa.configure(&pair.jo, &server.url, "every_seconds = 1");
    pair.jo.start();
    // The gateway waits 5 s for the word before it refuses: time enough for a query, were one sent.
    let message = sign(&pair.iq.message_key(), &event("IQ/traffic-police", "JO/public-security"));
    assert_eq!(pair.iq.as_partner_of(&pair.jo).message(&message.bytes).status, 503);
    assert_eq!(server.taken(), 0);
    pair.iq.start();
    stamped(&pair.jo);
    assert!(server.taken() > 0);
}

#[test]
fn an_authority_over_tls_is_asked_under_its_own_roots() {
    let mut pair = Pair::set_up_files(None);
    let tsa = Tsa::create(pair.folder.path(), "tsa", Kind::P256);
    let server = TsaServer::start_tls(tsa.clone(), pair.iq.tls_identity());
    let roots = |home: &Home| {
        format!("every_seconds = 1\nroots = \"{}\"", home.path.join("certs/tls-ca.pem").display())
    };
    tsa.configure(&pair.jo, &server.url, &roots(&pair.iq));
    pair.jo.start();
    stamped(&pair.jo);
    tsa.configure(&pair.iq, &server.url, &roots(&pair.jo));
    pair.iq.start();
    wait_for("a warning of a stranger's certificate", || {
        warnings(&pair.iq).iter().any(|line| line.contains("UnknownIssuer")).then_some(())
    });
    assert!(stamps(&pair.iq).is_empty());
}

#[test]
fn a_mistake_in_the_settings_is_told_at_the_start() {
    let pair = Pair::set_up_files(None);
    let tsa = Tsa::create(pair.folder.path(), "tsa", Kind::P256);
    let file = pair.jo.path.join("silkgate.toml");
    let plain = std::fs::read_to_string(&file).unwrap();
    for (url, settings, what) in [
        ("ftp://127.0.0.1/", "", "url is no http:// or https:// address"),
        ("127.0.0.1", "", "url is no http:// or https:// address"),
        ("http://somebody:secret@127.0.0.1/", "", "url is no http:// or https:// address"),
        ("https://127.0.0.1/", "", "[timestamp] roots"),
        ("http://127.0.0.1/", "every_seconds = 0", "1 at least"),
        ("http://127.0.0.1/", "evry_seconds = 1", "evry_seconds"),
        ("https://127.0.0.1/", "roots = \"none.pem\"", "none.pem"),
    ] {
        std::fs::write(&file, &plain).unwrap();
        tsa.configure(&pair.jo, url, settings);
        let output = pair.jo.run(&["serve"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{url} {settings}: {said}");
        assert!(said.contains(what) && !said.contains("secret"), "{url} {settings}: {said}");
    }
}
