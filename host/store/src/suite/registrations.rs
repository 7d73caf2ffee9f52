//! Registrations and the counts that are derived from them.

use std::collections::BTreeSet;

use landfall_domain::clock::Timestamp;
use landfall_domain::hub::{Hub, HubState};
use landfall_domain::names::{Digest, RegistrationId};
use landfall_domain::registration::Registration;
use landfall_domain::registry::{ManufacturingRecord, RecordState};

use super::make::{
    Shared, assigned, batch, commit_of, decision_of, follow, group_count, hub, link, place, record, registration,
    scope, tracking, try_place,
};
use crate::{CommitOutcome, DeleteOutcome, Page, Precondition, RegistrationCommit, RegistrationFilter, entity_tag};

pub async fn a_registration_is_read_as_it_was_written(store: Shared) {
    link(&store, &[("a.example", 9)]).await;
    let mut wanted = registration("pump-1", Some("a.example"), &["eu", "site 7"]);
    wanted.decision = tracking(77);
    let commit = commit_of(wanted.clone(), 0);
    let done = store.commit_registration(commit.clone()).await.unwrap();
    assert_eq!(done, CommitOutcome::Committed(Box::new(wanted.clone())));
    let id = "pump-1".parse().unwrap();
    assert_eq!(store.registration(&scope(), &id).await.unwrap(), Some(wanted));
    assert_eq!(store.ledger_entry(tracking(77)).await.unwrap(), Some(commit.entry));
    assert_eq!(assigned(&store, "a.example").await, 1);
}

pub async fn only_the_first_of_two_writers_of_a_generation_writes(store: Shared) {
    link(&store, &[("a.example", 9), ("b.example", 9)]).await;
    let first = place(&store, "pump-1", "a.example", &[]).await;
    assert_eq!(first.generation, 1);
    let mut second = commit_of(registration("pump-1", Some("b.example"), &[]), 0);
    second.entry.tracking_id = tracking(5);
    let outcome = store.commit_registration(second.clone()).await.unwrap();
    assert_eq!(outcome, CommitOutcome::Overtaken(Some(Box::new(first.clone()))));
    assert_eq!(store.ledger_entry(tracking(5)).await.unwrap(), None);
    assert_eq!((assigned(&store, "a.example").await, assigned(&store, "b.example").await), (1, 0));
    second.expected = Some(first.version());
    let outcome = store.commit_registration(second.clone()).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(r) if r.generation == 2));
    let none = commit_of(registration("pump-2", Some("b.example"), &[]), 1);
    assert_eq!(store.commit_registration(none).await.unwrap(), CommitOutcome::Overtaken(None));
}

pub async fn what_was_decided_before_a_removal_does_not_write_over_what_came_after(store: Shared) {
    link(&store, &[("a.example", 9), ("b.example", 9)]).await;
    let before = place(&store, "pump-1", "a.example", &[]).await;
    let late = commit_of(registration("pump-1", Some("b.example"), &[]), before.generation);
    store.delete_registration(&scope(), &before.registration_id, Precondition::Any).await.unwrap().unwrap();
    let mut again = commit_of(registration("pump-1", Some("a.example"), &[]), 0);
    (again.registration.decision, again.entry.tracking_id) = (tracking(7), tracking(7));
    let CommitOutcome::Committed(again) = store.commit_registration(again).await.unwrap() else { panic!("not taken") };
    assert_eq!(again.generation, before.generation);
    assert_eq!(store.commit_registration(late).await.unwrap(), CommitOutcome::Overtaken(Some(again)));
}

