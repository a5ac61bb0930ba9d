//! The real databases, with the same faults at the boundary of the store: a file of SQLite, and PostgreSQL. Time is the real
//! one here, threads of theirs and a server take part, so no run is promised to be like another.

use std::collections::BTreeSet;

use silkgate_message::instant::Instant;
use support::postgres::Cluster;

use super::back_end::Load;
use super::chance::{How, table};
use super::network::Rates;
use super::scenario::Script;
use super::state::{Disk, State};
use super::states::make;
use crate::clock::{self, simulated::Fate};

/// A run with each point failing once in each way.
fn run(database: impl Fn(usize) -> Vec<String>) {
    let folder = tempfile::tempdir().expect("a folder");
    // Certificates and times of the present.
    let now = Instant(clock::now().0 - 60_000);
    let mut made = make(&folder, now, database);
    for made in &mut made {
        made.config.dispatch.attempt_seconds = 1;
        made.config.dispatch.backoff_first_ms = 50;
        made.config.dispatch.backoff_longest_ms = 500;
        made.config.deliveries.lease_seconds = 1;
        made.config.witness.show_seconds = 1;
    }
    let load = Load { records: 3, versions: 5, short_lived: 0, pause_ms: 1500, rates: Rates::default() };
    let script = Script { load, ..Script::calm(1, How::Each(0)) };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let outcome = runtime.expect("a runtime").block_on(async {
        let states = [0, 1].map(|n| {
            let (data, keys) =
                (made[n].home.database(&made[n].config), made[n].home.key_store(&made[n].config));
            State::new(n, &made[n], Disk::Real { data, keys })
        });
        script.play(states, false).await
    });
    println!("{} messages\n{}", outcome.messages, table(&outcome.tally));
    assert!(outcome.broken.is_empty(), "{}\n{:#?}", outcome.trace.join("\n"), outcome.broken);
    let failed: BTreeSet<(&str, Fate)> = (outcome.tally.keys())
        .filter_map(|(point, fate)| Some((point.split_once(": COMMIT")?.0, *fate)))
        .collect();
    for part in ["accept", "dispatch", "deliver", "witness"] {
        for fate in [Fate::Lost, Fate::Unreported] {
            assert!(failed.contains(&(part, fate)), "no commit of {part} was {fate:?}");
        }
    }
}

#[test]
fn sqlite_fails_at_every_point_and_every_promise_is_kept() {
    run(|_| Vec::new());
}

#[test]
fn postgresql_fails_at_every_point_and_every_promise_is_kept() {
    run(|_| vec!["--database".to_owned(), Cluster::shared().database("state").url()]);
}
