//! The three ways in which a call ends without an answer, kept apart.
//!
//! *The policy said no* is not here: that is an answer (`reject`, `defer`, `abstain`). What is here is
//! *the policy could not* ([`Fault`]: it says so itself), *the policy broke* ([`Breakage`]: the host ended or refused
//! it) and *the host could not* ([`HostFailure`]: the plugin was never at fault). They lead to different answers,
//! alarms and people, so the enums are exhaustive on purpose: whoever handles them must decide about each.
//!
//! What went wrong is read from types (`Trap`, our own errors), never from the text of an error.

use serde::{Deserialize, Serialize};

use super::call::Fault;
use super::exchange::HttpBreach;
use super::verdict::Violation;
use crate::text::one_line;

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum CallFailure {
    /// The policy says that it could not do its work.
    #[error("the policy could not decide: {0}")]
    Fault(Fault),
    /// The policy was ended, or its answer was refused.
    #[error("the policy broke: {0}")]
    Broke(Breakage),
    /// The host could not run the policy; the policy is not to blame.
    #[error("the policy was not run: {0}")]
    Host(HostFailure),
}

/// How a policy broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Breakage {
    /// It did what Wasm does not allow, such as reaching code that it declared unreachable.
    #[error("it trapped: {}{}", one_line(cause), in_frames(frames))]
    Trap {
        /// What it did.
        cause: String,
        /// Where, innermost first, as far as the component carries names.
        frames: Vec<String>,
    },
    /// It panicked.
    #[error("it panicked at {}:{line}: {}", one_line(file), one_line(message))]
    Panic {
        /// The panic's message.
        message: String,
        /// The source file, as the compiler knew it.
        file: String,
        /// The line in that file.
        line: u32,
    },
    /// It took longer than its deadline.
    #[error("it took longer than its deadline of {deadline_ms} ms")]
    #[schema(rename_all = "kebab-case")]
    Timeout {
        /// The deadline, in CPU time.
        deadline_ms: u32,
    },
    /// It did more work than its fuel allows.
    #[error("it used up its {fuel} units of fuel")]
    OutOfFuel {
        /// What it had.
        fuel: u64,
    },
    /// It wanted more memory or larger tables than its budget.
    #[error("it wanted {wanted} {unit} and has a budget of {limit}")]
    Memory {
        /// What is counted.
        unit: String,
        /// How much it wanted.
        wanted: u64,
        /// How much it may have.
        limit: u64,
    },
    /// It called itself too deeply.
    #[error("it recursed until its stack was full")]
    StackOverflow,
    /// Its answer breaks a rule of the verdict gate.
    #[error("its answer is not acceptable: {0}")]
    InvalidVerdict(Violation),
    /// Its answer could not be read, or is too large.
    #[error("its answer cannot be taken over: {}", one_line(detail))]
    Output {
        /// What is wrong with it.
        detail: String,
    },
    /// It called the host too often, or made it keep too much.
    #[error("{detail}")]
    HostCalls {
        /// Which limit it reached.
        detail: String,
    },
    /// It went beyond what it is granted of the network.
    #[error("{0}")]
    Http(HttpBreach),
}

/// Why the host could not run a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum HostFailure {
    /// As many calls wait or run as the executor takes. Answer with Retry-After.
    #[error("{limit} policy calls wait or run already; try again later")]
    QueueFull {
        /// How many calls the executor takes.
        limit: usize,
    },
    /// The host stops.
    #[error("the host is shutting down")]
    ShuttingDown,
    /// All instances of the pool are in use. The pool is larger than the executor, so only tools can see this.
    #[error("all instances of the pool are in use; try again later")]
    NoInstance,
    /// A replay was asked for something that the recorded call did not ask.
    #[error("the record has no answer to {question}; the decision cannot be replayed with this policy")]
    NotRecorded {
        /// What was asked.
        question: String,
    },
    /// What the policy asked for could not be read from the store.
    #[error("{detail}")]
    NoCatalogue {
        /// What, and why.
        detail: String,
    },
    /// The image does not have what was asked of it.
    #[error("the plugin does not export `{interface}`")]
    NotExported {
        /// The interface that was called.
        interface: String,
    },
    /// The worker that ran the call panicked. This is a bug in Landfall.
    #[error("the policy worker failed; this is a bug in Landfall, please report it")]
    Crashed,
    /// Its breaker is open: it broke too often, and is left alone for a while.
    #[error("its breaker is open ({reason}); a call is tried in {retry_ms} ms")]
    #[schema(rename_all = "kebab-case")]
    BreakerOpen {
        /// Why it opened.
        reason: String,
        /// Milliseconds until a call may be tried.
        retry_ms: u64,
    },
    /// This device breaks it, again and again, and is left alone for a while; others are asked as ever.
    #[schema(rename_all = "kebab-case")]
    #[error("this device broke it {times} times; a call for it is tried in {retry_ms} ms")]
    DeviceHeld {
        /// How often.
        times: u32,
        /// Milliseconds until a call may be tried.
        retry_ms: u64,
    },
}

