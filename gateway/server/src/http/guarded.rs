//! The line under HTTP: what comes in is held to [`Framing`] or [`Frames`], what goes out to [`Pace`].

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::frames::Frames;
use super::framing::{Framing, Refused};
use super::pace::Pace;

/// The field by which the line tells the service why it refused a head.
pub const REFUSED: &str = "silkgate-refused";
/// What stands there for a head that is too large.
pub const TOO_LARGE: &str = "too large";
/// Bytes read at a time while a head is incomplete.
const PIECE: usize = 4 << 10;

/// A connection whose requests are held to the rules.
pub struct Guarded<S> {
    stream: S,
    rules: Rules,
    pace: Arc<Pace>,
}

enum Rules {
    One(Box<One>),
    Two(Box<Frames>),
}

#[derive(Default)]
struct One {
    framing: Framing,
    /// The beginning of a head.
    held: Vec<u8>,
    /// What may go on, as far as it did not fit.
    ready: Vec<u8>,
    given: usize,
    /// After a refusal nothing goes on.
    end: Option<End>,
}

#[derive(Clone, Copy)]
enum End {
    Answered,
    Broken,
}

impl<S> Guarded<S> {
    /// `stream` with HTTP/1.1 on it.
    pub fn one(stream: S, pace: Arc<Pace>) -> Self {
        Self { stream, rules: Rules::One(Box::default()), pace }
    }

    /// `stream` with HTTP/2 on it.
    pub fn two(stream: S, pace: Arc<Pace>) -> Self {
        Self { stream, rules: Rules::Two(Box::new(Frames::new(Instant::now()))), pace }
    }
}

impl One {
    /// Gives on what is ready. False: there is nothing.
    fn give(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let rest = &self.ready[self.given..];
        if rest.is_empty() {
            return false;
        }
        let taken = rest.len().min(buf.remaining());
        buf.put_slice(&rest[..taken]);
        self.given += taken;
        if self.given == self.ready.len() {
            self.ready.clear();
            self.given = 0;
        }
        true
    }

    /// Judges what is held, and makes ready what may go on.
    fn judge_held(&mut self) {
        let held = std::mem::take(&mut self.held);
        match self.framing.feed(&held) {
            Ok(taken) => {
                self.ready.extend_from_slice(&held[..taken]);
                self.held = held[taken..].to_vec();
            }
            Err((taken, refused)) => {
                self.ready.extend_from_slice(&held[..taken]);
                self.refuse(refused);
            }
        }
    }

    /// A head that is refused gives way to a request of ours that says so: it is answered in its turn, after the answers to
    /// those before it. After broken chunks there is nobody to answer but the request whose body they are.
    fn refuse(&mut self, refused: Refused) {
        let what = match refused {
            Refused::Head(what) => what,
            Refused::TooLarge => TOO_LARGE,
            Refused::Chunks(_) => {
                self.end = Some(End::Broken);
                return;
            }
        };
        let request = format!("GET / HTTP/1.1\r\nHost: refused\r\n{REFUSED}: {what}\r\n\r\n");
        self.ready.extend_from_slice(request.as_bytes());
        self.end = Some(End::Answered);
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, rules, pace } = &mut *self;
        let stream = Pin::new(stream);
        match rules {
            Rules::One(one) => {
                let read = read_one(stream, one, cx, buf);
                pace.heading(!one.held.is_empty());
                read
            }
            Rules::Two(frames) => {
                let before = buf.filled().len();
                ready!(stream.poll_read(cx, buf))?;
                let read = &buf.filled()[before..];
                Poll::Ready(frames.feed(read, Instant::now()).map_err(|what| {
                    pace.flooded(what);
                    io::ErrorKind::InvalidData.into()
                }))
            }
        }
    }
}

fn read_one<S: AsyncRead>(
    mut stream: Pin<&mut S>,
    one: &mut One,
    cx: &mut Context<'_>,
    buf: &mut ReadBuf<'_>,
) -> Poll<io::Result<()>> {
    loop {
        if one.give(buf) {
            return Poll::Ready(Ok(()));
        }
        match one.end {
            Some(End::Answered) => {
                // Read and thrown away while the answer leaves: a line with unread bytes would be reset under it.
                let mut piece = [0; PIECE];
                let mut piece = ReadBuf::new(&mut piece);
                ready!(stream.as_mut().poll_read(cx, &mut piece))?;
                if piece.filled().is_empty() {
                    return Poll::Ready(Ok(()));
                }
                continue;
            }
            Some(End::Broken) => return Poll::Ready(Err(io::ErrorKind::InvalidData.into())),
            None => {}
        }
        if one.held.is_empty() {
            // What may go on as a whole, which is nearly everything, is not copied.
            let before = buf.filled().len();
            ready!(stream.as_mut().poll_read(cx, buf))?;
            let read = &buf.filled()[before..];
            let (taken, refused) = match one.framing.feed(read) {
                Ok(taken) if taken == read.len() => return Poll::Ready(Ok(())),
                Ok(taken) => (taken, None),
                Err((taken, refused)) => (taken, Some(refused)),
            };
            match refused {
                Some(refused) => one.refuse(refused),
                None => one.held.extend_from_slice(&read[taken..]),
            }
            buf.set_filled(before + taken);
            if taken > 0 {
                return Poll::Ready(Ok(()));
            }
        } else {
            let mut piece = [0; PIECE];
            let mut piece = ReadBuf::new(&mut piece);
            ready!(stream.as_mut().poll_read(cx, &mut piece))?;
            if piece.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            one.held.extend_from_slice(piece.filled());
            one.judge_held();
        }
    }
}

impl<S: AsyncWrite + Unpin> Guarded<S> {
    fn wrote(&mut self, written: &Poll<io::Result<usize>>) {
        self.pace.blocked(written.is_pending());
        if let (Rules::Two(frames), Poll::Ready(Ok(bytes))) = (&mut self.rules, written) {
            frames.written(*bytes);
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.wrote(&written);
        written
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.wrote(&written);
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.pace.blocked(flushed.is_pending());
        flushed
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
