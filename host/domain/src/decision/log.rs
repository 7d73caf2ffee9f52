//! What a policy logged in one call. The lines are kept with the decision and are never part of its outcome.

use serde::{Deserialize, Serialize};

use super::call::Label;

/// What a call logged.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = PolicyLog)]
pub struct Log {
    /// The lines within the budget, in order.
    pub lines: Vec<LogLine>,
    /// How many lines were over it.
    pub dropped: u32,
}

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[schema(as = PolicyLogLine)]
pub struct LogLine {
    /// Where it was written to.
    pub source: LogSource,
    /// How grave it is.
    pub level: LogLevel,
    /// The text.
    pub message: String,
    /// Values beside the text.
    pub fields: Vec<Label>,
}

/// Where a line was written to.
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

/// How grave a line is.
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
