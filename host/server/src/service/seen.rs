//! The newest state that this installation has seen: how far its database had come, and the latest time.
//!
//! It is kept in a file beside the database. So a database that was restored from an older copy, and a clock that was
//! set back, are noticed and logged. Neither stops the server: an operator may have done it on purpose. Tokens that had
//! ended stay ended, whatever the clock says now.
//!
//! The file is written once a minute and when the server stops. If the server crashes, a database that is restored to a
//! state of the last minute is not noticed.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use landfall_domain::clock::Timestamp;
use serde::{Deserialize, Serialize};

use crate::folder::DataFolder;

/// The newest state that was seen, with its file.
#[derive(Debug, Default)]
pub struct Seen {
    path: Option<PathBuf>,
    state: Mutex<State>,
    told: AtomicBool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct State {
    /// The number of transactions that had changed the database.
    sequence: u64,
    /// The latest time, in milliseconds.
    latest: Timestamp,
    /// How many times the database was found to be older than the one that was served before.
    #[serde(default)]
    put_back: u64,
}

/// What differs from the newest state that was seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Notice {
    /// The database lacks this many transactions that were served before.
    PutBack(u64),
    /// The clock is this far behind the latest time.
    ClockBack(Duration),
}

impl Seen {
    /// Compares the file with the present state, and logs the differences.
    pub fn open(path: &Path, sequence: u64, now: Timestamp) -> Self {
        let before = match std::fs::read(path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(file = %path.display(), %error, "what was seen before cannot be read: it begins anew");
                State::default()
            }),
            Err(_) => State::default(),
        };
        let (state, notices) = before.compared(sequence, now);
        for notice in &notices {
            notice.tell(path);
        }
        let clock_told = notices.iter().any(|notice| matches!(notice, Notice::ClockBack(_)));
        let seen = Self { path: Some(path.to_owned()), state: Mutex::new(state), told: AtomicBool::new(clock_told) };
        seen.write();
        seen
    }

    /// The latest time that was ever seen, `now` included.
    pub fn latest(&self, now: Timestamp) -> Timestamp {
        let mut state = self.lock();
        state.latest = state.latest.max(now);
        state.latest
    }

    /// How far `now` is behind the latest time that was seen.
    pub fn behind(&self, now: Timestamp) -> Duration {
        self.lock().latest.since(now)
    }

    /// How many times the database was found to be older than the one that was served before.
    pub fn put_back(&self) -> u64 {
        self.lock().put_back
    }

    /// Writes how far the database and the clock have come. A clock that was set back is logged once.
    pub fn note(&self, sequence: u64, now: Timestamp) {
        let behind = self.behind(now);
        {
            let mut state = self.lock();
            state.sequence = state.sequence.max(sequence);
            state.latest = state.latest.max(now);
        }
        let back = behind > TOLERANCE;
        if back && !self.told.swap(back, Ordering::Relaxed) {
            Notice::ClockBack(behind).tell(self.path.as_deref().unwrap_or(Path::new("")));
        }
        if !back {
            self.told.store(false, Ordering::Relaxed);
        }
        self.write();
    }

    fn write(&self) {
        let Some(path) = &self.path else { return };
        let text = serde_json::to_vec(&*self.lock()).unwrap_or_default();
        if let Err(error) = DataFolder::replace(path, &text, true) {
            tracing::debug!(file = %path.display(), %error, "what was seen cannot be written");
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// The state that is seen now, and what is unusual about it.
    fn compared(self, sequence: u64, now: Timestamp) -> (Self, Vec<Notice>) {
        let mut notices = Vec::new();
        let missing = self.sequence.saturating_sub(sequence);
        if missing > 0 {
            notices.push(Notice::PutBack(missing));
        }
        let behind = self.latest.since(now);
        if behind > TOLERANCE {
            notices.push(Notice::ClockBack(behind));
        }
        let put_back = self.put_back.saturating_add(u64::from(missing > 0));
        (Self { sequence, latest: self.latest.max(now), put_back }, notices)
    }
}

impl Notice {
    fn tell(self, file: &Path) {
        let file = file.display();
        match self {
            Self::PutBack(missing) => tracing::error!(
                missing,
                "the database is older than the one that was served here before: its last {missing} changes are gone. \
                 Tokens that were revoked in them are good again, and devices that were quarantined, retired or revoked \
                 are admitted: repeat these changes, or bring the newer database back"
            ),
            Self::ClockBack(behind) => tracing::error!(
                seconds = behind.as_secs(),
                "the clock is {} s behind a time that was seen here before. Tokens that had ended by then stay ended; \
                 certificates are judged by the clock as it is. If the clock was wrong then and is right now, stop the \
                 server and delete {file}",
                behind.as_secs()
            ),
        }
    }
}

/// A clock may be corrected by this much without a notice.
const TOLERANCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_millis(seconds * 1000)
    }

    #[test]
    fn a_database_and_a_clock_that_went_back_are_noticed_once() {
        let before = State { sequence: 10, latest: at(1000), put_back: 0 };
        let (same, notices) = before.compared(10, at(999));
        assert_eq!((same, notices), (before, vec![]));
        let (back, notices) = before.compared(7, at(100));
        assert_eq!(notices, [Notice::PutBack(3), Notice::ClockBack(Duration::from_secs(900))]);
        assert_eq!(back, State { sequence: 7, latest: at(1000), put_back: 1 });
        assert_eq!(back.compared(8, at(1001)).1, []);
    }

    #[test]
    fn the_file_says_what_was_seen_by_the_next_who_opens_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("seen");
        let seen = Seen::open(&path, 5, at(1000));
        seen.note(9, at(2000));
        assert_eq!(seen.latest(at(10)), at(2000));
        drop(seen);
        let seen = Seen::open(&path, 8, at(3000));
        assert_eq!((seen.put_back(), seen.behind(at(2990))), (1, Duration::from_secs(10)));
        std::fs::write(&path, "no json").unwrap();
        assert_eq!(Seen::open(&path, 1, at(1)).put_back(), 0);
    }
}
