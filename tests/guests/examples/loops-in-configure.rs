//! Never finishes taking its settings.

use std::hint::black_box;

use landfall_plugin::{Call, Choice, Device, Fault, Hub, NoSettings, Outcome, Policy, Problem, SelectHub};

struct Guest;

impl Policy for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        let mut turns = 0_u64;
        loop {
            turns = black_box(turns.wrapping_add(1));
        }
    }
}

impl SelectHub for Guest {
    fn select_hub(&self, _: &Call, _: &Device, hubs: &[Hub]) -> Result<Outcome, Fault> {
        Choice::in_order(hubs).map(Outcome::from).ok_or_else(|| Fault::internal("no hubs"))
    }
}

landfall_plugin::export!(
    Guest: selector,
    name = "loops-in-configure",
    summary = "Never finishes taking its settings"
);
