//! New revisions: one that is good mends what a bad one broke, and one that is not good never takes over.

use landfall_domain::clock::Ambient;
use landfall_domain::names::Digest;
use landfall_tests::guests::component;
use landfall_tests::world::{World, group, json_of, tracking_id};
use serde_json::{Value, json};

use super::{device_in, device_of, get, patient, publish, selected_by, try_publish, waits};

#[tokio::test(flavor = "multi_thread")]
async fn a_device_that_waits_for_a_broken_policy_is_assigned_when_it_is_mended() {
    let world = World::with(patient).await;
    publish(&world, "ours", "panics").await;
    let device = device_in(&world, "pump-1", selected_by("ours")).await;
    let answer = device.register().await;
    assert_eq!(waits(&world, &answer).await["kind"], "panic");
    let operation = json_of(&answer)["operationId"].as_str().unwrap().to_owned();

    let live = publish(&world, "ours", "takes-first").await;
    assert_eq!(live["previous"], json!([Digest::of(component("panics")).to_string()]));
    let mut answer = device.poll(&operation).await;
    while answer.status == 202 {
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        answer = device.poll(&operation).await;
    }
    assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
    assert_eq!(json_of(&answer)["operationId"], operation.as_str());
    let registration = get(&world, "registrations/pump-1").await;
    let entry = world.ledger(registration["decision"].as_str().unwrap()).await;
    assert_eq!(entry["kind"]["decided"]["calls"][0]["revision"], live["digest"], "by the new revision: {entry}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_does_not_take_a_groups_settings_does_not_take_over() {
    let world = World::new().await;
    let device = device_of(&world, "takes-first", "pump-1", selected_by("takes-first")).await;
    let before = get(&world, "plugins/takes-first").await;
    for (guest, says) in [
        ("refuses-settings", ["/rules/3/hub", "/rules/3/a~1b"].as_slice()),
        ("panics-in-configure", &["the settings were too much for me"]),
        ("places-in-eu", &["chooses no hubs"]),
    ] {
        let answer = try_publish(&world, "takes-first", component(guest)).await;
        assert_eq!(answer.status, 409, "{guest}: {answer:?}");
        let problem = json_of(&answer).to_string();
        for part in says.iter().chain(&["group pump-1 uses takes-first"]) {
            assert!(problem.contains(part), "{guest}: {problem} is without {part:?}");
        }
        assert_eq!(get(&world, "plugins/takes-first").await, before, "{guest}");
    }
    let answer = device.register().await;
    assert_eq!(json_of(&answer)["status"], "assigned", "the old one is live: {answer:?}");
    let entry = world.ledger(&tracking_id(&answer)).await;
    assert_eq!(entry["kind"]["decided"]["calls"][0]["revision"], before["digest"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_does_not_take_one_devices_settings_does_not_take_over() {
    let world = World::new().await;
    let before = publish(&world, "ours", "takes-first").await;
    let issued = world.factory.device("pump-7", Ambient::system().now(), 30).expect("a certificate");
    let enrollment = json!({
        "x509": { "certificates": { "primary": issued.certificate_pem } },
        "allocation": selected_by("ours"),
    });
    world.put("enrollments/pump-7", &enrollment).await;
    let answer = try_publish(&world, "ours", component("refuses-settings")).await;
    assert_eq!(answer.status, 409, "{answer:?}");
    let problem = json_of(&answer);
    assert!(problem["detail"].as_str().unwrap().contains("the individual enrollment pump-7 uses ours"), "{problem}");
    assert_eq!(pointers_of(&problem), json!(["/rules/3/hub", "/rules/3/a~1b"]));
    assert_eq!(get(&world, "plugins/ours").await["digest"], before["digest"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_the_settings_is_told_by_pointers() {
    let world = World::new().await;
    publish(&world, "refuses-settings", "refuses-settings").await;
    let mut wrong = group("factory");
    wrong["allocation"] = selected_by("refuses-settings");
    let path = format!("/api/v1/scopes/{}/enrollment-groups/wrong", world.scope);
    let answer = world.manage("PUT", &path, wrong.to_string().as_bytes()).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    let at = "/allocation/selection/settings";
    let pointers = json!([format!("{at}/rules/3/hub"), format!("{at}/rules/3/a~1b")]);
    assert_eq!(pointers_of(&json_of(&answer)), pointers);

    // The same plugin as a new revision of one that is in use: the pointers are into the settings of the group.
    device_of(&world, "takes-first", "pump-1", selected_by("takes-first")).await;
    let problem = json_of(&try_publish(&world, "takes-first", component("refuses-settings")).await);
    assert_eq!(pointers_of(&problem), json!(["/rules/3/hub", "/rules/3/a~1b"]), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_policy_is_refused_by_what_differs_and_changes_nothing() {
    let world = World::new().await;
    let device = device_of(&world, "takes-first", "pump-1", selected_by("takes-first")).await;
    let before = get(&world, "plugins").await;
    let core_module = b"\0asm\x01\0\0\0";
    let cut_off = &component("takes-first")[..10_000];
    for (what, bytes, says) in [
        ("nothing", b"".as_slice(), ["no WebAssembly component"].as_slice()),
        ("garbage", b"MZ\x90\0 this is a program", &["no WebAssembly component"]),
        ("a core module", core_module, &["core WebAssembly module"]),
        ("half a component", cut_off, &["damaged"]),
        ("another version", component("other-version"), &["landfall:policy@0.9.0"]),
        ("half a contract", component("missing-export"), &["does not export"]),
        ("a record with a field less", component("hub-without-location"), &["hub-selection/select-hub", "6 fields"]),
        ("a variant with a case more", component("outcome-with-escalate"), &["hub-selection/select-hub", "5 cases"]),
        ("authority over the network", component("opens-socket"), &["wasi:sockets/tcp@"]),
        ("an import of its own", component("unknown-import"), &["vault:keys/safe@1.0.0"]),
    ] {
        // As a new revision of a good policy, and as a policy of its own.
        for name in ["takes-first", "new"] {
            let answer = try_publish(&world, name, bytes).await;
            assert_eq!(answer.status, 422, "{what}: {answer:?}");
            let problem = json_of(&answer);
            for part in says {
                assert!(problem["detail"].as_str().unwrap().contains(part), "{what}: {problem}, without {part:?}");
            }
        }
    }
    assert_eq!(get(&world, "plugins").await, before);
    assert_eq!(json_of(&device.register().await)["status"], "assigned");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_that_names_one_revision_keeps_it_whatever_is_published_afterwards() {
    let world = World::new().await;
    let good = publish(&world, "ours", "takes-first").await["digest"].clone();
    let pinned = json!({ "selection": { "plugin": "ours", "revision": good } });
    let device = device_in(&world, "pump-1", pinned).await;
    for guest in ["panics", "refuses-settings", "places-in-eu"] {
        publish(&world, "ours", guest).await;
    }
    let answer = device.register().await;
    assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
    let entry = world.ledger(&tracking_id(&answer)).await;
    assert_eq!(entry["kind"]["decided"]["calls"][0]["revision"], good);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_an_enrollment_uses_cannot_be_removed() {
    let world = World::new().await;
    let device = device_of(&world, "takes-first", "pump-1", selected_by("takes-first")).await;
    let mut lone = group("factory");
    lone["x509"] = json!({ "certificates": { "primary": { "sha256": Digest::of(b"its certificate") } } });
    lone["allocation"]["fallback"] = json!({ "plugin": "lone-policy" });
    publish(&world, "lone-policy", "abstains").await;
    world.put("enrollments/lone", &lone).await;
    for (plugin, user) in [("takes-first", "pump-1"), ("lone-policy", "lone")] {
        let path = format!("/api/v1/scopes/{}/plugins/{plugin}", world.scope);
        let answer = world.manage("DELETE", &path, b"").await;
        assert_eq!(answer.status, 409, "{answer:?}");
        assert!(json_of(&answer)["detail"].as_str().unwrap().contains(user), "who uses it: {answer:?}");
    }
    assert_eq!(json_of(&device.register().await)["status"], "assigned");
    for (user, plugin) in [("enrollment-groups/pump-1", "takes-first"), ("enrollments/lone", "lone-policy")] {
        for what in [user, &format!("plugins/{plugin}")] {
            let path = format!("/api/v1/scopes/{}/{what}", world.scope);
            assert_eq!(world.manage("DELETE", &path, b"").await.status, 204, "{what}, with nobody left who uses it");
        }
    }
}

fn pointers_of(problem: &Value) -> Value {
    problem["errors"].as_array().into_iter().flatten().map(|part| part["pointer"].clone()).collect()
}
