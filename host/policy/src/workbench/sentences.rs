//! The sentences with which a policy explains itself to people. Programs compare only the codes beside them.

use landfall_domain::decision::call::{Choice, Deferral, Outcome, Placement, Reason};

use crate::failure::CallFailure;
use crate::image::Problem;

/// The sentences of an outcome's reasons.
#[must_use]
pub fn of_outcome(result: &Result<Outcome, CallFailure>) -> Vec<String> {
    match result {
        Ok(Outcome::Assign(Choice { reasons, .. })) => of_reasons(reasons),
        Ok(Outcome::Defer(Deferral { reason, .. }) | Outcome::Reject(reason) | Outcome::Abstain(reason)) => {
            of_reasons(std::slice::from_ref(reason))
        }
        Err(_) => Vec::new(),
    }
}

/// The sentences of a placement's reasons.
#[must_use]
pub fn of_placement(result: &Result<Placement, CallFailure>) -> Vec<String> {
    result.as_ref().map_or_else(|_| Vec::new(), |placement| of_reasons(&placement.reasons))
}

/// The mistakes in settings, each with its place.
#[must_use]
pub fn of_problems(problems: &[Problem]) -> Vec<String> {
    let told = |Problem { pointer, message }: &Problem| match pointer.as_str() {
        "" => message.clone(),
        pointer => format!("{pointer}: {message}"),
    };
    problems.iter().map(told).collect()
}

fn of_reasons(reasons: &[Reason]) -> Vec<String> {
    reasons.iter().map(|Reason { code, detail }| format!("{code}: {detail}")).collect()
}
