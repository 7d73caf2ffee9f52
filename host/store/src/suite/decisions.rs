//! Listing decisions and refusals.

use landfall_domain::clock::Timestamp;
use landfall_domain::decision::{Decision, Entry, EntryKind, Verdict};
use landfall_domain::enrollment::EnrollmentRef;
use landfall_domain::names::{Digest, TrackingId};
use landfall_domain::registration::Registration;

use super::make::{Shared, commit_of, decided, link, place, policies, refusal, registration, scope, tracking};
use crate::{
    CommitOutcome, DecisionFilter, DecisionPage, DecisionResult, PolicyFilter, Precondition, RegistrationCommit,
};

/// The tracking ids of the listed decisions, read in pages of this size, the newest first.
async fn listed(store: &Shared, filter: &DecisionFilter, limit: usize) -> Vec<TrackingId> {
    let (mut after, mut found) = (None, Vec::new());
    loop {
        let page = DecisionPage { after, limit };
        let listing = store.decisions(&scope(), page, filter.clone()).await.unwrap();
        assert!(listing.items.len() <= limit);
        found.extend(listing.items.iter().map(|entry| entry.tracking_id));
        match listing.next {
            Some(next) => after = Some(next.parse().unwrap()),
            None => return found,
        }
    }
}

/// Checks the list in pages of several sizes.
async fn are_listed(store: &Shared, filter: DecisionFilter, numbers: &[u64]) {
    let wanted: Vec<_> = numbers.iter().map(|number| tracking(*number)).collect();
    for limit in [1, 2, 100] {
        assert_eq!(listed(store, &filter, limit).await, wanted, "{filter:?} in pages of {limit}");
    }
}

/// A decision about a device by a policy; its number gives the time of the request.
fn made(number: u64, device: &str, group: &str, (policy, revision): (&str, Digest), verdict: Verdict) -> Entry {
    let entry = decided(number, revision);
    let EntryKind::Decided(decision) = entry.kind else { panic!("it was decided") };
    let Decision { mut factors, mut calls, .. } = *decision.clone();
    factors.enrollment = EnrollmentRef::Group(group.parse().unwrap());
    calls[0].plugin = policy.parse().unwrap();
    let kind = EntryKind::Decided(Box::new(Decision { factors, calls, verdict, ..*decision }));
    Entry { registration_id: device.to_owned(), kind, ..entry }
}

fn assigned(hub: &str) -> Verdict {
    Verdict::Assigned { hub: hub.parse().unwrap(), device_id: "d".parse().unwrap(), group_path: Vec::new() }
}

/// Writes a registration that an entry explains.
async fn explained(store: &Shared, device: &str, hub: &str, entry: Entry) {
    let decision = entry.tracking_id;
    let registered = Registration { decision, ..registration(device, Some(hub), &[]) };
    let before = store.registration(&scope(), &device.parse().unwrap()).await.unwrap();
    let expected = before.as_ref().map(Registration::version);
    let commit = RegistrationCommit { expected, entry, ..commit_of(registered, 0) };
    let outcome = store.commit_registration(commit).await.unwrap();
    assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");
}

/// The store under test keeps 10 entries.
pub async fn what_was_refused_is_listed_by_device_and_enrollment_the_newest_first(store: Shared) {
    let pumps = EnrollmentRef::Group("pumps".parse().unwrap());
    for number in 1..=14 {
        let mut entry = refusal(number);
        // Two devices, their ids in varying case; every third entry is of the group. The tracking ids have another
        // order than the times.
        entry.tracking_id = tracking(100 - number);
        entry.registration_id = if number % 2 == 0 { "SN-42" } else { "sn-4" }.to_owned();
        if let (0, EntryKind::Refused { enrollment, .. }) = (number % 3, &mut entry.kind) {
            *enrollment = Some(pumps.to_string());
        }
        store.record_entry(entry, Vec::new()).await.unwrap();
    }
    let found = async |device: Option<&str>, enrollment: Option<&EnrollmentRef>, came: &[u64]| {
        let device = device.map(|id| id.parse().unwrap());
        let filter = DecisionFilter { device, enrollment: enrollment.cloned(), ..DecisionFilter::default() };
        let numbers: Vec<u64> = came.iter().map(|number| 100 - number).collect();
        are_listed(&store, filter, &numbers).await;
    };
    found(None, None, &[14, 13, 12, 11, 10, 9, 8, 7, 6, 5]).await;
    found(Some("sn-42"), None, &[14, 12, 10, 8, 6]).await;
    found(Some("SN-4"), None, &[13, 11, 9, 7, 5]).await;
    found(None, Some(&pumps), &[12, 9, 6]).await;
    found(Some("sn-42"), Some(&pumps), &[12, 6]).await;
    found(Some("sn-43"), None, &[]).await;
    found(None, Some(&EnrollmentRef::Individual("sn-4".parse().unwrap())), &[]).await;
    let page = DecisionPage { after: None, limit: 9 };
    let elsewhere = store.decisions(&"other".parse().unwrap(), page, DecisionFilter::default()).await.unwrap();
    assert_eq!((elsewhere.items, elsewhere.next), (Vec::new(), None));
}