pub async fn a_full_draining_or_unlinked_hub_takes_nobody(store: Shared) {
    link(&store, &[("full.example", 1), ("none.example", 0)]).await;
    let draining = landfall_domain::hub::Hub { state: HubState::Draining, ..hub("draining.example", 9) };
    store.put_hub(&scope(), draining, Precondition::Any).await.unwrap();
    place(&store, "pump-1", "full.example", &["x"]).await;
    for name in ["full.example", "none.example", "draining.example", "unlinked.example"] {
        let outcome = try_place(&store, "pump-2", Some(name), &["x"]).await;
        assert_eq!(outcome, CommitOutcome::NoRoom, "{name}");
    }
    assert_eq!(store.registration(&scope(), &"pump-2".parse().unwrap()).await.unwrap(), None);
    assert_eq!(group_count(&store, &["x"]).await, 1);
}

pub async fn a_device_stays_on_its_hub_though_it_is_full_or_draining(store: Shared) {
    link(&store, &[("a.example", 1)]).await;
    place(&store, "pump-1", "a.example", &[]).await;
    place(&store, "pump-1", "a.example", &[]).await;
    let draining = landfall_domain::hub::Hub { state: HubState::Draining, ..hub("a.example", 0) };
    store.put_hub(&scope(), draining, Precondition::Exists).await.unwrap();
    assert_eq!(place(&store, "pump-1", "a.example", &[]).await.generation, 3);
    assert_eq!(assigned(&store, "a.example").await, 1);
    store.delete_hub(&scope(), &"a.example".parse().unwrap(), Precondition::Any).await.unwrap();
    assert_eq!(try_place(&store, "pump-1", Some("a.example"), &[]).await, CommitOutcome::NoRoom);
}

pub async fn moving_a_device_moves_the_counts(store: Shared) {
    link(&store, &[("a.example", 9), ("b.example", 9)]).await;
    place(&store, "pump-1", "a.example", &["eu", "north", "hall"]).await;
    place(&store, "pump-2", "a.example", &["eu"]).await;
    place(&store, "pump-3", "a.example", &[]).await;
    let moved = place(&store, "pump-1", "b.example", &["eu", "south"]).await;
    assert_eq!(moved.initial_hub.unwrap().as_str(), "a.example");
    assert_eq!((assigned(&store, "a.example").await, assigned(&store, "b.example").await), (2, 1));
    for (path, count) in [
        (&[] as &[&str], 3),
        (&["eu"], 2),
        (&["eu", "north"], 0),
        (&["eu", "north", "hall"], 0),
        (&["eu", "south"], 1),
        (&["south"], 0),
        (&["eusouth"], 0),
    ] {
        assert_eq!(group_count(&store, path).await, count, "{path:?}");
    }
}

pub async fn a_failed_registration_gives_its_place_back(store: Shared) {
    link(&store, &[("a.example", 1)]).await;
    place(&store, "pump-1", "a.example", &["eu"]).await;
    let outcome = try_place(&store, "pump-1", None, &[]).await;
    let CommitOutcome::Committed(failed) = outcome else { panic!("{outcome:?}") };
    assert_eq!(failed.initial_hub.unwrap().as_str(), "a.example");
    assert_eq!((assigned(&store, "a.example").await, group_count(&store, &["eu"]).await), (0, 0));
    place(&store, "pump-2", "a.example", &["eu"]).await;
}

pub async fn deleting_gives_the_place_back(store: Shared) {
    link(&store, &[("a.example", 1)]).await;
    let placed = place(&store, "pump-1", "a.example", &["eu"]).await;
    let id = "PUMP-1".parse().unwrap();
    assert_eq!(store.delete_registration(&scope(), &id, Precondition::Any).await.unwrap(), Ok(placed));
    assert_eq!(store.delete_registration(&scope(), &id, Precondition::Any).await.unwrap(), Err(DeleteOutcome::Missing));
    assert_eq!((assigned(&store, "a.example").await, group_count(&store, &["eu"]).await), (0, 0));
    assert_eq!(store.registration(&scope(), &id).await.unwrap(), None);
    assert!(store.ledger_entry(decision_of("pump-1")).await.unwrap().is_some(), "what explains it stays");
}

