//! Renews the keys of identity providers in a task. Otherwise a key that its provider has withdrawn would stay valid
//! for as long as no device comes.

use std::sync::Arc;

use tokio::task::JoinSet;

use super::Service;
use super::live_catalogue::token_rules;
use crate::tasks::Ran;

/// Fetches again the keys that are old: one run of the task `issuer-keys`.
///
/// # Errors
///
/// The issuers that did not answer the last time.
pub async fn renew_old(service: Arc<Service>) -> Ran {
    let mut renewing = JoinSet::new();
    for scope in service.catalogue().now().scopes() {
        for rules in token_rules(scope) {
            if let Some(asking) = service.outside().identity_providers().renew(rules) {
                renewing.spawn(asking);
            }
        }
    }
    let asked = renewing.join_all().await.len();
    let states = service.outside().identity_providers().states();
    let away: Vec<_> = states.iter().filter(|state| state.in_trouble).map(|state| state.issuer.as_str()).collect();
    if away.is_empty() {
        return Ok(format!("issuers of tokens: {}, asked again in this run: {asked}", states.len()));
    }
    Err(format!(
        "{} of {} issuers of tokens did not answer, and keys that were read before are used: {}",
        away.len(),
        states.len(),
        away.join(", ")
    ))
}
