//! A database administrator changes something: `silkgate audit verify` finds it.

mod built;
mod changes;
mod exchanged;
mod in_force;
mod neighbour;
mod outcomes;
mod resume;
mod settings;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Row as _};
use support::home::{Home, binary};
use support::{Pair, event, sign};

use changes::Change;
use exchanged::{IQ, JO, database};
pub use exchanged::{all_cosigned, put, show_fork, stop};

/// Bytes flipped in each page of the file.
const FLIPS: usize = 8;

/// What `audit verify --json` says that it covers.
pub struct Coverage {
    tables: Vec<String>,
    excluded: Vec<String>,
    /// Columns that it does not cover, by table.
    columns: Vec<(String, String)>,
}

impl Coverage {
    fn of(home: &Home) -> Self {
        let report = home.json(&["audit", "verify", "--offline"]);
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let list = |member: &str| report[member].as_array().unwrap().clone();
        for excluded in list("excluded").iter().chain(&list("excluded_columns")) {
            assert!(text(&excluded["reason"]).len() > 5, "each has its reason: {excluded}");
        }
        let column = |excluded: &Value| (text(&excluded["table"]), text(&excluded["column"]));
        Self {
            tables: list("covered").iter().map(text).collect(),
            excluded: list("excluded").iter().map(|excluded| text(&excluded["table"])).collect(),
            columns: list("excluded_columns").iter().map(column).collect(),
        }
    }
}

pub fn run<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}

pub async fn open(path: &Path) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(path).foreign_keys(false);
    options.pragma("synchronous", "OFF").pragma("ignore_check_constraints", "ON").connect().await.unwrap()
}

/// What an audit of a changed database came to.
enum Outcome {
    Found,
    /// The schema does not take the change, or it changes nothing that evidence rests on.
    Nothing,
    Missed(String),
}

/// A copy of the home, for one worker.
fn copy(home: &Home, to: &Path) -> PathBuf {
    let done = Command::new("cp").arg("-r").arg(&home.path).arg(to).status().unwrap();
    assert!(done.success());
    to.to_owned()
}

/// The exit code of an audit, and what it said.
fn audit(home: &Path) -> (Option<i32>, String) {
    let output = Command::new(binary())
        .arg("-d")
        .arg(home)
        .args(["audit", "verify", "--offline", "--json"])
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    (output.status.code(), said.concat())
}

/// Does `one` for each of `count` numbers on two processors, each with a home of its own; outcomes by kind.
fn try_all(
    pair: &Pair,
    count: usize,
    one: impl Fn(&Path, usize) -> (&'static str, Outcome) + Sync,
) -> (BTreeMap<&'static str, [usize; 3]>, Vec<String>) {
    let (next, tally) = (AtomicUsize::new(0), Mutex::new((BTreeMap::new(), Vec::new())));
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let (next, tally, one) = (&next, &tally, &one);
            scope.spawn(move || {
                let home = copy(&pair.jo, &pair.folder.path().join(format!("worker-{worker}")));
                loop {
                    let number = next.fetch_add(1, Ordering::SeqCst);
                    if number >= count {
                        break;
                    }
                    let (kind, outcome) = one(&home, number);
                    let mut tally = tally.lock().unwrap();
                    let (by_kind, missed): &mut (BTreeMap<_, [usize; 3]>, Vec<String>) = &mut tally;
                    let row = by_kind.entry(kind).or_default();
                    match outcome {
                        Outcome::Found => [row[0], row[1]] = [row[0] + 1, row[1] + 1],
                        Outcome::Nothing => row[2] += 1,
                        Outcome::Missed(what) => {
                            row[0] += 1;
                            missed.push(format!("{kind}: {what}"));
                        }
                    }
                }
                std::fs::remove_dir_all(home).unwrap();
            });
        }
    });
    tally.into_inner().unwrap()
}

fn tell(by_kind: &BTreeMap<&'static str, [usize; 3]>, missed: &[String]) -> usize {
    let mut all = 0;
    for (kind, [tried, found, nothing]) in by_kind {
        println!("{kind:<28} {tried:>5} tried {found:>5} found {nothing:>5} refused or no change");
        all += tried;
    }
    println!("{:<28} {all:>5} tried {:>5} found", "all", all - missed.len());
    assert!(missed.is_empty(), "{} of {all} changes were not found: {missed:#?}", missed.len());
    all
}

