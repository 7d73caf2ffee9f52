//! The three ways in which a call ends without an answer. They are kept apart.
//!
//! *The policy said no* is not one of them: that is an answer (`reject`, `defer`, `abstain`). The three are: *the
//! policy could not* ([`Fault`]: the policy says so itself), *the policy broke* ([`Breakage`]: the host ended the call
//! or refused the answer), and *the host could not* ([`HostFailure`]: the plugin is not at fault). They lead to
//! different answers to the device, to different alarms and to different people. So the enums are exhaustive on
//! purpose: code that handles them must decide about each case.
//!
//! The kind of a failure is determined from types (`Trap`, our own errors), never from the text of an error.

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
    /// The host ended the policy's call, or refused its answer.
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
    /// The policy did something that Wasm does not allow, such as executing `unreachable`.
    #[error("it trapped: {}{}", one_line(cause), in_frames(frames))]
    Trap {
        /// The kind of trap.
        cause: String,
        /// The stack, innermost frame first, as far as the component has names.
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
    /// The policy took longer than its deadline.
    #[error("it took longer than its deadline of {deadline_ms} ms")]
    #[schema(rename_all = "kebab-case")]
    Timeout {
        /// The deadline, in CPU time.
        deadline_ms: u32,
    },
    /// The policy used up its fuel.
    #[error("it used up its {fuel} units of fuel")]
    OutOfFuel {
        /// The fuel that it was given.
        fuel: u64,
    },
    /// The policy wanted more memory or larger tables than its budget allows.
    #[error("it wanted {wanted} {unit} and has a budget of {limit}")]
    Memory {
        /// The unit in which `wanted` and `limit` are counted.
        unit: String,
        /// How much it wanted.
        wanted: u64,
        /// How much it may have.
        limit: u64,
    },
    /// The calls in the policy nested too deeply.
    #[error("it recursed until its stack was full")]
    StackOverflow,
    /// The answer breaks a rule of the verdict gate.
    #[error("its answer is not acceptable: {0}")]
    InvalidVerdict(Violation),
    /// The answer could not be read, or is too large.
    #[error("its answer cannot be taken over: {}", one_line(detail))]
    Output {
        /// What is wrong with the answer.
        detail: String,
    },
    /// The policy called the host too often, or made it keep too much.
    #[error("{detail}")]
    HostCalls {
        /// Which limit was reached.
        detail: String,
    },
    /// The policy went beyond the network access that it is granted.
    #[error("{0}")]
    Http(HttpBreach),
}

/// Why the host could not run a policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum HostFailure {
    /// The executor's queue is full. Answer with Retry-After.
    #[error("{limit} policy calls wait or run already; try again later")]
    QueueFull {
        /// How many calls the executor takes.
        limit: usize,
    },
    /// The host is shutting down.
    #[error("the host is shutting down")]
    ShuttingDown,
    /// All instances of the pool are in use. The pool is larger than the executor's limit, so this can occur in tools
    /// only.
    #[error("all instances of the pool are in use; try again later")]
    NoInstance,
    /// A replay asked something that the recorded call did not ask.
    #[error("the record has no answer to {question}; the decision cannot be replayed with this policy")]
    NotRecorded {
        /// The question.
        question: String,
    },
    /// The store could not deliver what the policy asked for.
    #[error("{detail}")]
    NoCatalogue {
        /// What, and why.
        detail: String,
    },
    /// The component does not export the interface that was called.
    #[error("the plugin does not export `{interface}`")]
    NotExported {
        /// The interface that was called.
        interface: String,
    },
    /// The worker that ran the call panicked. This is a bug in Landfall.
    #[error("the policy worker failed; this is a bug in Landfall, please report it")]
    Crashed,
    /// The policy's circuit breaker is open: the policy broke too often, and is not called for some time.
    #[error("its breaker is open ({reason}); a call is tried in {retry_ms} ms")]
    #[schema(rename_all = "kebab-case")]
    BreakerOpen {
        /// Why the breaker opened.
        reason: String,
        /// Milliseconds until a call may be tried.
        retry_ms: u64,
    },
    /// This device broke the policy repeatedly. For some time the policy is not called for this device; other devices
    /// are not affected.
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
    /// A stable word for metrics and records.
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
    /// A stable word for metrics and records.
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

/// The function that makes up most of a trap's frames. A stack overflow in the guest's own memory shows as an access
/// out of bounds, which does not look like endless recursion.
fn calling_itself(frames: &[String]) -> Option<&str> {
    let times = |name: &str| frames.iter().filter(|frame| *frame == name).count();
    let name = frames.iter().map(String::as_str).max_by_key(|name| times(name))?;
    (frames.len() == MAX_FRAMES && times(name) >= MAX_FRAMES / 2).then_some(name)
}

/// How many frames of a trap are kept.
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
