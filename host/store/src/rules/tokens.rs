//! Tokens of the management API.

use landfall_domain::api_token::TokenRecord;
use landfall_domain::clock::Timestamp;

use crate::{DeleteOutcome, InUse, Precondition, entity_tag};

/// Whether all tokens of a public id may be revoked. They may not if nobody could create a token afterwards.
///
/// # Errors
///
/// The outcome of the refused removal.
pub(crate) fn revocable(
    revoked: &[TokenRecord],
    left: &[TokenRecord],
    when: &Precondition,
    now: Timestamp,
) -> Result<(), DeleteOutcome> {
    when.judge_removal(revoked.first().map(entity_tag).as_deref())?;
    let rules = |tokens: &[TokenRecord]| tokens.iter().any(|token| token.rules_all(now));
    if rules(revoked) && !rules(left) {
        return Err(DeleteOutcome::InUse(InUse::LastOperator));
    }
    Ok(())
}
