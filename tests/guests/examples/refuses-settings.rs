//! Finds two things wrong with any settings.

use landfall_plugin::{Call, Choice, Device, Fault, Hub, NoSettings, Outcome, Pointer, Policy, Problem, SelectHub};

struct Guest;

impl Policy for Guest {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<Self, Vec<Problem>> {
        let rule = Pointer::ROOT.key("rules").index(3);
        Err(vec![rule.key("hub").problem("no such hub"), rule.key("a/b").problem("not this, either")])
    }
}

impl SelectHub for Guest {
    fn select_hub(&self, _: &Call, _: &Device, hubs: &[Hub]) -> Result<Outcome, Fault> {
        Choice::in_order(hubs).map(Outcome::from).ok_or_else(|| Fault::internal("no hubs"))
    }
}

landfall_plugin::export!(
    Guest: selector,
    name = "refuses-settings",
    summary = "Finds two things wrong with any settings"
);
