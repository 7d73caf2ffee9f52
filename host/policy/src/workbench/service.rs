//! The answers of services in a golden vector, so that a policy of the tier `recorded` is tested as a component and
//! nothing is sent over a network.
//!
//! An entry answers one request: the first that it matches. Parts of a request that the entry does not mention are not
//! compared. A request that no entry matches has no answer. A vector fails if no request was sent for one of its
//! entries.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use landfall_domain::decision::call::{HubHandle, Label};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::expectation::Difference;
use crate::host_view::{Catalogue, LiveCatalogue, NoAnswer, Question};
use crate::http::{HttpAnswer, HttpBody, HttpFailure, HttpRequest, HttpResponse};

/// A request and what comes of it: a response or a failure.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ServiceVector {
    /// Which request is answered.
    pub request: RequestVector,
    /// What the service answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<ResponseVector>,
    /// Why there is no answer: `dns`, `connect`, `tls` or `protocol`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub failure: Option<HttpFailure>,
}

/// What must be true of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct RequestVector {
    /// Its method; any when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// Where it goes, to the letter.
    pub url: String,
    /// Headers that it has; others may be there.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// Its body: JSON, or a text when it is no JSON; any when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

/// What a service answers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct ResponseVector {
    /// The status code.
    #[serde(default = "success")]
    pub status: u16,
    /// Headers.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// The body: a text as it is, anything else as JSON. Empty when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<Value>,
}

/// A catalogue with the services of a vector.
pub struct Services {
    catalogue: Arc<LiveCatalogue>,
    answers: Arc<Answers>,
    /// Whether an entry answers more than one request.
    again: bool,
}

/// The entries, and which of them have been used.
struct Answers {
    entries: Vec<ServiceVector>,
    used: Mutex<Vec<bool>>,
    /// The answers that the policies of one decision got, by method and address, as the server remembers them.
    memory: Mutex<HashMap<(String, String), HttpAnswer>>,
}

impl Services {
    /// Services with these entries as their answers.
    #[must_use]
    pub fn new(catalogue: LiveCatalogue, entries: &[ServiceVector]) -> Arc<Self> {
        let used = Mutex::new(vec![false; entries.len()]);
        let answers = Answers { entries: entries.to_vec(), used, memory: Mutex::default() };
        Arc::new(Self { catalogue: Arc::new(catalogue), answers: Arc::new(answers), again: false })
    }

    /// The same services; each entry answers any number of requests.
    #[must_use]
    pub fn again(self: Arc<Self>) -> Arc<Self> {
        let Self { catalogue, answers, .. } = &*self;
        Arc::new(Self { catalogue: Arc::clone(catalogue), answers: Arc::clone(answers), again: true })
    }

    /// The same services for a later call of the same decision: earlier answers are remembered.
    #[must_use]
    pub fn beside(&self, catalogue: LiveCatalogue) -> Arc<Self> {
        Arc::new(Self { catalogue: Arc::new(catalogue), answers: Arc::clone(&self.answers), again: self.again })
    }

    /// The entries for which no request was sent.
    #[must_use]
    pub fn unsent(&self) -> Vec<Difference> {
        let used = self.answers.used.lock().unwrap_or_else(PoisonError::into_inner);
        let unsent = self.answers.entries.iter().zip(&*used).enumerate().filter(|(_, (_, used))| !**used);
        unsent
            .map(|(at, (entry, _))| Difference {
                at: format!("/http/{at}"),
                expected: serde_json::to_value(&entry.request).unwrap_or_default(),
                got: "no such request".into(),
            })
            .collect()
    }
}

impl Catalogue for Services {
    fn hub_labels(&self, hub: HubHandle) -> Result<Arc<[Label]>, NoAnswer> {
        self.catalogue.hub_labels(hub)
    }

    fn group_count(&self, path: &[String]) -> Result<u64, NoAnswer> {
        self.catalogue.group_count(path)
    }

    fn exchange(&self, asked: &HttpRequest, request: &http::Request<Bytes>) -> Result<HttpAnswer, NoAnswer> {
        let Answers { entries, used, memory } = &*self.answers;
        let key = (request.method().to_string(), request.uri().to_string());
        let mut memory = memory.lock().unwrap_or_else(PoisonError::into_inner);
        let mut used = used.lock().unwrap_or_else(PoisonError::into_inner);
        let mut free = entries.iter().zip(used.iter_mut()).filter(|(_, used)| self.again || !**used);
        if let Some((entry, used)) = free.find(|(entry, _)| entry.request.fits(request)) {
            *used = true;
            let answer = entry.made();
            memory.insert(key, answer.clone());
            return Ok(answer);
        }
        if only_if_cached(request) {
            return Ok(memory.get(&key).cloned().unwrap_or_else(not_cached));
        }
        let reason =
            "no entry of `http` fits it; golden vectors and `landfall plugin run --http FILE` say what services \
                      answer, and nothing is sent"
                .to_owned();
        Err(NoAnswer::Unavailable { question: Question::Http(Box::new(asked.clone())), reason })
    }
}

