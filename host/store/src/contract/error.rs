//! Errors of a store.

/// Why a store could not carry out an operation.
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
    /// A write failed before its commit; nothing was written.
    #[error("the database cannot be written: {0}; nothing was changed")]
    Write(String),
    /// A stored value is not what was written.
    #[error("the database holds a {what} that cannot be understood: {reason}; restore it from a backup")]
    Damaged {
        /// The kind of value.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// There is too little free disk space; nothing was changed.
    #[error(
        "only {free_mib} MiB are free in {folder}, and {needed_mib} MiB are kept free (limits.store.reserve_mib): make \
         room there; nothing was changed, and writing goes on by itself"
    )]
    NoSpace {
        folder: String,
        /// The free space, in MiB.
        free_mib: u64,
        /// The free space that is required, in MiB.
        needed_mib: u64,
    },
    /// Too many writes are queued.
    #[error("too much waits to be written; try again")]
    Busy,
    /// The write itself asked for its rollback.
    #[error("the change was taken back; nothing was changed")]
    TakenBack,
    /// The store is closing.
    #[error("the service is stopping")]
    Closed,
    /// The commit failed; it is unknown whether the transaction is on disk.
    #[error("a commit failed ({0}); the process must end")]
    Outcome(String),
}
