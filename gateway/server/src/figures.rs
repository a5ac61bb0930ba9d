//! Figures that only the running gateway knows, for monitoring.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use silkgate_message::instant::Instant;
use silkgate_message::party::Country;

/// What the last reconciliation with a partner found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reconciled {
    /// When.
    pub at: Instant,
    /// Messages of which both sides tell the same.
    pub both: u64,
    /// Messages of which they tell differently.
    pub differences: u64,
    /// Where the partner's log contradicts itself or what it told before.
    pub inconsistent: u64,
}

/// The figures.
#[derive(Default)]
pub struct Figures(Mutex<BTreeMap<Country, Reconciled>>);

impl Figures {
    /// Notes a reconciliation.
    pub fn note(&self, partner: Country, found: Reconciled) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(partner, found);
    }

    /// The last one with each partner, since this start.
    pub fn reconciled(&self) -> Vec<(Country, Reconciled)> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().map(|(partner, found)| (*partner, *found)).collect()
    }
}
