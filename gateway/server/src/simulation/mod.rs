//! Two states exchange messages while everything fails: the real `accept`, `dispatch`, `deliver` and `witness` over a store in
//! memory, a simulated clock and a simulated network. One seed is one history, every time.
//!
//! `states` makes the homes, `state` runs a gateway and starts it again, `network` carries what they ask each other, `back_end`
//! submits and fetches, `chance` decides what fails, `check` looks whether all promises were kept.

mod back_end;
mod chance;
mod check;
mod network;
mod scenario;
mod state;
mod states;
mod world;

mod databases;
mod seeds;
mod writes;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Nothing panics while it holds one of the simulation's locks but a test that has failed anyway.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
