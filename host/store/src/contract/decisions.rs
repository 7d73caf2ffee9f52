//! Which decisions to list, and where in the list a page begins.
//!
//! A decision here is all that is kept of one request of a device: policies decided, or it was refused before they were asked.

use std::fmt;
use std::str::FromStr;

use landfall_domain::clock::Timestamp;
use landfall_domain::decision::{Entry, EntryKind, Verdict};
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::names::{Digest, HubName, PluginName, RegistrationId, TrackingId};

/// Which decisions of an id scope to list. All that is said must hold.
#[derive(Clone, Debug, Default)]
pub struct DecisionFilter {
    /// Only those of requests that came at this time or later.
    pub from: Option<Timestamp>,
    /// Only those of requests that came before this time.
    pub to: Option<Timestamp>,
    /// Only those of this device, whoever said that it was it.
    pub device: Option<RegistrationId>,
    /// Only those for which this enrollment counted.
    pub enrollment: Option<EnrollmentRef>,
    /// Only those that assigned this hub.
    pub hub: Option<HubName>,
    /// Only those in which this policy was asked.
    pub policy: Option<PolicyFilter>,
    /// Only those with this result.
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

/// What came of a request, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DecisionResult {
    /// The device got a hub.
    Assigned,
    /// It was turned away before any policy was asked.
    Refused,
    /// A policy refused it, or no hub that it may get has room.
    Failed,
    /// It waits and asks again.
    Waits,
}

/// What a listing knows of a decision before it is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecisionSummary {
    /// What came of it; none where it was neither decided nor refused.
    pub result: Option<DecisionResult>,
    /// The hub that the device got.
    pub hub: Option<HubName>,
    /// The policies that were asked, each once, in the order in which they were asked first.
    pub policies: Vec<(PluginName, Digest)>,
}

/// The place of a decision among those of its id scope: by time, and by tracking id within a millisecond. Its text is
/// `MILLISECONDS.TRACKING-ID`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DecisionPlace {
    /// When the request came.
    pub at: Timestamp,
    /// Its tracking id.
    pub id: TrackingId,
}

/// A text that is no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no place in the list of decisions; it is `next` of the page before, as it came")]
pub struct DecisionPlaceError(String);

/// The part of the list that is asked for.
#[derive(Clone, Copy, Debug)]
pub struct DecisionPage {
    /// It begins with what is older than this one.
    pub after: Option<DecisionPlace>,
    /// At most so many.
    pub limit: usize,
}

impl PolicyFilter {
    /// Whether it is among the policies of a decision.
    pub(crate) fn was_asked(&self, summary: &DecisionSummary) -> bool {
        let is_it = |revision: &Digest| self.revision.is_none_or(|wanted| wanted == *revision);
        summary.policies.iter().any(|(plugin, revision)| *plugin == self.plugin && is_it(revision))
    }
}

impl DecisionSummary {
    /// Of an entry.
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
    /// Of an entry.
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
        // What is written otherwise than it was made is damaged.
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

/// Characters of a text that is wrong that are shown.
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
