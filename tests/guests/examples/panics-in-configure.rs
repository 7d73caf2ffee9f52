//! Panics while it is given its settings.

use landfall_plugin::{Call, Choice, Device, Fault, Hub, NoSettings, Outcome, Policy, Problem, SelectHub};

struct Guest;

impl Policy for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        panic!("the settings were too much for me")
    }
}

impl SelectHub for Guest {
    fn select_hub(&self, _: &Call, _: &Device, hubs: &[Hub]) -> Result<Outcome, Fault> {
        Choice::in_order(hubs).map(Outcome::from).ok_or_else(|| Fault::internal("no hubs"))
    }
}

landfall_plugin::export!(
    Guest: selector,
    name = "panics-in-configure",
    summary = "Panics while it is given its settings"
);
