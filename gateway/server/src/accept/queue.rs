//! The waiting room before the commit: bounded per lane, emptied in turns, so that no partner's
//! flood keeps another one waiting.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

/// Who a job belongs to: a partner's country, or the empty name for the gateway's own work.
pub type Lane = String;

/// A bounded queue with lanes.
pub struct Queue<T> {
    lanes: Mutex<Lanes<T>>,
    filled: Notify,
    per_lane: usize,
}

struct Lanes<T> {
    waiting: BTreeMap<Lane, VecDeque<T>>,
    /// The lane that was served last; the next batch begins behind it.
    last: Lane,
    closed: bool,
}

impl<T> Queue<T> {
    /// A queue that holds at most `per_lane` jobs of each lane.
    pub fn new(per_lane: usize) -> Self {
        let lanes = Lanes { waiting: BTreeMap::new(), last: Lane::new(), closed: false };
        Self { lanes: Mutex::new(lanes), filled: Notify::new(), per_lane }
    }

    /// Adds a job; gives it back where its lane is full or the queue is closed.
    pub fn push(&self, lane: &str, job: T) -> Result<(), T> {
        let mut lanes = self.lock();
        if lanes.closed {
            return Err(job);
        }
        let waiting = lanes.waiting.entry(lane.to_owned()).or_default();
        if waiting.len() >= self.per_lane {
            return Err(job);
        }
        waiting.push_back(job);
        drop(lanes);
        self.filled.notify_one();
        Ok(())
    }

    /// Waits for at least one job and takes up to `most`, one lane after another. None once the
    /// queue is closed and empty.
    pub async fn take(&self, most: usize) -> Option<Vec<T>> {
        loop {
            let filled = self.filled.notified();
            {
                let mut lanes = self.lock();
                let jobs = lanes.take(most);
                if !jobs.is_empty() {
                    return Some(jobs);
                }
                if lanes.closed {
                    return None;
                }
            }
            filled.await;
        }
    }

    /// Jobs that wait, by lane; a lane without any is left out.
    pub fn depths(&self) -> Vec<(Lane, usize)> {
        self.lock().waiting.iter().map(|(lane, jobs)| (lane.clone(), jobs.len())).collect()
    }

    /// Takes no more; what waits is still handed out.
    pub fn close(&self) {
        self.lock().closed = true;
        self.filled.notify_one();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Lanes<T>> {
        // Nothing panics while the lock is held; a poisoned queue is still whole.
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T> Lanes<T> {
    fn take(&mut self, most: usize) -> Vec<T> {
        let mut jobs = Vec::new();
        while jobs.len() < most {
            let after = (std::ops::Bound::Excluded(self.last.clone()), std::ops::Bound::Unbounded);
            let next = self.waiting.range(after).next().or_else(|| self.waiting.iter().next());
            let Some(lane) = next.map(|(lane, _)| lane.clone()) else {
                break;
            };
            if let Some(waiting) = self.waiting.get_mut(&lane) {
                jobs.extend(waiting.pop_front());
                if waiting.is_empty() {
                    self.waiting.remove(&lane);
                }
            }
            self.last = lane;
        }
        jobs
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lanes_take_turns_and_keep_their_order() {
        let queue = Queue::new(10);
        for n in 0..5 {
            queue.push("JO", ("JO", n)).unwrap();
        }
        queue.push("SA", ("SA", 0)).unwrap();
        queue.push("", ("", 0)).unwrap();
        assert_eq!(queue.depths(), [("".into(), 1), ("JO".into(), 5), ("SA".into(), 1)]);
        let batch = queue.take(4).await.unwrap();
        assert_eq!(batch, [("JO", 0), ("SA", 0), ("", 0), ("JO", 1)]);
        assert_eq!(queue.take(9).await.unwrap(), [("JO", 2), ("JO", 3), ("JO", 4)]);
    }

    #[tokio::test]
    async fn bounded_and_closable() {
        let queue = Queue::new(1);
        queue.push("JO", 1).unwrap();
        assert_eq!(queue.push("JO", 2), Err(2));
        queue.push("SA", 3).unwrap();
        queue.close();
        assert_eq!(queue.push("SA", 4), Err(4));
        assert_eq!(queue.take(9).await, Some(vec![1, 3]));
        assert_eq!(queue.take(9).await, None);
    }
}