/// Applies statements to a fresh copy of the database, and audits.
fn change(home: &Path, sound: &[u8], change: &Change) -> Outcome {
    let path = home.join("silkgate.db");
    put(&path, sound);
    let changed = run(async {
        let mut conn = open(&path).await;
        let mut changed = 0;
        for statement in change.sql.split("; ") {
            // A constraint of the schema may refuse the change: then there is nothing to find.
            match sqlx::query(AssertSqlSafe(statement.to_owned())).execute(&mut conn).await {
                Ok(done) => changed += done.rows_affected(),
                Err(_) => {
                    changed = 0;
                    break;
                }
            }
        }
        conn.close().await.unwrap();
        changed
    });
    if changed == 0 {
        return Outcome::Nothing;
    }
    match audit(home) {
        (Some(1), _) => Outcome::Found,
        (code, said) => Outcome::Missed(format!("{}: exit {code:?} {said}", change.sql)),
    }
}

/// Changes to several rows or tables at once.
const OF_SEVERAL_ROWS: [(&str, &str); 8] = [
    ("cards deleted", "DELETE FROM card"),
    ("attempts deleted", "DELETE FROM attempt"),
    (
        "attempt invented",
        "INSERT INTO attempt SELECT seq, 1, at_ms, 'accepted' FROM message WHERE state = 'expired'",
    ),
    ("edition invented", "UPDATE message SET version = 7 WHERE version = 0"),
    (
        "final answer forgotten",
        "UPDATE question SET state = 'open', answer = NULL WHERE answer IN (SELECT seq FROM payload)",
    ),
    (
        "question of one refused",
        "INSERT INTO question SELECT seq, 0, at_ms, 'open', NULL FROM message WHERE direction = 'received' AND state = 'rejected'",
    ),
    (
        "erased payload put back",
        "INSERT INTO payload SELECT e.seq, p.key_id, p.wrapped, p.bytes FROM erasure e, payload p LIMIT 1",
    ),
    (
        "erased, and signed later",
        "UPDATE message SET signed_ms = signed_ms + 600000 WHERE seq IN (SELECT seq FROM erasure)",
    ),
];

#[test]
fn every_kind_of_change_to_every_column_is_found() {
    let pair = exchanged::exchanged();
    assert!(pair.jo.audit().is_empty());
    let sound = std::fs::read(database(&pair.jo)).unwrap();
    let coverage = Coverage::of(&pair.jo);
    let changes = run(async {
        let mut conn = open(&database(&pair.jo)).await;
        let mut changes = Vec::new();
        for table in &coverage.tables {
            changes.extend(changes::of_table(&mut conn, table, &coverage).await);
        }
        conn.close().await.unwrap();
        changes.extend(OF_SEVERAL_ROWS.map(|(kind, sql)| Change { kind, sql: sql.into() }));
        changes
    });
    let (by_kind, missed) =
        try_all(&pair, changes.len(), |home, n| (changes[n].kind, change(home, &sound, &changes[n])));
    let tried = tell(&by_kind, &missed);
    assert!(tried > 1000, "{tried}");
}

/// A byte of the file itself, past SQLite.
#[test]
fn a_byte_flipped_in_any_page_of_the_file_is_found() {
    let pair = exchanged::exchanged();
    let path = database(&pair.jo);
    let sound = std::fs::read(&path).unwrap();
    let coverage = Coverage::of(&pair.jo);
    let dumped = |path: &Path| {
        run(async {
            let mut conn = open(path).await;
            let dump = changes::dump(&mut conn, &coverage).await;
            let _ = conn.close().await;
            dump
        })
    };
    let before = dumped(&path).unwrap();
    let places = places(&sound);
    assert!(places.len() >= 300, "{}", places.len());
    let (by_kind, missed) = try_all(&pair, places.len(), |home, number| {
        let place = places[number];
        let mut bytes = sound.clone();
        bytes[place] ^= 1 << (number % 8);
        let path = home.join("silkgate.db");
        put(&path, &bytes);
        let (code, said) = audit(home);
        let outcome = match code {
            Some(1 | 2) => Outcome::Found,
            // Free space, an index, what no evidence rests on.
            Some(0) => match dumped(&path) {
                Ok(dump) if dump == before => Outcome::Nothing,
                Ok(dump) => {
                    let mut both = dump.lines().zip(before.lines());
                    Outcome::Missed(format!(
                        "byte {place}: {:?} {said}",
                        both.find(|(now, then)| now != then)
                    ))
                }
                Err(error) => Outcome::Missed(format!("byte {place}: {error} {said}")),
            },
            code => Outcome::Missed(format!("byte {place}: exit {code:?} {said}")),
        };
        ("byte of the file flipped", outcome)
    });
    let found = tell(&by_kind, &missed);
    assert!(found > 50, "most of what is flipped must matter: {found}");
}

