//! The management API: who may call it, and what it says to those who get it wrong.

use http::Method;
use landfall::admin_api::{self, Rule};
use landfall::client::Answer;
use landfall::clock::Ambient;
use landfall_tests::guests::component;
use landfall_tests::world::{World, group, in_tests, json_of};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn every_endpoint_lets_in_whom_its_rule_names_and_nobody_else() {
    let world = World::empty(|_| {}).await;
    assert_eq!(world.manage("PUT", "/api/v1/scopes/0neOTHER", b"").await.status, 201);
    let (here, there) = (world.scope.as_str(), "0neOTHER");
    let expired = token(&world, json!({ "role": "operator", "days": 0 })).await;
    let mut callers = Vec::new();
    for (role, wish) in ROLES {
        let mut wish: Value = serde_json::from_str(wish).unwrap();
        let everywhere = token(&world, wish.clone()).await;
        wish["scope"] = here.into();
        let bound = token(&world, wish.clone()).await;
        wish["scope"] = there.into();
        callers.push((role, everywhere, bound, token(&world, wish).await));
    }
    let endpoints = admin_api::endpoints();
    assert!(endpoints.len() > 30, "the walk must not be empty");
    for (method, template, rule) in endpoints {
        let path = template
            .replace("{scope}", here)
            .replace("{trackingId}", "0197c5c1-0000-7000-8000-000000000000")
            .replace("{name}", "nothing")
            .replace("{id}", "nothing");
        let what = format!("{method} {path}");
        for nobody in [
            None,
            Some("Bearer"),
            Some("Bearer lf_made-up"),
            Some("Basic b3A6b3A="),
            Some(&format!("Bearer {expired}")),
        ] {
            let answer = call(&world, nobody, &method, &path).await;
            assert_problem(&answer, 401, &format!("{what} with {nobody:?}"));
        }
        for (role, everywhere, bound, elsewhere) in &callers {
            let by_role = may(rule, role);
            let by_scope = !matches!(rule, Rule::OperateAll | Rule::ReadAll);
            let reaches = by_scope && !path.starts_with("/api/v1/scopes/");
            for (token, allowed) in
                [(everywhere, by_role), (bound, by_role && by_scope), (elsewhere, by_role && reaches)]
            {
                let answer = call(&world, Some(&format!("Bearer {token}")), &method, &path).await;
                if allowed {
                    assert!(![401, 403].contains(&answer.status.as_u16()), "{what} as {role}: {answer:?}");
                    assert!(!answer.status.is_server_error(), "{what} as {role}: {answer:?}");
                } else {
                    assert_problem(&answer, 403, &format!("{what} as {role}"));
                }
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn neither_listener_answers_for_the_other() {
    let world = World::new().await;
    let bearer = format!("Bearer {}", world.operator_token);
    for (method, template, _) in admin_api::endpoints() {
        let path = template.replace("{scope}", world.scope.as_str()).replace(['{', '}'], "");
        let headers = [("authorization", bearer.as_str())];
        let answer = world.request(world.server().device_addr, method.as_str(), &path, &headers, b"{}").await;
        assert!([400, 401, 404, 405].contains(&answer.status.as_u16()), "{method} {path}: {answer:?}");
        let body = String::from_utf8_lossy(&answer.bytes).into_owned();
        assert!(!body.contains("items") && !body.contains("about:blank"), "{method} {path}: {body}");
    }
    for (method, what) in [("PUT", "/register"), ("POST", ""), ("GET", "/operations/4.a.b")] {
        let path = format!("/{}/registrations/pump-1{what}?api-version=2021-06-01", world.scope);
        assert_problem(&world.manage(method, &path, b"{}").await, 404, &path);
    }
}

#[test]
fn the_open_api_document_is_the_one_that_was_reviewed() {
    let path = in_tests("vectors/openapi.json");
    let document = format!("{:#}\n", admin_api::document());
    if std::env::var_os("LANDFALL_RENEW").is_some() {
        std::fs::write(&path, &document).unwrap();
    }
    let reviewed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        document == reviewed,
        "the OpenAPI document differs from tests/vectors/openapi.json; if it is meant to, run this test with \
         LANDFALL_RENEW=1 and review the difference"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_policys_settings_is_pointed_at() {
    let world = World::new().await;
    let mut wrong = group("factory");
    wrong["allocation"]["grouping"][0]["settings"] = json!({ "rules": [{ "group": ["{fact.site"] }] });
    wrong["allocation"]["selection"]["plugin"] = json!("table");
    wrong["allocation"]["fallback"] = json!({ "plugin": "nobody-published-this" });
    wrong["hubs"] = json!(["hub-1.example", "hub-9.example"]);
    let answer = put(&world, "enrollment-groups/wrong", &wrong).await;
    assert_problem(&answer, 400, "wrong settings");
    let errors = json_of(&answer)["errors"].clone();
    let pointers: Vec<&str> =
        errors.as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap()).collect();
    for place in ["/hubs/1", "/allocation/fallback/plugin", "/allocation/grouping/0/settings/rules/0/"] {
        assert!(pointers.iter().any(|pointer| pointer.starts_with(place)), "nothing at {place}: {errors}");
    }
    assert!(errors.as_array().unwrap().iter().all(|error| !error["message"].as_str().unwrap().is_empty()), "{errors}");
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_are_not_understood_are_refused_with_the_place() {
    let world = World::new().await;
    let hub = |body: &'static str| raw(&world, "PUT", "hubs/hub-2.example", body);
    for (body, word) in [
        ("{\"capacity\": 5, \"capacitty\": 6}", "capacitty"),
        ("{\"capacity\": 5,", "line 1"),
        ("", "line 1"),
        ("[1, 5, null, {}, \"active\"]", "object"),
        ("{\"capacity\": -1}", "-1"),
    ] {
        let answer = hub(body).await;
        assert_problem(&answer, 400, body);
        assert!(json_of(&answer)["detail"].as_str().unwrap().contains(word), "{body}: {answer:?}");
    }
    let answer = hub("{\"capacity\": 5, \"weight\": 0, \"location\": {\"latitude\": 91, \"longitude\": 0}}").await;
    assert_eq!(pointers(&answer), ["/weight", "/location/latitude"]);

    for path in ["hubs?limit=many", "registrations?limit=-1", "hubs/%FF", "hubs/a%20b"] {
        let path = format!("/api/v1/scopes/{}/{path}", world.scope);
        assert_problem(&world.manage("GET", &path, b"").await, 400, &path);
    }
    let huge = vec![b' '; 8 * 1024 * 1024];
    let path = format!("/api/v1/scopes/{}/hubs/hub-2.example", world.scope);
    assert_problem(&world.manage("PUT", &path, &huge).await, 413, "8 MiB");
    assert_problem(&world.manage("PATCH", &path, b"").await, 405, "PATCH");
    assert_problem(&world.manage("GET", "/api/v2", b"").await, 404, "/api/v2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_no_authoritys_is_refused() {
    let world = World::new().await;
    let now = Ambient::system().now();
    let leaf = world.factory.device("pump-1", now, 30).unwrap();
    for wrong in [leaf.certificate_pem.as_str(), leaf.key_pem.as_str(), "-----BEGIN CERTIFICATE-----", ""] {
        let answer = put(&world, "authorities/wrong", &json!({ "certificate": wrong })).await;
        assert_problem(&answer, 400, wrong);
        assert_eq!(pointers(&answer), ["/certificate"]);
    }
    let other = landfall::tls::make::Authority::root("Other CA", now, 30).unwrap();
    world.put("authorities/other", &json!({ "certificate": other.certificate_pem })).await;
    let proof = json!({ "certificate": leaf.certificate_pem }).to_string();
    let early = raw(&world, "POST", "authorities/other/verify", &proof).await;
    assert_problem(&early, 409, "no code was asked for");
    let code = json_of(&raw(&world, "POST", "authorities/other/verification-code", "").await);
    let code = code["verificationCode"].as_str().unwrap();
    let by_another = world.factory.device(code, now, 1).unwrap();
    let of_another = other.device("another-code", now, 1).unwrap();
    for proof in [&leaf, &by_another, &of_another] {
        let body = json!({ "certificate": proof.certificate_pem }).to_string();
        let answer = raw(&world, "POST", "authorities/other/verify", &body).await;
        assert_eq!(pointers(&answer), ["/certificate"], "{answer:?}");
    }
    let unproven = put(&world, "enrollment-groups/other", &group("other")).await;
    assert_eq!(pointers(&unproven), ["/x509/authorities/primary"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn preconditions_are_kept() {
    let world = World::new().await;
    let path = format!("/api/v1/scopes/{}/enrollment-groups/devices", world.scope);
    let first = world.manage("GET", &path, b"").await.header("etag").unwrap().to_owned();
    let body = group("factory").to_string();
    let put_if = async |name: &str, value: &str| -> Answer {
        let bearer = format!("Bearer {}", world.operator_token);
        let headers = [("authorization", bearer.as_str()), (name, value)];
        world.request(world.server().management_addr, "PUT", &path, &headers, body.as_bytes()).await
    };
    assert_problem(&put_if("if-none-match", "*").await, 412, "it is there");
    assert_problem(&put_if("if-match", "\"0\"").await, 412, "another state");
    let changed = put_if("if-match", &first).await;
    assert_eq!(changed.status, 200, "{changed:?}");
    assert_ne!(changed.header("etag").unwrap(), first);
    assert_problem(&put_if("if-match", &first).await, 412, "changed since");
    assert_eq!(put_if("if-match", "*").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hub_that_goes_while_devices_register_costs_none_its_registration() {
    let world = World::new().await;
    world.link_hub("hub-2.example", 1000, 1_000_000).await;
    let mut devices = Vec::new();
    for number in 0..40 {
        devices.push(world.device(&format!("d-{number}")).await);
    }
    let registering: Vec<_> =
        devices.iter().cloned().map(|device| tokio::spawn(async move { device.register().await })).collect();
    tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    let unlinked = raw(&world, "DELETE", "hubs/hub-2.example", "").await;
    assert_eq!(unlinked.status, 204, "{unlinked:?}");
    for one in registering {
        let answer = one.await.unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(json_of(&answer)["status"], "assigned", "{answer:?}");
    }
    for device in &devices {
        let state = json_of(&device.register().await)["registrationState"].clone();
        assert_eq!(state["assignedHub"], "hub-1.example", "{state}");
    }
    let hub = world.get(&format!("/api/v1/scopes/{}/hubs/hub-1.example", world.scope)).await;
    assert_eq!(hub["assigned"], 40, "{hub}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_does_not_fit_the_contract_is_refused_by_name() {
    let world = World::empty(|_| {}).await;
    for (guest, names) in [
        ("missing-export", "hub-selection"),
        ("unknown-import", "vault:keys/safe"),
        ("other-version", "landfall:policy@0.9.0"),
        ("outcome-with-escalate", "hub-selection/select-hub"),
        ("hub-without-location", "hub-selection/select-hub"),
    ] {
        let answer = publish(&world, "chooser", component(guest)).await;
        assert_problem(&answer, 422, guest);
        let detail = json_of(&answer)["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains(names), "{guest}: {detail}");
    }
    for (what, bytes) in [("core module", b"\0asm\x01\0\0\0".as_slice()), ("garbage", b"not wasm"), ("nothing", b"")] {
        assert_problem(&publish(&world, "chooser", bytes).await, 422, what);
    }
    let path = format!("/api/v1/scopes/{}/plugins/chooser", world.scope);
    assert_eq!(world.manage("GET", &path, b"").await.status, 404, "none of them was kept");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revision_that_a_groups_settings_do_not_fit_never_goes_live() {
    let world = World::new().await;
    assert_eq!(publish(&world, "chooser", component("takes-first")).await.status, 201);
    let mut choosing = group("factory");
    choosing["allocation"]["selection"]["plugin"] = json!("chooser");
    world.put("enrollment-groups/devices", &choosing).await;
    let path = format!("/api/v1/scopes/{}/plugins/chooser", world.scope);
    let before = world.get(&path).await;

    let answer = publish(&world, "chooser", component("refuses-settings")).await;
    assert_problem(&answer, 409, "the settings do not fit");
    assert!(json_of(&answer)["detail"].as_str().unwrap().contains("devices"), "names the group: {answer:?}");
    assert_eq!(world.get(&path).await, before);
    assert_eq!(json_of(&world.device("pump-1").await.register().await)["status"], "assigned");
    assert_problem(&raw(&world, "DELETE", "plugins/chooser", "").await, 409, "a group names it");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_names_the_hubs_that_it_was_made_from() {
    let world = World::new().await;
    let answer = world.device("pump-1").await.register().await;
    let entry = world.ledger(&landfall_tests::world::tracking_id(&answer)).await;
    assert_eq!(entry["hubs"][0]["name"], "hub-1.example", "{entry}");
    let read: landfall::ledger::Entry = serde_json::from_value(entry).unwrap();
    assert_eq!(read.registration_id, "pump-1");
}

/// What a role's token is wished with.
const ROLES: [(&str, &str); 4] = [
    ("operator", r#"{"role":"operator"}"#),
    ("auditor", r#"{"role":"auditor"}"#),
    ("publisher", r#"{"role":"publisher"}"#),
    ("manufacturer", r#"{"role":"manufacturer","manufacturer":"acme"}"#),
];

/// Said here once more, and not asked of the code under test.
fn may(rule: Rule, role: &str) -> bool {
    let roles: &[&str] = match rule {
        Rule::AnyToken => &["operator", "auditor", "publisher", "manufacturer"],
        Rule::Operate | Rule::OperateAll => &["operator"],
        Rule::Read | Rule::ReadAll => &["operator", "auditor"],
        Rule::Import => &["operator", "manufacturer"],
        Rule::ReadRecords => &["operator", "auditor", "manufacturer"],
        Rule::Publish => &["operator", "publisher"],
        Rule::ReadPlugins => &["operator", "auditor", "publisher"],
    };
    roles.contains(&role)
}

async fn token(world: &World, wish: Value) -> String {
    let made = world.manage("POST", "/api/v1/tokens", wish.to_string().as_bytes()).await;
    json_of(&made)["token"].as_str().unwrap().to_owned()
}

async fn call(world: &World, authorization: Option<&str>, method: &Method, path: &str) -> Answer {
    let headers: Vec<(&str, &str)> = authorization.map(|value| ("authorization", value)).into_iter().collect();
    world.request(world.server().management_addr, method.as_str(), path, &headers, b"").await
}

async fn put(world: &World, what: &str, body: &Value) -> Answer {
    raw(world, "PUT", what, &body.to_string()).await
}

async fn raw(world: &World, method: &str, what: &str, body: &str) -> Answer {
    world.manage(method, &format!("/api/v1/scopes/{}/{what}", world.scope), body.as_bytes()).await
}

async fn publish(world: &World, name: &str, component: &[u8]) -> Answer {
    let path = format!("/api/v1/scopes/{}/plugins/{name}", world.scope);
    world.manage_as(&world.operator_token, "PUT", &path, "application/wasm", component).await
}

fn pointers(answer: &Answer) -> Vec<String> {
    let errors = json_of(answer)["errors"].clone();
    errors.as_array().unwrap().iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
}

/// Asserts an RFC 9457 problem document of this status.
fn assert_problem(answer: &Answer, status: u16, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{what}: {answer:?}");
    let problem = json_of(answer);
    assert_eq!(problem["status"], status, "{what}");
    assert!(!problem["detail"].as_str().unwrap().is_empty(), "{what} says nothing");
}