pub async fn releasing_unbinds_the_key_and_overtakes_what_is_under_way(store: Shared) {
    link(&store, &[("a.example", 9)]).await;
    let placed = place(&store, "pump-1", "a.example", &[]).await;
    released(&store, &placed.registration_id).await;
    let released = store.registration(&scope(), &placed.registration_id).await.unwrap().unwrap();
    assert_eq!((released.key_identity, released.outcome.clone()), (None, placed.outcome.clone()));
    let late = store.commit_registration(commit_of(placed.clone(), placed.generation)).await.unwrap();
    assert_eq!(late, CommitOutcome::Overtaken(Some(Box::new(released))));
    let unknown = "pump-2".parse().unwrap();
    let outcome = store.release_registration(&scope(), &unknown, Precondition::Any).await.unwrap();
    assert_eq!(outcome, DeleteOutcome::Missing);
}

async fn released(store: &Shared, id: &RegistrationId) {
    let outcome = store.release_registration(&scope(), id, Precondition::Any).await.unwrap();
    assert_eq!(outcome, DeleteOutcome::Deleted);
}

pub async fn a_removal_looks_at_what_it_was_asked_for(store: Shared) {
    link(&store, &[("a.example", 9)]).await;
    let seen = place(&store, "pump-1", "a.example", &[]).await;
    let now = place(&store, "pump-1", "a.example", &["eu"]).await;
    let id = &now.registration_id;
    let over = |registration: &Registration| Precondition::Match(registration.etag());
    let changed = DeleteOutcome::Changed;
    assert_eq!(store.delete_registration(&scope(), id, over(&seen)).await.unwrap(), Err(changed.clone()));
    assert_eq!(store.release_registration(&scope(), id, over(&seen)).await.unwrap(), changed);
    assert_eq!(store.registration(&scope(), id).await.unwrap().as_ref(), Some(&now));
    assert_eq!(store.delete_registration(&scope(), id, over(&now)).await.unwrap(), Ok(now));

    let hub = hub("a.example", 9);
    let drained = Hub { state: HubState::Draining, ..hub.clone() };
    store.put_hub(&scope(), drained.clone(), Precondition::Any).await.unwrap();
    let unlink =
        async |seen: &Hub| store.delete_hub(&scope(), &seen.name, Precondition::Match(entity_tag(seen))).await.unwrap();
    assert_eq!(unlink(&hub).await, changed);
    assert_eq!(unlink(&drained).await, DeleteOutcome::Deleted);
}

pub async fn a_key_belongs_to_one_device_until_it_is_released_from_it(store: Shared) {
    link(&store, &[("a.example", 9)]).await;
    let placed = place(&store, "pump-1", "a.example", &[]).await;
    let shown = placed.key_identity.unwrap();
    let with_key = |id: &str, generation| {
        let mut copy = commit_of(registration(id, Some("a.example"), &[]), generation);
        copy.registration.key_identity = Some(shown);
        copy
    };
    let owner = async || store.device_of_key(&scope(), shown).await.unwrap().map(|id| id.to_string());
    assert_eq!(owner().await.as_deref(), Some("pump-1"));
    let outcome = store.commit_registration(with_key("pump-2", 0)).await.unwrap();
    assert_eq!(outcome, CommitOutcome::KeyOfAnother(placed.registration_id.clone()));
    assert_eq!(store.registration(&scope(), &"pump-2".parse().unwrap()).await.unwrap(), None);
    assert_eq!(assigned(&store, "a.example").await, 1);

    released(&store, &placed.registration_id).await;
    assert_eq!(owner().await, None);
    let outcome = store.commit_registration(with_key("pump-2", 0)).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    assert_eq!(owner().await.as_deref(), Some("pump-2"));
    // Bind another key, then remove the device: no binding stays behind.
    let outcome =
        store.commit_registration(commit_of(registration("pump-2", Some("a.example"), &[]), 1)).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
    assert_eq!(owner().await, None);
    let own = Digest::of(b"pump-2");
    store.delete_registration(&scope(), &"pump-2".parse().unwrap(), Precondition::Any).await.unwrap().unwrap();
    assert_eq!(store.device_of_key(&scope(), own).await.unwrap(), None);
}

