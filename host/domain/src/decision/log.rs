//! The log lines that a policy wrote during one call. They are kept with the decision, and are never part of its
//! outcome.

use serde::{Deserialize, Serialize};

use super::call::Label;

/// The log of one call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Log {
    /// The lines within the log budget, in order.
    pub lines: Vec<LogLine>,
    /// How many lines exceeded the budget and were dropped.
    pub dropped: u32,
}

/// One line of a policy's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct LogLine {
    /// Where the policy wrote the line to.
    pub source: LogSource,
    /// The severity.
    pub level: LogLevel,
    pub message: String,
    /// Structured values beside the text.
    pub fields: Vec<Label>,
}

/// Where a policy wrote a line to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LogSource {
    /// The contract's `log` import.
    Log,
    /// WASI's standard output.
    Stdout,
    /// WASI's standard error.
    Stderr,
}

/// The severity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the usual five")]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}
