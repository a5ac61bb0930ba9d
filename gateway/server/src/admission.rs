//! Who is judged next: before a message costs anything, its sender takes a place in its own lane, and lanes take turns.
//!
//! Verifying and judging a message is nearly all that it costs. So many run at once as there are processors; the others wait,
//! each partner's in a lane of its own, and when one ends the next lane is served. A partner that floods fills its own lane and is
//! answered 503 beyond it; another one waits for one turn of each lane, at most.
//! Those answers come after a moment: a flood would otherwise spend on them what the others need.

use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};
use silkgate_message::party::Country;
use tokio::sync::oneshot;

use crate::clock::Steady;

/// The way in to what costs processor time.
pub struct Admission {
    turns: Mutex<Turns>,
    /// Requests of one lane that are read, waiting or judged at once.
    per_lane: usize,
}

struct Turns {
    /// Free to judge.
    free: usize,
    /// By lane: how many are under way, and those of them that wait.
    lanes: BTreeMap<String, Lane>,
    /// The lane that was served last.
    last: String,
}

/// Bytes of bodies that the requests of one lane hold in memory, at most; several of the largest messages.
const BYTES_PER_LANE: usize = 64 << 20;

/// How long whoever is turned away waits for that answer; `Retry-After` asks for more.
const MOMENT: Duration = Duration::from_millis(250);

/// How often each partner may ask beside its messages. Apart from the rate of messages: neither keeps the other waiting.
pub struct Questions(RateLimiter<Country, HashMapStateStore<Country>, Steady>);

impl Questions {
    /// So many a second of each, averaged over ten. Partners are few: none is forgotten.
    pub fn new(per_second: u32) -> Self {
        let per_second = NonZeroU32::new(per_second).unwrap_or(NonZeroU32::MIN);
        let burst = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(9));
        let quota = Quota::per_second(per_second).allow_burst(burst);
        Self(RateLimiter::new(quota, HashMapStateStore::default(), Steady))
    }

    /// Takes one; false where they are used up.
    pub fn take(&self, partner: Country) -> bool {
        self.0.check_key(&partner).is_ok()
    }
}

#[derive(Default)]
struct Lane {
    under_way: usize,
    turned_away: usize,
    bytes: usize,
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

/// A request's place in its lane, from its first byte to its answer.
pub struct Place {
    admission: Arc<Admission>,
    lane: String,
    bytes: usize,
}

/// The right to judge, one at a time for each processor. When it is dropped, wherever that is, the next one has it.
pub struct Turn(Option<Arc<Admission>>);

impl Admission {
    /// For so many processors, and so many requests of each lane under way.
    pub fn new(processors: usize, per_lane: usize) -> Arc<Self> {
        let turns = Turns { free: processors.max(1), lanes: BTreeMap::new(), last: String::new() };
        Arc::new(Self { turns: Mutex::new(turns), per_lane })
    }

    /// Takes a place for a body of up to so many bytes; None where the lane is full.
    pub fn enter(self: &Arc<Self>, lane: &str, bytes: usize) -> Option<Place> {
        let mut turns = self.lock();
        let found = turns.lanes.entry(lane.to_owned()).or_default();
        // One alone always has room, whatever it holds.
        let crowded = found.under_way > 0 && found.bytes.saturating_add(bytes) > BYTES_PER_LANE;
        if found.under_way >= self.per_lane || crowded {
            return None;
        }
        found.under_way += 1;
        found.bytes += bytes;
        drop(turns);
        Some(Place { admission: self.clone(), lane: lane.to_owned(), bytes })
    }

    /// Waits a moment before a request is answered that it came too soon: who asks again at once, asks a few times a second and not
    /// as fast as it can. Of each lane as many wait as it takes; the others are answered at once.
    pub async fn turn_away(self: &Arc<Self>, lane: &str) {
        {
            let mut turns = self.lock();
            let found = turns.lanes.entry(lane.to_owned()).or_default();
            if found.turned_away >= self.per_lane {
                return;
            }
            found.turned_away += 1;
        }
        // Given back also where who asked goes away meanwhile.
        let _waits = Waits { admission: self.clone(), lane };
        tokio::time::sleep(MOMENT).await;
    }

