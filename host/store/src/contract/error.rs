//! Why a store could not do as asked.

/// Why a store could not do as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("cannot open the database {path}: {reason}")]
    Open {
        path: String,
        /// Why, and what to do.
        reason: String,
    },
    /// A read failed.
    #[error("the database cannot be read: {0}")]
    Read(String),
    /// A write failed before its commit; nothing of it is there.
    #[error("the database cannot be written: {0}; nothing was changed")]
    Write(String),
    /// What stands there is not what was written.
    #[error("the database holds a {what} that cannot be understood: {reason}; restore it from a backup")]
    Damaged {
        /// The kind of thing.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// There is too little room on the disk; nothing was changed.
    #[error(
        "only {free_mib} MiB are free in {folder}, and {needed_mib} MiB are kept free (limits.store.reserve_mib): make \
         room there; nothing was changed, and writing goes on by itself"
    )]
    NoSpace {
        folder: String,
        /// What is free, in MiB.
        free_mib: u64,
        /// What must be, in MiB.
        needed_mib: u64,
    },
    /// Too much waits to be written.
    #[error("too much waits to be written; try again")]
    Busy,
    /// The write itself said that nothing of it may stay.
    #[error("the change was taken back; nothing was changed")]
    TakenBack,
    /// The store is closing.
    #[error("the service is stopping")]
    Closed,
    /// The transaction failed to commit; whether it is there is not known.
    #[error("a commit failed ({0}); the process must end")]
    Outcome(String),
}
