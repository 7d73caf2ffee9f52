//! What an admission rests on, and who is called what in a hub.

use landfall_domain::enrollment::GroupAttestation;
use landfall_domain::names::{Digest, RegistrationId};
use landfall_domain::registration::Outcome;

use super::make::{
    Shared, admission, assigned, authority, commit_of, group, individual, link, policies, registration, scope,
    try_place,
};
use crate::{AdmissionBasis, CommitOutcome, DeleteOutcome, Precondition, RegistrationCommit};

pub async fn what_admitted_a_device_must_stand_when_it_is_written(store: Shared) {
    link(&store, &[("a.example", 9)]).await;
    let id: RegistrationId = "pump-1".parse().unwrap();
    let certificate = Digest::of(b"leaf");
    // As an admission reads it.
    let basis = async || AdmissionBasis {
        revision: admission(&store).await,
        individual: store.individual(&scope(), &id).await.unwrap().map(|individual| individual.terms.etag),
        certificate: Some((certificate, store.enrollment_of_certificate(&scope(), certificate).await.unwrap())),
    };
    let commit = async |basis: AdmissionBasis| {
        let before = store.registration(&scope(), &id).await.unwrap().map_or(0, |r| r.generation);
        let commit = commit_of(registration("pump-1", Some("a.example"), &[]), before);
        store.commit_registration(RegistrationCommit { basis, ..commit }).await.unwrap()
    };
    let pumps = || GroupAttestation::X509Authorities { primary: "factory".parse().unwrap(), secondary: None };
    let any = Precondition::Any;
    policies(&store).await;
    let mut stands = basis().await;
    for step in 0..8 {
        match step {
            0 => drop(store.put_authority(&scope(), authority("factory", "ca"), any.clone()).await.unwrap()),
            1 => drop(store.put_group(&scope(), group("pumps", pumps()), any.clone()).await.unwrap()),
            2 => drop(store.put_group(&scope(), group("pumps", pumps()), any.clone()).await.unwrap()),
            3 => drop(store.delete_group(&scope(), &"pumps".parse().unwrap(), any.clone()).await.unwrap()),
            4 => drop(store.delete_authority(&scope(), &"factory".parse().unwrap()).await.unwrap()),
            5 => {
                drop(store.put_individual(&scope(), individual("other", "o", "leaf", None), any.clone()).await.unwrap())
            }
            6 => {
                drop(store.put_individual(&scope(), individual("pump-1", "p", "own", None), any.clone()).await.unwrap())
            }
            _ => drop(store.delete_individual(&scope(), &id, any.clone()).await.unwrap()),
        }
        let outcome = commit(stands).await;
        assert!(matches!(outcome, CommitOutcome::AdmissionChanged(_)), "{step}: {outcome:?}");
        stands = basis().await;
        let outcome = commit(stands.clone()).await;
        assert!(matches!(outcome, CommitOutcome::Committed(_)), "{step}: {outcome:?}");
    }
    // What concerns others, and hubs.
    store.put_individual(&scope(), individual("valve-1", "v", "theirs", None), any).await.unwrap();
    link(&store, &[("b.example", 9)]).await;
    assert!(matches!(commit(stands).await, CommitOutcome::Committed(_)));
}

pub async fn two_devices_never_share_one_id_in_a_hub(store: Shared) {
    link(&store, &[("a.example", 9), ("b.example", 9)]).await;
    let place_as = async |id: &str, hub: &str, device_id: &str| {
        let before = store.registration(&scope(), &id.parse().unwrap()).await.unwrap();
        let mut commit = commit_of(registration(id, Some(hub), &[]), before.map_or(0, |r| r.generation));
        if let Outcome::Assigned(place) = &mut commit.registration.outcome {
            place.device_id = device_id.parse().unwrap();
        }
        store.commit_registration(commit).await.unwrap()
    };
    let taken = |owner: &str| CommitOutcome::IdentityTaken(owner.parse().unwrap());
    let given = |outcome: CommitOutcome| assert!(matches!(outcome, CommitOutcome::Committed(_)), "{outcome:?}");

    given(place_as("pump-1", "a.example", "same").await);
    assert_eq!(place_as("pump-2", "a.example", "same").await, taken("pump-1"));
    assert_eq!(store.registration(&scope(), &"pump-2".parse().unwrap()).await.unwrap(), None);
    assert_eq!(assigned(&store, "a.example").await, 1);
    // Hubs tell ids apart by case, and each hub has ids of its own.
    given(place_as("pump-2", "a.example", "Same").await);
    given(place_as("pump-3", "b.example", "same").await);
    // Its own, again and after a release.
    given(place_as("pump-1", "a.example", "same").await);
    let id = "pump-1".parse().unwrap();
    let released = store.release_registration(&scope(), &id, Precondition::Any).await.unwrap();
    assert_eq!(released, DeleteOutcome::Deleted);
    assert_eq!(place_as("pump-4", "a.example", "same").await, taken("pump-1"));
    // A move gives the one back and takes the other.
    assert_eq!(place_as("pump-1", "b.example", "same").await, taken("pump-3"));
    given(place_as("pump-1", "b.example", "else").await);
    given(place_as("pump-4", "a.example", "same").await);
    assert_eq!(place_as("pump-5", "b.example", "else").await, taken("pump-1"));
    // Unlinking a hub gives nothing back, as its devices stay on it.
    store.delete_hub(&scope(), &"a.example".parse().unwrap(), Precondition::Any).await.unwrap();
    link(&store, &[("a.example", 9)]).await;
    assert_eq!(place_as("pump-5", "a.example", "same").await, taken("pump-4"));
    // A removal and a failure do.
    store.delete_registration(&scope(), &"pump-4".parse().unwrap(), Precondition::Any).await.unwrap().unwrap();
    given(place_as("pump-5", "a.example", "same").await);
    given(try_place(&store, "pump-5", None, &[]).await);
    given(place_as("pump-6", "a.example", "same").await);
}
