//! One HTTP request of a policy and its answer, as they are kept with a decision.
//!
//! An answer is of one of three kinds, and all are kept, so that a replay ends as the call did: what the service
//! answered, how the network failed, or which part of the grant the request exceeded. Requests are numbered in the
//! order of the call, because the same request sent twice may get two answers.
//!
//! Values of headers that carry credentials, and the query of an address, are replaced by their SHA-256. The digest is
//! enough to see whether a replay sends the same value, and a reader of the ledger cannot use it. Older versions kept
//! some of these values in the clear; they are replaced when such a record is read.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, HeaderName, PROXY_AUTHORIZATION, SET_COOKIE};
use serde::{Deserialize, Deserializer, Serialize};

use crate::names::Digest;

/// A request that a policy sends to a service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub struct HttpRequest {
    /// The number of this request within the call, from 1.
    pub number: u32,
    /// The method.
    pub method: String,
    /// The address that the request is sent to. Its query is often the key of a cloud function.
    #[serde(deserialize_with = "read_url")]
    pub url: String,
    /// The headers, in the order sent.
    #[serde(deserialize_with = "read_headers")]
    #[schema(value_type = Vec<Vec<String>>)]
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: HttpBody,
}

/// The result of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HttpAnswer {
    /// The service answered.
    Response(HttpResponse),
    /// The network did not bring an answer. The policy is told.
    Failed {
        /// How.
        failure: HttpFailure,
        /// For people.
        detail: String,
    },
    /// The request was not granted, or used too much. The call ends.
    Breach(HttpBreach),
}

/// An answer of a service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// Headers in the order received.
    #[schema(value_type = Vec<Vec<String>>)]
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: HttpBody,
}

/// A body: as text if it is text, otherwise in base64.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HttpBody {
    /// UTF-8.
    Text(String),
    /// Bytes that are not text, in base64.
    Base64(String),
}

/// How the network failed a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum HttpFailure {
    /// The name does not resolve.
    Dns,
    /// No connection.
    Connect,
    /// No TLS connection, or a certificate that is not trusted.
    Tls,
    /// The answer is not HTTP, or the connection broke.
    Protocol,
}

/// How a request exceeded what is granted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum HttpBreach {
    /// Nothing is granted to the plugin, or calls of this kind never have the network.
    #[error(
        "it sent a request and is granted no network here; grants are in [policy.http.plugins.NAME] of landfall.toml, and describe and configure never have one"
    )]
    NotGranted,
    /// The origin is not on the list of the grant.
    #[error("it sent a request to {origin}, which policy.http.plugins of landfall.toml does not allow it")]
    Origin {
        /// Where it was to go: `https://HOST[:PORT]`.
        origin: String,
    },
    /// The name leads to no public address.
    #[error(
        "it sent a request to {host}, which is at {address}, no public address; allow_private_networks grants those"
    )]
    PrivateAddress {
        /// The name.
        host: String,
        /// Where it leads.
        address: String,
    },
    /// Too many requests.
    #[error("it sent more than {limit} requests (limits.http.requests)")]
    Requests {
        /// How many one call may send.
        limit: u32,
    },
    /// Too much sent.
    #[error("it sent more than {limit} bytes (limits.http.request_kib)")]
    BytesOut {
        /// How many bytes one call may send.
        limit: usize,
    },
    /// Too much received.
    #[error("the services that it asked answered more than {limit} bytes (limits.http.response_kib)")]
    BytesIn {
        /// How many bytes one call may be answered.
        limit: usize,
    },
    /// The head of an answer is too large.
    #[error("the service that it asked answered more than {limit} bytes of headers (limits.http.header_kib)")]
    Headers {
        /// How many bytes the head of an answer may have.
        limit: usize,
    },
    /// Waited too long.
    #[error("the services that it asked took longer than {limit_ms} ms (limits.http.wait_ms)")]
    #[schema(rename_all = "kebab-case")]
    Time {
        /// How many milliseconds one call may wait, in all.
        limit_ms: u64,
    },
    /// Waits for itself.
    #[error("it waits for the answer to a request whose body it has not finished")]
    Unfinished,
}

impl HttpBreach {
    /// A stable word for metrics and records.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotGranted => "http-not-granted",
            Self::Origin { .. } => "http-origin",
            Self::PrivateAddress { .. } => "http-private-address",
            Self::Requests { .. } => "http-requests",
            Self::BytesOut { .. } => "http-bytes-out",
            Self::BytesIn { .. } => "http-bytes-in",
            Self::Headers { .. } => "http-headers",
            Self::Time { .. } => "http-time",
            Self::Unfinished => "http-unfinished",
        }
    }
}

impl HttpRequest {
    /// The form of a request that is kept.
    pub fn of(number: u32, request: &http::Request<Bytes>) -> Self {
        Self {
            number,
            method: request.method().to_string(),
            url: without_query(request.uri().to_string()),
            headers: kept(request.headers()).into_iter().map(without_secret).collect(),
            body: HttpBody::of(request.body()),
        }
    }
}

