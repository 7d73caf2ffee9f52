//! Data folders that earlier versions wrote are served, and everything in them is as it was.

use std::process::Command;

use landfall::tls::Identity;
use landfall_store::redb::RedbStore;
use landfall_tests::world::{Device, World, in_tests, json_of, tracking_id};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::Value;

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_of_0_1_0_holds_all_that_it_held() {
    let mut world = unpacked("data-0.1.0").await;
    // Once as it was found, and once as this version has left it.
    for _ in 0..2 {
        let expected = kept("data-0.1.0", "expected.json");
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
    let place = tempfile::tempdir().unwrap();
    let data = place.path().join("data");
    std::fs::create_dir(&data).unwrap();
    let archive = in_tests("museum").join(which).join("data.tar.gz");
    let ran = Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(&data).status().unwrap();
    assert!(ran.success());
    World::of(place).await
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