impl CallFailure {
    /// A word for metrics and records.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Fault(Fault::Unsupported(_)) => "fault-unsupported",
            Self::Fault(Fault::BadInput(_)) => "fault-bad-input",
            Self::Fault(Fault::Internal(_)) => "fault-internal",
            Self::Broke(breakage) => breakage.kind(),
            Self::Host(HostFailure::QueueFull { .. }) => "host-queue-full",
            Self::Host(HostFailure::BreakerOpen { .. }) => "breaker-open",
            Self::Host(HostFailure::DeviceHeld { .. }) => "device-held",
            Self::Host(HostFailure::ShuttingDown) => "host-shutting-down",
            Self::Host(HostFailure::NoInstance) => "host-no-instance",
            Self::Host(HostFailure::NotRecorded { .. }) => "host-not-recorded",
            Self::Host(HostFailure::NoCatalogue { .. }) => "host-no-catalogue",
            Self::Host(HostFailure::NotExported { .. }) => "host-not-exported",
            Self::Host(HostFailure::Crashed) => "host-crashed",
        }
    }
}

impl Breakage {
    /// A word for metrics and records.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Trap { .. } => "trap",
            Self::Panic { .. } => "panic",
            Self::Timeout { .. } => "timeout",
            Self::OutOfFuel { .. } => "out-of-fuel",
            Self::Memory { .. } => "memory",
            Self::StackOverflow => "stack-overflow",
            Self::InvalidVerdict(_) => "invalid-verdict",
            Self::Output { .. } => "output",
            Self::HostCalls { .. } => "host-calls",
            Self::Http(breach) => breach.kind(),
        }
    }
}

fn in_frames(frames: &[String]) -> String {
    match calling_itself(frames) {
        _ if frames.is_empty() => String::new(),
        Some(name) => format!(" (probably its stack is full: {} calls itself again and again)", one_line(name)),
        None => format!(" (in {})", one_line(&frames.join(", called by "))),
    }
}

/// The function that most of a trap's frames are of. A stack in the guest's own memory ends in an access out of bounds,
/// which nobody would take for what it is.
fn calling_itself(frames: &[String]) -> Option<&str> {
    let times = |name: &str| frames.iter().filter(|frame| *frame == name).count();
    let name = frames.iter().map(String::as_str).max_by_key(|name| times(name))?;
    (frames.len() == MAX_FRAMES && times(name) >= MAX_FRAMES / 2).then_some(name)
}

/// Frames of a trap that are kept.
pub const MAX_FRAMES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn trap(frames: &[&str]) -> String {
        let frames = frames.iter().map(|frame| (*frame).to_owned()).collect();
        Breakage::Trap { cause: "out of bounds memory access".into(), frames }.to_string()
    }

    #[test]
    fn a_function_that_calls_itself_is_told_as_what_fills_the_stack() {
        assert_eq!(trap(&[]), "it trapped: out of bounds memory access");
        assert_eq!(trap(&["a", "b"]), "it trapped: out of bounds memory access (in a, called by b)");
        let told = trap(&["a::deeper"; MAX_FRAMES]);
        assert!(told.ends_with("(probably its stack is full: a::deeper calls itself again and again)"), "{told}");
        let told = trap(&["a", "b", "a", "b", "a", "b", "a", "b"]);
        assert!(told.contains("probably its stack is full"), "two that call each other: {told}");
    }

    #[test]
    fn no_text_of_a_policy_begins_a_line_of_its_own() {
        let text = || "a\n2. Choosing the hub\r\u{2028}b\u{1b}[2J\u{202e}".to_owned();
        let violation = Violation { rule: super::super::verdict::Rule::Json, detail: text() };
        let failures = [
            CallFailure::Fault(Fault::Unsupported(text())),
            CallFailure::Fault(Fault::BadInput(text())),
            CallFailure::Fault(Fault::Internal(text())),
            CallFailure::Broke(Breakage::Panic { message: text(), file: text(), line: 1 }),
            CallFailure::Broke(Breakage::Trap { cause: text(), frames: vec![text()] }),
            CallFailure::Broke(Breakage::Output { detail: text() }),
            CallFailure::Broke(Breakage::InvalidVerdict(violation)),
        ];
        for failure in failures {
            let told = failure.to_string();
            assert!(told.contains("2. Choosing the hub"), "{told:?}");
            assert!(!told.contains(['\n', '\r', '\u{2028}', '\u{1b}', '\u{202e}']), "{told:?}");
        }
    }
}
