//! How a log has grown by day, drawn as SVG; the same numbers stand in a table beside it.

use std::collections::{BTreeMap, BTreeSet};

use silkgate_ledger::Entry;
use silkgate_message::instant::Instant;

use super::chart::{DAY_WIDTH, DAYS, HEIGHT, height};
use crate::store::ledger::{self, Head};
use crate::store::{Connection, StoreError};

/// How a log has grown.
pub struct Growth {
    /// The days, the oldest first.
    pub days: Vec<Grown>,
    /// Width of the drawing.
    pub width: i64,
    /// Its height.
    pub height: i64,
}

/// What a log grew by on a day.
pub struct Grown {
    /// `YYYY-MM-DD`.
    pub date: String,
    /// Entries of this day.
    pub entries: i64,
    /// Entries at its end.
    pub size: i64,
    /// Where its bar stands: from the left, its top and its height.
    pub left: i64,
    /// Top and height.
    pub bar: (i64, i64),
}

impl Growth {
    /// Of the days up to `today`, from the times that the entries themselves state: a few looks into the log for each day,
    /// however long it is.
    pub(super) async fn read(conn: &mut Connection, head: &Head, today: i64) -> Result<Self, StoreError> {
        let first = today - DAYS + 1;
        let mut sizes = sizes_before(conn, head, &(first..=today).collect::<Vec<_>>()).await?;
        sizes.push(head.size);
        Ok(Self::of(&sizes, first))
    }

    /// From the sizes before each of these days, the oldest first, and at the end of the last one.
    fn of(sizes: &[u64], first: i64) -> Self {
        let grown = sizes.windows(2).map(|of| ledger::signed(of[1].saturating_sub(of[0])));
        let most = grown.clone().max().unwrap_or(0);
        let days = grown.zip(&sizes[1..]).zip(0..).map(|((entries, size), place)| {
            let height = height(entries, most);
            Grown {
                date: Instant::of_day(first + place).date(),
                entries,
                size: ledger::signed(*size),
                left: place * DAY_WIDTH + 4,
                bar: (HEIGHT - height, height),
            }
        });
        Self { days: days.collect(), width: DAYS * DAY_WIDTH, height: HEIGHT }
    }

    /// Width of a bar.
    pub fn bar(&self) -> i64 {
        DAY_WIDTH - 8
    }

    /// All entries of these days.
    pub fn total(&self) -> i64 {
        self.days.iter().map(|day| day.entries).sum()
    }
}

/// How many entries stand before the first one of each of these days or a later one, as far as they stand in the order of their
/// times. The days are looked for together: each look is a way to the database and back.
async fn sizes_before(conn: &mut Connection, head: &Head, days: &[i64]) -> Result<Vec<u64>, StoreError> {
    let middle = |(low, high): &(u64, u64)| low + (high - low) / 2;
    let mut bounds = vec![(0, head.size); days.len()];
    loop {
        let open = bounds.iter().filter(|(low, high)| low < high);
        let wanted: BTreeSet<u64> = open.map(middle).collect();
        if wanted.is_empty() {
            return Ok(bounds.into_iter().map(|(low, _)| low).collect());
        }
        let mut found = BTreeMap::new();
        for (index, body) in ledger::entries_at(conn, head.id, wanted.into_iter()).await? {
            let entry = Entry::parse(&body).map_err(|_| lost(head, index))?;
            found.insert(index, Instant(entry.at.unix_ms()).day());
        }
        for (bound, day) in bounds.iter_mut().zip(days).filter(|((low, high), _)| low < high) {
            let middle = middle(bound);
            match found.get(&middle) {
                Some(found) if found < day => bound.0 = middle + 1,
                Some(_) => bound.1 = middle,
                None => return Err(lost(head, middle)),
            }
        }
    }
}

fn lost(head: &Head, index: u64) -> StoreError {
    StoreError::Corrupt(format!("entry {index} of {}", head.origin))
}

#[cfg(test)]
mod tests {
    use silkgate_ledger::entry::{Kind, UtcMillis};
    use silkgate_ledger::tree::EMPTY_ROOT;

    use super::*;
    use crate::store::ledger::EntryRow;
    use crate::store::memory::Memory;
    use crate::store::{Script, Store};

    #[test]
    fn a_log_grows_by_what_its_sizes_differ() {
        let mut sizes = vec![7; 12];
        sizes.extend([8, 1_000_008, 1_000_010]);
        let growth = Growth::of(&sizes, 20_000);
        let last: Vec<_> = growth.days[11..].iter().map(|day| (day.entries, day.size, day.bar.1)).collect();
        assert_eq!(last, [(1, 8, 1), (1_000_000, 1_000_008, 120), (2, 1_000_010, 1)]);
        assert_eq!((growth.days.len(), growth.total()), (14, 1_000_003));
        assert_eq!(
            (growth.days[0].date.as_str(), growth.days[13].date.as_str()),
            ("2024-10-04", "2024-10-17")
        );
    }

    #[tokio::test]
    async fn the_days_of_a_log_are_found_in_its_entries() {
        let store = Store::in_memory(&Memory::data().unwrap(), &Memory::keys().unwrap());
        let mut tx = store.write().await.unwrap();
        let log = ledger::create(&mut tx, "gw.iq.example/IQ/house", None).await.unwrap();
        // Long ago, on the first day that is drawn, on none between, at the end of yesterday, and today.
        let today = 20_000;
        let at = |day: i64, ms: i64| day * 86_400_000 + ms;
        let times = [
            at(1, 0),
            at(19_987, 0),
            at(19_987, 9),
            at(19_999, 86_399_999),
            at(today, 0),
            at(today, 1),
            at(today, 2),
        ];
        let row = |(index, ms): (u64, i64)| {
            let mut entry = Entry::new(Kind::Admin, UtcMillis::from_unix_ms(ms).unwrap());
            entry.what = Some("own_card".to_owned());
            EntryRow { log, index, body: entry.encode().unwrap() }
        };
        let rows: Vec<EntryRow> = (0..).zip(times).map(row).collect();
        let mut script = Script::default();
        ledger::insert_entries(&mut script, rows);
        ledger::move_head(&mut script, log, 0, 7, &EMPTY_ROOT);
        script.run(&mut tx).await.unwrap();
        let head = ledger::heads(&mut tx).await.unwrap().remove(0);
        let growth = Growth::read(&mut tx, &head, today).await.unwrap();
        let grown: Vec<i64> = growth.days.iter().map(|day| day.entries).collect();
        assert_eq!(grown, [2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 3]);
        assert_eq!([0, 11, 12, 13].map(|day: usize| growth.days[day].size), [3, 3, 4, 7]);
    }
}
