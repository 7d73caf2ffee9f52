//! `fixed`: sends every device to one hub, named in the settings (what DPS calls *static*).
//!
//! # Settings
//!
//! ```json
//! { "hub": "factory-floor.example", "unavailable": "defer" }
//! ```
//!
//! A hub that is full, drains or is not allowed for the enrollment is not among the candidates, and the policy cannot
//! choose it. What then happens is `unavailable`: `defer` (the device waits and asks again; the default) or `abstain`
//! (the enrollment's fallback policy decides).

use std::time::Duration;

use landfall_plugin::{Call, Choice, Device, Fault, Hub, Outcome, Pointer, Policy, Problem, Reason, SelectHub};
use schemars::JsonSchema;
use serde::Deserialize;

/// The settings, which are the whole policy.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
#[schemars(title = "fixed")]
pub struct Fixed {
    /// The host name of the hub.
    #[schemars(length(min = 1))]
    pub hub: String,
    /// What becomes of a device while the hub takes none.
    #[serde(default)]
    pub unavailable: Unavailable,
}

/// What becomes of a device while the hub takes none.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Unavailable {
    /// It waits and asks again.
    #[default]
    Defer,
    /// The enrollment's fallback policy decides.
    Abstain,
}

landfall_plugin::export!(Fixed: selector, name = "fixed");

impl Policy for Fixed {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, Vec<Problem>> {
        if settings.hub.trim().is_empty() {
            return Err(vec![Pointer::ROOT.key("hub").problem("name a hub")]);
        }
        Ok(settings)
    }
}

impl SelectHub for Fixed {
    fn select_hub(&self, _call: &Call, _device: &Device, candidates: &[Hub]) -> Result<Outcome, Fault> {
        // Host names know no case (RFC 4343).
        if let Some(hub) = candidates.iter().find(|hub| hub.name.eq_ignore_ascii_case(&self.hub)) {
            return Ok(Choice::of(hub).because("fixed", "the settings name this hub").into());
        }
        let why = format!("`{}` takes no devices now: it is full, drains, or is not linked", self.hub);
        let reason = Reason::new("fixed-hub-unavailable", why);
        Ok(match self.unavailable {
            Unavailable::Defer => Outcome::defer(RETRY_AFTER, reason),
            Unavailable::Abstain => Outcome::Abstain(reason),
        })
    }
}

/// Long enough for an operator to make room, short enough for a person who waits beside the device.
const RETRY_AFTER: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests {
    use landfall_plugin::testing::{self, Catalogue};
    use serde_json::json;

    use super::*;

    fn answer(settings: serde_json::Value, hubs: &Catalogue) -> Result<Outcome, Fault> {
        let policy: Fixed = testing::configure(settings).expect("good settings");
        hubs.run(|hubs| policy.select_hub(&testing::call(), &testing::device("pump-1").build(), hubs)).answer
    }

    #[test]
    fn the_named_hub_is_chosen_whatever_its_place_and_case() {
        let hubs = Catalogue::of(["a.example", "b.example"]);
        assert_eq!(hubs.chosen(&answer(json!({"hub": "B.Example"}), &hubs)), Some("b.example"));
    }

    #[test]
    fn no_other_hub_stands_in_for_it() {
        let hubs = Catalogue::of(["a.example"]);
        let answer = answer(json!({"hub": "b.example"}), &hubs);
        assert!(matches!(answer, Ok(Outcome::Defer(deferral)) if deferral.reason.code == "fixed-hub-unavailable"));
    }

    #[test]
    fn it_abstains_when_told_to() {
        let hubs = Catalogue::of(["a.example"]);
        let answer = answer(json!({"hub": "b.example", "unavailable": "abstain"}), &hubs);
        assert!(matches!(answer, Ok(Outcome::Abstain(_))));
    }

    #[test]
    fn settings_without_a_hub_are_refused_with_their_place() {
        for (settings, pointer) in [(json!({}), ""), (json!({"hub": " "}), "/hub"), (json!({"hub": 1}), "/hub")] {
            let problems = testing::configure::<Fixed>(settings).expect_err("this must be refused");
            assert_eq!(problems[0].pointer, pointer);
        }
    }
}