pub async fn every_decision_is_found_by_each_thing_that_is_asked_for(store: Shared) {
    policies(&store).await;
    link(&store, &[("a.example", 9), ("b.example", 9)]).await;
    let (one, two) = (Digest::of(b"weighted"), Digest::of(b"table"));
    let refused = Entry { registration_id: "sn-1".to_owned(), ..refusal(1) };
    store.record_entry(refused, Vec::new()).await.unwrap();
    let waits =
        Verdict::Postponed { until: Timestamp::from_millis(9), kind: "deferred".into(), detail: "later".into() };
    store.record_entry(made(2, "sn-1", "pumps", ("ours", one), waits), Vec::new()).await.unwrap();
    explained(&store, "sn-1", "a.example", made(3, "sn-1", "pumps", ("ours", two), assigned("a.example"))).await;
    explained(&store, "sn-2", "b.example", made(4, "SN-2", "press", ("ours", one), assigned("b.example"))).await;
    let failed = Verdict::Rejected { code: "no".into(), detail: "no".into() };
    explained(&store, "sn-3", "b.example", made(5, "sn-3", "pumps", ("theirs", one), failed)).await;
    // An earlier explanation of a registration is listed beside the current one.
    explained(&store, "sn-1", "b.example", made(6, "sn-1", "press", ("ours", one), assigned("b.example"))).await;

    let none = DecisionFilter::default;
    let millis = |number| Some(Timestamp::from_millis(number));
    let group = |name: &str| Some(EnrollmentRef::Group(name.parse().unwrap()));
    let policy = |name: &str, revision| Some(PolicyFilter { plugin: name.parse().unwrap(), revision });
    are_listed(&store, none(), &[6, 5, 4, 3, 2, 1]).await;
    are_listed(&store, DecisionFilter { from: millis(3), ..none() }, &[6, 5, 4, 3]).await;
    are_listed(&store, DecisionFilter { to: millis(3), ..none() }, &[2, 1]).await;
    are_listed(&store, DecisionFilter { from: millis(2), to: millis(5), ..none() }, &[4, 3, 2]).await;
    are_listed(&store, DecisionFilter { from: millis(5), to: millis(5), ..none() }, &[]).await;
    are_listed(&store, DecisionFilter { from: millis(6), to: millis(2), ..none() }, &[]).await;
    are_listed(&store, DecisionFilter { device: "SN-1".parse().ok(), ..none() }, &[6, 3, 2, 1]).await;
    are_listed(&store, DecisionFilter { enrollment: group("pumps"), ..none() }, &[5, 3, 2]).await;
    are_listed(&store, DecisionFilter { hub: "b.example".parse().ok(), ..none() }, &[6, 4]).await;
    are_listed(&store, DecisionFilter { policy: policy("ours", None), ..none() }, &[6, 4, 3, 2]).await;
    are_listed(&store, DecisionFilter { policy: policy("ours", Some(one)), ..none() }, &[6, 4, 2]).await;
    are_listed(&store, DecisionFilter { policy: policy("theirs", Some(two)), ..none() }, &[]).await;
    for (result, numbers) in [
        (DecisionResult::Assigned, &[6, 4, 3][..]),
        (DecisionResult::Refused, &[1]),
        (DecisionResult::Failed, &[5]),
        (DecisionResult::Waits, &[2]),
    ] {
        are_listed(&store, DecisionFilter { result: Some(result), ..none() }, numbers).await;
    }
    let all = DecisionFilter {
        from: millis(2),
        to: millis(6),
        device: "sn-1".parse().ok(),
        enrollment: group("pumps"),
        hub: "a.example".parse().ok(),
        policy: policy("ours", Some(two)),
        result: Some(DecisionResult::Assigned),
    };
    are_listed(&store, all.clone(), &[3]).await;
    are_listed(&store, DecisionFilter { hub: "b.example".parse().ok(), ..all }, &[]).await;
    assert_eq!(store.check().await.unwrap().0.first, []);
}

