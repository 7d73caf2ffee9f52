//! What a golden vector expects, and how an answer differs from it.
//!
//! Members that are not written are not compared: a vector about the hub does not fail when the text of a reason
//! changes.

use landfall_domain::decision::call::{Candidates, Choice, Deferral, Fault, Outcome, Placement, Reason};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::failure::CallFailure;
use crate::image::Problem;

/// What must come of a call: exactly one of these.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Expectation {
    /// A hub.
    Assign(Assigned),
    /// The device waits.
    Defer(Deferred),
    /// The registration fails.
    Reject(Reasoned),
    /// The policy has no opinion.
    Abstain(Reasoned),
    /// The policy says that it could not decide.
    Fault(Faulted),
    /// A place.
    Place(Placed),
    /// The settings are refused; JSON pointers of what is wrong with them.
    RefuseSettings(Vec<String>),
}

/// A hub that is expected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Assigned {
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hub: Option<String>,
    /// Further hubs, in their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alternates: Option<Vec<String>>,
    /// The device's id in its hub; null for none.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "also_null")]
    #[schemars(with = "Option<String>")]
    pub device_id: Option<Option<String>>,
    /// Codes of the reasons, in their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasons: Option<Vec<String>>,
}

/// A wait that is expected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Deferred {
    /// Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u32>,
    /// The reason's code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The reason's sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A reason that is expected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reasoned {
    /// Its code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Its sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// A fault that is expected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Faulted {
    /// `unsupported`, `bad-input` or `internal`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its sentence.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// A place that is expected.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Placed {
    /// The group, outermost first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group_path: Option<Vec<String>>,
    /// All initial tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<Map<String, Value>>,
    /// The initial desired properties; null for none.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "also_null")]
    #[schemars(with = "Option<Value>")]
    pub desired: Option<Option<Value>>,
    /// What the device is told; null for nothing.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "also_null")]
    #[schemars(with = "Option<Value>")]
    pub reply: Option<Option<Value>>,
    /// Codes of the reasons, in their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasons: Option<Vec<String>>,
}

/// One difference between an answer and an expectation.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Difference {
    /// The place of the difference, as a JSON pointer into the expectation.
    pub at: String,
    /// What was expected.
    pub expected: Value,
    pub got: Value,
}

/// A policy's answer to a vector, in the terms of the format.
#[derive(Clone, Debug, PartialEq)]
pub enum Answered {
    /// Selection or grouping answered: the name of the outcome, and all its members.
    With(&'static str, Value),
    /// There is no answer, for this reason.
    Broke(String),
}

impl Expectation {
    /// The hubs that the expectation names, each with its place.
    pub fn hubs(&self) -> Vec<(String, &str)> {
        let Self::Assign(assigned) = self else { return Vec::new() };
        let chosen = assigned.hub.iter().map(|hub| ("/assign/hub".to_owned(), hub.as_str()));
        let alternates = assigned.alternates.iter().flatten().enumerate();
        chosen.chain(alternates.map(|(at, hub)| (format!("/assign/alternates/{at}"), hub.as_str()))).collect()
    }

    /// Whether the expectation is about the settings and not about a call.
    #[must_use]
    pub fn is_of_settings(&self) -> bool {
        matches!(self, Self::RefuseSettings(_))
    }

    /// Whether the expectation is about grouping.
    #[must_use]
    pub fn is_of_grouping(&self) -> bool {
        matches!(self, Self::Place(_))
    }

    /// The differences between an answer and the expectation. Empty if the answer is as expected.
    #[must_use]
    pub fn differences(&self, answered: &Answered) -> Vec<Difference> {
        let expected = serde_json::to_value(self).unwrap_or_default();
        let (name, members) = match expected {
            Value::Object(one) => one.into_iter().next().unwrap_or_default(),
            other => (String::new(), other),
        };
        match answered {
            Answered::Broke(why) => {
                vec![Difference { at: String::new(), expected: json!({ name: members }), got: json!({ "broke": why }) }]
            }
            Answered::With(got, answer) if *got != name => {
                let got = json!({ *got: answer });
                vec![Difference { at: String::new(), expected: json!({ name: members }), got }]
            }
            Answered::With(_, answer) => match (&members, answer) {
                (Value::Object(members), Value::Object(answer)) => {
                    let none = Value::Null;
                    let compared =
                        members.iter().map(|(key, expected)| (key, expected, answer.get(key).unwrap_or(&none)));
                    compared
                        .filter(|(_, expected, got)| expected != got)
                        .map(|(key, expected, got)| Difference {
                            at: format!("/{name}/{key}"),
                            expected: expected.clone(),
                            got: got.clone(),
                        })
                        .collect()
                }
                (expected, got) if expected == got => Vec::new(),
                (expected, got) => {
                    vec![Difference { at: format!("/{name}"), expected: expected.clone(), got: got.clone() }]
                }
            },
        }
    }
}

impl Answered {
    /// An answer to selection, with the names of hubs instead of handles.
    #[must_use]
    pub fn selected(result: &Result<Outcome, CallFailure>, candidates: &Candidates) -> Self {
        let named = |handle| candidates.get(handle).map(|(hub, _)| hub.name.to_string());
        match result {
            Ok(Outcome::Assign(Choice { hub, alternates, device_id, reasons })) => Self::With(
                "assign",
                json!({
                    "hub": named(*hub),
                    "alternates": alternates.iter().map(|hub| named(*hub)).collect::<Vec<_>>(),
                    "deviceId": device_id,
                    "reasons": codes(reasons),
                }),
            ),
            Ok(Outcome::Defer(Deferral { retry_after_ms, reason })) => {
                let Reason { code, detail } = reason;
                Self::With("defer", json!({ "retryAfterMs": retry_after_ms, "code": code, "detail": detail }))
            }
            Ok(Outcome::Reject(reason)) => Self::With("reject", reasoned(reason)),
            Ok(Outcome::Abstain(reason)) => Self::With("abstain", reasoned(reason)),
            Err(failure) => Self::failed(failure),
        }
    }

