//! The ledger's entries of one id scope, found by device and by enrollment: why a device is refused, or held up.

use std::sync::Arc;

use axum::extract::State;
use landfall_domain::decision::{Entry, EntryKind, Verdict};
use landfall_domain::enrollment::EnrollmentRef;
use landfall_store::EntryFilter;
use serde::{Deserialize, Serialize};

use super::body::{self, Answer, Asked, At, PageQuery};
use super::hub::known;
use super::problem::Problem;
use crate::service::Service;

/// Which entries.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(rename_all = "camelCase")]
pub(super) struct Filter {
    /// Only those of requests that said this registration id.
    registration_id: Option<String>,
    /// Only those for which this enrollment group counted.
    group: Option<String>,
    /// Only those for which this individual enrollment counted.
    enrollment: Option<String>,
    /// The key after which the page begins: `next` of the page before.
    after: Option<String>,
    /// At most so many.
    limit: Option<usize>,
}

/// What became of a request that led to no registration, or to one that is gone. `GET /api/v1/decisions/{trackingId}` tells
/// all of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EntryView {
    tracking_id: String,
    at: String,
    /// As the request said it.
    registration_id: String,
    /// Where it came from.
    source: String,
    /// `refused`, `failed` (a policy or the hubs said no), `waits`, or `assigned` (a registration that is gone).
    result: &'static str,
    /// The cause, for programs.
    cause: String,
    /// The cause, for people.
    detail: String,
    /// The enrollment that counted, as far as the request came to one.
    #[serde(skip_serializing_if = "Option::is_none")]
    enrollment: Option<String>,
}

pub(super) async fn list(
    State(service): State<Arc<Service>>,
    At(scope): At<String>,
    Asked(asked): Asked<Filter>,
) -> Answer {
    let scope = known(&service, &scope)?;
    let group = asked.group.as_deref().map(str::parse).transpose()?.map(EnrollmentRef::Group);
    let individual = asked.enrollment.as_deref().map(str::parse).transpose()?.map(EnrollmentRef::Individual);
    if group.is_some() && individual.is_some() {
        return Err(Problem::parameter(
            "enrollment",
            "one enrollment counts: ask for a group or for an individual one",
        ));
    }
    let filter = EntryFilter {
        device: asked.registration_id.as_deref().map(str::parse).transpose()?,
        enrollment: group.or(individual),
    };
    let page = PageQuery { after: asked.after, limit: asked.limit };
    body::listing(service.store().entries(&scope.scope, page.page(&service), filter).await?, view)
}

fn view(entry: &Entry) -> EntryView {
    let none = String::new;
    let (result, cause, detail, enrollment) = match &entry.kind {
        EntryKind::Refused { cause, detail, enrollment, .. } => {
            ("refused", cause.clone(), detail.clone(), enrollment.clone())
        }
        EntryKind::Answered { status, detail, .. } => ("answered", status.to_string(), detail.clone(), None),
        EntryKind::Decided(decision) => {
            let (result, cause, detail) = match &decision.verdict {
                Verdict::Assigned { hub, .. } => ("assigned", none(), format!("it got the hub {hub}")),
                Verdict::Rejected { code, detail } => ("failed", code.clone(), detail.clone()),
                Verdict::NoRoom { detail } => ("failed", "no-room".to_owned(), detail.clone()),
                Verdict::Postponed { kind, detail, .. } => ("waits", kind.clone(), detail.clone()),
            };
            (result, cause, detail, Some(decision.factors.enrollment.to_string()))
        }
    };
    EntryView {
        tracking_id: entry.tracking_id.to_string(),
        at: entry.at.to_string(),
        registration_id: entry.registration_id.clone(),
        source: entry.source.clone(),
        result,
        cause,
        detail,
        enrollment,
    }
}
