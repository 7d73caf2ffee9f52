//! The verdict gate: the check of every policy answer before the host acts on it.
//!
//! A policy is never trusted. It may name only hubs that it was shown, by the handles of this call. What it writes
//! into a device's twin, its group or its answer is limited in size and in characters, so that the hub will accept it.
//! The time that it makes the device wait has a lower and an upper limit. An answer that breaks a rule is not
//! corrected: a corrected answer would hide the mistake from its author, and an answer of which only a part is used
//! would be a decision that nobody made. Such an answer is the failure `invalid-verdict`, which names the rule, and
//! the device waits.
//!
//! Whether the chosen hub still has room is not checked here but in the transaction that commits the registration.

mod json;
mod merge;
mod placement;
mod selection;

use landfall_domain::decision::verdict::{MAX_CODE_CHARS, MAX_DETAIL_BYTES, MAX_REASONS};
pub(crate) use landfall_domain::decision::verdict::{Rule, Violation};

pub use self::merge::{MergeConflict, merge};
pub(super) use self::placement::placement;
pub(super) use self::selection::outcome;
use super::call::{HubHandle, Outcome, Placement, Reason};

/// The size of all texts of an outcome in bytes.
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

/// The size of all texts of a placement in bytes.
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

/// The beginning of a possibly hostile text, short enough for a log line.
fn quoted(text: &str) -> String {
    let start: String = text.chars().take(80).collect();
    if start.len() < text.len() { format!("{start:?}...") } else { format!("{start:?}") }
}
