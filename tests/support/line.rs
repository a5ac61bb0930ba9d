//! A line between two gateways that takes its time, and stands still when told to.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The line. Bytes that come in at `address` leave after the delay, in their order; the delay holds each way.
pub struct Line {
    /// Where to connect instead.
    pub address: String,
    state: Arc<State>,
}

struct State {
    delay: Duration,
    /// Whether nothing leaves.
    held: Mutex<bool>,
    moved: Condvar,
    /// Bytes that came in and have not left.
    within: AtomicU64,
}

impl Line {
    /// A line to `to`.
    pub fn to(to: &str, delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let state = Arc::new(State {
            delay,
            held: Mutex::new(false),
            moved: Condvar::new(),
            within: AtomicU64::new(0),
        });
        let (to, carried) = (to.to_owned(), state.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&to) else { continue };
                for (from, to) in [(&client, &server), (&server, &client)] {
                    let (Ok(from), Ok(to)) = (from.try_clone(), to.try_clone()) else { continue };
                    let state = carried.clone();
                    std::thread::spawn(move || carry(from, to, &state));
                }
            }
        });
        Self { address, state }
    }

    /// Nothing leaves the line any more, or everything does again.
    pub fn hold(&self, held: bool) {
        *self.state.held.lock().unwrap_or_else(PoisonError::into_inner) = held;
        self.state.moved.notify_all();
    }

    /// Whether something is in the line.
    pub fn is_busy(&self) -> bool {
        self.state.within.load(Ordering::SeqCst) > 0
    }
}

/// One way: a thread reads and notes when each part may leave, another one sends it then.
fn carry(mut from: TcpStream, mut to: TcpStream, state: &Arc<State>) {
    let _ = to.set_nodelay(true);
    let (sender, parts) = std::sync::mpsc::channel::<(Instant, Vec<u8>)>();
    let sending = state.clone();
    let sends = std::thread::spawn(move || {
        for (due, part) in parts {
            #[allow(clippy::disallowed_methods)] // the delay is what this line is for
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            let held = sending.held.lock().unwrap_or_else(PoisonError::into_inner);
            let _held = sending.moved.wait_while(held, |held| *held);
            sending.within.fetch_sub(part.len() as u64, Ordering::SeqCst);
            if to.write_all(&part).is_err() {
                break;
            }
        }
        let _ = to.shutdown(Shutdown::Write);
    });
    let mut buffer = [0; 16384];
    while let Ok(read) = from.read(&mut buffer)
        && read > 0
    {
        let due = Instant::now() + state.delay;
        state.within.fetch_add(read as u64, Ordering::SeqCst);
        if sender.send((due, buffer[..read].to_vec())).is_err() {
            break;
        }
    }
    drop(sender);
    let _ = sends.join();
}