pub async fn a_hub_linked_again_has_its_count(store: Shared) {
    link(&store, &[("a.example", 1)]).await;
    place(&store, "pump-1", "a.example", &[]).await;
    store.delete_hub(&scope(), &"a.example".parse().unwrap(), Precondition::Any).await.unwrap();
    link(&store, &[("a.example", 1)]).await;
    assert_eq!(assigned(&store, "a.example").await, 1);
    assert_eq!(try_place(&store, "pump-2", Some("a.example"), &[]).await, CommitOutcome::NoRoom);
}

pub async fn pages_follow_each_other_without_gaps(store: Shared) {
    link(&store, &[("a.example", 99)]).await;
    let ids: BTreeSet<String> = (0..23).map(|n| format!("pump-{n}")).collect();
    for id in &ids {
        place(&store, id, "a.example", &[]).await;
    }
    let mut page = Page { after: None, limit: 5 };
    let mut seen = Vec::new();
    loop {
        let listing = store.registrations(&scope(), page.clone(), RegistrationFilter::default()).await.unwrap();
        assert!(listing.items.len() <= 5 && !listing.items.is_empty());
        seen.extend(listing.items.into_iter().map(|r| r.registration_id.to_string()));
        match listing.next {
            Some(next) => page.after = Some(next),
            None => break,
        }
    }
    assert!(seen.iter().eq(&ids));
}

