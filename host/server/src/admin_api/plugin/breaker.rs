//! The state of a revision's circuit breaker, as the API shows it.

use landfall_domain::names::{Digest, PluginName};
use landfall_policy::breaker::State;
use serde::Serialize;

use crate::catalogue::ScopeCatalogue;
use crate::service::Service;

/// Whether a revision is asked, or left alone because it broke too often.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = Breaker)]
pub(super) struct BreakerView {
    /// `closed`: it is asked. `open`: its calls are skipped. `probation`: one call is tried.
    state: &'static str,
    /// Why it opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Milliseconds until a call is tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_ms: Option<u64>,
}

impl BreakerView {
    pub(super) fn of(service: &Service, scope: &ScopeCatalogue, plugin: &PluginName, revision: Digest) -> Self {
        match service.watches().state_of(&scope.scope, plugin, revision) {
            State::Closed => Self { state: "closed", reason: None, retry_ms: None },
            State::Probation(reason) => Self { state: "probation", reason: Some(reason.to_string()), retry_ms: None },
            State::Open(shut) => Self {
                state: "open",
                reason: Some(shut.reason.to_string()),
                retry_ms: Some(u64::try_from(shut.left.as_millis()).unwrap_or(u64::MAX)),
            },
        }
    }
}
