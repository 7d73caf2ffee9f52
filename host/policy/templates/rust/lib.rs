//! {{name}}: a device goes to a hub of its own region.
//!
//! The fact `region` of the manufacturing record says where the device is; the label `region` of a hub, where the hub is.
//! Make it yours: the settings are the struct, the decisions are the functions below it, and `src/tests.rs` tests them
//! without a server.

{{#selects}}
use std::time::Duration;

{{/selects}}
{{#both}}
use landfall_plugin::{
    Call, Choice, Device, Fault, Hub, Outcome, Place, Placement, Pointer, Policy, Problem, Reason, SelectHub, debug,
    rendezvous,
};
{{/both}}
{{#only-selects}}
use landfall_plugin::{
    Call, Choice, Device, Fault, Hub, Outcome, Pointer, Policy, Problem, Reason, SelectHub, debug, rendezvous,
};
{{/only-selects}}
{{#only-places}}
use landfall_plugin::{Call, Device, Fault, Hub, Place, Placement, Pointer, Policy, Problem};
{{/only-places}}
use schemars::JsonSchema;
use serde::Deserialize;

/// What the operator sets. These comments become the descriptions of the settings' JSON Schema.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct {{Type}} {
    /// The fact and the label that must be the same.
    pub region_key: String,
{{#selects}}
    /// Seconds until a device asks again when no hub of its region takes it.
    pub retry_seconds: u32,
{{/selects}}
}

landfall_plugin::export!({{Type}}: {{world}});

impl Default for {{Type}} {
    fn default() -> Self {
        Self {
            region_key: "region".into(),
{{#selects}}
            retry_seconds: 60,
{{/selects}}
        }
    }
}

impl Policy for {{Type}} {
    type Settings = Self;

    fn configure(settings: Self) -> Result<Self, Vec<Problem>> {
        if settings.region_key.is_empty() {
            return Err(vec![Pointer::ROOT.key("region-key").problem("name a fact")]);
        }
        Ok(settings)
    }
}

{{#selects}}
impl SelectHub for {{Type}} {
    fn select_hub(&self, _call: &Call, device: &Device, candidates: &[Hub]) -> Result<Outcome, Fault> {
        let region = self.region(device)?;
        let here = candidates.iter().filter(|hub| {
            let of_hub = hub.label(&self.region_key);
            debug!("looked at"; hub = hub.name, region = of_hub.as_deref().unwrap_or("-"), room = hub.room());
            of_hub.as_deref() == Some(region)
        });
        // The same device always gets the same hub, and a new hub takes only its share.
        let ranking = rendezvous::rank(&device.registration_id, here, 3);
        Ok(match Choice::in_order(ranking.iter().map(|ranked| ranked.hub)) {
            Some(choice) => choice.because("in-region", format!("a hub in {region}")).into(),
            None => Outcome::defer(
                Duration::from_secs(self.retry_seconds.into()),
                Reason::new("region-full", format!("no hub in {region} takes a device")),
            ),
        })
    }
}

{{/selects}}
{{#places}}
impl Place for {{Type}} {
    fn place(&self, _call: &Call, device: &Device, _hub: &Hub) -> Result<Placement, Fault> {
        let region = self.region(device)?;
        let why = format!("made for {region}");
        Ok(Placement::at([region]).tag("region", region).because("by-region", why))
    }
}

{{/places}}
impl {{Type}} {
    /// The device's region. It becomes part of a path, and a manufacturer may write anything into a fact.
    fn region<'a>(&self, device: &'a Device) -> Result<&'a str, Fault> {
        let region = device.require_fact(&self.region_key)?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if region.is_empty() || region.len() > 64 || !region.bytes().all(plain) {
            return Err(Fault::bad_input(format!("{region:?} is no region")));
        }
        Ok(region)
    }
}

#[cfg(test)]
mod tests;
