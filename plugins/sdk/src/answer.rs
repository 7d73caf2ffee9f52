//! Writing an answer.

use std::time::Duration;

use serde_json::Value;

use crate::{Choice, Deferral, Fault, Hub, Label, Outcome, Placement, Reason};

impl Outcome {
    /// Not now: the device asks again after this time, rounded down to milliseconds and at most 49 days.
    pub fn defer(retry_after: Duration, reason: Reason) -> Self {
        let retry_after_ms = u32::try_from(retry_after.as_millis()).unwrap_or(u32::MAX);
        Self::Defer(Deferral { retry_after_ms, reason })
    }
}

impl Choice {
    /// This hub.
    pub fn of(hub: &Hub) -> Self {
        Self { hub: hub.handle, alternates: Vec::new(), device_id: None, reasons: Vec::new() }
    }

    /// The first of these hubs, and the others, in this order, if it has no room left at the moment of the commit.
    /// `None` when there is none.
    pub fn in_order<'a>(hubs: impl IntoIterator<Item = &'a Hub>) -> Option<Self> {
        let mut hubs = hubs.into_iter();
        let first = hubs.next()?;
        Some(Self::of(first).or_else(hubs))
    }

    /// Adds hubs to be taken, in this order, if those before have no room left at the moment of the commit.
    #[must_use]
    pub fn or_else<'a>(mut self, hubs: impl IntoIterator<Item = &'a Hub>) -> Self {
        self.alternates.extend(hubs.into_iter().map(|hub| hub.handle));
        self
    }

    /// Gives the device another id in its hub than its registration id.
    #[must_use]
    pub fn named(mut self, device_id: impl Into<String>) -> Self {
        self.device_id = Some(device_id.into());
        self
    }

    /// Adds a reason; see [`Reason::new`].
    #[must_use]
    pub fn because(mut self, code: impl Into<String>, detail: impl Into<String>) -> Self {
        self.reasons.push(Reason::new(code, detail));
        self
    }
}

impl From<Choice> for Outcome {
    fn from(choice: Choice) -> Self {
        Self::Assign(choice)
    }
}

impl Placement {
    /// No opinion.
    pub fn none() -> Self {
        Self::at::<String>([])
    }

    /// At this path, from the outermost group inwards.
    pub fn at<S: Into<String>>(path: impl IntoIterator<Item = S>) -> Self {
        Self {
            group_path: path.into_iter().map(Into::into).collect(),
            tags: Vec::new(),
            desired: None,
            reply: None,
            reasons: Vec::new(),
        }
    }

    /// Adds a top-level member to the initial twin's tags.
    #[must_use]
    pub fn tag(mut self, key: impl Into<String>, value: impl Into<Value>) -> Self {
        self.tags.push(Label { key: key.into(), value: value.into().to_string() });
        self
    }

    /// Sets the initial twin's desired properties, a JSON object.
    #[must_use]
    pub fn desired(mut self, properties: impl Into<Value>) -> Self {
        self.desired = Some(properties.into().to_string());
        self
    }

    /// Sets what the device is told in the `payload` of its registration.
    #[must_use]
    pub fn reply(mut self, reply: impl Into<Value>) -> Self {
        self.reply = Some(reply.into().to_string());
        self
    }

    /// Adds a reason; see [`Reason::new`].
    #[must_use]
    pub fn because(mut self, code: impl Into<String>, detail: impl Into<String>) -> Self {
        self.reasons.push(Reason::new(code, detail));
        self
    }
}

impl Reason {
    /// A code for programs, at most 64 characters of `[a-z0-9-]`, and a sentence for people.
    pub fn new(code: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { code: code.into(), detail: detail.into() }
    }
}

impl Fault {
    /// The policy does not handle such devices or candidates.
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self::Unsupported(detail.into())
    }

    /// Something that the policy was given is wrong.
    pub fn bad_input(detail: impl Into<String>) -> Self {
        Self::BadInput(detail.into())
    }

    /// Anything else.
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::Internal(detail.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn the_first_hub_is_the_choice_and_the_others_are_alternates() {
        let hubs = testing::Catalogue::of(["a", "b", "c"]).candidates();
        let choice = Choice::in_order(&hubs).expect("there are hubs");
        assert_eq!((choice.hub, choice.alternates), (0, vec![1, 2]));
        assert_eq!(Choice::in_order([]), None);
    }

    #[test]
    fn a_long_deferral_is_cut_and_does_not_wrap_around() {
        let outcome = Outcome::defer(Duration::from_secs(u64::MAX), Reason::new("later", "later"));
        assert!(matches!(outcome, Outcome::Defer(Deferral { retry_after_ms: u32::MAX, .. })));
    }

    #[test]
    fn tags_are_written_as_json_text() {
        let placement = Placement::at(["eu", "berlin"]).tag("tier", "gold").tag("floor", 3);
        let texts: Vec<_> = placement.tags.iter().map(|tag| tag.value.as_str()).collect();
        assert_eq!(texts, [r#""gold""#, "3"]);
    }
}
