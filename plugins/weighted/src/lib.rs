//! `weighted`: spreads devices over the hubs in proportion to their weights (what DPS calls *hashed*).
//!
//! A device always gets the same hub while the hubs stay the same. When a hub is added, only the devices that move *to
//! it* move at all, about its share of the weights; when one leaves, only its own devices move. Both hold because each
//! hub is scored by itself (weighted rendezvous hashing, [`landfall_plugin::rendezvous`]); there is no ring and no
//! table to rebalance. Hubs that drain, are full or are not allowed for the enrollment are never among the candidates:
//! that is the host's part.
//!
//! # Settings
//!
//! ```json
//! { "alternates": 3, "together": "site" }
//! ```
//!
//! Both may be left out; see [`Weighted`].

use landfall_plugin::rendezvous::{self, Ranked};
use landfall_plugin::{Call, Choice, Device, Fault, Hub, Outcome, Policy, Problem, SelectHub, debug};
use schemars::JsonSchema;
use serde::Deserialize;

/// The settings, which are the whole policy.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[schemars(title = "weighted")]
pub struct Weighted {
    /// How many further hubs are named in order, for when the chosen one fills up before the device is committed.
    #[schemars(range(max = 16))]
    pub alternates: u8,
    /// A fact of the device. Devices with the same value stay together on one hub; a device without the fact is
    /// spread by its registration id, as all are when this is left out.
    pub together: Option<String>,
}

landfall_plugin::export!(Weighted: selector, name = "weighted");

impl Policy for Weighted {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, Vec<Problem>> {
        if settings.alternates > MOST_ALTERNATES {
            let message = format!("at most {MOST_ALTERNATES} alternates, not {}", settings.alternates);
            return Err(vec![landfall_plugin::Pointer::ROOT.key("alternates").problem(message)]);
        }
        Ok(settings)
    }
}

impl SelectHub for Weighted {
    fn select_hub(&self, _call: &Call, device: &Device, candidates: &[Hub]) -> Result<Outcome, Fault> {
        let together = self.together.as_deref().and_then(|fact| device.fact(fact));
        let key = together.unwrap_or(&device.registration_id);
        let ranking = rendezvous::rank(key, candidates, 1 + usize::from(self.alternates));
        let winner = ranking.first().ok_or_else(|| Fault::unsupported("there are no candidates"))?.hub;
        show(&ranking);

        let weights: u64 = candidates.iter().map(|hub| u64::from(hub.weight)).sum();
        let share = format!("weight {} of {weights} over {} hubs", winner.weight, candidates.len());
        Ok(Choice::of(winner)
            .or_else(ranking.iter().skip(1).map(|ranked| ranked.hub))
            .because("weighted", share)
            .into())
    }
}

impl Default for Weighted {
    fn default() -> Self {
        Self { alternates: 3, together: None }
    }
}

fn show(ranking: &[Ranked<'_>]) {
    if landfall_plugin::log::enabled(landfall_plugin::log::Level::Debug) {
        for Ranked { hub, score } in ranking {
            debug!("scored"; hub = hub.name, weight = hub.weight, score = score);
        }
    }
}

const MOST_ALTERNATES: u8 = 16;

#[cfg(test)]
mod tests;