/// Bytes in use, spread over every page.
fn places(file: &[u8]) -> Vec<usize> {
    const PAGE: usize = 16_384;
    let mut places = Vec::new();
    for (number, page) in file.chunks(PAGE).enumerate() {
        let used: Vec<usize> = (0..page.len()).filter(|at| page[*at] != 0).collect();
        for part in 0..FLIPS {
            let at = (part * 2 + 1) * used.len() / (2 * FLIPS);
            places.extend(used.get(at).map(|at| number * PAGE + at));
        }
    }
    places.dedup();
    places
}

/// Who can write the database can make a card, too, with keys of their own.
#[test]
fn a_card_that_no_operator_added_and_a_log_without_the_homes_key_are_found() {
    let pair = Pair::set_up_files(None);
    let stranger = Pair::set_up_files(None);
    for (home, country, place) in [(&stranger.iq, "IQ", "card of IQ"), (&stranger.jo, "JO", "card of JO")] {
        home.card();
        let card = std::fs::read(home.path.with_extension("card")).unwrap();
        let sound = std::fs::read(database(&pair.jo)).unwrap();
        run(async {
            let mut conn = open(&database(&pair.jo)).await;
            let sql = "INSERT INTO card (country, digest, bytes, at_ms) VALUES ($1, $2, $3, 0)";
            let digest = silkgate_message::jws::Digest::of(&card).0.to_vec();
            let query = sqlx::query(sql).bind(country).bind(digest).bind(card);
            query.execute(&mut conn).await.unwrap();
            conn.close().await.unwrap();
        });
        let places: Vec<Value> = pair.jo.audit().iter().map(|found| found["place"].clone()).collect();
        assert_eq!(places, [place]);
        put(&database(&pair.jo), &sound);
    }
    // The whole history, signed by a key that is not in the home.
    std::fs::copy(stranger.jo.path.join("keys/log.key"), pair.jo.path.join("keys/log.key")).unwrap();
    let findings = pair.jo.audit();
    assert!(findings.iter().any(|found| found["what"].as_str().unwrap().contains("no log key of the home")));
}

/// The bytes fit every digest, and yet they are not as the gateway keeps them.
#[test]
fn a_payload_put_back_in_the_clear_and_a_reason_cut_at_another_place_are_found() {
    let mut pair = exchanged::quick();
    let client = pair.iq.as_partner_of(&pair.jo);
    let [kept, erased] = [(); 2].map(|()| sign(&pair.iq.message_key(), &event(IQ, JO)));
    for message in [&kept, &erased] {
        assert_eq!(client.message(&message.bytes).status, 200);
    }
    let back_end = pair.jo.back_end(JO);
    for delivery in back_end.deliveries("?max=2") {
        assert_eq!(back_end.acknowledge(&delivery).status, 200);
    }
    pair.jo.ok(&["erase", &erased.id, "--reason", "not covered by court order 4711"]);
    exchanged::stop(&mut pair.jo);
    let offline = || -> Value {
        let output = pair.jo.run(&["audit", "verify", "--offline", "--json"]);
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let path = database(&pair.jo);
    let sound = std::fs::read(&path).unwrap();
    for (sql, told) in [
        ("UPDATE payload SET key_id = 0, wrapped = NULL, bytes = $1", "it is not encrypted, and all are"),
        (
            "UPDATE erasure SET salt = CAST(salt || 'not ' AS BLOB), reason = substr(reason, 5)",
            "erasure.reason, or its salt",
        ),
    ] {
        run(async {
            let mut conn = open(&path).await;
            sqlx::query(sql).bind(kept.bytes.clone()).execute(&mut conn).await.unwrap();
            conn.close().await.unwrap();
        });
        let report = offline();
        let findings = report["findings"].as_array().unwrap();
        assert!(findings.iter().any(|found| found["what"].as_str().unwrap().contains(told)), "{report}");
        put(&path, &sound);
    }
    assert_eq!(offline()["findings"], serde_json::json!([]));
}

/// A new table is covered or excluded on purpose.
#[test]
fn every_table_is_known() {
    let pair = Pair::set_up_files(None);
    let tables: Vec<String> = run(async {
        let mut conn = open(&database(&pair.jo)).await;
        let sql =
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name";
        sqlx::query(sql).fetch_all(&mut conn).await.unwrap().iter().map(|row| row.get(0)).collect()
    });
    let coverage = Coverage::of(&pair.jo);
    for table in &tables {
        assert!(
            coverage.tables.contains(table) != coverage.excluded.contains(table),
            "{table} is covered or excluded, on purpose"
        );
    }
    assert_eq!(
        coverage.tables.len() + coverage.excluded.len(),
        tables.len(),
        "nothing is named that is not there"
    );
}
