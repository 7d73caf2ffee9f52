//! The management API, over its own TLS listener: who may do what, what errors look like, and that its document is true.

use std::path::Path;

use http::Method;
use landfall::admin_api::{self, Rule};
use landfall::client::{self, Answer, Client};
use landfall_tests::world::{World, group, in_tests, json_of};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn every_route_refuses_every_wrong_credential() {
    let world = World::new().await;
    let token = |wish: Value| make_token(&world, wish);
    let scope = world.scope.to_string();
    let other = "0neOTHER";
    assert_eq!(world.manage("PUT", &format!("/api/v1/scopes/{other}"), b"").await.status, 201);
    let stranger = "lf_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA".to_owned();
    let elsewhere = token(json!({ "role": "operator", "scope": other })).await;
    let revoked = token(json!({ "role": "operator" })).await;
    let id = revoked["id"].as_str().unwrap();
    assert_eq!(world.manage("DELETE", &format!("/api/v1/tokens/{id}"), b"").await.status, 204);
    let auditor = secret(&token(json!({ "role": "auditor", "scope": scope })).await);
    let publisher = secret(&token(json!({ "role": "publisher", "scope": scope })).await);
    let manufacturer = secret(&token(json!({ "role": "manufacturer", "manufacturer": "acme", "scope": scope })).await);

    let endpoints = admin_api::endpoints();
    assert!(endpoints.len() > 30, "the table is there");
    for (method, template, rule) in endpoints {
        let path = filled(template, &scope);
        let call = async |credential: Option<&str>| status_of(&world, &method, &path, credential).await;
        if rule == Rule::Anybody {
            assert!(["/healthz", "/readyz"].contains(&template), "{template} needs no token");
            assert_eq!(call(None).await, 200, "{template}");
            continue;
        }
        for (what, credential) in [
            ("nobody", None),
            ("a stranger's token", Some(stranger.clone())),
            ("a revoked token", Some(secret(&revoked))),
            ("a token and more", Some(format!("{} x", world.operator_token))),
            ("no token at all", Some(String::new())),
        ] {
            let status = call(credential.as_deref()).await;
            assert_eq!(status, 401, "{method} {template}: {what}");
        }
        if template.contains("{scope}") {
            assert_eq!(call(Some(&secret(&elsewhere))).await, 403, "{method} {template}: a token of another scope");
        }
        // Told by role and not by rule, so that a rule that is too wide is seen here.
        let changes = method != Method::GET;
        let of_records = template.contains("/records") && !template.ends_with("/state");
        // What a plugin may use, and who is asked in its place, is the operator's to say.
        let of_plugins = template.contains("/plugins") && method != Method::PATCH;
        // Theirs are bound to a scope, and these are of all scopes.
        let of_every_scope = ["/api/v1/tokens", "/api/v1/store/check", "/metrics"].contains(&template);
        let of_all = template.ends_with("/openapi.json") || template == "/api/v1/scopes";
        for (who, credential, may) in [
            ("an auditor", &auditor, !changes && !of_every_scope),
            ("a publisher", &publisher, of_plugins || (of_all && !changes)),
            ("a manufacturer", &manufacturer, of_records || (of_all && !changes)),
        ] {
            let status = call(Some(credential)).await;
            assert_eq!(status != 403, may, "{method} {template} ({rule:?}): {who} was answered {status}");
            assert_ne!(status, 401, "{method} {template}: {who} has a token");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_ends_and_is_never_shown_again() {
    let world = World::empty(|_| {}).await;
    let made = make_token(&world, json!({ "role": "auditor", "note": "for the year's end", "days": 1 })).await;
    let listed = world.get("/api/v1/tokens").await;
    assert!(!listed.to_string().contains(&secret(&made)), "a list shows a token");
    let entry = listed["items"].as_array().unwrap().iter().find(|token| token["id"] == made["id"]).unwrap();
    assert_eq!(entry["note"], "for the year's end");
    assert!(entry["expiresAt"].as_str().is_some());
    let database = std::fs::read(world.folder.database()).unwrap();
    let needle = secret(&made);
    assert!(!database.windows(needle.len()).any(|window| window == needle.as_bytes()), "the database holds a token");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_revoked_does_nothing_any_more_in_requests_that_are_under_way() {
    let world = World::new().await;
    let wish = json!({ "role": "operator", "note": "made by a thief" }).to_string();
    let rows = "{\"registrationId\":\"pump-9\"}\n".to_owned();
    let records = format!("/api/v1/scopes/{}/records?manufacturer=acme", world.scope);
    for (path, content_type, body) in
        [("/api/v1/tokens", "application/json", wish), (records.as_str(), "application/x-ndjson", rows)]
    {
        let made = make_token(&world, json!({ "role": "operator" })).await;
        let (began, go_on) = (tokio::sync::oneshot::channel::<()>(), tokio::sync::oneshot::channel::<()>());
        let token = secret(&made);
        let call = half_sent(&world, path, content_type, &token, body, began.0, go_on.1);
        let revoke = async {
            began.1.await.unwrap();
            let id = made["id"].as_str().unwrap();
            assert_eq!(world.manage("DELETE", &format!("/api/v1/tokens/{id}"), b"").await.status, 204);
            go_on.0.send(()).unwrap();
        };
        let (answer, ()) = tokio::join!(call, revoke);
        assert!(!answer.contains(" 201 ") && !answer.contains("\"added\":1"), "{path}: {answer}");
    }
    let listed = world.get("/api/v1/tokens").await;
    assert!(!listed.to_string().contains("made by a thief"), "{listed}");
    assert_eq!(world.manage("GET", &format!("/api/v1/scopes/{}/records/pump-9", world.scope), b"").await.status, 404);
}

/// Sends the head of a request and a byte of its body, and the rest when it is told to; gives the answer as it came.
async fn half_sent(
    world: &World,
    path: &str,
    content_type: &str,
    token: &str,
    body: String,
    began: tokio::sync::oneshot::Sender<()>,
    go_on: tokio::sync::oneshot::Receiver<()>,
) -> String {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let socket = tokio::net::TcpStream::connect(world.server().management_addr).await.unwrap();
    let ca = std::fs::read(world.folder.ca_certificate()).unwrap();
    let tls = client::tls::client(&ca, None).unwrap();
    let name = "localhost".try_into().unwrap();
    let mut stream = tokio_rustls::TlsConnector::from(tls).connect(name, socket).await.unwrap();
    let head = format!(
        "POST {path} HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {token}\r\ncontent-type: {content_type}\r\n\
         content-length: {}\r\nconnection: close\r\n\r\n",
        body.len()
    );
    let (first, rest) = body.split_at(1);
    stream.write_all(format!("{head}{first}").as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    // The handler runs when others that came later have been answered.
    assert_eq!(world.health("/healthz").await.status, 200);
    began.send(()).unwrap();
    go_on.await.unwrap();
    stream.write_all(rest.as_bytes()).await.unwrap();
    stream.flush().await.unwrap();
    let mut answer = String::new();
    // The end may come without a farewell.
    let _ = stream.read_to_string(&mut answer).await;
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_but_operators_and_auditors_is_good_for_every_scope() {
    let world = World::empty(|_| {}).await;
    for wish in [json!({ "role": "manufacturer", "manufacturer": "acme" }), json!({ "role": "publisher" })] {
        let answer = world.manage("POST", "/api/v1/tokens", wish.to_string().as_bytes()).await;
        assert_eq!(answer.status, 400, "{wish}: {answer:?}");
        assert_eq!(json_of(&answer)["errors"][0]["pointer"], "/scope");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_last_operator_cannot_lock_everybody_out() {
    let world = World::empty(|_| {}).await;
    let answer = world.manage("DELETE", "/api/v1/tokens/first-operator", b"").await;
    assert_eq!(answer.status, 409, "{answer:?}");
    let second = secret(&make_token(&world, json!({ "role": "operator" })).await);
    let answer = world.manage_as(&second, "DELETE", "/api/v1/tokens/first-operator", "application/json", b"").await;
    assert_eq!(answer.status, 204);
    assert_eq!(world.manage("GET", "/api/v1/status", b"").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manufacturer_sees_its_own_records_only() {
    let world = World::empty(|_| {}).await;
    world.record("theirs", None).await;
    let wish = json!({ "role": "manufacturer", "manufacturer": "blue", "scope": world.scope, "quota": 2 });
    let blue = secret(&make_token(&world, wish).await);
    let path = format!("/api/v1/scopes/{}/records", world.scope);
    let rows = b"{\"registrationId\":\"ours\"}\n{\"registrationId\":\"theirs\"}\n";
    let report = json_of(&world.manage_as(&blue, "POST", &path, "application/x-ndjson", rows).await);
    assert_eq!((&report["added"], &report["refused"]), (&json!(1), &json!(1)), "{report}");
    assert_eq!(report["errors"][0]["line"], 2);

    let get = async |what: &str| world.manage_as(&blue, "GET", &format!("{path}{what}"), "application/json", b"").await;
    let items = json_of(&get("").await);
    assert_eq!(items["items"].as_array().unwrap().len(), 1);
    assert_eq!(get("/ours").await.status, 200);
    assert_eq!(get("/theirs").await.status, 404, "another's record is as good as none");
    let foreign = world.manage_as(&blue, "POST", &format!("{path}?manufacturer=acme"), "text/csv", b"").await;
    assert_eq!(foreign.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_no_object_is_refused_in_one_sentence_by_every_endpoint() {
    let world = World::new().await;
    let document = world.get("/api/v1/openapi.json").await;
    world.put("authorities/factory/revocation", &json!({ "revokeSerials": [{ "from": "7f01" }] })).await;
    let revoked = world.get(&format!("/api/v1/scopes/{}/revocations", world.scope)).await;
    let issuer = revoked["items"][0]["id"].as_str().unwrap().to_owned();
    let mut walked = 0;
    for (template, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if operation["requestBody"]["content"].get("application/json").is_none() {
                continue;
            }
            walked += 1;
            let name = match template {
                of_plugins if of_plugins.contains("/plugins/") => "weighted",
                of_authorities if of_authorities.contains("/authorities/") => "factory",
                _ => "hub-1.example",
            };
            let path = template
                .replace("{scope}", world.scope.as_str())
                .replace("{name}", name)
                .replace("{id}", "pump-1")
                .replace("{issuer}", &issuer);
            for (body, found) in [
                ("[]", "an array"),
                (r#"[{"role":"operator"},1]"#, "an array"),
                ("7", "a number"),
                ("-0.5", "a number"),
                (r#""operator""#, "a string"),
                ("true", "true or false"),
                ("null", "null"),
            ] {
                let answer = world.manage(&method.to_uppercase(), &path, body.as_bytes()).await;
                assert_eq!(answer.status, 400, "{method} {template} {body}: {answer:?}");
                let problem = json_of(&answer);
                let wanted = format!("the body must be a JSON object, and this is {found}");
                assert_eq!(problem["detail"], wanted, "{method} {template} {body}");
                assert_eq!(problem.get("errors"), None, "{problem}");
            }
        }
    }
    assert!(walked > 8, "{walked}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_in_a_body_is_told_with_its_place() {
    let world = World::empty(|_| {}).await;
    world.upload_authority("factory", &world.factory).await;
    let put = async |what: &str, body: Value| {
        let path = format!("/api/v1/scopes/{}/{what}", world.scope);
        let answer = world.manage("PUT", &path, body.to_string().as_bytes()).await;
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{answer:?}");
        assert!(answer.status.is_client_error());
        json_of(&answer)
    };
    let problem =
        put("hubs/a.example", json!({ "capacity": 5, "location": { "latitude": "north", "longitude": 0 } })).await;
    assert_eq!(problem["errors"][0]["pointer"], "/location/latitude", "{problem}");
    let problem = put("hubs/a.example", json!({ "capacity": 5, "wieght": 3 })).await;
    assert!(problem["errors"][0]["message"].as_str().unwrap().contains("did you mean `weight`?"), "{problem}");
    let problem =
        put("hubs/a.example", json!({ "capacity": 5, "weight": 0, "location": { "latitude": 91, "longitude": 0 } }))
            .await;
    let pointers: Vec<_> = problem["errors"].as_array().unwrap().iter().map(|error| error["pointer"].clone()).collect();
    assert_eq!(pointers, ["/weight", "/location/latitude"], "{problem}");

    let mut wrong = group("factory");
    wrong["hubs"] = json!(["nowhere.example"]);
    wrong["allocation"]["selection"]["settings"] = json!({ "alternates": "many" });
    let problem = put("enrollment-groups/g", wrong).await;
    let pointers: Vec<_> = problem["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|error| error["pointer"].as_str().unwrap().to_owned())
        .collect();
    assert!(pointers.contains(&"/hubs/0".to_owned()), "{problem}");
    assert!(pointers.iter().any(|pointer| pointer.starts_with("/allocation/selection/settings")), "{problem}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_refusal_is_a_problem_document() {
    let world = World::empty(|config| config.limits.management.body_bytes = 4096).await;
    let scope = world.scope.to_string();
    let json = "application/json";
    let hub = format!("/api/v1/scopes/{scope}/hubs/a.example");
    let large = format!("{{\"capacity\":1,\"labels\":{{\"x\":\"{}\"}}}}", "y".repeat(5000));
    for (method, path, content_type, body, status) in [
        ("GET", "/api/v1/nothing".to_owned(), json, "", 404),
        ("GET", "/nothing".to_owned(), json, "", 404),
        ("PATCH", hub.clone(), json, "", 405),
        ("PUT", hub.clone(), json, "{", 400),
        ("PUT", hub.clone(), "text/plain", "{}", 415),
        ("PUT", hub.clone(), json, large.as_str(), 413),
        ("PUT", format!("/api/v1/scopes/{scope}/hubs/UPPER"), json, "{\"capacity\":1}", 400),
        ("GET", format!("/api/v1/scopes/{scope}/hubs/%ff"), json, "", 400),
        ("GET", format!("/api/v1/scopes/{scope}/records?limit=many"), json, "", 400),
        ("GET", format!("/api/v1/scopes/{scope}/records?stat=active"), json, "", 400),
        ("GET", "/api/v1/scopes/0neNOBODY/hubs".to_owned(), json, "", 404),
        ("POST", format!("/api/v1/scopes/{scope}/records?manufacturer=acme"), "application/zip", "x", 415),
        ("POST", format!("/api/v1/scopes/{scope}/records"), "text/csv", "registrationId\n", 400),
    ] {
        let answer = world.manage_as(&world.operator_token, method, &path, content_type, body.as_bytes()).await;
        assert_eq!(answer.status, status, "{method} {path}: {answer:?}");
        assert_eq!(answer.header("content-type"), Some("application/problem+json"), "{method} {path}: {answer:?}");
        let problem = json_of(&answer);
        assert_eq!(problem["status"], status);
        assert!(problem["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_changes_what_somebody_else_has_changed_is_told() {
    let world = World::new().await;
    let path = format!("/api/v1/scopes/{}/enrollment-groups/devices", world.scope);
    let put = async |condition: (&str, &str), body: &Value| {
        let bearer = format!("Bearer {}", world.operator_token);
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), condition];
        send(&world, "PUT", &path, &headers, body.to_string().as_bytes()).await
    };
    let shown = world.manage("GET", &path, b"").await;
    let tag = shown.header("etag").unwrap().to_owned();
    let mut changed = group("factory");
    changed["enabled"] = json!(false);
    assert_eq!(put(("if-none-match", "*"), &changed).await.status, 412);
    assert_eq!(put(("if-match", "\"other\""), &changed).await.status, 412);
    let first = put(("if-match", &tag), &changed).await;
    assert_eq!(first.status, 200);
    assert_ne!(first.header("etag"), Some(tag.as_str()));
    assert_eq!(put(("if-match", &tag), &changed).await.status, 412, "the tag is an old one now");
    assert_eq!(put(("if-match", "*"), &changed).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_read_can_be_changed_and_sent_back() {
    let world = World::new().await;
    let issued = world.factory.device("lone", landfall_domain::clock::Ambient::system().now(), 1).unwrap();
    let mut lone = group("factory");
    lone["x509"] = json!({ "certificates": { "primary": issued.certificate_pem } });
    world.put("enrollments/lone", &lone).await;
    for what in ["enrollments/lone", "enrollment-groups/devices", "hubs/hub-1.example"] {
        let path = format!("/api/v1/scopes/{}/{what}", world.scope);
        let read = world.get(&path).await;
        let written = world.put(what, &read).await;
        let (mut read, mut written) = (read, written);
        for document in [&mut read, &mut written] {
            for changes in ["etag", "updatedAt"] {
                document.as_object_mut().unwrap().remove(changes);
            }
        }
        assert_eq!(read, written, "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_come_in_pages_that_lead_on() {
    let world = World::empty(|_| {}).await;
    for number in 0..5 {
        world.link_hub(&format!("hub-{number}.example"), 1, 10).await;
        world.record(&format!("pump-{number}"), None).await;
    }
    for (what, key) in [("hubs", "name"), ("records", "registrationId")] {
        let (mut seen, mut after) = (Vec::new(), String::new());
        loop {
            let page = world.get(&format!("/api/v1/scopes/{}/{what}?limit=2{after}", world.scope)).await;
            let items = page["items"].as_array().unwrap();
            assert!(items.len() <= 2, "{page}");
            seen.extend(items.iter().map(|item| item[key].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), 5, "{what}");
        assert!(seen.is_sorted(), "{seen:?}");
    }
}

#[test]
fn the_openapi_document_is_the_golden_one() {
    let document = admin_api::document();
    let now = format!("{}\n", serde_json::to_string_pretty(&document).unwrap());
    let golden = in_tests("vectors/openapi.json");
    if std::env::var_os("LANDFALL_RENEW_GOLDEN").is_some() {
        std::fs::write(&golden, &now).unwrap();
    }
    let kept = std::fs::read_to_string(&golden).unwrap_or_default();
    assert!(
        kept == now,
        "the management API has changed, and {} has not. If that is meant, renew it with\n  \
         LANDFALL_RENEW_GOLDEN=1 cargo test -p landfall-tests the_openapi_document_is_the_golden_one\n\
         and look at the difference before you commit it.",
        Path::new("tests/vectors/openapi.json").display()
    );
}

#[test]
fn every_reference_in_the_openapi_document_leads_somewhere() {
    fn references(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("$ref").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = serde_json::to_value(admin_api::document()).unwrap();
    let mut found = Vec::new();
    references(&document, &mut found);
    assert!(!found.is_empty());
    for reference in found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference} leads nowhere");
    }
}

async fn make_token(world: &World, wish: Value) -> Value {
    let answer = world.manage("POST", "/api/v1/tokens", wish.to_string().as_bytes()).await;
    assert_eq!(answer.status, 201, "{wish}: {answer:?}");
    json_of(&answer)
}

fn secret(made: &Value) -> String {
    made["token"].as_str().expect("a token").to_owned()
}

fn filled(template: &str, scope: &str) -> String {
    template
        .replace("{scope}", scope)
        .replace("{trackingId}", "0197c5c1-0000-7000-8000-000000000000")
        .replace("{name}", "nobody")
        .replace("{id}", "nobody")
}

async fn status_of(world: &World, method: &Method, path: &str, token: Option<&str>) -> u16 {
    let bearer = token.map(|token| format!("Bearer {token}"));
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(bearer.as_deref().map(|bearer| ("authorization", bearer)));
    send(world, method.as_str(), path, &headers, b"").await.status.as_u16()
}

async fn send(world: &World, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
    let ca = std::fs::read(world.folder.ca_certificate()).unwrap();
    let tls = client::tls::client(&ca, None).unwrap();
    let mut client = Client::connect(world.server().management_addr, "localhost", tls).await.unwrap();
    client.send(method.parse().unwrap(), path, client::headers(headers), body.to_vec()).await.unwrap()
}
