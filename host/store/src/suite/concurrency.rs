//! Concurrent callers.

use std::sync::Arc;

use landfall_domain::names::Digest;
use tokio::task::JoinSet;

use super::make::{Shared, assigned, commit_of, link, registration, scope};
use crate::{CommitOutcome, StoreError};

pub async fn of_many_who_register_one_id_exactly_one_commits(store: Shared) {
    link(&store, &[("a.example", 99)]).await;
    let mut tasks = JoinSet::new();
    for number in 0..64_u8 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mut mine = registration("pump-1", Some("a.example"), &[]);
            mine.key_identity = Some(Digest::of(&[number]));
            store.commit_registration(commit_of(mine, 0)).await.unwrap()
        });
    }
    let outcomes = tasks.join_all().await;
    let winners: Vec<_> = outcomes.iter().filter(|o| matches!(o, CommitOutcome::Committed(_))).collect();
    let stored = store.registration(&scope(), &"pump-1".parse().unwrap()).await.unwrap().unwrap();
    assert_eq!(winners, [&CommitOutcome::Committed(Box::new(stored.clone()))]);
    let told = |o: &&CommitOutcome| **o == CommitOutcome::Overtaken(Some(Box::new(stored.clone())));
    assert_eq!(outcomes.iter().filter(told).count(), 63);
    assert_eq!(assigned(&store, "a.example").await, 1);
}

pub async fn a_hub_never_holds_more_than_its_capacity(store: Shared) {
    link(&store, &[("a.example", 20)]).await;
    let mut tasks = JoinSet::new();
    for number in 0..64 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mine = registration(&format!("pump-{number}"), Some("a.example"), &["eu"]);
            store.commit_registration(commit_of(mine, 0)).await.unwrap()
        });
    }
    let outcomes = tasks.join_all().await;
    assert_eq!(outcomes.iter().filter(|o| matches!(o, CommitOutcome::Committed(_))).count(), 20);
    assert_eq!(outcomes.iter().filter(|o| **o == CommitOutcome::NoRoom).count(), 44);
    assert_eq!(assigned(&store, "a.example").await, 20);
}

pub async fn what_is_queued_is_written_before_closing(store: Shared) {
    link(&store, &[("a.example", 99)]).await;
    let mut tasks = JoinSet::new();
    for number in 0..32 {
        let store = Arc::clone(&store);
        tasks.spawn(async move {
            let mine = registration(&format!("pump-{number}"), Some("a.example"), &[]);
            store.commit_registration(commit_of(mine, 0)).await
        });
    }
    store.close().await.unwrap();
    for outcome in tasks.join_all().await {
        assert!(matches!(outcome, Ok(CommitOutcome::Committed(_)) | Err(StoreError::Closed)), "{outcome:?}");
    }
    let id = "pump-1".parse().unwrap();
    assert_eq!(store.registration(&scope(), &id).await, Err(StoreError::Closed));
    let late = commit_of(registration("late", Some("a.example"), &[]), 0);
    assert_eq!(store.commit_registration(late).await, Err(StoreError::Closed));
    assert_eq!(store.close().await, Ok(()), "closing twice is no error");
}
