//! `nearest`: sends a device to the hub nearest to it on the great circle (what DPS calls *geoLatency*).
//!
//! DPS measures from the device's network address. That says where a carrier hands over its traffic, not where a device
//! is, and it makes an answer that nobody can repeat. Here the place is said by somebody: the manufacturer, in the facts
//! of the manufacturing record, or the device itself, in its payload. The second is not proven, so it is
//! believed only where the operator has written that it is to be.
//!
//! - Sources are tried in order; the first that has a place counts (`source`).
//! - Hubs are ordered by distance. Those as near as each other, to within `tie-km`, share their devices by weighted
//!   rendezvous hashing, as `weighted` does. Hubs without a location come after all others, and hubs whose last
//!   places are being taken at this moment come last of all.
//! - A fact that is no place is a fault: the manufacturer wrote it and an operator can have it corrected. A payload that
//!   is no place is as good as none: what a device sends is the device's to choose.
//!
//! The same on every machine, bit for bit: sines and roots are computed inside the component, by additions and
//! multiplications that IEEE 754 defines exactly, and no number that is not finite ever comes in, since places are
//! refused outside of 90 and 180 degrees.

mod order;
mod source;

use landfall_plugin::{
    Call, Choice, Device, Fault, Hub, Location, Outcome, Pointer, Policy, Problem, Reason, SelectHub, debug,
};
use schemars::JsonSchema;
use serde::Deserialize;

use crate::order::Near;
use crate::source::{Source, SourceSettings};

/// The policy, ready to measure.
#[derive(Debug)]
pub struct Nearest {
    sources: Vec<Source>,
    missing: Missing,
    tie_km: f64,
    alternates: usize,
}

/// The settings of `nearest`.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
#[schemars(title = "nearest")]
pub struct Settings {
    /// Where the device's location is looked for, in this order.
    #[schemars(length(min = 1, max = 8))]
    pub sources: Vec<SourceSettings>,
    /// Whether a location that only the device itself says is believed. Sources that read the payload need it.
    pub believe_payload: bool,
    /// What becomes of a device that has no location.
    pub missing: Missing,
    /// Hubs whose distances differ by no more than so many kilometres count as equally near.
    #[schemars(range(min = 0, max = 1000))]
    pub tie_km: f64,
    /// How many further hubs are named in order, for when the chosen one fills up before the device is committed.
    #[schemars(range(max = 16))]
    pub alternates: u8,
}

/// What becomes of a device that has no location.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum Missing {
    /// The enrollment's fallback policy decides.
    #[default]
    Abstain,
    /// It gets any hub, by weight, always the same one.
    Any,
    /// Its registration fails.
    Reject,
}

landfall_plugin::export!(Nearest: selector, name = "nearest");

impl Policy for Nearest {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let Settings { sources, believe_payload, missing, tie_km, alternates } = settings;
        let place = Pointer::ROOT.key("sources");
        if sources.is_empty() || sources.len() > MOST_SOURCES {
            problems.push(place.problem(format!("there must be 1 to {MOST_SOURCES} sources, not {}", sources.len())));
        }
        let parsed = sources.into_iter().enumerate();
        let sources: Vec<_> =
            parsed.filter_map(|(n, s)| Source::parse(s, believe_payload, &place.index(n), &mut problems)).collect();
        if !(0.0..=MOST_TIE_KM).contains(&tie_km) {
            problems.push(Pointer::ROOT.key("tie-km").problem(format!("must be from 0 to {MOST_TIE_KM} kilometres")));
        }
        if alternates > MOST_ALTERNATES {
            let message = format!("at most {MOST_ALTERNATES} alternates, not {alternates}");
            problems.push(Pointer::ROOT.key("alternates").problem(message));
        }
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self { sources, missing, tie_km, alternates: alternates.into() })
    }
}

impl SelectHub for Nearest {
    fn select_hub(&self, _call: &Call, device: &Device, candidates: &[Hub]) -> Result<Outcome, Fault> {
        let from = self.locate(device)?;
        let reason = || Reason::new("nearest-no-location", "nothing says where the device is");
        match (from, self.missing) {
            (None, Missing::Abstain) => return Ok(Outcome::Abstain(reason())),
            (None, Missing::Reject) => return Ok(Outcome::Reject(reason())),
            _ => {}
        }
        let ranking = order::rank(&device.registration_id, from, candidates, self.tie_km, 1 + self.alternates);
        let winner = *ranking.first().ok_or_else(|| Fault::unsupported("there are no candidates"))?;
        for Near { hub, km } in &ranking {
            debug!("measured"; hub = hub.name, km = km.map_or_else(|| "unknown".into(), |km| format!("{km:.1}")));
        }
        let choice = Choice::of(winner.hub).or_else(ranking.iter().skip(1).map(|near| near.hub));
        Ok(match (from, winner.km) {
            (Some(_), Some(km)) => choice.because("nearest", format!("{km:.0} km away")),
            (Some(_), None) => choice.because("nearest-no-hub-location", "no hub with room says where it stands"),
            (None, _) => choice.because("nearest-any", "nothing says where the device is, so any hub serves"),
        }
        .into())
    }
}

impl Nearest {
    fn locate(&self, device: &Device) -> Result<Option<Location>, Fault> {
        for source in &self.sources {
            if let Some(location) = source.locate(device)? {
                return Ok(Some(location));
            }
        }
        Ok(None)
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            sources: vec![SourceSettings {
                facts: Some(["latitude".into(), "longitude".into()]),
                ..SourceSettings::default()
            }],
            believe_payload: false,
            missing: Missing::Abstain,
            tie_km: 0.0,
            alternates: 3,
        }
    }
}

const MOST_SOURCES: usize = 8;
const MOST_TIE_KM: f64 = 1000.0;
const MOST_ALTERNATES: u8 = 16;

#[cfg(test)]
mod tests;
