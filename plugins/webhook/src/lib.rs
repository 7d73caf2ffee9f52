//! `webhook`: asks an allocation function over HTTPS, by the custom-allocation contract of Azure's Device Provisioning
//! Service, so that a team's function keeps working unchanged.
//!
//! The function is sent who registers and which hubs there are (`request`), and answers a hub, and perhaps an
//! initial twin and a payload (`response`). It is the one policy that makes onboarding depend on something else, so
//! what can go wrong there is told apart:
//!
//! - it refuses (a status of 4xx, which is how functions refuse): the registration fails, as in DPS;
//! - it is overloaded, broken or gone (408, 429, 5xx, anything but an answer): the device waits, and the operator is
//!   told. DPS would fail the registration for good, but a function's bad hour is no device's fault;
//! - it names a hub that it was not offered, or answers nonsense: the device waits as well.
//!
//! # One answer, two questions
//!
//! The function says hub and twin at once, and it must be asked once: it may count, or write. Selection sends the request.
//! Grouping asks the host for the same answer again with `Cache-Control: only-if-cached` (RFC 9111, section 5.2.1.7): the
//! host remembers, for one decision and one policy, what it was answered, and sends nothing. When there is nothing to
//! remember, because another policy chose the hub, that is a 504, and the webhook has no opinion about the place.

mod request;
mod response;

use landfall_plugin::http::{self, Response};
use landfall_plugin::{
    Call, Choice, Device, Fault, Hub, Outcome, Place, Placement, Pointer, Policy, Problem, Reason, SelectHub,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::response::Answer;

/// The settings, which are the whole policy.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "webhook")]
pub struct Webhook {
    /// The function's address with its query, `https://` only. Its origin must be granted in `landfall.toml`.
    pub url: String,
    /// The version of the contract that the function is told.
    #[serde(default = "default_version")]
    pub api_version: String,
}

landfall_plugin::export!(Webhook: policy, name = "webhook");

impl Policy for Webhook {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let host = settings.url.strip_prefix("https://").map(|rest| rest.split(['/', '?', '#']).next().unwrap_or(""));
        let at = Pointer::ROOT.key("url");
        match host {
            None => problems.push(at.problem("must begin with https://")),
            Some("") => problems.push(at.problem("names no host")),
            Some(host) if host.contains('@') => problems.push(at.problem("must not carry a user or a password")),
            Some(_) if settings.url.chars().any(|c| c.is_whitespace() || c.is_control() || c == '#') => {
                problems.push(at.problem("must not hold spaces or a fragment"));
            }
            Some(_) if settings.url.len() > MOST_URL_BYTES => {
                problems.push(at.problem(format!("is longer than {MOST_URL_BYTES} bytes")));
            }
            Some(_) => {}
        }
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }
}

impl SelectHub for Webhook {
    fn select_hub(&self, _call: &Call, device: &Device, candidates: &[Hub]) -> Result<Outcome, Fault> {
        let body = request::body(self, device, candidates)?;
        let response = http::post_json(&self.url, &[], &body).map_err(|error| Fault::internal(error.to_string()))?;
        if !response.is_success() {
            return refused(&response);
        }
        let answer = Answer::read(&response)?;
        let named = candidates.iter().find(|hub| hub.name.eq_ignore_ascii_case(&answer.hub));
        let hub = named.ok_or_else(|| {
            Fault::bad_input(format!("the function answered the hub {:?}, which it was not offered", answer.hub))
        })?;
        Ok(Choice::of(hub).because("webhook", "the function named this hub").into())
    }
}

impl Place for Webhook {
    fn place(&self, _call: &Call, _device: &Device, hub: &Hub) -> Result<Placement, Fault> {
        let again = [("cache-control", "only-if-cached")];
        let response = http::post_json(&self.url, &again, &serde_json::Map::new())
            .map_err(|error| Fault::internal(error.to_string()))?;
        if !response.is_success() {
            return Ok(Placement::none());
        }
        let answer = Answer::read(&response)?;
        if !hub.name.eq_ignore_ascii_case(&answer.hub) {
            return Ok(Placement::none());
        }
        answer.placement()
    }
}

/// What an answer that is no success means for the device.
fn refused(response: &Response) -> Result<Outcome, Fault> {
    let why = format!("Custom allocation failed with status code: {}", response.status);
    match response.status {
        408 | 429 => Err(Fault::internal(why)),
        400..=499 => Ok(Outcome::Reject(Reason::new("webhook-refused", why))),
        _ => Err(Fault::internal(why)),
    }
}

fn default_version() -> String {
    "2021-10-01".into()
}

const MOST_URL_BYTES: usize = 2048;

#[cfg(test)]
mod tests;