impl RequestVector {
    fn fits(&self, request: &http::Request<Bytes>) -> bool {
        let Self { method, url, headers, body } = self;
        let has = |(name, value): (&String, &String)| {
            request.headers().get_all(name.as_str()).iter().any(|given| given.as_bytes() == value.as_bytes())
        };
        let body_fits = |wanted: &Value| match serde_json::from_slice::<Value>(request.body()) {
            Ok(given) => given == *wanted,
            Err(_) => wanted.as_str().is_some_and(|wanted| wanted.as_bytes() == &**request.body()),
        };
        method.as_deref().is_none_or(|method| request.method().as_str() == method)
            && request.uri().to_string() == *url
            && headers.iter().all(has)
            && body.as_ref().is_none_or(body_fits)
    }
}

impl ServiceVector {
    /// What is wrong with the entry.
    pub(super) fn check(&self) -> Result<(), String> {
        match (&self.response, &self.failure) {
            (Some(_), None) | (None, Some(_)) => Ok(()),
            _ => Err("say what comes of the request: either `response` or `failure`".to_owned()),
        }
    }

    fn made(&self) -> HttpAnswer {
        let Some(ResponseVector { status, headers, body }) = &self.response else {
            let failure = self.failure.unwrap_or(HttpFailure::Protocol);
            return HttpAnswer::Failed { failure, detail: "as the vector says".to_owned() };
        };
        let (text, is_json) = match body {
            None => (String::new(), false),
            Some(Value::String(text)) => (text.clone(), false),
            Some(json) => (json.to_string(), true),
        };
        let mut headers: Vec<_> =
            headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect();
        if is_json && !headers.iter().any(|(name, _)| name == "content-type") {
            headers.push(("content-type".to_owned(), "application/json".to_owned()));
        }
        HttpAnswer::Response(HttpResponse { status: *status, headers, body: HttpBody::Text(text) })
    }
}

/// RFC 9111, section 5.2.1.7: nothing is sent, and status 504 says that no answer is stored.
fn only_if_cached(request: &http::Request<Bytes>) -> bool {
    let values = request.headers().get_all(http::header::CACHE_CONTROL).iter();
    let mut directives = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    directives.any(|directive| directive.trim().eq_ignore_ascii_case("only-if-cached"))
}

fn not_cached() -> HttpAnswer {
    HttpAnswer::Response(HttpResponse { status: 504, headers: Vec::new(), body: HttpBody::Text(String::new()) })
}

fn success() -> u16 {
    200
}

#[cfg(test)]
mod tests {
    use landfall_domain::decision::call::Candidates;
    use serde_json::json;

    use super::*;
    use crate::workbench::vector::CatalogueVector;

    fn services(answers: Value) -> Arc<Services> {
        let answers: Vec<ServiceVector> = serde_json::from_value(answers).unwrap();
        let catalogue = LiveCatalogue::new(Candidates::all([]), Arc::new(CatalogueVector::default()));
        Services::new(catalogue, &answers)
    }

    fn ask(services: &Services, url: &str, body: &'static str) -> Result<HttpAnswer, NoAnswer> {
        let request = http::Request::post(url).header("x-a", "1").body(Bytes::from(body)).unwrap();
        let asked = HttpRequest {
            number: 1,
            method: "POST".into(),
            url: url.into(),
            headers: Vec::new(),
            body: HttpBody::Text(body.into()),
        };
        services.exchange(&asked, &request)
    }

    #[test]
    fn an_entry_answers_one_request_that_it_fits() {
        let services = services(json!([
            { "request": { "url": "https://a.example/", "body": { "n": 1 } }, "response": { "body": { "hub": "x" } } },
            { "request": { "url": "https://a.example/", "method": "POST", "headers": { "X-A": "1" } },
              "failure": "connect" },
        ]));
        let Ok(HttpAnswer::Response(first)) = ask(&services, "https://a.example/", r#"{ "n": 1 }"#) else { panic!() };
        assert_eq!((first.status, first.body), (200, HttpBody::Text(r#"{"hub":"x"}"#.into())));
        assert_eq!(first.headers, [("content-type".to_owned(), "application/json".to_owned())]);
        assert_eq!(services.unsent().len(), 1);
        assert!(matches!(ask(&services, "https://a.example/", "x"), Ok(HttpAnswer::Failed { .. })));
        assert_eq!(services.unsent(), []);
        let error = ask(&services, "https://a.example/", "x").unwrap_err().to_string();
        assert!(error.contains("POST https://a.example/") && error.contains("no entry of `http`"), "{error}");
    }

    #[test]
    fn what_a_request_lacks_is_another_request() {
        for request in [
            json!({ "url": "https://b.example/" }),
            json!({ "url": "https://a.example/", "method": "GET" }),
            json!({ "url": "https://a.example/", "headers": { "x-a": "2" } }),
            json!({ "url": "https://a.example/", "body": { "n": 2 } }),
            json!({ "url": "https://a.example/", "body": "other" }),
        ] {
            let services = services(json!([{ "request": request, "response": {} }]));
            assert!(ask(&services, "https://a.example/", r#"{"n":1}"#).is_err(), "{request}");
        }
    }
}