pub async fn a_listing_shows_one_hub_or_one_group(store: Shared) {
    link(&store, &[("a.example", 9), ("b.example", 9)]).await;
    place(&store, "pump-1", "a.example", &[]).await;
    place(&store, "pump-2", "b.example", &[]).await;
    let mut other = registration("pump-3", Some("b.example"), &[]);
    other.enrollment = landfall_domain::enrollment::EnrollmentRef::Group("valves".parse().unwrap());
    store.commit_registration(commit_of(other, 0)).await.unwrap();
    let page = Page { after: None, limit: 10 };
    let list = async |hub: Option<&str>, group: Option<&str>| {
        let filter = RegistrationFilter {
            hub: hub.map(|h| h.parse().unwrap()),
            group: group.map(|g| g.parse().unwrap()),
            assigned: None,
        };
        let listing = store.registrations(&scope(), page.clone(), filter).await.unwrap();
        listing.items.iter().map(|r| r.registration_id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list(Some("b.example"), None).await, ["pump-2", "pump-3"]);
    assert_eq!(list(None, Some("valves")).await, ["pump-3"]);
    assert_eq!(list(Some("a.example"), Some("valves")).await, [""; 0]);
    assert_eq!(list(Some("b.example"), Some("valves")).await, ["pump-3"]);
    // Views follow a move, a failure and a removal.
    place(&store, "pump-1", "b.example", &[]).await;
    assert_eq!(list(Some("a.example"), None).await, [""; 0]);
    try_place(&store, "pump-2", None, &[]).await;
    assert_eq!(list(Some("b.example"), None).await, ["pump-1", "pump-3"]);
    let by_state = async |assigned: bool| {
        let filter = RegistrationFilter { assigned: Some(assigned), ..RegistrationFilter::default() };
        let listing = store.registrations(&scope(), page.clone(), filter).await.unwrap();
        listing.items.iter().map(|r| r.registration_id.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        (by_state(false).await, by_state(true).await),
        (vec!["pump-2".to_owned()], vec!["pump-1".to_owned(), "pump-3".to_owned()])
    );
    store.delete_registration(&scope(), &"pump-3".parse().unwrap(), Precondition::Any).await.unwrap().unwrap();
    assert_eq!(list(None, Some("valves")).await, [""; 0]);
}

pub async fn ids_are_found_in_any_writing_and_keep_the_first(store: Shared) {
    link(&store, &[("a.example", 9)]).await;
    place(&store, "Pump-1", "a.example", &[]).await;
    let again = place(&store, "PUMP-1", "a.example", &[]).await;
    assert_eq!((again.registration_id.as_str(), again.generation), ("Pump-1", 2));
    assert_eq!(assigned(&store, "a.example").await, 1);
}

pub async fn a_record_that_admits_otherwise_now_stops_what_it_admitted(store: Shared) {
    link(&store, &[("a.example", 9)]).await;
    let id = "pump-1".parse().unwrap();
    let commit = async |record: Option<ManufacturingRecord>| {
        let before = store.registration(&scope(), &id).await.unwrap().map_or(0, |r| r.generation);
        let commit = commit_of(registration("pump-1", Some("a.example"), &[]), before);
        store.commit_registration(RegistrationCommit { record, ..commit }).await.unwrap()
    };
    let told = record("pump-1", "acme", "x");
    assert_eq!(commit(Some(told.clone())).await, CommitOutcome::RecordChanged, "there is none");
    store.import_batch(batch(vec![told.clone()])).await.unwrap();
    assert_eq!(commit(None).await, CommitOutcome::RecordChanged, "there is one now");
    assert!(matches!(commit(Some(told.clone())).await, CommitOutcome::Committed(_)));
    // The facts of this record do not admit the device.
    store.import_batch(batch(vec![record("pump-1", "acme", "y")])).await.unwrap();
    assert!(matches!(commit(Some(told.clone())).await, CommitOutcome::Committed(_)));
    let (now, any) = (Timestamp::from_millis(9), Precondition::Any);
    store.set_record_state(&scope(), &id, RecordState::Quarantined, now, any).await.unwrap().unwrap();
    assert_eq!(commit(Some(told)).await, CommitOutcome::RecordChanged);
}

/// The load is also reported for a hub that is no longer linked.
pub async fn how_full_a_hub_is_follows_every_commit(store: Shared) {
    link(&store, &[("a.example", 9), ("b.example", 9)]).await;
    let loads = follow(&store).await;
    let full = async |a, b| {
        loads.wait_for("a.example", a).await;
        loads.wait_for("b.example", b).await;
    };
    full(0, 0).await;
    place(&store, "pump-1", "a.example", &[]).await;
    place(&store, "pump-2", "a.example", &[]).await;
    full(2, 0).await;
    place(&store, "pump-1", "b.example", &[]).await;
    full(1, 1).await;
    store.delete_hub(&scope(), &"b.example".parse().unwrap(), Precondition::Any).await.unwrap();
    store.delete_registration(&scope(), &"pump-1".parse().unwrap(), Precondition::Any).await.unwrap().unwrap();
    full(1, 0).await;
    link(&store, &[("b.example", 9)]).await;
    place(&store, "pump-2", "b.example", &[]).await;
    full(0, 1).await;
    assert_eq!((assigned(&store, "a.example").await, assigned(&store, "b.example").await), (0, 1));
}

pub async fn scopes_do_not_see_each_other(store: Shared) {
    link(&store, &[("a.example", 9)]).await;
    place(&store, "pump-1", "a.example", &["eu"]).await;
    // Scopes where one name is a prefix of the other, and characters that sort around the separator.
    for other in ["0ne00000001-", "0ne0000000", "0ne000000010"] {
        let other = other.parse().unwrap();
        assert_eq!(store.registration(&other, &"pump-1".parse().unwrap()).await.unwrap(), None);
        let page = Page { after: None, limit: 9 };
        let listing = store.registrations(&other, page, RegistrationFilter::default()).await.unwrap();
        assert_eq!((listing.items.len(), listing.next), (0, None));
        assert_eq!(store.group_count(&other, &["eu".to_owned()]).await.unwrap(), 0);
        let elsewhere =
            crate::RegistrationCommit { scope: other, ..commit_of(registration("pump-1", Some("a.example"), &[]), 0) };
        assert_eq!(store.commit_registration(elsewhere).await.unwrap(), CommitOutcome::NoRoom);
    }
}
