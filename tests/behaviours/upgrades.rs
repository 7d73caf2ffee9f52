//! Data folders that earlier versions wrote are served, and everything in them is as it was.

use std::path::PathBuf;
use std::process::Command;

use landfall::tls::Identity;
use landfall_domain::names::Digest;
use landfall_domain::registration::Registration;
use landfall_store::redb::{RedbStore, StoreSettings};
use landfall_store::{
    CatalogueStore as _, LedgerStore as _, Page, ProofStore as _, RegistrationFilter, RegistrationStore as _,
};
use landfall_tests::chance::Chance;
use landfall_tests::power::Disk;
use landfall_tests::world::{Device, World, in_tests, json_of, tracking_id};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_of_0_1_0_holds_all_that_it_held() {
    holds_all_that_it_held("data-0.1.0").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_of_store_format_2_holds_all_that_it_held() {
    let store = holds_all_that_it_held("data-format-2").await;
    // What the management API does not tell.
    let challenges = store.challenges().await.unwrap();
    let of: Vec<_> = challenges.iter().map(|kept| (kept.registration_id.as_str(), kept.spent)).collect();
    assert_eq!(of, [("chip-1", false)]);
    let keys = store.issuer_keys().await.unwrap();
    let of: Vec<_> = keys.iter().map(|kept| (kept.issuer.as_str(), kept.keys.len())).collect();
    assert_eq!(of, [("https://localhost:39573/museum", 1)]);
    let catalogue = store.load_catalogue().await.unwrap();
    let ours = catalogue.scopes[0].plugins.iter().find(|plugin| plugin.name.as_str() == "ours").unwrap();
    let revisions: Vec<_> = ours.revisions().map(|(revision, _)| revision).collect();
    assert_eq!(revisions.len(), 2);
    for revision in revisions {
        assert!(store.content(revision).await.unwrap().is_some_and(|bytes| Digest::of(&bytes) == revision));
    }
    let lists: Vec<_> = catalogue.scopes[0].revocations.iter().filter_map(|kept| kept.list.as_deref()).collect();
    assert!(lists.len() == 1 && landfall_attestation::x509::Crl::kept(lists[0]).is_ok());
}

/// The power fails in all stages of the step to a newer format: what is found then is the old file or the new one.
#[tokio::test]
async fn a_power_failure_while_a_file_is_brought_up_leaves_it_whole() {
    let (_place, data) = folder_of("data-0.1.0");
    let old = std::fs::read(data.join("landfall.redb")).unwrap();
    let whole = Disk::new(old.clone(), u64::MAX, false);
    let (store, _) = RedbStore::open_with_backend(whole.clone(), Default::default()).unwrap();
    let operations = u64::MAX - whole.operations_left();
    let there = registrations(&store).await;
    assert!(!there.is_empty());
    let (mut old_found, mut new_found) = (0, 0);
    for stage in 1..=operations {
        let disk = Disk::new(old.clone(), stage, false);
        let opened = RedbStore::open_with_backend(disk.clone(), Default::default());
        let found = disk.fail(&mut Chance::new(stage));
        drop(opened);
        let look = StoreSettings { bring_up: false, ..StoreSettings::default() };
        match RedbStore::open_with_backend(Disk::new(found.clone(), u64::MAX, false), look).err() {
            None => new_found += 1,
            Some(error) => {
                let error = error.to_string();
                assert!(error.contains("the file has format 1") && error.contains("works on format 3"), "{error}");
                old_found += 1;
            }
        }
        let disk = Disk::new(found, u64::MAX, false);
        let (store, _) = RedbStore::open_with_backend(disk, Default::default()).unwrap();
        assert_eq!(store.check().await.unwrap(), [], "{stage} of {operations}");
        assert_eq!(registrations(&store).await, there, "{stage} of {operations}");
    }
    assert!(old_found > 0 && new_found > 0, "{old_found} old, {new_found} new");
}

async fn registrations(store: &RedbStore) -> Vec<Registration> {
    let scope = store.load_catalogue().await.unwrap().scopes.remove(0).scope;
    let page = Page { after: None, limit: 100 };
    store.registrations(&scope, page, RegistrationFilter::default()).await.unwrap().items
}

/// Serves a data folder of the museum twice and compares all that was said of it; answers its store, which is closed.
async fn holds_all_that_it_held(which: &str) -> RedbStore {
    let mut world = unpacked(which).await;
    // Once as it was found, and once as this version has left it.
    for _ in 0..2 {
        let expected = kept(which, "expected.json");
        for (path, was) in expected.as_object().unwrap() {
            let is = world.get(&format!("/api/v1{path}")).await;
            says(path, was, &is);
        }
        // All that it had decided or refused is listed, which no version before could do.
        let listed = world.get(&format!("/api/v1/scopes/{}/decisions", world.scope)).await;
        let listed: Vec<_> = listed["items"].as_array().unwrap().iter().map(|item| &item["trackingId"]).collect();
        let kept = expected.as_object().unwrap().keys().filter_map(|path| path.strip_prefix("/decisions/"));
        assert!(kept.into_iter().all(|id| listed.contains(&&id.into())), "{listed:?}");
        world.restart().await;
    }
    let (_place, database) = world.stop().await;
    let store = RedbStore::open(&database, Default::default()).unwrap();
    assert_eq!(store.check().await.unwrap(), []);
    store
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_of_a_data_folder_of_0_1_0_are_who_they_were() {
    let world = unpacked("data-0.1.0").await;
    let devices = kept("data-0.1.0", "devices.json");
    let device = |id: &str| shown(&world, id, &devices["devices"][id]);
    for id in ["pump-1", "pump-2", "press-1", "valve-1", "pinned-1"] {
        let before = world.get(&format!("/api/v1/scopes/{}/registrations/{id}", world.scope)).await;
        let answer = device(id).register_and_poll().await;
        assert_eq!(answer.status, 200, "{id}: {answer:?}");
        let state = json_of(&answer)["registrationState"].clone();
        assert_eq!(state["assignedHub"], before["assignedHub"], "{id}");
        assert_eq!(state["deviceId"], before["deviceId"], "{id}");
    }
    // One that an operator revoked, and one on the list of its authority.
    for id in ["pump-4", "pump-5"] {
        let answer = device(id).register().await;
        assert_eq!(answer.status, 401, "{id}: {answer:?}");
        let entry = world.ledger(&tracking_id(&answer)).await;
        let detail = entry["kind"]["refused"]["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("revoked") || detail.contains("revocation list"), "{entry}");
    }
    // An id belongs to the key that registered it, and a key to its id.
    let stolen = shown(&world, "pump-2", &devices["devices"]["pump-1"]);
    assert_eq!(stolen.register().await.status, 401);
}

/// A server on a copy of a data folder in the museum.
async fn unpacked(which: &str) -> World {
    let (place, _) = folder_of(which);
    World::of(place).await
}

/// A copy of a data folder in the museum, and what is around it.
fn folder_of(which: &str) -> (tempfile::TempDir, PathBuf) {
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let archive = in_tests("museum").join(which).join("data.tar.gz");
    let ran = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&data).status().unwrap();
    assert!(ran.success());
    (place, data)
}

fn kept(which: &str, file: &str) -> Value {
    let path = in_tests("museum").join(which).join(file);
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn shown(world: &World, id: &str, made: &Value) -> Device {
    let chain: String = made["chain"].as_array().unwrap().iter().map(|pem| pem.as_str().unwrap()).collect();
    let chain = CertificateDer::pem_slice_iter(chain.as_bytes()).collect::<Result<Vec<_>, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_slice(made["key"].as_str().unwrap().as_bytes()).unwrap();
    world.shown(id, Some(Identity { chain, key }))
}

/// Everything that was said is said still; later versions may say more beside it.
fn says(place: &str, was: &Value, is: &Value) {
    match (was, is) {
        (Value::Object(was), Value::Object(is)) => {
            for (name, was) in was {
                says(&format!("{place} {name}"), was, is.get(name).unwrap_or(&Value::Null));
            }
        }
        (Value::Array(was), Value::Array(is)) => {
            assert_eq!(was.len(), is.len(), "{place}");
            was.iter().zip(is).enumerate().for_each(|(at, (was, is))| says(&format!("{place}/{at}"), was, is));
        }
        (was, is) => assert_eq!(was, is, "{place}"),
    }
}
