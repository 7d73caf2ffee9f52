//! Errors as problem documents (RFC 9457).

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use http::{HeaderName, StatusCode};
use landfall_domain::names::NameError;
use landfall_store::StoreError;
use serde::Serialize;

/// A problem document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Problem {
    /// Always `about:blank`: the status says the kind.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What is wrong, and what to do.
    detail: String,
    /// The parameter of the query that is missing or wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<&'static str>,
    /// The members of the body that are wrong, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<ProblemPart>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct ProblemPart {
    /// RFC 6901 pointer into the body.
    pub pointer: String,
    /// What is wrong there.
    pub message: String,
}

impl Problem {
    /// A problem with this status.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        let title = StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or("Error");
        Self {
            kind: "about:blank",
            title: title.to_owned(),
            status,
            detail: detail.into(),
            parameter: None,
            errors: Vec::new(),
        }
    }

    /// 400: a parameter of the query is missing or wrong.
    pub(super) fn parameter(name: &'static str, detail: impl Into<String>) -> Self {
        Self { parameter: Some(name), ..Self::new(400, detail) }
    }

    pub(super) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(404, detail)
    }

    /// Appends a note to the detail.
    pub(super) fn noting(mut self, more: &str) -> Self {
        self.detail = format!("{}; {more}", self.detail);
        self
    }

    /// Adds the places of the errors.
    pub(super) fn with(mut self, errors: Vec<ProblemPart>) -> Self {
        self.errors = errors;
        self
    }

    /// 400: the body is invalid at one place.
    pub(super) fn at(pointer: impl Into<String>, message: impl Into<String>) -> Self {
        Self::of(vec![ProblemPart { pointer: pointer.into(), message: message.into() }])
    }

    /// 400: the body is invalid at several places.
    pub(super) fn of(errors: Vec<ProblemPart>) -> Self {
        Self { errors, ..Self::new(400, "what the body says cannot be taken; `errors` says where") }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut answer = Response::new(Body::from(serde_json::to_vec(&self).unwrap_or_default()));
        *answer.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut set = |name: HeaderName, value| answer.headers_mut().insert(name, HeaderValue::from_static(value));
        set(CONTENT_TYPE, "application/problem+json");
        match self.status {
            401 => drop(set(http::header::WWW_AUTHENTICATE, "Bearer")),
            429 | 503 => drop(set(RETRY_AFTER, "2")),
            _ => {}
        }
        answer
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        tracing::error!(%error, "the store failed");
        match error {
            StoreError::Busy | StoreError::Closed => Self::new(503, error.to_string()),
            StoreError::NoSpace { .. } => Self::new(507, error.to_string()),
            // Other errors name files and damage, which only the log shows.
            _ => Self::new(500, "the store failed; the log says why"),
        }
    }
}

impl From<NameError> for Problem {
    fn from(error: NameError) -> Self {
        Self::new(400, error.to_string())
    }
}
