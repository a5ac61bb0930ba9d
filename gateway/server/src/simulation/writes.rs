//! Each write of a small exchange fails alone, in each way in which it can: lost; done, and reported as failed; and with the
//! process killed before it or after it. What `accept` could not write fails once more when it is tried job by job.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::chance::{ALL, How, Tally, add, table};
use super::lock;
use super::scenario::Script;
use crate::clock::simulated::Fate;

/// Of each point, how many of its writes fail in an ordinary run of the tests; SILKGATE_EVERY_WRITE=1 has all of them fail.
const OF_EACH: usize = 1;
/// The exchange is the same each time.
const SEED: u64 = 2;

#[test]
fn no_write_is_one_too_many_to_lose() {
    let undisturbed = Script::calm(SEED, How::Never).run();
    assert!(undisturbed.broken.is_empty(), "{:#?}", undisturbed.broken);
    let most = if std::env::var_os("SILKGATE_EVERY_WRITE").is_some() { usize::MAX } else { OF_EACH };
    let mut chosen = Vec::new();
    for (at, point) in undisturbed.points.iter().enumerate() {
        let before = undisturbed.points[..at].iter().filter(|other| *other == point).count();
        if before < most {
            chosen.extend(ALL.map(|fate| (at, point, fate, 1)));
            if point.starts_with("accept:") && !point.contains("COMMIT") {
                chosen.push((at, point, Fate::Lost, 2));
            }
        }
    }
    let (next, all) = (AtomicUsize::new(0), Mutex::new((Tally::new(), None)));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                while let Some((at, point, fate, times)) = chosen.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let outcome = Script::calm(SEED, How::At(*at, *fate, *times)).run();
                    let happened = outcome.tally.contains_key(&((*point).clone(), *fate));
                    let is_whole = outcome.broken.is_empty() && outcome.messages == undisturbed.messages;
                    let mut all = lock(&all);
                    add(&mut all.0, &outcome.tally);
                    if !(happened && is_whole) {
                        let trace = outcome.trace.join("\n");
                        let what =
                            format!("{trace}\nwrite {at}, {point}, {fate:?}, {times}: {:#?}", outcome.broken);
                        all.1.get_or_insert(what);
                    }
                    if all.1.is_some() {
                        return;
                    }
                }
            });
        }
    });
    let (tally, failed) = all.into_inner().expect("no thread panics");
    println!(
        "{} messages, {} writes, {} runs\n{}",
        undisturbed.messages,
        undisturbed.points.len(),
        chosen.len(),
        table(&tally)
    );
    assert!(failed.is_none(), "{}", failed.unwrap_or_default());
}