    /// An answer to grouping.
    #[must_use]
    pub fn placed(result: &Result<Placement, CallFailure>) -> Self {
        let parsed = |text: &str| serde_json::from_str(text).unwrap_or_else(|_| Value::String(text.to_owned()));
        match result {
            Ok(Placement { group_path, tags, desired, reply, reasons }) => {
                let tags: Map<String, Value> = tags.iter().map(|tag| (tag.key.clone(), parsed(&tag.value))).collect();
                Self::With(
                    "place",
                    json!({
                        "groupPath": group_path,
                        "tags": tags,
                        "desired": desired.as_deref().map(parsed),
                        "reply": reply.as_deref().map(parsed),
                        "reasons": codes(reasons),
                    }),
                )
            }
            Err(failure) => Self::failed(failure),
        }
    }

    /// Settings that the policy refuses.
    #[must_use]
    pub fn refused(problems: &[Problem]) -> Self {
        Self::With("refuseSettings", problems.iter().map(|problem| problem.pointer.clone()).collect::<Vec<_>>().into())
    }

    fn failed(failure: &CallFailure) -> Self {
        match failure {
            CallFailure::Fault(fault) => {
                let (kind, message) = match fault {
                    Fault::Unsupported(message) => ("unsupported", message),
                    Fault::BadInput(message) => ("bad-input", message),
                    Fault::Internal(message) => ("internal", message),
                };
                Self::With("fault", json!({ "kind": kind, "message": message }))
            }
            CallFailure::Broke(_) | CallFailure::Host(_) => Self::Broke(failure.to_string()),
        }
    }

    /// The answer in the form of an expectation.
    #[must_use]
    pub fn as_expected(&self) -> Value {
        match self {
            Self::With(name, answer) => json!({ *name: answer }),
            Self::Broke(why) => json!({ "broke": why }),
        }
    }
}

fn reasoned(reason: &Reason) -> Value {
    json!({ "code": reason.code, "detail": reason.detail })
}

fn codes(reasons: &[Reason]) -> Vec<&str> {
    reasons.iter().map(|reason| reason.code.as_str()).collect()
}

/// Distinguishes a member that is absent from one that is null.
fn also_null<'de, D: serde::Deserializer<'de>, T: Deserialize<'de>>(reader: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(reader).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expects(text: &str) -> Expectation {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn what_is_not_written_is_not_compared() {
        let answered =
            Answered::With("assign", json!({ "hub": "a", "alternates": ["b"], "deviceId": null, "reasons": ["x"] }));
        assert_eq!(expects(r#"{"assign":{}}"#).differences(&answered), []);
        assert_eq!(expects(r#"{"assign":{"hub":"a","deviceId":null}}"#).differences(&answered), []);
        let differs = expects(r#"{"assign":{"hub":"a","alternates":[],"deviceId":"d"}}"#).differences(&answered);
        let places: Vec<_> = differs.iter().map(|difference| difference.at.as_str()).collect();
        assert_eq!(places, ["/assign/alternates", "/assign/deviceId"]);
    }

    #[test]
    fn another_outcome_is_one_difference() {
        let answered = Answered::With("reject", json!({ "code": "no", "detail": "never" }));
        let differs = expects(r#"{"assign":{"hub":"a"}}"#).differences(&answered);
        assert_eq!(differs.len(), 1);
        assert_eq!(differs[0].got, json!({ "reject": { "code": "no", "detail": "never" } }));
        assert_eq!(expects(r#"{"reject":{"code":"no"}}"#).differences(&answered), []);
        let broke = Answered::Broke("it panicked".into());
        assert_eq!(expects(r#"{"reject":{}}"#).differences(&broke).len(), 1);
    }

    #[test]
    fn refused_settings_are_compared_as_a_list() {
        let refused = Answered::With("refuseSettings", json!(["/a", "/b"]));
        assert_eq!(expects(r#"{"refuseSettings":["/a","/b"]}"#).differences(&refused), []);
        assert_eq!(expects(r#"{"refuseSettings":["/a"]}"#).differences(&refused).len(), 1);
    }
}
