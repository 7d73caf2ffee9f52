//! Ends the process where it would be wrong to go on.
//!
//! There are two reasons: the system has no randomness, so nothing can be issued safely; or a commit failed, so only
//! reopening the database can tell what is on disk. The log registers itself with [`before_end`], so that the reason
//! is written before the process ends.

use std::sync::OnceLock;

static BEFORE_END: OnceLock<fn()> = OnceLock::new();

/// Registers a function that is called before the process ends. Only the first registration counts.
pub fn before_end(flush: fn()) {
    let _ = BEFORE_END.set(flush);
}

/// Ends the process with this exit code (see `sysexits.h`). The caller has logged the reason.
pub fn end(code: i32) -> ! {
    if let Some(flush) = BEFORE_END.get() {
        flush();
    }
    std::process::exit(code)
}

/// `EX_OSERR`: the operating system does not provide what it must.
pub const SYSTEM_ERROR: i32 = 71;
/// `EX_IOERR`: a write to disk failed.
pub const IO_ERROR: i32 = 74;
