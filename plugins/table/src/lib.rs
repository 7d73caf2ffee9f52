//! `table`: decides by a list of rules over what is known of the device.
//!
//! The policy for most fleets: no code, only settings. It chooses hubs and places devices, and an enrollment may use it
//! for one or for both. `README.md` beside this crate is written for operators, with examples; in short:
//!
//! - Rules are tried from the top. For the hub, the first rule counts that matches and names hubs; for the
//!   placement, the first that matches and says anything about it. So one rule can do both, or each its own.
//! - A rule matches when all of its conditions hold, and a rule without conditions always does.
//! - When no rule names a hub, the policy abstains, and the enrollment's fallback decides.
//! - Texts in results may hold `{fact.site}` and the like. A device that lacks what a text needs is a fault that says
//!   so: it waits, and the operator is told, because a group with half a name helps nobody.
//! - What the device says of itself counts only in conditions that ask for the `payload` by name, and never ends up in a
//!   result: anybody who holds the device can make it say anything.
//!
//! Settings are parsed into rules once, when they are given. Every mistake is found then, all at once,
//! each with its JSON pointer: a decision can fail for what the device lacks, not for what the operator wrote.

use std::time::Duration;

use landfall_plugin::{
    Call, Choice, Device, Fault, Hub, Outcome, Place, Placement, Pointer, Policy, Problem, Reason, SelectHub, debug,
};

use crate::rule::{Rule, Unavailable};
use crate::settings::Settings;

mod condition;
mod placing;
mod rule;
pub mod settings;
mod target;
mod template;

/// The rules, ready to be tried.
#[derive(Debug)]
pub struct Table {
    rules: Vec<Rule>,
}

landfall_plugin::export!(Table: policy, name = "table");

impl Policy for Table {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let place = Pointer::ROOT.key("rules");
        let rules = settings.rules.into_iter().enumerate();
        let rules = rules.filter_map(|(n, rule)| Rule::parse(rule, n, &place.index(n), &mut problems)).collect();
        if problems.is_empty() { Ok(Self { rules }) } else { Err(problems) }
    }
}

impl SelectHub for Table {
    fn select_hub(&self, _call: &Call, device: &Device, candidates: &[Hub]) -> Result<Outcome, Fault> {
        for rule in &self.rules {
            let Some(target) = rule.target.as_ref().filter(|_| rule.matches(device)) else { continue };
            let hubs = target.among(candidates, device).map_err(|fault| rule.name_in(fault))?;
            if let Some(choice) = Choice::in_order(hubs) {
                debug!("the rule names a hub that takes devices"; rule = rule.name);
                return Ok(choice.because("table-rule", format!("rule `{}`", rule.name)).into());
            }
            debug!("the rule names no hub that takes devices"; rule = rule.name);
            let why = format!("rule `{}` matches, and none of the hubs that it names takes devices now", rule.name);
            let reason = Reason::new("table-hub-unavailable", why);
            match rule.unavailable {
                Unavailable::Defer => return Ok(Outcome::defer(RETRY_AFTER, reason)),
                Unavailable::Abstain => return Ok(Outcome::Abstain(reason)),
                Unavailable::Next => {}
            }
        }
        Ok(Outcome::Abstain(Reason::new("table-no-rule", "no rule that names a hub matches")))
    }
}

impl Place for Table {
    fn place(&self, _call: &Call, device: &Device, hub: &Hub) -> Result<Placement, Fault> {
        for rule in &self.rules {
            let Some(placing) = rule.placing.as_ref().filter(|_| rule.matches(device)) else { continue };
            let placement = placing.fill(device, hub).map_err(|fault| rule.name_in(fault))?;
            return Ok(placement.because("table-rule", format!("rule `{}`", rule.name)));
        }
        Ok(Placement::none())
    }
}

/// Long enough for an operator to make room, short enough for a person who waits beside the device.
const RETRY_AFTER: Duration = Duration::from_secs(30);

#[cfg(test)]
mod tests;
