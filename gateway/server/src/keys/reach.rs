//! Which keys in tokens are reached, as last looked.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// By the name of a key's file: why it is not reached, or nothing.
#[derive(Default)]
pub struct Reach(Mutex<BTreeMap<String, Option<String>>>);

impl Reach {
    /// Takes what was found of every key in a token; gives the names of those of which something else was found before.
    pub fn found(&self, next: BTreeMap<String, Option<String>>) -> Vec<String> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let was_well = |name: &String| known.get(name).is_none_or(Option::is_none);
        let changed = next.iter().filter(|(name, why)| was_well(name) != why.is_none());
        let changed = changed.map(|(name, _)| name.clone()).collect();
        *known = next;
        changed
    }

    /// Every key in a token, and why it is not reached.
    pub fn all(&self) -> BTreeMap<String, Option<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
