//! Entries and contents.

use super::make::{Shared, link, place, refusal, tracking};
use crate::names::Digest;

pub(crate) async fn an_entry_is_found_by_its_tracking_id(store: Shared) {
    store.record_entry(refusal(3)).await.unwrap();
    assert_eq!(store.ledger_entry(tracking(3)).await.unwrap(), Some(refusal(3)));
    assert_eq!(store.ledger_entry(tracking(4)).await.unwrap(), None);
}

/// The store under test is opened to keep 10.
pub(crate) async fn the_oldest_refusals_make_room_and_decisions_stay(store: Shared) {
    link(&store, &[("a.example", 9)]).await;
    place(&store, "pump-1", "a.example", &[]).await;
    for number in 2..20 {
        store.record_entry(refusal(number)).await.unwrap();
    }
    for number in 2..20 {
        let there = store.ledger_entry(tracking(number)).await.unwrap().is_some();
        assert_eq!(there, number >= 10, "{number}");
    }
    assert!(store.ledger_entry(tracking(1)).await.unwrap().is_some());
}

pub(crate) async fn content_is_kept_once_under_its_digest(store: Shared) {
    for _ in 0..2 {
        let digest = store.keep_content(b"{}".to_vec()).await.unwrap();
        assert_eq!(digest, Digest::of(b"{}"));
        assert_eq!(store.content(digest).await.unwrap().unwrap(), b"{}");
    }
    assert_eq!(store.content(Digest::of(b"[]")).await.unwrap(), None);
    assert_eq!(store.content(store.keep_content(Vec::new()).await.unwrap()).await.unwrap().unwrap(), b"");
}
