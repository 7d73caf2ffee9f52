//! Bodies in, bodies out.

use std::time::Duration;

use axum::body::Body;
use axum::extract::Request;
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::problem::Problem;
use crate::service::Service;
use crate::store::{DeleteOutcome, Listing, Page, Precondition, PutOutcome};

/// What every handler answers.
pub(super) type Answer = Result<Response, Problem>;

/// A body of a bounded size that comes in a bounded time.
pub(super) async fn bytes(service: &Service, request: Request, max_bytes: usize) -> Result<Bytes, Problem> {
    let seconds = service.config.limits.management.body_seconds;
    let whole = Limited::new(request.into_body(), max_bytes).collect();
    match tokio::time::timeout(Duration::from_secs(seconds), whole).await {
        Err(_) => Err(Problem::new(408, format!("the body did not come within {seconds} s"))),
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Problem::new(413, format!("the body is larger than {max_bytes} bytes")))
        }
        Ok(Err(error)) => Err(Problem::new(400, format!("the body could not be read: {error}"))),
    }
}

/// A JSON object as the body. What is wrong with it is told with its line and column.
pub(super) async fn json<T: DeserializeOwned>(service: &Service, request: Request) -> Result<T, Problem> {
    let bytes = bytes(service, request, service.config.limits.management.body_bytes).await?;
    // A list of the members' values in their order would be read as well, and nobody means that.
    if bytes.trim_ascii_start().first().is_some_and(|first| *first != b'{') {
        return Err(Problem::new(400, "the body: a JSON object is expected"));
    }
    serde_json::from_slice(&bytes).map_err(|error| Problem::new(400, format!("the body: {error}")))
}

/// A JSON answer.
pub(super) fn answer(status: StatusCode, value: &impl Serialize) -> Answer {
    let body = serde_json::to_vec(value).map_err(|error| Problem::new(500, error.to_string()))?;
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(answer)
}

/// 200 with JSON.
pub(super) fn ok(value: &impl Serialize) -> Answer {
    answer(StatusCode::OK, value)
}

/// 204.
pub(super) fn no_content() -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    Ok(answer)
}

/// A thing after it was put: 201 when it is new.
pub(super) fn put(outcome: PutOutcome, what: &str, etag: Option<&str>, value: &impl Serialize) -> Answer {
    let status = match outcome {
        PutOutcome::Created => StatusCode::CREATED,
        PutOutcome::Replaced => StatusCode::OK,
        PutOutcome::AlreadyThere => return Err(Problem::new(412, format!("{what} is there already"))),
        PutOutcome::Missing => return Err(Problem::new(412, format!("{what} is not there"))),
        PutOutcome::Changed => return Err(Problem::new(412, format!("{what} has changed since; get it and try again"))),
        PutOutcome::Conflict(what) => return Err(Problem::new(409, what)),
    };
    tagged(answer(status, value)?, etag)
}

/// A thing after it was removed.
pub(super) fn deleted(outcome: DeleteOutcome, what: &str) -> Answer {
    match outcome {
        DeleteOutcome::Deleted => no_content(),
        DeleteOutcome::Missing => Err(Problem::not_found(format!("{what} is not there"))),
        DeleteOutcome::Changed => Err(Problem::new(412, format!("{what} has changed since; get it and try again"))),
        DeleteOutcome::InUse(by) => Err(Problem::new(409, by)),
    }
}

/// The same answer with an entity tag.
pub(super) fn tagged(mut answer: Response, etag: Option<&str>) -> Answer {
    if let Some(value) = etag.and_then(|etag| HeaderValue::from_str(&format!("\"{etag}\"")).ok()) {
        answer.headers_mut().insert(ETAG, value);
    }
    Ok(answer)
}

/// What `If-Match` and `If-None-Match` ask for.
pub(super) fn precondition(headers: &HeaderMap) -> Precondition {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::trim);
    match (text(IF_NONE_MATCH), text(IF_MATCH)) {
        (Some("*"), _) => Precondition::New,
        (_, Some("*")) => Precondition::Exists,
        (_, Some(etag)) => Precondition::Match(etag.trim_matches('"').to_owned()),
        (_, None) => Precondition::Any,
    }
}

/// The part of a listing that a caller asks for.
#[derive(Debug, Default, Deserialize)]
pub(super) struct PageQuery {
    after: Option<String>,
    limit: Option<usize>,
}

impl PageQuery {
    /// Within the limit.
    pub(super) fn page(self, service: &Service) -> Page {
        let most = service.config.limits.management.page_items;
        Page { after: self.after, limit: self.limit.unwrap_or(most).clamp(1, most) }
    }
}

/// A page as JSON.
pub(super) fn listing<T>(listing: Listing<T>, show: impl Fn(&T) -> Value) -> Answer {
    let items: Vec<Value> = listing.items.iter().map(show).collect();
    let mut page = serde_json::json!({ "items": items });
    if let (Some(next), Some(members)) = (listing.next, page.as_object_mut()) {
        members.insert("next".to_owned(), next.into());
    }
    ok(&page)
}
