//! Tests of the questions that a call asks the catalogue.

use std::sync::atomic::{AtomicU64, Ordering};

use landfall_domain::decision::call::Candidates;

use super::*;
use crate::host_view::{GroupCounts, LiveCatalogue, RecordedCatalogue};

struct Counts(AtomicU64);

impl GroupCounts for Counts {
    fn group_count(&self, _: &[String]) -> Result<u64, String> {
        Ok(self.0.fetch_add(1, Ordering::SeqCst))
    }
}

fn call(budget: &Budget, catalogue: Arc<dyn Catalogue>) -> CallState {
    CallState::new(budget, 0, 0, catalogue)
}

fn live() -> Arc<dyn Catalogue> {
    Arc::new(LiveCatalogue::new(Candidates::all([]), Arc::new(Counts(AtomicU64::new(40)))))
}

#[test]
fn a_count_that_changes_during_a_call_is_answered_the_same() {
    let mut state = call(&Budget::default(), live());
    let path = || vec!["a".to_owned()];
    assert_eq!(state.group_count(path()).unwrap(), 40);
    assert_eq!(state.group_count(vec![]).unwrap(), 41);
    assert_eq!(state.group_count(path()).unwrap(), 40);
}

#[test]
fn a_call_is_run_again_from_what_it_was_told() {
    let mut first = call(&Budget::default(), live());
    first.group_count(vec!["a".into()]).unwrap();
    let (_, transcript) = first.into_parts();

    let mut again = call(&Budget::default(), Arc::new(RecordedCatalogue::new(transcript.clone())));
    assert_eq!(again.group_count(vec!["a".into()]).unwrap(), 40);
    let error = again.group_count(vec!["b".into()]).unwrap_err();
    assert!(error.downcast_ref::<crate::NoAnswer>().is_some());
    assert_eq!(again.into_parts().1, transcript);
}

#[test]
fn what_is_kept_of_the_catalogue_is_bounded() {
    let mut state = call(&Budget { transcript_bytes: 100, ..Budget::default() }, live());
    let ask = |state: &mut CallState, name: &str| state.group_count(vec![name.repeat(30)]);
    assert!(ask(&mut state, "a").is_ok());
    assert!(ask(&mut state, "b").is_ok());
    assert!(ask(&mut state, "a").is_ok(), "what was answered costs nothing more");
    let error = ask(&mut state, "c").unwrap_err();
    assert!(error.downcast_ref::<TranscriptFull>().is_some());
}

#[test]
fn a_hub_that_is_not_a_candidate_has_no_labels() {
    let mut state = call(&Budget::default(), live());
    assert!(state.hub_labels(HubHandle(9)).unwrap().is_empty());
}

#[test]
fn configure_sees_nothing_of_the_call_and_leaves_nothing_in_its_record() {
    let mut state = call(&Budget::default(), live());
    let aside = state.set_aside();
    assert_eq!(state.group_count(vec!["a".into()]).unwrap(), 0);
    state.take_up(aside);
    assert_eq!(state.group_count(vec!["a".into()]).unwrap(), 40);
    assert_eq!(state.into_parts().1.exchanges().len(), 1);
}
