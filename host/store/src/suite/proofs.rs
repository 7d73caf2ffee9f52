//! The state of proofs of identity that must outlive a process.

use landfall_attestation::bearer::KeptKeys;
use landfall_attestation::tpm::challenge::KeptChallenge;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::Digest;

use super::make::{Shared, assigned, challenge, commit_of, link, registration, tracking};
use crate::{CommitOutcome, RegistrationCommit};

pub async fn a_challenge_is_spent_with_the_registration_that_its_answer_began(store: Shared) {
    link(&store, &[("a.example", 1)]).await;
    for number in [2, 3] {
        store.keep_challenge(challenge(number, 100), Timestamp::from_millis(0)).await.unwrap();
    }
    let spent = |kept: Vec<KeptChallenge>| kept.into_iter().map(|kept| (kept.name, kept.spent)).collect::<Vec<_>>();
    let answered = |id: &str, challenge| {
        let commit = commit_of(registration(id, Some("a.example"), &[]), 0);
        store.commit_registration(RegistrationCommit { answered: Some(challenge), ..commit })
    };
    assert!(matches!(answered("pump-1", tracking(2)).await.unwrap(), CommitOutcome::Committed(_)));
    assert_eq!(spent(store.challenges().await.unwrap()), [(tracking(2), true), (tracking(3), false)]);
    assert_eq!(answered("pump-2", tracking(3)).await.unwrap(), CommitOutcome::NoRoom);
    assert_eq!(spent(store.challenges().await.unwrap()), [(tracking(2), true), (tracking(3), false)]);
}

/// Of many callers with the same answer, one registers; a challenge that is no longer stored registers nobody.
pub async fn a_challenge_begins_one_registration_however_many_bring_its_answer(store: Shared) {
    link(&store, &[("a.example", 99)]).await;
    store.keep_challenge(challenge(2, 100), Timestamp::from_millis(0)).await.unwrap();
    let answered = |id: &str, challenge| {
        let commit = commit_of(registration(id, Some("a.example"), &[]), 0);
        RegistrationCommit { answered: Some(challenge), ..commit }
    };
    let mut all = tokio::task::JoinSet::new();
    for number in 0..16 {
        let (store, commit) = (Shared::clone(&store), answered(&format!("pump-{number}"), tracking(2)));
        all.spawn(async move { store.commit_registration(commit).await.unwrap() });
    }
    let outcomes = all.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| matches!(outcome, CommitOutcome::Committed(_))).count(), 1);
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == CommitOutcome::ChallengeSpent).count(), 15);
    assert_eq!(assigned(&store, "a.example").await, 1);
    let of_none = store.commit_registration(answered("late", tracking(3))).await.unwrap();
    assert_eq!(of_none, CommitOutcome::ChallengeGone);
}

pub async fn challenges_that_are_over_make_room(store: Shared) {
    for number in 1..=9 {
        store.keep_challenge(challenge(number, number), Timestamp::from_millis(0)).await.unwrap();
    }
    assert_eq!(store.challenges().await.unwrap().len(), 9);
    let now = Timestamp::from_millis(7);
    for number in [10, 11] {
        store.keep_challenge(challenge(number, 99), now).await.unwrap();
    }
    let left: Vec<_> = store.challenges().await.unwrap().into_iter().map(|kept| kept.name).collect();
    assert_eq!(left, [8, 9, 10, 11].map(tracking));
}

pub async fn an_authenticator_is_spent_once_until_it_is_over(store: Shared) {
    let at = Timestamp::from_millis;
    let spend =
        |number: u64, until, now| store.spend_authenticator(Digest::of(&number.to_be_bytes()), at(until), at(now));
    for number in 1..=6 {
        assert!(spend(number, 10, 0).await.unwrap());
        assert!(!spend(number, 10, 0).await.unwrap(), "{number} again");
    }
    assert!(!spend(1, 10, 9).await.unwrap());
    // A later call removes expired authenticators. They could be replayed if their expiry were not checked first.
    assert!(spend(7, 20, 11).await.unwrap());
    assert!(spend(8, 20, 11).await.unwrap());
    assert!(spend(1, 10, 11).await.unwrap());
    assert!(!spend(7, 20, 19).await.unwrap());
}

pub async fn an_issuers_keys_take_the_place_of_those_that_it_had(store: Shared) {
    let kept = |issuer: &str, ca: Option<&str>, at, keys: &[&str]| KeptKeys {
        issuer: issuer.to_owned(),
        ca_certificate: ca.map(ToOwned::to_owned),
        public_hosts_only: false,
        read_at: Timestamp::from_millis(at),
        keys: keys.iter().map(ToString::to_string).collect(),
    };
    let all = [kept("a", None, 5, &["1"]), kept("a", Some("ca"), 6, &["2"]), kept("b", None, 7, &["3", "4"])];
    let never = Timestamp::from_millis(0);
    for keys in [kept("a", None, 1, &["old"])].into_iter().chain(all.clone()) {
        store.keep_issuer_keys(keys, never).await.unwrap();
    }
    let sorted = |mut kept: Vec<KeptKeys>| {
        kept.sort_by_key(|keys| keys.read_at);
        kept
    };
    assert_eq!(sorted(store.issuer_keys().await.unwrap()), all);
    let later = kept("b", None, 9, &["5"]);
    store.keep_issuer_keys(later.clone(), Timestamp::from_millis(6)).await.unwrap();
    assert_eq!(sorted(store.issuer_keys().await.unwrap()), [all[1].clone(), later]);
}
