//! All that is revoked is seen, and can be restored, whether its authority is still there or not.

use landfall_attestation::x509::make::Authority;
use landfall_domain::clock::Ambient;
use landfall_tests::world::World;
use serde_json::{Value, json};

use super::serial;

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_of_an_authority_that_was_deleted_is_listed_and_can_be_restored() {
    let world = World::new().await;
    let now = Ambient::system().now();
    let line = Authority::root("Line 3", now, 30).unwrap();
    world.upload_authority("line-3", &line).await;
    let issued = super::issued(&line, "pump-1");
    world.record("pump-1", None).await;
    let pinned = json!({
        "x509": { "certificates": { "primary": issued.certificate_pem } },
        "allocation": { "selection": { "plugin": "weighted" } }
    });
    world.put("enrollments/pump-1", &pinned).await;
    let device = world.stranger("pump-1", &issued);
    assert_eq!(device.register().await.status, 200);
    assert_eq!(listed(&world).await, Vec::<Value>::new());

    let number = super::hex(&serial(&issued.certificate_der));
    world
        .put("authorities/line-3/revocation", &json!({ "revoked": true, "revokeSerials": [{ "from": number }] }))
        .await;
    super::put(&world, "line-3", &line.revocation_list(&[vec![7]], now, 7).unwrap()).await;
    let [one] = &listed(&world).await[..] else { panic!("one issuer") };
    assert_eq!((&one["issuer"], &one["authorities"]), (&json!("CN=Line 3"), &json!(["line-3"])), "{one}");
    let path = format!("/api/v1/scopes/{}/authorities/line-3", world.scope);
    assert_eq!(world.manage("DELETE", &path, b"").await.status, 204);

    let [one] = &listed(&world).await[..] else { panic!("one issuer") };
    assert_eq!(one["authorities"], json!([]), "{one}");
    assert_eq!((&one["revocation"]["revoked"], &one["crl"]["revoked"]), (&json!(true), &json!(1)), "{one}");
    assert_eq!(one["revocation"]["serials"].as_array().map(Vec::len), Some(1), "{one}");
    super::refused(&world, &device, "revoked").await;

    // Step by step: the authority itself, the number, the list.
    let of = format!("revocations/{}", one["id"].as_str().unwrap());
    world.put(&of, &json!({ "revoked": false })).await;
    super::refused(&world, &device, "revoked").await;
    let left = world.put(&of, &json!({ "restoreSerials": one["revocation"]["serials"] })).await;
    assert_eq!(left["revocation"]["serials"], json!([]), "{left}");
    assert_eq!(device.register().await.status, 200);
    let list = format!("/api/v1/scopes/{}/{of}/crl", world.scope);
    assert_eq!(world.manage("DELETE", &list, b"").await.status, 204);
    assert_eq!(listed(&world).await, Vec::<Value>::new(), "nothing is said of it any more");
    assert_eq!(world.manage("DELETE", &list, b"").await.status, 404);
    let gone = format!("/api/v1/scopes/{}/{of}", world.scope);
    assert_eq!(world.manage("GET", &gone, b"").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_thing_that_is_restored_is_shown_as_restored() {
    let world = World::new().await;
    let line = Authority::root("Line 3", Ambient::system().now(), 30).unwrap();
    world.upload_authority("line-3", &line).await;
    world.put("authorities/line-3/revocation", &json!({ "revoked": true })).await;
    let id = listed(&world).await[0]["id"].as_str().unwrap().to_owned();
    let shown = world.put(&format!("revocations/{id}"), &json!({ "revoked": false })).await;
    assert_eq!((&shown["id"], &shown["revocation"]["revoked"]), (&json!(id), &json!(false)), "{shown}");
    let path = format!("/api/v1/scopes/{}/revocations/{id}", world.scope);
    assert_eq!(world.manage("GET", &path, b"").await.status, 404);
}

async fn listed(world: &World) -> Vec<Value> {
    let page = world.get(&format!("/api/v1/scopes/{}/revocations", world.scope)).await;
    page["items"].as_array().unwrap().clone()
}
