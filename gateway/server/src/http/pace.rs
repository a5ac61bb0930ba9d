//! How long a peer may keep a connection without doing its part.
//!
//! Neither hyper nor TLS bounds how slowly an answer is read, or how long a connection is kept for nothing.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use tokio::time::Instant;

/// The slowest line that an answer is kept for, bytes a second: beyond [`Patience::answer`] an answer has the time it takes there.
const SLOWEST: u64 = 16 << 10;

/// How long what may take.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// From the handshake to the first request, and for the head of each.
    pub first: Duration,
    /// From one request to the next.
    pub idle: Duration,
    /// From an answer to its having been read, beside the time that its bytes need on a slow line.
    pub answer: Duration,
}

/// What keeps a connection from going on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Slow {
    /// Nothing was asked for too long.
    Idle,
    /// An answer was not read.
    Unread,
}

/// What happens on one connection.
pub struct Pace {
    patience: Patience,
    state: Mutex<State>,
}

struct State {
    /// Requests that are being read or worked on: bounded by their own deadlines.
    under_way: usize,
    /// Until when answers are to have been read.
    answers: Vec<(u64, Instant)>,
    next: u64,
    /// The last time at which the peer asked something or had read all.
    active_at: Instant,
    has_asked: bool,
    /// Since when the line takes nothing more.
    blocked_at: Option<Instant>,
    /// Since when a head is incomplete.
    head_at: Option<Instant>,
    /// What the peer sent too much of.
    flood: Option<&'static str>,
}

impl Pace {
    /// For a connection that begins now.
    pub fn new(patience: Patience) -> Arc<Self> {
        let state = State {
            under_way: 0,
            answers: Vec::new(),
            next: 0,
            active_at: Instant::now(),
            has_asked: false,
            blocked_at: None,
            head_at: None,
            flood: None,
        };
        Arc::new(Self { patience, state: Mutex::new(state) })
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A request came.
    pub fn asked(self: &Arc<Self>) -> Asked {
        self.change(|state| {
            state.under_way += 1;
            state.has_asked = true;
        });
        Asked(self.clone())
    }

    /// Whether the line takes what we write.
    pub fn blocked(&self, is_blocked: bool) {
        self.change(|state| since(&mut state.blocked_at, is_blocked));
    }

    /// Whether the head of a request is incomplete.
    pub fn heading(&self, is_heading: bool) {
        self.change(|state| since(&mut state.head_at, is_heading));
    }

    /// The peer sent too much of what carries nothing.
    pub fn flooded(&self, what: &'static str) {
        self.change(|state| state.flood = Some(what));
    }

    /// What it sent too much of.
    pub fn flood(&self) -> Option<&'static str> {
        self.change(|state| state.flood)
    }

    /// Resolves once the peer has been too slow.
    pub async fn lost(&self) -> Slow {
        loop {
            let (slow, at) = self.change(|state| state.next_end(&self.patience));
            let now = Instant::now();
            if at <= now {
                return slow;
            }
            // Nothing that begins meanwhile is over sooner than that.
            tokio::time::sleep_until(at.min(now + self.patience.answer.min(self.patience.first))).await;
        }
    }
}

fn since(at: &mut Option<Instant>, is_so: bool) {
    match (is_so, &at) {
        (true, None) => *at = Some(Instant::now()),
        (false, Some(_)) => *at = None,
        _ => {}
    }
}

impl State {
    /// What would end the connection next, if nothing happens until then.
    fn next_end(&self, patience: &Patience) -> (Slow, Instant) {
        let blocked = self.blocked_at.map(|since| since + patience.answer);
        let unread = self.answers.iter().map(|(_, until)| *until).chain(blocked).min();
        let idle = if self.has_asked { patience.idle } else { patience.first };
        match unread {
            Some(until) => (Slow::Unread, until),
            None if self.head_at.is_some() => {
                (Slow::Idle, self.head_at.map_or(self.active_at, |since| since + patience.first))
            }
            // Looked at again later.
            None if self.under_way > 0 => (Slow::Idle, Instant::now() + patience.answer),
            None => (Slow::Idle, self.active_at + idle),
        }
    }
}

/// A request under way.
pub struct Asked(Arc<Pace>);

