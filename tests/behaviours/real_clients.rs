//! The unmodified device SDK registers.

use std::path::Path;
use std::process::Output;

use landfall_attestation::symmetric_key::SymmetricKey;
use landfall_attestation::x509::make::{Authority, Issued};
use landfall_domain::clock::Ambient;
use landfall_tests::world::{World, group, in_tests};
use serde_json::{Value, json};
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn the_node_sdk_registers_through_an_individual_enrollment() {
    if !sdk_is_there().await {
        return;
    }
    let world = World::new().await;
    let issued = certificate(&world.factory, "pump-1");
    world.record("pump-1", None).await;
    let mut enrollment = group("factory");
    enrollment["x509"] = json!({ "certificates": { "primary": issued.certificate_pem } });
    enrollment["deviceId"] = json!("the-first-pump");
    world.put("enrollments/pump-1", &enrollment).await;

    let answer = register(&world, "pump-1", &issued, &issued.certificate_pem).await;
    let state = &answer["result"];
    assert_eq!(state["assignedHub"], "hub-1.example", "{answer}");
    assert_eq!(state["deviceId"], "the-first-pump", "{answer}");
    assert_eq!(state["payload"]["group"], json!(["oslo"]), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_sdk_registers_through_a_group_with_an_intermediate() {
    if !sdk_is_there().await {
        return;
    }
    let world = World::new().await;
    let line = world.factory.intermediate("Line 3", Ambient::system().now(), 30).unwrap();
    let issued = certificate(&line, "pump-2");
    world.record("pump-2", None).await;

    let chain = format!("{}{}", issued.certificate_pem, line.certificate_pem);
    let answer = register(&world, "pump-2", &issued, &chain).await;
    let state = &answer["result"];
    assert_eq!(state["assignedHub"], "hub-1.example", "{answer}");
    assert_eq!(state["deviceId"], "pump-2", "{answer}");
    assert_eq!(state["payload"]["tags"], json!({ "from": "table" }), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_sdk_tells_a_refused_device_that_it_is_unauthorized() {
    if !sdk_is_there().await {
        return;
    }
    let world = World::new().await;
    let stranger = Authority::root("Somebody's CA", Ambient::system().now(), 30).unwrap();
    let issued = certificate(&stranger, "pump-3");
    world.record("pump-3", None).await;

    let answer = register(&world, "pump-3", &issued, &issued.certificate_pem).await;
    assert_eq!(answer["error"], "UnauthorizedError", "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_node_sdk_registers_with_symmetric_keys_its_own_and_its_groups() {
    if !sdk_is_there().await {
        return;
    }
    let world = World::new().await;
    let mut shared = group("factory");
    shared.as_object_mut().unwrap().remove("x509");
    shared["symmetricKey"] = json!({});
    let told = world.put("enrollments/meter-1", &shared).await;
    let own = told["symmetricKey"]["secondaryKey"].as_str().unwrap().to_owned();
    let told = world.put("enrollment-groups/meters", &shared).await;
    let meters = SymmetricKey::parse(told["symmetricKey"]["primaryKey"].as_str().unwrap()).unwrap();
    for (id, key) in [("meter-1", own), ("meter-2", meters.derive("meter-2").to_base64().expose().to_owned())] {
        world.record(id, None).await;
        let answer = sdk(&world, id, &["-", &key]).await;
        assert_eq!(answer["result"]["assignedHub"], "hub-1.example", "{answer}");
        assert_eq!(answer["result"]["payload"]["group"], json!(["oslo"]), "{answer}");
    }
    let answer = sdk(&world, "meter-2", &["-", meters.to_base64().expose()]).await;
    assert_eq!(answer["error"], "UnauthorizedError", "the group's own key is no device's: {answer}");
}

fn certificate(authority: &Authority, id: &str) -> Issued {
    authority.device(id, Ambient::system().now(), 30).unwrap()
}

/// Runs the SDK as a process; gives the line that it prints.
async fn register(world: &World, id: &str, issued: &Issued, chain: &str) -> Value {
    let place = tempfile::tempdir().unwrap();
    let (certificate, key) = (place.path().join("device.pem"), place.path().join("device.key"));
    std::fs::write(&certificate, chain).unwrap();
    std::fs::write(&key, &issued.key_pem).unwrap();
    sdk(world, id, &[certificate.to_str().unwrap(), key.to_str().unwrap()]).await
}

/// Runs the SDK with a credential; gives the line that it prints.
async fn sdk(world: &World, id: &str, credential: &[&str]) -> Value {
    let ran = Command::new("node")
        .current_dir(in_tests("clients/node"))
        .args(["--require", "./redirect.cjs", "register.cjs", "localhost", world.scope.as_str(), id])
        .args(credential)
        .arg(r#"{"asked":"for"}"#)
        .env("LANDFALL_PORT", world.server().device_addr.port().to_string())
        .env("NODE_EXTRA_CA_CERTS", world.folder.ca_certificate())
        .output();
    let Output { stdout, stderr, .. } = ran.await.unwrap();
    let (said, complained) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    serde_json::from_str(&said)
        .unwrap_or_else(|error| panic!("the SDK printed no JSON ({error}): {said}\n{complained}"))
}

/// Whether the SDK can be run. It is skipped loudly, and only where nobody demands it.
pub(crate) async fn sdk_is_there() -> bool {
    let node = Command::new("node").arg("--version").output().await.is_ok_and(|output| output.status.success());
    let installed = Path::is_dir(&in_tests("clients/node/node_modules/azure-iot-provisioning-device"));
    let missing = match (node, installed) {
        (true, true) => return true,
        (false, _) => "there is no `node`; install Node.js, then: (cd tests/clients/node && npm ci --ignore-scripts)",
        (true, false) => "the SDK is not installed; type: (cd tests/clients/node && npm ci --ignore-scripts)",
    };
    assert!(
        std::env::var_os("LANDFALL_REQUIRE_REAL_PARTS").is_none(),
        "LANDFALL_REQUIRE_REAL_PARTS is set, and {missing}"
    );
    eprintln!("SKIPPED: the real device SDK did not run: {missing}");
    false
}
