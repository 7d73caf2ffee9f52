//! Asking a service while a device waits. With the feature `http`, and only for a plugin that the operator has granted it.
//!
//! A plugin built with this feature and using it is of the tier `recorded`: `landfall.toml` must name it and the origins
//! that it may ask (`[policy.http.plugins.NAME]`). Onboarding then depends on the service, so ask for as little as can be:
//! what the manufacturer can say beforehand belongs into the manufacturing record.
//!
//! Each exchange is kept with the decision; a replay is answered from there and asks nobody. What the operator has not
//! granted ends the call and is no [`Error`]: the operator must hear of it, and the policy could do nothing about it.
//!
//! ```
//! use landfall_plugin::http::{self, Response};
//! use landfall_plugin::testing;
//!
//! let service = |request: &http::Request| {
//!     assert_eq!(request.url, "https://fn.example/where");
//!     Ok(Response::new(200, r#"{"hub": "eu"}"#))
//! };
//! let answer = testing::with_service(service, || {
//!     http::post_json("https://fn.example/where", &[], &serde_json::json!({"device": "pump-1"}))
//! });
//! assert_eq!(answer.unwrap().json::<serde_json::Value>().unwrap()["hub"], "eu");
//! ```

use std::fmt;

use serde::Serialize;
use serde::de::DeserializeOwned;

#[cfg(all(target_arch = "wasm32", not(feature = "testing")))]
mod wasi;

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Request {
    pub method: String,
    /// Where to: `https://host[:port]/path`.
    pub url: String,
    /// Headers; the host adds `Host` and `Content-Length`.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// What a service answered, whole.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Response {
    /// The status code; redirects are not followed.
    pub status: u16,
    /// Headers, names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// The address, the method or a header cannot be sent.
    Request(String),
    /// The service was not reached, or did not answer properly.
    Network(String),
}

/// Sends JSON and waits for the answer.
///
/// # Errors
///
/// The request cannot be sent, or the service did not answer. A status such as 500 is an answer.
pub fn post_json(url: &str, headers: &[(&str, &str)], body: &impl Serialize) -> Result<Response, Error> {
    let body = serde_json::to_vec(body).map_err(|error| Error::Request(error.to_string()))?;
    let json = [("content-type", "application/json"), ("accept", "application/json")];
    let headers = json.iter().chain(headers).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    send(&Request { method: "POST".into(), url: url.into(), headers: headers.collect(), body })
}

/// Sends a request and waits for the answer.
///
/// # Errors
///
/// As [`post_json`].
pub fn send(request: &Request) -> Result<Response, Error> {
    #[cfg(all(target_arch = "wasm32", not(feature = "testing")))]
    return wasi::send(request);
    #[cfg(any(not(target_arch = "wasm32"), feature = "testing"))]
    return crate::testing::asked::service(request);
}

impl Response {
    /// An answer without headers, for tests.
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// Whether the status is one of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// The body as JSON.
    ///
    /// # Errors
    ///
    /// It is no JSON, or not of this shape.
    pub fn json<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.body)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(why) => write!(f, "the request cannot be sent: {why}"),
            Self::Network(why) => write!(f, "there is no answer: {why}"),
        }
    }
}

impl std::error::Error for Error {}
