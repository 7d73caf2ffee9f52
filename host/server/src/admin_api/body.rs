//! Request bodies, queries and answers.

use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts, Path, Query, Request};
use axum::response::Response;
use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use http::request::Parts;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use landfall_domain::json::{AN_OBJECT, hinted};
use landfall_store::{DeleteOutcome, Listing, Page, Precondition, PutOutcome};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::authorize::Caller;
use super::problem::Problem;
use crate::conflict;
use crate::service::Service;

/// The result of every handler.
pub(super) type Answer = Result<Response, Problem>;

/// Reads a body of bounded size in bounded time, and checks that the token is still valid afterwards.
pub(super) async fn bytes(service: &Service, request: Request, max_bytes: usize) -> Result<Bytes, Problem> {
    let seconds = service.config().limits.management.body_seconds;
    let caller = request.extensions().get::<Caller>().cloned();
    let whole = Limited::new(request.into_body(), max_bytes).collect();
    match tokio::time::timeout(Duration::from_secs(seconds), whole).await {
        Err(_) => Err(Problem::new(408, format!("the body did not come within {seconds} s"))),
        Ok(Ok(body)) => {
            if let Some(caller) = caller {
                caller.is_still_good(service).await?;
            }
            Ok(body.to_bytes())
        }
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            Err(Problem::new(413, format!("the body is larger than {max_bytes} bytes")))
        }
        Ok(Err(error)) => Err(Problem::new(400, format!("the body could not be read: {error}"))),
    }
}

/// Reads a JSON body. Errors carry the JSON pointer of their place.
pub(super) async fn json<T: DeserializeOwned>(service: &Service, request: Request) -> Result<T, Problem> {
    json_of(service, request, service.config().limits.management.body_bytes).await
}

/// Reads a JSON body of at most this many bytes.
pub(super) async fn json_of<T: DeserializeOwned>(
    service: &Service,
    request: Request,
    most_bytes: usize,
) -> Result<T, Problem> {
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.split(';').next().is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json")) {
        return Err(Problem::new(415, "the body must be application/json"));
    }
    let bytes = bytes(service, request, most_bytes).await?;
    landfall_domain::json::read(&bytes).map_err(|misfit| match misfit.pointer {
        None => Problem::new(400, format!("the body is not JSON: {}", misfit.message)),
        Some(pointer) => match misfit.message.strip_prefix(AN_OBJECT).filter(|_| pointer.is_empty()) {
            Some(found) => Problem::new(400, format!("the body must be a JSON object, and this is {found}")),
            None => Problem::at(pointer, misfit.message),
        },
    })
}

/// The query. An invalid or unknown parameter is answered with a problem document, like every error.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(value)| Self(value)).map_err(|error| {
            let text = error.body_text();
            let text = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            Problem::new(400, format!("the query: {}", hinted(text)))
        })
    }
}

/// The parameters of the path.
pub(super) struct At<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for At<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let path = Path::<T>::from_request_parts(parts, state).await;
        path.map(|Path(value)| Self(value))
            .map_err(|error| Problem::new(400, format!("the path: {}", error.body_text())))
    }
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

pub(super) fn no_content() -> Answer {
    let mut answer = Response::new(Body::empty());
    *answer.status_mut() = StatusCode::NO_CONTENT;
    Ok(answer)
}

/// The answer after a write: 201 if the resource is new.
pub(super) fn put(outcome: PutOutcome, what: &str, etag: Option<&str>, value: &impl Serialize) -> Answer {
    let status = match outcome {
        PutOutcome::Created => StatusCode::CREATED,
        PutOutcome::Replaced => StatusCode::OK,
        PutOutcome::AlreadyThere => return Err(Problem::new(412, format!("{what} is there already"))),
        PutOutcome::Missing => return Err(Problem::new(412, format!("{what} is not there"))),
        PutOutcome::Changed => {
            return Err(Problem::new(412, format!("{what} has changed since; get it and try again")));
        }
        PutOutcome::Conflict(what) => return Err(Problem::new(409, conflict::in_words(&what))),
    };
    tagged(answer(status, value)?, etag)
}

/// The answer after a removal.
pub(super) fn deleted(outcome: DeleteOutcome, what: &str) -> Answer {
    match outcome {
        DeleteOutcome::Deleted => no_content(),
        DeleteOutcome::Missing => Err(Problem::not_found(format!("{what} is not there"))),
        DeleteOutcome::Changed => Err(Problem::new(412, format!("{what} has changed since; get it and try again"))),
        DeleteOutcome::InUse(by) => Err(Problem::new(409, conflict::use_in_words(&by))),
    }
}

/// Adds an entity tag to an answer.
pub(super) fn tagged(mut answer: Response, etag: Option<&str>) -> Answer {
    if let Some(value) = etag.and_then(|etag| HeaderValue::from_str(&format!("\"{etag}\"")).ok()) {
        answer.headers_mut().insert(ETAG, value);
    }
    Ok(answer)
}

/// The precondition that `If-Match` and `If-None-Match` state.
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
#[derive(Debug, Default, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct PageQuery {
    /// The key after which it begins: `next` of the page before.
    pub(super) after: Option<String>,
    /// At most so many; `limits.management.page_items` of the configuration is the most.
    pub(super) limit: Option<usize>,
}

impl PageQuery {
    /// The requested page, within the limit.
    pub(super) fn page(self, service: &Service) -> Page {
        let most = service.config().limits.management.page_items;
        Page { after: self.after, limit: self.limit.unwrap_or(most).clamp(1, most) }
    }

    /// The requested page of a list that is held in memory. `key` is the sort key of the list.
    pub(super) fn of<T>(self, service: &Service, all: Vec<T>, key: impl Fn(&T) -> String) -> Listing<T> {
        let Page { after, limit } = self.page(service);
        let mut keyed: Vec<(String, T)> = all.into_iter().map(|item| (key(&item), item)).collect();
        keyed.sort_by(|(a, _), (b, _)| a.cmp(b));
        keyed.retain(|(key, _)| after.as_ref().is_none_or(|after| key > after));
        let more = keyed.len() > limit;
        keyed.truncate(limit);
        let next = keyed.last().filter(|_| more).map(|(key, _)| key.clone());
        Listing { items: keyed.into_iter().map(|(_, item)| item).collect(), next }
    }
}

/// A page as JSON.
pub(super) fn listing<T, V: Serialize>(listing: Listing<T>, show: impl Fn(&T) -> V) -> Answer {
    let items: Vec<V> = listing.items.iter().map(show).collect();
    let mut page = serde_json::json!({ "items": items });
    if let (Some(next), Some(members)) = (listing.next, page.as_object_mut()) {
        members.insert("next".to_owned(), next.into());
    }
    ok(&page)
}
