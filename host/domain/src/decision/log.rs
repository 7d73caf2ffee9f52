//! The log lines that a policy wrote during one call. They are kept with the decision, and are never part of its
//! outcome.

use serde::{Deserialize, Serialize};

use super::call::Label;

/// The log of one call.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = PolicyLog)]
pub struct Log {
    /// The lines within the log budget, in order.
    pub lines: Vec<LogLine>,
    /// How many lines exceeded the budget and were dropped.
    pub dropped: u32,
}

/// One line of a policy's log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = PolicyLogLine)]
pub struct LogLine {
    /// Where the policy wrote the line to.
    pub source: LogSource,
    /// The severity.
    pub level: LogLevel,
    /// The text.
    pub message: String,
    /// Structured values beside the text.
    pub fields: Vec<Label>,
}

/// Where a policy wrote a line to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = PolicyLogSource)]
pub enum LogSource {
    /// The contract's `log` import.
    Log,
    /// WASI's standard output.
    Stdout,
    /// WASI's standard error.
    Stderr,
}

/// The severity of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(missing_docs, reason = "the usual five")]
#[schema(as = PolicyLogLevel)]
pub enum LogLevel {
    Trace,
    Debug,
    Info,
    Warn,
    Error,
}
