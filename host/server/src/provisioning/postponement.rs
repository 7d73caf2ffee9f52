//! Why a device has to wait, and for how long.

use std::time::Duration;

use landfall_domain::decision::failure::{CallFailure, HostFailure};

use crate::catalogue::BoundPolicy;
use crate::service::images::ImageError;

/// Why a device has to wait, and for how long.
#[derive(Clone, Debug)]
pub(super) struct Postponement {
    /// The time until the device may ask again.
    pub(super) retry_after: Duration,
    pub(super) kind: &'static str,
    pub(super) detail: String,
}

impl Postponement {
    /// For a cause that passes by itself.
    pub(super) fn soon(kind: &'static str, detail: String) -> Self {
        Self { retry_after: SOON, kind, detail }
    }

    /// For a cause that somebody has to repair.
    pub(super) fn until_mended(kind: &'static str, detail: String) -> Self {
        Self { retry_after: UNTIL_MENDED, kind, detail }
    }

    /// For a policy that gave no answer, when its stand-in gave none either.
    pub(super) fn and_then(self, resort: &str, next: &Self) -> Self {
        Self { detail: format!("{}; in its place ({resort}) {}", self.detail, next.detail), ..self }
    }

    /// For a call that gave no answer.
    pub(super) fn after(policy: &BoundPolicy, failure: &CallFailure) -> Self {
        let detail = format!("policy {}: {failure}", policy.plugin);
        match failure {
            CallFailure::Fault(_) | CallFailure::Broke(_) => Self::until_mended(failure.kind(), detail),
            CallFailure::Host(HostFailure::BreakerOpen { retry_ms, .. } | HostFailure::DeviceHeld { retry_ms, .. }) => {
                let retry_after = Duration::from_millis(*retry_ms).clamp(SOON, UNTIL_MENDED);
                Self { retry_after, kind: failure.kind(), detail }
            }
            CallFailure::Host(_) => Self::soon(failure.kind(), detail),
        }
    }

    /// For policies that no worker could run.
    pub(super) fn without_worker(failure: HostFailure) -> Self {
        let failure = CallFailure::Host(failure);
        Self::soon(failure.kind(), failure.to_string())
    }

    /// For a policy that cannot be run.
    pub(super) fn without_image(policy: &BoundPolicy, error: &ImageError) -> Self {
        Self::until_mended("no-image", format!("policy {} cannot be run: {error}", policy.plugin))
    }
}

/// The wait for a cause that passes by itself: a full queue, a lost race.
const SOON: Duration = Duration::from_secs(2);

/// The wait for a cause that somebody has to repair: a policy that breaks. It is long enough not to run the policy in
/// vain, and short enough for a production line.
const UNTIL_MENDED: Duration = Duration::from_secs(10);
