//! A rule that has been checked.

use landfall_plugin::{Device, Fault, Pointer, Problem};

use crate::condition::Condition;
use crate::placing::Placing;
use crate::settings::RuleSettings;
pub(crate) use crate::settings::UnavailableSettings as Unavailable;
use crate::target::Target;

/// Conditions and results.
#[derive(Debug)]
pub(crate) struct Rule {
    pub(crate) name: String,
    conditions: Vec<Condition>,
    pub(crate) target: Option<Target>,
    pub(crate) unavailable: Unavailable,
    pub(crate) placing: Option<Placing>,
}

impl Rule {
    /// `None` when something is wrong with it, which is then among the problems.
    pub(crate) fn parse(
        settings: RuleSettings,
        number: usize,
        place: &Pointer,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let before = problems.len();
        let name = settings.name.clone().unwrap_or_else(|| (number + 1).to_string());
        let when = place.key("when");
        let conditions = settings.when.iter().enumerate();
        let conditions = conditions.filter_map(|(n, it)| Condition::parse(it, &when.index(n), problems)).collect();
        let target = Target::parse(&settings, place, problems);
        let placing = Placing::parse(&settings, place, problems);
        if problems.len() > before {
            return None;
        }
        if target.is_none() && placing.is_none() {
            let results = "`hub`, `hubs`, `hub-labels`, `group`, `tags`, `desired` or `reply`";
            problems.push(place.problem(format!("the rule has no result: add {results}")));
            return None;
        }
        Some(Self { name, conditions, target, unavailable: settings.unavailable, placing })
    }

    pub(crate) fn matches(&self, device: &Device) -> bool {
        self.conditions.iter().all(|condition| condition.holds(device))
    }

    /// Says in a fault which rule it comes from.
    pub(crate) fn name_in(&self, fault: Fault) -> Fault {
        match fault {
            Fault::BadInput(detail) => Fault::BadInput(format!("rule `{}`: {detail}", self.name)),
            other => other,
        }
    }
}