impl Asked {
    /// Its answer: from now on it is the peer's to read.
    pub fn answered(self, response: Response) -> Response {
        let pace = self.0.clone();
        let length = hyper::body::Body::size_hint(response.body()).upper();
        let until = Instant::now() + pace.patience.answer + worth(length.unwrap_or(0));
        let id = pace.change(|state| {
            let id = state.next;
            state.next += 1;
            state.answers.push((id, until));
            id
        });
        drop(self);
        response.map(|body| Body::new(Read { body, pace, id, grows: length.is_none() }))
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        self.0.change(|state| {
            state.under_way -= 1;
            state.active_at = Instant::now();
        });
    }
}

/// The body of an answer, dropped once the last of it was given to the line.
struct Read {
    body: Body,
    pace: Arc<Pace>,
    id: u64,
    /// Whether its length is not known: then each part brings the time that it is worth.
    grows: bool,
}

/// The time in which a peer reads so many bytes.
fn worth(bytes: u64) -> Duration {
    Duration::from_secs(bytes / SLOWEST)
}

impl hyper::body::Body for Read {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if self.grows
            && let Poll::Ready(Some(Ok(frame))) = &polled
            && let Some(part) = frame.data_ref()
        {
            let more = worth(part.len() as u64);
            let answer = |state: &mut State| {
                state
                    .answers
                    .iter_mut()
                    .filter(|(id, _)| *id == self.id)
                    .for_each(|(_, until)| *until += more);
            };
            self.pace.change(answer);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Read {
    fn drop(&mut self) {
        self.pace.change(|state| {
            state.answers.retain(|(id, _)| *id != self.id);
            state.active_at = Instant::now();
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Patience = Patience {
        first: Duration::from_secs(1),
        idle: Duration::from_secs(10),
        answer: Duration::from_secs(5),
    };

    async fn lost_after(pace: &Pace) -> (Slow, u64) {
        let began = Instant::now();
        (pace.lost().await, began.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_request_comes_soon_and_later_ones_within_the_idle_time() {
        let pace = Pace::new(PATIENCE);
        assert_eq!(lost_after(&pace).await, (Slow::Idle, 1));
        drop(pace.asked());
        assert_eq!(lost_after(&pace).await, (Slow::Idle, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_head_comes_soon_also_later() {
        let pace = Pace::new(PATIENCE);
        drop(pace.asked());
        pace.heading(true);
        assert_eq!(lost_after(&pace).await, (Slow::Idle, 1));
        pace.heading(false);
        assert_eq!(lost_after(&pace).await.0, Slow::Idle);
    }

    #[tokio::test(start_paused = true)]
    async fn work_of_ours_is_not_the_peers_slowness() {
        let pace = Pace::new(PATIENCE);
        let asked = pace.asked();
        assert!(tokio::time::timeout(Duration::from_secs(3600), pace.lost()).await.is_err());
        drop(asked);
        assert_eq!(lost_after(&pace).await, (Slow::Idle, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_read_in_time() {
        let pace = Pace::new(PATIENCE);
        let unread = pace.asked().answered(Response::new(Body::from("receipt")));
        tokio::time::advance(Duration::from_secs(3)).await;
        drop(pace.asked().answered(Response::new(Body::from("receipt"))));
        assert_eq!(lost_after(&pace).await, (Slow::Unread, 2), "others that are read do not help it");
        drop(unread);
        assert_eq!(lost_after(&pace).await, (Slow::Idle, 10));
    }

    #[tokio::test(start_paused = true)]
    async fn a_long_answer_has_the_time_that_a_slow_line_takes() {
        let pace = Pace::new(PATIENCE);
        let _unread = pace.asked().answered(Response::new(Body::from(vec![0; 160 << 10])));
        assert_eq!(lost_after(&pace).await, (Slow::Unread, 15));
    }

    #[tokio::test(start_paused = true)]
    async fn a_line_that_takes_nothing_is_slow_too() {
        let pace = Pace::new(PATIENCE);
        drop(pace.asked());
        pace.blocked(true);
        tokio::time::advance(Duration::from_secs(1)).await;
        pace.blocked(true);
        assert_eq!(lost_after(&pace).await, (Slow::Unread, 4));
        pace.blocked(false);
        assert_eq!(lost_after(&pace).await.0, Slow::Idle);
    }
}
