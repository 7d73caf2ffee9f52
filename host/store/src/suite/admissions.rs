//! What an admission rests on, and the device ids within a hub.

use landfall_domain::enrollment::{CertificateAuthority, Group, GroupAttestation, Terms};
use landfall_domain::names::{Digest, GroupId, RegistrationId};
use landfall_domain::registration::Outcome;

use super::make::{
    Shared, assigned, authority, commit_of, group, individual, link, pin, policies, registration, scope, try_place,
};
use crate::{AdmissionBasis, CommitOutcome, DeleteOutcome, Precondition, PutOutcome, RegistrationCommit, Way};

pub async fn what_admitted_a_device_must_stand_when_it_is_written(store: Shared) {
    link(&store, &[("a.example", 9)]).await;
    policies(&store).await;
    let (id, pumps): (RegistrationId, GroupId) = ("pump-1".parse().unwrap(), "pumps".parse().unwrap());
    let certificate = Digest::of(b"leaf");
    // The basis of an admission by a certificate, or by the key of a group.
    let basis = async |way: Option<Way>| {
        let catalogue = store.load_catalogue().await.unwrap();
        let admissions = catalogue.scopes.iter().find(|records| records.scope == scope()).unwrap().admissions;
        AdmissionBasis {
            found: way.map(|way| (way, admissions.of(way))),
            group: store.group(&scope(), &pumps).await.unwrap().map(|group| (group.id, group.terms.etag)),
            individual: store.individual(&scope(), &id).await.unwrap().map(|individual| individual.terms.etag),
            certificate: Some((certificate, store.enrollment_of_certificate(&scope(), certificate).await.unwrap())),
        }
    };
    let commit = async |basis: AdmissionBasis| {
        let before = store.registration(&scope(), &id).await.unwrap().map_or(0, |r| r.generation);
        let commit = commit_of(registration("pump-1", Some("a.example"), &[]), before);
        store.commit_registration(RegistrationCommit { basis, ..commit }).await.unwrap()
    };
    let by = |name: &str| GroupAttestation::X509Authorities { primary: name.parse().unwrap(), secondary: None };
    let tagged = |id: &str, attestation, etag: &str| {
        let group = group(id, attestation);
        Group { terms: Terms { etag: etag.to_owned(), ..group.terms }, ..group }
    };
    let any = || Precondition::Any;
    let put = async |group| {
        let outcome = store.put_group(&scope(), group, any()).await.unwrap();
        assert!(matches!(outcome, PutOutcome::Created | PutOutcome::Replaced), "{outcome:?}");
    };
    let put_authority = async |authority| drop(store.put_authority(&scope(), authority, any()).await.unwrap());
    let code = CertificateAuthority { verification_code: Some("x".to_owned()), ..authority("factory", "ca") };
    // The admissions that each change invalidates: those by certificates, and those by the key of the group `pumps`.
    for (step, by_certificate, by_key) in [
        ("an authority comes", true, false),
        ("a group comes", true, false),
        ("its terms are changed", true, true),
        ("another authority comes", true, false),
        ("another group comes", true, false),
        ("the terms of the other are changed", false, false),
        ("a proof is asked for", false, false),
        ("another way to the other", true, false),
        ("the other goes", true, false),
        ("an enrollment of the certificate", true, true),
        ("an enrollment of the id", true, true),
        ("which goes", true, true),
        ("of another id", false, false),
        ("a hub", false, false),
        ("the group goes", true, true),
        ("the authority goes", true, false),
    ] {
        let stood = [basis(Some(Way::Certificates)).await, basis(None).await];
        match step {
            "an authority comes" => put_authority(authority("factory", "ca")).await,
            "a group comes" => put(tagged("pumps", by("factory"), "1")).await,
            "its terms are changed" => put(tagged("pumps", by("factory"), "2")).await,
            "another authority comes" => put_authority(authority("second", "ca-2")).await,
            "another group comes" => put(tagged("valves", by("second"), "1")).await,
            "the terms of the other are changed" => {
                for number in 2..50 {
                    put(tagged("valves", by("second"), &number.to_string())).await;
                }
            }
            "a proof is asked for" => put_authority(code.clone()).await,
            "another way to the other" => {
                let pin = pin("ca-2");
                put(tagged("valves", GroupAttestation::X509Intermediates { primary: pin, secondary: None }, "1")).await;
            }
            "the other goes" => drop(store.delete_group(&scope(), &"valves".parse().unwrap(), any()).await.unwrap()),
            "an enrollment of the certificate" => {
                drop(store.put_individual(&scope(), individual("other", "o", "leaf", None), any()).await.unwrap())
            }
            "an enrollment of the id" => {
                drop(store.put_individual(&scope(), individual("pump-1", "p", "own", None), any()).await.unwrap())
            }
            "which goes" => drop(store.delete_individual(&scope(), &id, any()).await.unwrap()),
            "of another id" => {
                drop(store.put_individual(&scope(), individual("valve-1", "v", "theirs", None), any()).await.unwrap())
            }
            "a hub" => link(&store, &[("b.example", 9)]).await,
            "the group goes" => drop(store.delete_group(&scope(), &pumps, any()).await.unwrap()),
            "the authority goes" => {
                drop(store.delete_authority(&scope(), &"factory".parse().unwrap(), any()).await.unwrap())
            }
            other => panic!("{other}"),
        }
        for (stood, stops) in stood.into_iter().zip([by_certificate, by_key]) {
            match commit(stood.clone()).await {
                CommitOutcome::AdmissionChanged(_) => assert!(stops, "{step}: {stood:?}"),
                CommitOutcome::Committed(_) => assert!(!stops, "{step}: {stood:?}"),
                other => panic!("{step}: {other:?}"),
            }
        }
        let stands = basis(Some(Way::Certificates)).await;
        assert!(matches!(commit(stands).await, CommitOutcome::Committed(_)), "{step}");
    }
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
    // Hubs compare ids with regard to case, and each hub has its own ids.
    given(place_as("pump-2", "a.example", "Same").await);
    given(place_as("pump-3", "b.example", "same").await);
    // A device may keep its own id, also after a release.
    given(place_as("pump-1", "a.example", "same").await);
    let id = "pump-1".parse().unwrap();
    let released = store.release_registration(&scope(), &id, Precondition::Any).await.unwrap();
    assert_eq!(released, DeleteOutcome::Deleted);
    assert_eq!(place_as("pump-4", "a.example", "same").await, taken("pump-1"));
    // A move frees the id in the old hub and claims it in the new one.
    assert_eq!(place_as("pump-1", "b.example", "same").await, taken("pump-3"));
    given(place_as("pump-1", "b.example", "else").await);
    given(place_as("pump-4", "a.example", "same").await);
    assert_eq!(place_as("pump-5", "b.example", "else").await, taken("pump-1"));
    // Unlinking a hub frees no ids, because its devices stay on it.
    store.delete_hub(&scope(), &"a.example".parse().unwrap(), Precondition::Any).await.unwrap();
    link(&store, &[("a.example", 9)]).await;
    assert_eq!(place_as("pump-5", "a.example", "same").await, taken("pump-4"));
    // A removal or a failed registration frees the id.
    store.delete_registration(&scope(), &"pump-4".parse().unwrap(), Precondition::Any).await.unwrap().unwrap();
    given(place_as("pump-5", "a.example", "same").await);
    given(try_place(&store, "pump-5", None, &[]).await);
    given(place_as("pump-6", "a.example", "same").await);
}
