//! The gate for hub selection.

use std::collections::HashSet;

use landfall_domain::decision::call::{Choice, Deferral, HubHandle, Outcome};
use landfall_domain::decision::verdict::{MAX_RETRY_AFTER_MS, MIN_RETRY_AFTER_MS};
use landfall_domain::names::DeviceId;

use super::{Rule, Violation, quoted, reason, reasons};

/// Checks the outcome of a call that showed `candidates` hubs. Returns it if it obeys every rule.
pub(crate) fn outcome(outcome: Outcome, candidates: usize) -> Result<Outcome, Violation> {
    match &outcome {
        Outcome::Assign(choice) => assignment(choice, candidates)?,
        Outcome::Defer(deferral) => waiting(deferral)?,
        Outcome::Reject(why) | Outcome::Abstain(why) => reason(why)?,
    }
    Ok(outcome)
}

fn assignment(choice: &Choice, candidates: usize) -> Result<(), Violation> {
    let Choice { hub, alternates, device_id, reasons: why } = choice;
    let shown = |handle: HubHandle| usize::try_from(handle.0).is_ok_and(|at| at < candidates);
    if !shown(*hub) {
        return Err(Rule::HubShown.broken(format!("hub {}; {candidates} hubs were shown", hub.0)));
    }
    let mut seen = HashSet::from([*hub]);
    for alternate in alternates {
        if !shown(*alternate) {
            return Err(Rule::Alternates.broken(format!("hub {}; {candidates} hubs were shown", alternate.0)));
        }
        if !seen.insert(*alternate) {
            return Err(Rule::Alternates.broken(format!("hub {} is named twice", alternate.0)));
        }
    }
    if let Some(id) = device_id {
        id.parse::<DeviceId>().map_err(|_| Rule::DeviceId.broken(quoted(id)))?;
    }
    reasons(why)
}

fn waiting(deferral: &Deferral) -> Result<(), Violation> {
    if !(MIN_RETRY_AFTER_MS..=MAX_RETRY_AFTER_MS).contains(&deferral.retry_after_ms) {
        return Err(Rule::RetryAfter.broken(format!("{} ms", deferral.retry_after_ms)));
    }
    reason(&deferral.reason)
}

#[cfg(test)]
mod tests {
    use landfall_domain::decision::call::Reason;
    use proptest::prelude::*;

    use super::*;

    fn why(code: &str) -> Reason {
        Reason { code: code.into(), detail: "because".into() }
    }

    fn choice() -> Choice {
        Choice {
            hub: HubHandle(1),
            alternates: vec![HubHandle(0), HubHandle(2)],
            device_id: Some("pump-7:a".into()),
            reasons: vec![why("nearest")],
        }
    }

    fn rule(answer: Outcome) -> Option<Rule> {
        outcome(answer, 3).err().map(|violation| violation.rule)
    }

    #[test]
    fn a_choice_that_keeps_the_rules_passes_unchanged() {
        assert_eq!(outcome(Outcome::Assign(choice()), 3), Ok(Outcome::Assign(choice())));
    }

    #[test]
    fn a_hub_that_was_not_shown_is_refused() {
        assert_eq!(rule(Outcome::Assign(Choice { hub: HubHandle(3), ..choice() })), Some(Rule::HubShown));
        assert_eq!(rule(Outcome::Assign(Choice { hub: HubHandle(u32::MAX), ..choice() })), Some(Rule::HubShown));
    }

    #[test]
    fn alternates_are_shown_distinct_and_not_the_choice() {
        for alternates in [vec![3], vec![0, 0], vec![1]] {
            let alternates = alternates.into_iter().map(HubHandle).collect();
            assert_eq!(rule(Outcome::Assign(Choice { alternates, ..choice() })), Some(Rule::Alternates));
        }
    }

    #[test]
    fn a_device_id_that_no_hub_takes_is_refused() {
        for id in ["", "a b", "a/b", "å", "a\n", &"x".repeat(129)] {
            let answer = Outcome::Assign(Choice { device_id: Some(id.into()), ..choice() });
            assert_eq!(rule(answer), Some(Rule::DeviceId), "{id:?}");
        }
    }

    #[test]
    fn a_deferral_is_neither_nothing_nor_for_ever() {
        for (retry_after_ms, good) in [(0, false), (999, false), (1_000, true), (86_400_000, true), (86_400_001, false)]
        {
            let answer = Outcome::Defer(Deferral { retry_after_ms, reason: why("wait") });
            assert_eq!(rule(answer), (!good).then_some(Rule::RetryAfter), "{retry_after_ms}");
        }
    }

    #[test]
    fn a_reason_has_a_code_for_programs_and_a_short_detail() {
        for code in ["", "No", "a_b", "a b", &"x".repeat(65)] {
            assert_eq!(rule(Outcome::Reject(why(code))), Some(Rule::Reasons), "{code:?}");
        }
        let long = Reason { code: "long".into(), detail: "x".repeat(1025) };
        assert_eq!(rule(Outcome::Abstain(long)), Some(Rule::Reasons));
        let many = vec![why("again"); 17];
        assert_eq!(rule(Outcome::Assign(Choice { reasons: many, ..choice() })), Some(Rule::Reasons));
    }

    proptest! {
        #[test]
        fn whatever_passes_names_only_hubs_that_were_shown(
            hub: u32,
            alternates in proptest::collection::vec(0_u32..12, 0..12),
            candidates in 0_usize..10,
        ) {
            let alternates = alternates.into_iter().map(HubHandle).collect();
            let hub = HubHandle(hub % 12);
            let answer = Outcome::Assign(Choice { hub, alternates, device_id: None, reasons: Vec::new() });
            if let Ok(Outcome::Assign(choice)) = outcome(answer, candidates) {
                let mut all = choice.alternates;
                all.push(choice.hub);
                prop_assert!(all.iter().all(|handle| usize::try_from(handle.0).unwrap() < candidates));
                let distinct: HashSet<_> = all.iter().collect();
                prop_assert_eq!(distinct.len(), all.len());
            }
        }
    }
}
