//! Counts changes of the catalogue that are on disk and could not be read.

use std::sync::atomic::{AtomicU64, Ordering};

use landfall_store::StoreError;

use crate::tasks::Trigger;

/// How many such changes there were, and how many of them have been read. These are numbers and not a flag, because a
/// change that is left while an earlier one is being read may not be part of what is read.
#[derive(Default)]
pub(super) struct Unread {
    left: AtomicU64,
    read: AtomicU64,
    /// Starts the task that reads them.
    pub(super) more: Trigger,
}

impl Unread {
    /// Records a change that could not be read, because of this error. Gives the error back.
    pub(super) fn leave(&self, error: StoreError) -> StoreError {
        self.left.fetch_add(1, Ordering::Relaxed);
        self.more.activate();
        error
    }

    /// The number of the newest change that has not been read, if there is one.
    pub(super) fn left(&self) -> Option<u64> {
        let left = self.left.load(Ordering::Relaxed);
        (left > self.read.load(Ordering::Relaxed)).then_some(left)
    }

    /// Records that every change up to this number has been read.
    pub(super) fn read(&self, left: u64) {
        self.read.fetch_max(left, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_while_another_is_read_stays_left() {
        let unread = Unread::default();
        assert_eq!(unread.left(), None);
        unread.leave(StoreError::Busy);
        let first = unread.left().unwrap();
        unread.leave(StoreError::Busy);
        unread.read(first);
        let second = unread.left().unwrap();
        unread.read(second);
        assert_eq!(unread.left(), None);
    }
}
