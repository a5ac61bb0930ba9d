//! How many attempts to one partner may be under way at once: a part is kept free for urgent messages.

use std::sync::Arc;

use silkgate_message::catalogue::Priority;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The room of one partner.
pub(super) struct Slots {
    all: Arc<Semaphore>,
    /// What bulk may take of it.
    bulk: Arc<Semaphore>,
}

/// Held while an attempt is under way.
pub(super) struct Slot {
    _all: OwnedSemaphorePermit,
    _bulk: Option<OwnedSemaphorePermit>,
}

impl Slots {
    /// Room for `all` attempts, `urgent` of which are for urgent messages only; bulk gets one at least, where there is any.
    pub(super) fn new(all: usize, urgent: usize) -> Self {
        let bulk = all.saturating_sub(urgent).max(1).min(all);
        Self { all: Arc::new(Semaphore::new(all)), bulk: Arc::new(Semaphore::new(bulk)) }
    }

    /// How many attempts of that priority could begin now.
    pub(super) fn free(&self, priority: Priority) -> usize {
        let all = self.all.available_permits();
        match priority {
            Priority::Urgent => all,
            Priority::Bulk => all.min(self.bulk.available_permits()),
        }
    }

    /// Takes one of them.
    pub(super) fn take(&self, priority: Priority) -> Option<Slot> {
        let _bulk = match priority {
            Priority::Urgent => None,
            Priority::Bulk => Some(self.bulk.clone().try_acquire_owned().ok()?),
        };
        Some(Slot { _all: self.all.clone().try_acquire_owned().ok()?, _bulk })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bulk_leaves_room_for_what_is_urgent() {
        let slots = Slots::new(4, 1);
        let bulk: Vec<_> = std::iter::from_fn(|| slots.take(Priority::Bulk)).collect();
        assert_eq!((bulk.len(), slots.free(Priority::Bulk), slots.free(Priority::Urgent)), (3, 0, 1));
        let urgent = slots.take(Priority::Urgent);
        assert!(urgent.is_some() && slots.take(Priority::Urgent).is_none());
        drop(bulk);
        assert_eq!((slots.free(Priority::Bulk), slots.free(Priority::Urgent)), (3, 3));
        let urgent: Vec<_> = std::iter::from_fn(|| slots.take(Priority::Urgent)).collect();
        assert_eq!((urgent.len(), slots.free(Priority::Bulk)), (3, 0), "what is urgent may take all of it");
    }

    #[test]
    fn there_is_room_for_both_where_there_is_hardly_any() {
        let slots = Slots::new(1, 8);
        assert!(slots.take(Priority::Bulk).is_some() && slots.take(Priority::Urgent).is_some());
    }
}