impl HttpBody {
    /// As text where the bytes are UTF-8, otherwise in base64.
    pub fn of(bytes: &[u8]) -> Self {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Base64(STANDARD.encode(bytes)),
        }
    }

    /// The original bytes.
    pub fn bytes(&self) -> Bytes {
        match self {
            Self::Text(text) => Bytes::copy_from_slice(text.as_bytes()),
            // Only `of` makes this variant. Invalid base64, which only another writer of the ledger can have put here,
            // reads as empty.
            Self::Base64(text) => STANDARD.decode(text).unwrap_or_default().into(),
        }
    }

    /// The number of bytes that are kept.
    pub fn size(&self) -> usize {
        match self {
            Self::Text(text) | Self::Base64(text) => text.len(),
        }
    }
}

impl fmt::Display for HttpRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "request {}, {} {}", self.number, self.method, self.url)
    }
}

/// The headers of a request or an answer, in the form that is kept.
pub fn kept(headers: &HeaderMap) -> Vec<(String, String)> {
    let value = |name: &HeaderName, value: &http::HeaderValue| {
        if SECRET.contains(name) || SECRET_NAMES.contains(&name.as_str()) {
            hashed(value.as_bytes())
        } else {
            String::from_utf8_lossy(value.as_bytes()).into_owned()
        }
    };
    headers.iter().map(|(name, content)| (name.to_string(), value(name, content))).collect()
}

/// A request's header in the form that is kept: a secret value is replaced. Headers of answers are not treated so: the
/// policy and a replay must be able to read them.
fn without_secret((name, value): (String, String)) -> (String, String) {
    let secret = SECRET_WORDS.iter().any(|word| name.to_ascii_lowercase().contains(word));
    if secret && !is_hashed(&value) { (name, hashed(value.as_bytes())) } else { (name, value) }
}

/// An address in the form that is kept: its query is replaced.
fn without_query(url: String) -> String {
    match url.split_once('?') {
        Some((address, query)) if !query.is_empty() && !is_hashed(query) => {
            format!("{address}?{}", hashed(query.as_bytes()))
        }
        _ => url,
    }
}

fn hashed(secret: &[u8]) -> String {
    format!("sha256:{}", Digest::of(secret))
}

fn is_hashed(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|digits| digits.len() == 64 && digits.parse::<Digest>().is_ok())
}

fn read_url<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    String::deserialize(deserializer).map(without_query)
}

fn read_headers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<(String, String)>, D::Error> {
    let headers = Vec::<(String, String)>::deserialize(deserializer)?;
    Ok(headers.into_iter().map(without_secret).collect())
}

const SECRET: [HeaderName; 4] = [AUTHORIZATION, COOKIE, PROXY_AUTHORIZATION, SET_COOKIE];
/// Header names in which cloud functions expect their keys.
const SECRET_NAMES: [&str; 4] = ["x-functions-key", "x-api-key", "api-key", "ocp-apim-subscription-key"];
/// Parts of the names of headers that carry keys, as in `x-auth-token`.
const SECRET_WORDS: [&str; 7] = ["key", "token", "secret", "auth", "password", "signature", "credential"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_kept_as_their_digest() {
        let request = http::Request::post("https://fn.example/a")
            .header("authorization", "Bearer hunter2")
            .header("X-Functions-Key", "hunter3")
            .header("content-type", "application/json")
            .body(Bytes::from_static(b"{}"))
            .unwrap();
        let text = serde_json::to_string(&HttpRequest::of(1, &request)).unwrap();
        assert!(!text.contains("hunter") && text.contains("sha256:") && text.contains("application/json"), "{text}");
        let other = http::Request::post("https://fn.example/a").header("authorization", "Bearer x").body(Bytes::new());
        assert_ne!(HttpRequest::of(1, &request), HttpRequest::of(1, &other.unwrap()));
    }

    #[test]
    fn the_key_in_an_address_is_kept_as_its_digest_also_where_it_was_kept_before() {
        let request =
            |url: &str| http::Request::post(url).header("x-auth-token", "hunter2").body(Bytes::new()).unwrap();
        let kept = HttpRequest::of(1, &request("https://fn.example/a?code=hunter2"));
        let text = serde_json::to_string(&kept).unwrap();
        assert!(!text.contains("hunter2") && text.contains("https://fn.example/a?sha256:"), "{text}");
        assert_ne!(kept, HttpRequest::of(1, &request("https://fn.example/a?code=hunter3")), "a replay sends the same");
        let before = HttpRequest {
            url: "https://fn.example/a?code=hunter2".to_owned(),
            headers: vec![("x-auth-token".to_owned(), "hunter2".to_owned())],
            ..kept.clone()
        };
        let read: HttpRequest = serde_json::from_str(&serde_json::to_string(&before).unwrap()).unwrap();
        assert_eq!(read, kept);
        assert_eq!(serde_json::from_str::<HttpRequest>(&text).unwrap(), kept);
        assert_eq!(HttpRequest::of(1, &request("https://fn.example/a")).url, "https://fn.example/a");
    }

    #[test]
    fn a_body_comes_back_as_it_was() {
        for bytes in [&b"text"[..], b"", b"\xff\x00"] {
            assert_eq!(HttpBody::of(bytes).bytes(), bytes);
        }
    }
}
