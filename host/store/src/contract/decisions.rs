//! Filters and pages of the list of decisions.
//!
//! A decision here is the ledger entry of one request of a device: either policies decided, or the request was refused
//! before any policy ran.

use std::fmt;
use std::str::FromStr;

use landfall_domain::clock::Timestamp;
use landfall_domain::decision::{Entry, EntryKind, Verdict};
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::names::{Digest, HubName, PluginName, RegistrationId, TrackingId};

/// Which decisions of an id scope to list. A decision must pass every filter that is set.
#[derive(Clone, Debug, Default)]
pub struct DecisionFilter {
    /// Only requests received at this time or later.
    pub from: Option<Timestamp>,
    /// Only requests received before this time.
    pub to: Option<Timestamp>,
    /// Only requests that named this device, even if the device was not authenticated.
    pub device: Option<RegistrationId>,
    /// Only requests to which this enrollment applied.
    pub enrollment: Option<EnrollmentRef>,
    /// Only decisions that assigned this hub.
    pub hub: Option<HubName>,
    /// Only decisions in which this policy ran.
    pub policy: Option<PolicyFilter>,
    /// Only decisions with this result.
    pub result: Option<DecisionResult>,
}

/// A policy by its plugin's name, of one revision or of any: `NAME` or `NAME@DIGEST`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct PolicyFilter {
    pub plugin: PluginName,
    /// The SHA-256 of its component.
    pub revision: Option<Digest>,
}

/// The result of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionResult {
    /// The device got a hub.
    Assigned,
    /// It was refused before any policy ran.
    Refused,
    /// A policy refused it, or no hub that it may be assigned to has room.
    Failed,
    /// It was told to wait and to ask again.
    Waits,
}

/// The properties of a decision by which a listing filters without reading the entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionSummary {
    /// The result; absent if the request was neither decided nor refused.
    pub result: Option<DecisionResult>,
    /// The hub that was assigned.
    pub hub: Option<HubName>,
    /// The policies that ran, each once, in the order of their first run.
    pub policies: Vec<(PluginName, Digest)>,
}

/// The position of a decision in the list of its id scope: by time, and by tracking id within a millisecond. Its text
/// is `MILLISECONDS.TRACKING-ID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DecisionPlace {
    /// When the request was received.
    pub at: Timestamp,
    /// The tracking id of the request.
    pub id: TrackingId,
}

/// A text that is not a valid position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no place in the list of decisions; it is `next` of the page before, as it came")]
pub struct DecisionPlaceError(String);

/// The page of the list that is requested.
#[derive(Clone, Copy, Debug)]
pub struct DecisionPage {
    /// The page begins with decisions older than this one.
    pub after: Option<DecisionPlace>,
    /// The maximum number of decisions.
    pub limit: usize,
}

impl PolicyFilter {
    /// Whether this policy is among those that ran in a decision.
    pub(crate) fn was_asked(&self, summary: &DecisionSummary) -> bool {
        let is_it = |revision: &Digest| self.revision.is_none_or(|wanted| wanted == *revision);
        summary.policies.iter().any(|(plugin, revision)| *plugin == self.plugin && is_it(revision))
    }
}

impl DecisionSummary {
    /// The summary of an entry.
    pub fn of(entry: &Entry) -> Self {
        let decision = match &entry.kind {
            EntryKind::Refused { .. } => {
                return Self { result: Some(DecisionResult::Refused), hub: None, policies: Vec::new() };
            }
            EntryKind::Answered { .. } => return Self { result: None, hub: None, policies: Vec::new() },
            EntryKind::Decided(decision) => decision,
        };
        let (result, hub) = match &decision.verdict {
            Verdict::Assigned { hub, .. } => (DecisionResult::Assigned, Some(hub.clone())),
            Verdict::Rejected { .. } | Verdict::NoRoom { .. } => (DecisionResult::Failed, None),
            Verdict::Postponed { .. } => (DecisionResult::Waits, None),
        };
        let mut policies = Vec::new();
        for call in &decision.calls {
            let asked = (call.plugin.clone(), call.revision);
            if !policies.contains(&asked) {
                policies.push(asked);
            }
        }
        Self { result: Some(result), hub, policies }
    }
}

impl DecisionPlace {
    /// The position of an entry.
    pub fn of(entry: &Entry) -> Self {
        Self { at: entry.at, id: entry.tracking_id }
    }
}

impl fmt::Display for DecisionPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.at.as_millis(), self.id)
    }
}

impl FromStr for DecisionPlace {
    type Err = DecisionPlaceError;

    fn from_str(text: &str) -> Result<Self, DecisionPlaceError> {
        let parsed = text.split_once('.').and_then(|(millis, id)| {
            let millis = millis.parse().ok()?;
            Some(Self { at: Timestamp::from_millis(millis), id: id.parse().ok()? })
        });
        // A text that differs from the canonical form is invalid.
        let place = parsed.filter(|place: &Self| place.to_string() == text);
        place.ok_or_else(|| DecisionPlaceError(text.chars().take(LONGEST_SHOWN).collect()))
    }
}

impl FromStr for PolicyFilter {
    type Err = landfall_domain::names::NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text.split_once('@') {
            Some((plugin, revision)) => Self { plugin: plugin.parse()?, revision: Some(revision.parse()?) },
            None => Self { plugin: text.parse()?, revision: None },
        })
    }
}

/// How many characters of an invalid text are shown.
const LONGEST_SHOWN: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_as_it_was_written_and_nothing_else_is() {
        let place = DecisionPlace { at: Timestamp::from_millis(7), id: TrackingId::from_bytes([0xab; 16]) };
        assert_eq!(place.to_string().parse(), Ok(place));
        let id = place.id.to_string();
        for text in ["", ".", "x", &id, &format!("07.{id}"), &format!("+7.{id}"), &format!("7.{id} "), "7.x"] {
            assert!(text.parse::<DecisionPlace>().is_err(), "{text}");
        }
        assert!(place.to_string().to_uppercase().parse::<DecisionPlace>().is_err());
        assert!("z".repeat(9_000).parse::<DecisionPlace>().unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn a_policy_is_named_with_or_without_its_revision() {
        let digest = Digest::of(b"a component");
        let any: PolicyFilter = "ours".parse().unwrap();
        let one: PolicyFilter = format!("ours@{digest}").parse().unwrap();
        let asked = |digest| DecisionSummary {
            result: None,
            hub: None,
            policies: vec![("theirs".parse().unwrap(), digest), ("ours".parse().unwrap(), digest)],
        };
        assert!(any.was_asked(&asked(digest)) && one.was_asked(&asked(digest)));
        assert!(any.was_asked(&asked(Digest::of(b"another"))) && !one.was_asked(&asked(Digest::of(b"another"))));
        for bad in ["", "@", "ours@", "ours@xyz", "Not A Name"] {
            assert!(bad.parse::<PolicyFilter>().is_err(), "{bad}");
        }
    }
}
