//! The gate between what a policy answers and what the host does.
//!
//! A policy is never trusted. It may name only hubs that it was shown, by the handles of this very call; what it writes
//! into a device's twin, its group or its answer is bounded in size and made of characters that the hub will take; what
//! it asks the device to wait is neither nothing nor for ever. An answer that breaks a rule is not repaired: a repaired
//! answer would hide the mistake from its author, and a half-taken one would be a decision nobody made. It is the
//! policy's failure `invalid-verdict`, which names the rule; the device waits.
//!
//! Whether the chosen hub still has room is not asked here but in the transaction that commits the registration.

mod json;
mod merge;
mod placement;
mod rules;
mod selection;

use serde::{Deserialize, Serialize};

pub use self::merge::{MergeConflict, merge};
pub(super) use self::placement::placement;
pub(super) use self::selection::outcome;
use super::call::{HubHandle, Outcome, Placement, Reason};
use super::failure::one_line;

/// A rule that an answer broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize)]
#[error("{rule}: {}; the rule: {}", one_line(detail), rule.says())]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// What in the answer breaks it.
    pub detail: String,
}

/// What is asked of every answer. The names are stable; alarms and records hold them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// The chosen hub is among the candidates.
    HubShown,
    /// Alternates are among the candidates, distinct, and not the chosen hub.
    Alternates,
    /// A device id is one that a hub takes: 1 to 128 characters of a known set.
    DeviceId,
    /// A deferral is from 1 second to 1 day.
    RetryAfter,
    /// At most 16 reasons; codes are 1 to 64 characters of `[a-z0-9-]`, details at most 1,024 bytes.
    Reasons,
    /// At most 8 groups; names are 1 to 64 characters of `[A-Za-z0-9._-]` and inner spaces, and not `.` or `..`.
    GroupPath,
    /// At most 64 tags of at most 8 KiB together, each named once.
    Tags,
    /// Keys of tags and desired properties are those of a twin: 1 to 64 characters, no `.`, `$`, space or control
    /// character, at any depth.
    TwinKey,
    /// JSON text is JSON.
    Json,
    /// Arrays and objects are nested at most 10 deep.
    JsonDepth,
    /// Desired properties are a JSON object of at most 32 KiB.
    Desired,
    /// A reply is at most 16 KiB.
    Reply,
}

impl Rule {
    /// The rule's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HubShown => "hub-shown",
            Self::Alternates => "alternates",
            Self::DeviceId => "device-id",
            Self::RetryAfter => "retry-after",
            Self::Reasons => "reasons",
            Self::GroupPath => "group-path",
            Self::Tags => "tags",
            Self::TwinKey => "twin-key",
            Self::Json => "json",
            Self::JsonDepth => "json-depth",
            Self::Desired => "desired",
            Self::Reply => "reply",
        }
    }

    /// A violation of this rule.
    fn broken(self, detail: impl Into<String>) -> Violation {
        Violation { rule: self, detail: detail.into() }
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Bytes of all texts of an outcome.
pub(super) fn size_of_outcome(outcome: &Outcome) -> usize {
    match outcome {
        Outcome::Assign(choice) => {
            let id = choice.device_id.as_ref().map_or(0, String::len);
            id + choice.alternates.len() * size_of::<HubHandle>() + size_of_reasons(&choice.reasons)
        }
        Outcome::Defer(deferral) => size_of_reasons(std::slice::from_ref(&deferral.reason)),
        Outcome::Reject(why) | Outcome::Abstain(why) => size_of_reasons(std::slice::from_ref(why)),
    }
}

/// Bytes of all texts of a placement.
pub(super) fn size_of_placement(placement: &Placement) -> usize {
    let path: usize = placement.group_path.iter().map(String::len).sum();
    let tags: usize = placement.tags.iter().map(|tag| tag.key.len() + tag.value.len()).sum();
    let json = [&placement.desired, &placement.reply].into_iter().flatten();
    path + tags + json.map(String::len).sum::<usize>() + size_of_reasons(&placement.reasons)
}

fn size_of_reasons(reasons: &[Reason]) -> usize {
    reasons.iter().map(|reason| reason.code.len() + reason.detail.len()).sum()
}

fn reasons(reasons: &[Reason]) -> Result<(), Violation> {
    if reasons.len() > MAX_REASONS {
        return Err(Rule::Reasons.broken(format!("{} reasons; at most {MAX_REASONS} are kept", reasons.len())));
    }
    reasons.iter().try_for_each(reason)
}

fn reason(reason: &Reason) -> Result<(), Violation> {
    let Reason { code, detail } = reason;
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    if code.is_empty() || code.len() > MAX_CODE_CHARS || !code.bytes().all(plain) {
        return Err(Rule::Reasons.broken(format!("the code {}", quoted(code))));
    }
    if detail.len() > MAX_DETAIL_BYTES {
        return Err(Rule::Reasons.broken(format!("the detail of {code:?} has {} bytes", detail.len())));
    }
    Ok(())
}

/// A hostile text, as far as a log line should go.
fn quoted(text: &str) -> String {
    let start: String = text.chars().take(80).collect();
    if start.len() < text.len() { format!("{start:?}...") } else { format!("{start:?}") }
}

/// Reasons in one answer.
const MAX_REASONS: usize = 16;
/// Characters of a reason's code.
const MAX_CODE_CHARS: usize = 64;
/// Bytes of a reason's detail.
const MAX_DETAIL_BYTES: usize = 1024;
