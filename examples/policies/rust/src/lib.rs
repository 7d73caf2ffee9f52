//! A solution team's own policy: *Acme Pumps* provisions pumps for its customers.
//!
//! What the team wants, in the order in which it is decided:
//!
//! 1. A pump stays in its region, for data protection. No hub there with room: it waits; it never goes elsewhere.
//! 2. A few pumps in a hundred, picked by serial number, are canaries: they go to hubs with the label `ring=canary`, all
//!    others to the other hubs. The same pump is a canary every time.
//! 3. Hubs are not filled to the brim: the last part of each is kept for pumps that come back after a repair.
//! 4. Within a customer, pumps stand in cells of a limited size, so that a mistake in one command stays small.
//!
//! Both halves, [`SelectHub`] and [`Place`], are below; `src/tests.rs` tests them without a server and without WebAssembly.

use std::time::Duration;

use landfall_plugin::{
    Call, Choice, Device, Fault, Hub, Outcome, Place, Placement, Pointer, Policy, Problem, Reason, SelectHub, debug,
    fraction, group_count, rendezvous,
};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

/// What the operator sets.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RegionAndCustomer {
    /// How much of each hub is kept for pumps that come back, from 0 to 1.
    #[serde(default = "a_tenth")]
    pub keep_free: f64,
    /// Which pumps are canaries; none when left out.
    #[serde(default)]
    pub canary: Option<Canary>,
    /// How many pumps a cell takes.
    #[serde(default = "a_hundred")]
    pub cell_size: u64,
}

/// Which pumps are canaries.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Canary {
    /// Change it to pick others.
    pub name: String,
    /// How many in a hundred.
    pub percent: f64,
}

landfall_plugin::export!(RegionAndCustomer: policy);

impl Policy for RegionAndCustomer {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        if !(0.0..1.0).contains(&settings.keep_free) {
            problems.push(Pointer::ROOT.key("keep-free").problem("from 0 to less than 1"));
        }
        if settings.canary.as_ref().is_some_and(|canary| !(0.0..=100.0).contains(&canary.percent)) {
            problems.push(Pointer::ROOT.key("canary").key("percent").problem("from 0 to 100"));
        }
        if settings.cell_size == 0 {
            problems.push(Pointer::ROOT.key("cell-size").problem("a cell takes at least one pump"));
        }
        if problems.is_empty() { Ok(settings) } else { Err(problems) }
    }
}

impl SelectHub for RegionAndCustomer {
    fn select_hub(&self, _call: &Call, device: &Device, candidates: &[Hub]) -> Result<Outcome, Fault> {
        let region = device.require_fact("region")?;
        let ring = self.ring(device)?;

        let suits = |hub: &&Hub| {
            let suits = hub.label("region").as_deref() == Some(region)
                && (hub.label("ring").as_deref() == Some("canary")) == (ring == Ring::Canary)
                && self.has_room(hub, device);
            debug!("looked at"; hub = hub.name, suits = suits, fullness = hub.fullness());
            suits
        };
        let suitable: Vec<&Hub> = candidates.iter().filter(suits).collect();

        // A pump that comes back goes where it was, if it may: its history is there.
        let before = device.prior.as_ref().and_then(|prior| suitable.iter().find(|hub| hub.name == prior.hub));
        if let Some(hub) = before {
            return Ok(Choice::of(hub).because("came-back", "it was on this hub before").into());
        }
        let ranking = rendezvous::rank(&device.registration_id, suitable, 3);
        let why = format!("{} pump in {region}", ring.name());
        Ok(match Choice::in_order(ranking.iter().map(|ranked| ranked.hub)) {
            Some(choice) => choice.because("region-and-ring", why).into(),
            None => Outcome::defer(RETRY_AFTER, Reason::new("region-full", format!("no hub takes a {why}"))),
        })
    }
}

impl Place for RegionAndCustomer {
    fn place(&self, _call: &Call, device: &Device, _hub: &Hub) -> Result<Placement, Fault> {
        let customer = device.require_fact("customer")?;
        let site = device.require_fact("site")?;
        let cells = (1..=MOST_CELLS).map(|number| format!("cell-{number}"));
        let free = cells.into_iter().find(|cell| group_count(&[customer, site, cell]) < self.cell_size);
        let cell = free.ok_or_else(|| Fault::unsupported(format!("all {MOST_CELLS} cells of {site} are full")))?;
        let ring = self.ring(device)?.name();

        Ok(Placement::at([customer, site, &cell])
            .tag("customer", customer)
            .tag("ring", ring)
            // An object: the devices' SDKs for Java and C take no other reply.
            .reply(json!({ "message": format!("welcome to {site}") }))
            .because("customer-site-cell", format!("{cell} of {site} has room")))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Ring {
    Canary,
    Stable,
}

impl Ring {
    fn name(self) -> &'static str {
        match self {
            Self::Canary => "canary",
            Self::Stable => "stable",
        }
    }
}

impl RegionAndCustomer {
    /// By serial number, which is on the pump: service staff can tell which ring it is in.
    fn ring(&self, device: &Device) -> Result<Ring, Fault> {
        let Some(canary) = &self.canary else { return Ok(Ring::Stable) };
        let picked = 100.0 * fraction(&canary.name, device.require_fact("serial")?) < canary.percent;
        Ok(if picked { Ring::Canary } else { Ring::Stable })
    }

    /// The host shows only hubs with room; this keeps the last part of it for pumps that were there before.
    fn has_room(&self, hub: &Hub, device: &Device) -> bool {
        let comes_back = device.prior.as_ref().is_some_and(|prior| prior.hub == hub.name);
        comes_back || hub.fullness() < 1.0 - self.keep_free
    }
}

fn a_tenth() -> f64 {
    0.1
}

fn a_hundred() -> u64 {
    100
}

const RETRY_AFTER: Duration = Duration::from_secs(60);
const MOST_CELLS: u32 = 64;

#[cfg(test)]
mod tests;