pub async fn a_page_goes_on_where_the_one_before_it_ended(store: Shared) {
    link(&store, &[("a.example", 9)]).await;
    for number in 1..=3 {
        store.record_entry(refusal(number), Vec::new()).await.unwrap();
    }
    explained(&store, "pump-1", "a.example", Entry { registration_id: "pump-1".to_owned(), ..refusal(4) }).await;
    store.record_entry(refusal(5), Vec::new()).await.unwrap();
    let page = async |after, limit| {
        let page = DecisionPage { after, limit };
        let listing = store.decisions(&scope(), page, DecisionFilter::default()).await.unwrap();
        let ids: Vec<_> = listing.items.iter().map(|entry| entry.at.as_millis()).collect();
        (ids, listing.next.map(|next| next.parse().unwrap()))
    };
    let (first, next) = page(None, 1).await;
    assert_eq!(first, [5]);
    // One entry is newer, and explanations of registrations become evictable: no entry is listed twice or left out.
    store.record_entry(refusal(6), Vec::new()).await.unwrap();
    store.delete_registration(&scope(), &"pump-1".parse().unwrap(), Precondition::Any).await.unwrap().unwrap();
    assert_eq!(page(next, 2).await.0, [4, 3]);
    let (_, next) = page(next, 2).await;
    assert_eq!(page(next, 9).await, (vec![2, 1], None));
    assert_eq!(page(None, 9).await, (vec![6, 5, 4, 3, 2, 1], None));
}

/// The store under test keeps 10 entries, and 3 earlier decisions of each registration.
pub async fn what_is_gone_is_listed_no_more_and_nothing_is_listed_twice(store: Shared) {
    link(&store, &[("a.example", 9)]).await;
    // The request waits first, and is decided under the same tracking id, once at the same time and once later.
    let (mut first, second) = (refusal(30), refusal(31));
    first.at = Timestamp::from_millis(29);
    for entry in [first, second.clone()] {
        store.record_entry(entry, Vec::new()).await.unwrap();
    }
    for entry in [refusal(30), second] {
        explained(&store, "pump-1", "a.example", Entry { registration_id: "pump-1".to_owned(), ..entry }).await;
    }
    are_listed(&store, DecisionFilter::default(), &[31, 30]).await;
    // A device that registers repeatedly keeps its last four decisions.
    for number in 32..=36 {
        explained(&store, "pump-1", "a.example", Entry { registration_id: "pump-1".to_owned(), ..refusal(number) })
            .await;
    }
    let pump = DecisionFilter { device: "pump-1".parse().ok(), ..DecisionFilter::default() };
    are_listed(&store, pump.clone(), &[36, 35, 34, 33]).await;
    // The waiting entries under the tracking ids of removed decisions are still there.
    are_listed(&store, DecisionFilter::default(), &[36, 35, 34, 33, 31, 30]).await;
    assert_eq!(store.check().await.unwrap().0.first, []);
    store.delete_registration(&scope(), &"pump-1".parse().unwrap(), Precondition::Any).await.unwrap().unwrap();
    are_listed(&store, pump.clone(), &[36, 35, 34, 33]).await;
    for number in 1..=10 {
        store.record_entry(refusal(number), Vec::new()).await.unwrap();
    }
    are_listed(&store, pump, &[]).await;
    are_listed(&store, DecisionFilter::default(), &[10, 9, 8, 7, 6, 5, 4, 3, 2, 1]).await;
    place(&store, "pump-1", "a.example", &[]).await;
    assert_eq!(store.check().await.unwrap().0.first, []);
}