    /// Changes the count of a lane; one without any is forgotten.
    fn leave(&self, name: &str, change: impl FnOnce(&mut Lane)) {
        let mut turns = self.lock();
        if let Some(lane) = turns.lanes.get_mut(name) {
            change(lane);
            if lane.under_way == 0 && lane.turned_away == 0 {
                turns.lanes.remove(name);
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Turns> {
        // Nothing panics while the lock is held; a poisoned one is still whole.
        self.turns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Place {
    /// Waits for the turn.
    pub async fn turn(&self) -> Turn {
        let called = {
            let mut turns = self.admission.lock();
            if turns.free > 0 {
                turns.free -= 1;
                return Turn(Some(self.admission.clone()));
            }
            let (call, called) = oneshot::channel();
            if let Some(lane) = turns.lanes.get_mut(&self.lane) {
                lane.waiting.push_back(call);
            }
            called
        };
        // The caller's end lives as long as this place's lane: without one nobody waits, and nobody is to be held back.
        called.await.unwrap_or(Turn(None))
    }
}

impl Turns {
    /// Gives a turn that has ended to the next lane that waits.
    fn pass_on(&mut self, mut turn: Turn) {
        while let Some(name) = self.next() {
            let called = self.lanes.get_mut(&name).and_then(|lane| lane.waiting.pop_front());
            self.last = name;
            let Some(call) = called else { continue };
            // Who has gone away gives it back.
            match call.send(turn) {
                Ok(()) => return,
                Err(back) => turn = back,
            }
        }
        turn.0 = None;
        self.free += 1;
    }

    fn next(&self) -> Option<String> {
        let after = (std::ops::Bound::Excluded(&self.last), std::ops::Bound::Unbounded);
        let later = self.lanes.range::<String, _>(after);
        let waits = |(_, lane): &(&String, &Lane)| !lane.waiting.is_empty();
        later.chain(&self.lanes).find(waits).map(|(name, _)| name.clone())
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(admission) = self.0.take() {
            admission.lock().pass_on(Turn(Some(admission.clone())));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.leave(&self.lane, |lane| {
            lane.under_way -= 1;
            lane.bytes -= self.bytes;
        });
    }
}

struct Waits<'a> {
    admission: Arc<Admission>,
    lane: &'a str,
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.admission.leave(self.lane, |lane| lane.turned_away -= 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets the others go on until none of them can.
    async fn settle() {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn lanes_take_turns_however_long_one_of_them_is() {
        let admission = Admission::new(1, 100);
        let order = Arc::new(Mutex::new(Vec::new()));
        let held = admission.enter("held", 1).unwrap();
        let turn = held.turn().await;
        for lane in ["JO"; 50].into_iter().chain(["SA", "TR"]) {
            let (place, order) = (admission.enter(lane, 1).unwrap(), order.clone());
            tokio::spawn(async move {
                let _turn = place.turn().await;
                order.lock().unwrap().push(lane);
            });
        }
        settle().await;
        drop(turn);
        settle().await;
        let order = order.lock().unwrap();
        assert_eq!((order.len(), &order[..4]), (52, &["JO", "SA", "TR", "JO"][..]));
    }

    #[tokio::test]
    async fn a_full_lane_refuses_and_another_does_not() {
        let admission = Admission::new(2, 3);
        let places: Vec<_> = (0..3).map(|_| admission.enter("JO", 1).unwrap()).collect();
        assert!(admission.enter("JO", 1).is_none());
        assert!(admission.enter("SA", 1).is_some());
        drop(places);
        assert!(admission.enter("JO", BYTES_PER_LANE + 1).is_some());
        assert!(admission.lock().lanes.is_empty(), "nothing is remembered of who has gone");
    }

    #[tokio::test(start_paused = true)]
    async fn who_is_turned_away_waits_for_it_unless_too_many_do() {
        let admission = Admission::new(1, 2);
        let began = tokio::time::Instant::now();
        let mut away: Vec<_> = (0..2).map(|_| Box::pin(admission.turn_away("JO"))).collect();
        for one in &mut away {
            assert!(futures_poll(one).await.is_none());
        }
        admission.turn_away("JO").await;
        assert_eq!(began.elapsed(), Duration::ZERO);
        // One of them goes away: another may wait in its stead.
        away.pop();
        admission.turn_away("JO").await;
        assert_eq!(began.elapsed(), MOMENT);
        away.remove(0).await;
        assert!(admission.lock().lanes.is_empty(), "nothing is remembered of who has gone");
    }

    #[tokio::test]
    async fn large_bodies_fill_a_lane_too() {
        let admission = Admission::new(1, 100);
        let places: Vec<_> = (0..6).map(|_| admission.enter("JO", 10 << 20).unwrap()).collect();
        assert!(admission.enter("JO", 10 << 20).is_none());
        assert!(admission.enter("JO", 1 << 20).is_some());
        drop(places);
        assert!(admission.enter("JO", 10 << 20).is_some());
    }

    #[tokio::test]
    async fn who_goes_away_while_waiting_costs_nobody_a_turn() {
        let admission = Admission::new(1, 9);
        let (first, second, third) = (
            admission.enter("A", 1).unwrap(),
            admission.enter("B", 1).unwrap(),
            admission.enter("C", 1).unwrap(),
        );
        let turn = first.turn().await;
        {
            let mut waiting = Box::pin(second.turn());
            assert!(futures_poll(&mut waiting).await.is_none());
        }
        drop(turn);
        let _third = third.turn().await;
        assert_eq!(admission.lock().free, 0);
    }

    /// Polls once.
    async fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
        std::future::poll_fn(|cx| {
            std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(cx) {
                std::task::Poll::Ready(output) => Some(output),
                std::task::Poll::Pending => None,
            })
        })
        .await
    }
}
