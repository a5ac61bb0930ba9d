//! What an HTTP/2 peer may send that carries nothing (RFC 9113 §10.5), counted before the library sees it.
//!
//! The library answers pings and settings and tears down streams for as long as it is asked to: a peer that resets what it has
//! just asked (CVE-2023-44487) or asks for acknowledgements without end (CVE-2019-9512, -9515) pays less than we do.

use std::time::Duration;

use tokio::time::Instant;

/// The connection preface (RFC 9113 §3.4).
const PREFACE: usize = 24;
const HEAD: usize = 9;

/// Streams that the peer takes back: attempts that took too long, questions nobody waits for any more.
const RESETS: Allowance = Allowance { at_once: 100, a_second: 8 };
/// Pings, settings, priorities, continuations, data without data, and frames of unknown kinds.
const CONTROLS: Allowance = Allowance { at_once: 256, a_second: 32 };
/// Window updates beyond those that our own answers earn.
const WINDOWS: Allowance = Allowance { at_once: 1024, a_second: 32 };
/// Bytes of ours that earn one window update.
const BYTES_A_WINDOW: u64 = 256;

#[derive(Clone, Copy)]
struct Allowance {
    at_once: u32,
    a_second: u32,
}

/// Counts the frames of one connection.
pub struct Frames {
    preface_left: usize,
    head: [u8; HEAD],
    have: usize,
    skip: usize,
    resets: Bucket,
    controls: Bucket,
    windows: Bucket,
}

impl Frames {
    /// For a connection that begins now.
    pub fn new(now: Instant) -> Self {
        Self {
            preface_left: PREFACE,
            head: [0; HEAD],
            have: 0,
            skip: 0,
            resets: Bucket::new(RESETS, now),
            controls: Bucket::new(CONTROLS, now),
            windows: Bucket::new(WINDOWS, now),
        }
    }

    /// Takes bytes in their order, whatever pieces they come in. The error says what there was too much of.
    pub fn feed(&mut self, mut bytes: &[u8], now: Instant) -> Result<(), &'static str> {
        let preface = self.preface_left.min(bytes.len());
        self.preface_left -= preface;
        bytes = &bytes[preface..];
        while !bytes.is_empty() {
            if self.skip > 0 {
                let skipped = self.skip.min(bytes.len());
                self.skip -= skipped;
                bytes = &bytes[skipped..];
                continue;
            }
            let taken = (HEAD - self.have).min(bytes.len());
            self.head[self.have..self.have + taken].copy_from_slice(&bytes[..taken]);
            self.have += taken;
            bytes = &bytes[taken..];
            if self.have == HEAD {
                self.have = 0;
                self.frame(now)?;
            }
        }
        Ok(())
    }

    /// Our answers make the peer open its window again.
    pub fn written(&mut self, bytes: usize) {
        self.windows.earn(bytes as u64, BYTES_A_WINDOW);
    }

    fn frame(&mut self, now: Instant) -> Result<(), &'static str> {
        let [high, middle, low, kind, flags, ..] = self.head;
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        self.skip = length;
        const END_STREAM: u8 = 1;
        let (bucket, what) = match kind {
            // DATA, RFC 9113 §6.1
            0 if length > 0 || flags & END_STREAM != 0 => return Ok(()),
            // HEADERS, §6.2: a request, which is bounded as such.
            1 => return Ok(()),
            3 => (&mut self.resets, "streams reset"),
            8 => (&mut self.windows, "window updates"),
            _ => (&mut self.controls, "frames that carry nothing"),
        };
        if bucket.take(now) { Ok(()) } else { Err(what) }
    }
}

/// So many at once, and so many more a second.
pub struct Bucket {
    allowance: Allowance,
    left: u32,
    earned: u64,
    refilled_at: Instant,
}

impl Bucket {
    fn new(allowance: Allowance, now: Instant) -> Self {
        Self { allowance, left: allowance.at_once, earned: 0, refilled_at: now }
    }

    fn take(&mut self, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.refilled_at).as_secs();
        if seconds > 0 {
            self.refilled_at += Duration::from_secs(seconds);
            let more = u64::from(self.allowance.a_second).saturating_mul(seconds);
            self.fill(more);
        }
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        true
    }

    /// `amount` in units of which `each` make one.
    fn earn(&mut self, amount: u64, each: u64) {
        self.earned += amount;
        let more = self.earned / each;
        self.earned %= each;
        self.fill(more);
    }

    fn fill(&mut self, more: u64) {
        let full = u64::from(self.left).saturating_add(more).min(u64::from(self.allowance.at_once));
        self.left = u32::try_from(full).unwrap_or(self.allowance.at_once);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(kind: u8, flags: u8, length: usize) -> Vec<u8> {
        let mut frame =
            vec![(length >> 16) as u8, (length >> 8) as u8, length as u8, kind, flags, 0, 0, 0, 1];
        frame.extend(vec![0; length]);
        frame
    }

    fn fed(frames: &mut Frames, bytes: &[u8], times: usize, now: Instant) -> usize {
        (0..times).take_while(|_| frames.feed(bytes, now).is_ok()).count()
    }

    fn connected(now: Instant) -> Frames {
        let mut frames = Frames::new(now);
        for byte in b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" {
            assert!(frames.feed(&[*byte], now).is_ok());
        }
        frames
    }

    #[tokio::test(start_paused = true)]
    async fn each_kind_has_its_allowance_and_requests_none() {
        let now = Instant::now();
        for (kind, flags, length, most) in [
            (3, 0, 4, 100),
            (4, 0, 0, 256),
            (6, 0, 8, 256),
            (2, 0, 5, 256),
            (9, 0, 1, 256),
            (0, 0, 0, 256),
            (77, 0, 3, 256),
            (8, 0, 4, 1024),
            (1, 4, 100, 5000),
            (0, 0, 100, 5000),
            (0, 1, 0, 5000),
        ] {
            let mut frames = connected(now);
            assert_eq!(fed(&mut frames, &frame(kind, flags, length), 5000, now), most, "kind {kind}");
            let later = now + Duration::from_secs(2);
            assert!(frames.feed(&frame(kind, flags, length), later).is_ok(), "kind {kind}: refilled");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn answers_earn_window_updates() {
        let now = Instant::now();
        let mut frames = connected(now);
        for _ in 0..10_000 {
            frames.written(200);
            frames.written(56);
            assert!(frames.feed(&frame(8, 0, 4), now).is_ok());
        }
    }
}
