//! Ledger entries and contents.

use landfall_domain::decision::{Content, Decision, Entry, EntryKind};
use landfall_domain::names::Digest;
use landfall_domain::registration::Registration;

use super::make::{
    Shared, commit_of, decided, decision_of, link, place, policies, refusal, registration, scope, tracking,
};
use crate::{CommitOutcome, Lane, Precondition, RegistrationCommit};

pub async fn an_entry_is_found_by_its_tracking_id(store: Shared) {
    store.record_entry(refusal(3), Vec::new()).await.unwrap();
    assert_eq!(store.ledger_entry(tracking(3)).await.unwrap(), Some(refusal(3)));
    assert_eq!(store.ledger_entry(tracking(4)).await.unwrap(), None);
}

/// The store under test keeps 10 entries.
pub async fn the_oldest_refusals_make_room_and_decisions_stay(store: Shared) {
    link(&store, &[("a.example", 9)]).await;
    place(&store, "pump-1", "a.example", &[]).await;
    for number in 2..20 {
        store.record_entry(refusal(number), Vec::new()).await.unwrap();
    }
    for number in 2..20 {
        let there = store.ledger_entry(tracking(number)).await.unwrap().is_some();
        assert_eq!(there, number >= 10, "{number}");
    }
    assert!(store.ledger_entry(decision_of("pump-1")).await.unwrap().is_some());
}

/// The store under test keeps 10 entries.
pub async fn decisions_of_deleted_registrations_make_room(store: Shared) {
    link(&store, &[("a.example", 9)]).await;
    for number in 1..=15 {
        // The tracking id of each is lower than the one before, as after the clock was set back.
        let decision = tracking(1000 - number);
        let decided = Registration { decision, ..registration("pump-1", Some("a.example"), &[]) };
        let outcome = store.commit_registration(commit_of(decided, 0)).await.unwrap();
        assert!(matches!(outcome, CommitOutcome::Committed(_)));
        let gone = store.delete_registration(&scope(), &"pump-1".parse().unwrap(), Precondition::Any).await.unwrap();
        assert!(gone.is_ok());
    }
    for number in 1..=15 {
        let there = store.ledger_entry(tracking(1000 - number)).await.unwrap().is_some();
        assert_eq!(there, number > 5, "{number}");
    }
}

/// The store under test keeps 3 earlier decisions of each registration.
pub async fn a_device_that_registers_in_a_loop_keeps_its_last_decisions_only(store: Shared) {
    link(&store, &[("a.example", 9)]).await;
    let mut expected = None;
    for number in 1..=9 {
        let decided = Registration { decision: tracking(number), ..registration("pump-1", Some("a.example"), &[]) };
        let commit = RegistrationCommit { expected, ..commit_of(decided, 0) };
        let CommitOutcome::Committed(written) = store.commit_registration(commit).await.unwrap() else {
            panic!("decision {number} was not taken")
        };
        expected = Some(written.version());
    }
    for number in 1..=9 {
        let there = store.ledger_entry(tracking(number)).await.unwrap().is_some();
        assert_eq!(there, number >= 6, "{number}");
    }
    let stands = store.registration(&scope(), &"pump-1".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(stands.earlier, [tracking(8), tracking(7), tracking(6)]);
}

/// The store under test keeps 10 entries, and 3 earlier decisions of each registration.
pub async fn what_only_entries_name_comes_with_the_first_and_goes_with_the_last(store: Shared) {
    link(&store, &[("a.example", 9)]).await;
    let hubs = |number: u64| Content::of(format!("the hubs of {number}").into_bytes());
    let among = |entry: Entry, number: u64| match entry.kind {
        EntryKind::Decided(decision) => {
            let decision = Decision { hubs: hubs(number).digest(), ..*decision };
            Entry { kind: EntryKind::Decided(Box::new(decision)), ..entry }
        }
        _ => entry,
    };
    let there = async |all: std::ops::Range<u64>| {
        let mut there = Vec::new();
        for number in all {
            there.extend(store.content(hubs(number).digest()).await.unwrap().map(|_| number));
        }
        there
    };
    policies(&store).await;
    let revision = Digest::of(b"weighted");
    let mut expected = None;
    for number in 1..=500 {
        // Only the contents that the entry names are written.
        let contents = vec![hubs(number), hubs(number + 1000)];
        let entry = among(decided(number, revision), number);
        let registered = Registration { decision: tracking(number), ..registration("pump-1", Some("a.example"), &[]) };
        let commit = commit_of(registered, 0);
        let entry = Entry { registration_id: commit.entry.registration_id.clone(), ..entry };
        let commit = RegistrationCommit { expected, entry, contents, ..commit };
        let CommitOutcome::Committed(written) = store.commit_registration(commit).await.unwrap() else {
            panic!("decision {number} was not taken")
        };
        expected = Some(written.version());
    }
    assert_eq!(there(1..2000).await, [497, 498, 499, 500]);
    // A content that several entries name stays until the last one is gone.
    for number in 600..610 {
        store.record_entry(among(decided(number, revision), 600), vec![hubs(600)]).await.unwrap();
    }
    for number in 610..619 {
        store.record_entry(refusal(number), vec![hubs(number)]).await.unwrap();
    }
    assert_eq!(there(500..2000).await, [500, 600]);
    // One entry names it, and then another does; then explanations of registrations are evicted as well.
    store.record_entry(among(decided(609, revision), 600), vec![hubs(600)]).await.unwrap();
    store.delete_registration(&scope(), &"pump-1".parse().unwrap(), Precondition::Any).await.unwrap().unwrap();
    assert_eq!(there(1..2000).await, [497, 498, 499, 500]);
    for number in 620..630 {
        store.record_entry(refusal(number), Vec::new()).await.unwrap();
    }
    assert_eq!(there(1..2000).await, [0_u64; 0]);
    assert_eq!(store.check().await.unwrap().0.first, []);
}

pub async fn content_is_kept_once_under_its_digest(store: Shared) {
    for _ in 0..2 {
        let digest = store.keep_content(Lane::Device, b"{}".to_vec()).await.unwrap();
        assert_eq!(digest, Digest::of(b"{}"));
        assert_eq!(store.content(digest).await.unwrap().unwrap(), b"{}");
    }
    assert_eq!(store.content(Digest::of(b"[]")).await.unwrap(), None);
    assert_eq!(
        store.content(store.keep_content(Lane::Operator, Vec::new()).await.unwrap()).await.unwrap().unwrap(),
        b""
    );
}
