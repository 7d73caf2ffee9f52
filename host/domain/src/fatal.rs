//! The end of the process, where going on would be wrong.
//!
//! Two things end it: the system has no randomness, so nothing can be issued safely; and a commit failed, so only opening
//! the database again can tell what is on disk. The log registers itself with [`before_end`], so that the reason is written
//! before the process is gone.

use std::sync::OnceLock;

static BEFORE_END: OnceLock<fn()> = OnceLock::new();

/// Calls this before the process ends. The first one that is registered stays.
pub fn before_end(flush: fn()) {
    let _ = BEFORE_END.set(flush);
}

/// Ends the process with this code (those of `sysexits.h`). The caller has logged why.
pub fn end(code: i32) -> ! {
    if let Some(flush) = BEFORE_END.get() {
        flush();
    }
    std::process::exit(code)
}

/// `EX_OSERR`: the system does not give what it must.
pub const SYSTEM_ERROR: i32 = 71;
/// `EX_IOERR`: a disk does not take what is written.
pub const IO_ERROR: i32 = 74;
