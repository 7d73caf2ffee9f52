//! Lists of the decisions of an id scope, by filters: why devices are refused or wait, and where they were assigned.

use std::sync::Arc;

use axum::extract::State;
use landfall_domain::clock::Timestamp;
use landfall_domain::decision::{Entry, EntryKind, Verdict};
use landfall_domain::enrollment::EnrollmentRef;
use landfall_store::{DecisionFilter, DecisionPage, DecisionPlaceError, DecisionResult};
use serde::{Deserialize, Serialize};

use super::body::{self, Answer, Asked, At, PageQuery};
use super::hub::known;
use super::problem::Problem;
use crate::service::Service;

/// Which decisions. All that is said must hold.
#[derive(Debug, Deserialize, utoipa::IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(rename_all = "camelCase")]
pub(super) struct Filter {
    /// Only those of requests that came at this moment (RFC 3339) or later.
    from: Option<String>,
    /// Only those of requests that came before this moment (RFC 3339).
    to: Option<String>,
    /// Only those of requests that said this registration id.
    registration_id: Option<String>,
    /// Only those for which this enrollment group counted.
    group: Option<String>,
    /// Only those for which this individual enrollment counted.
    enrollment: Option<String>,
    /// Only those that assigned this hub.
    hub: Option<String>,
    /// Only those in which this policy was asked: the name of its plugin, or `NAME@DIGEST` for one revision.
    policy: Option<String>,
    /// Only those with this result.
    #[param(inline)]
    verdict: Option<VerdictWord>,
    /// Where the page begins: `next` of the page before. Pages follow each other without gaps, whatever comes meanwhile.
    after: Option<String>,
    /// At most so many. A page may be shorter, even empty, though there is more: `next` says so.
    limit: Option<usize>,
}

/// What came of a request, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
#[schema(rename_all = "lowercase")]
pub(super) enum VerdictWord {
    /// The device got a hub.
    Assigned,
    /// It was turned away before any policy was asked.
    Refused,
    /// A policy refused it, or no hub that it may get has room.
    Failed,
    /// It waits and asks again.
    Waits,
}

/// What became of a request of a device. `GET /api/v1/decisions/{trackingId}` tells all of it.
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
pub(super) struct EntryView {
    tracking_id: String,
    at: String,
    /// As the request said it.
    registration_id: String,
    /// Where it came from.
    source: String,
    /// `refused`, `failed` (a policy or the hubs said no), `waits`, or `assigned`.
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
    let filter = DecisionFilter {
        from: moment("from", asked.from.as_deref())?,
        to: moment("to", asked.to.as_deref())?,
        device: asked.registration_id.as_deref().map(str::parse).transpose()?,
        enrollment: group.or(individual),
        hub: asked.hub.as_deref().map(str::parse).transpose()?,
        policy: asked.policy.as_deref().map(str::parse).transpose()?,
        result: asked.verdict.map(|word| match word {
            VerdictWord::Assigned => DecisionResult::Assigned,
            VerdictWord::Refused => DecisionResult::Refused,
            VerdictWord::Failed => DecisionResult::Failed,
            VerdictWord::Waits => DecisionResult::Waits,
        }),
    };
    let after = asked.after.as_deref().map(str::parse).transpose();
    let after = after.map_err(|error: DecisionPlaceError| Problem::parameter("after", error.to_string()))?;
    let limit = PageQuery { after: None, limit: asked.limit }.page(&service).limit;
    body::listing(service.store().decisions(&scope.scope, DecisionPage { after, limit }, filter).await?, view)
}

fn moment(name: &'static str, said: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let read = said.map(str::parse).transpose();
    read.map_err(|error: landfall_domain::rfc3339::MomentError| Problem::parameter(name, error.to_string()))
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
