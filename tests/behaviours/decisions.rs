//! Finding decisions among many, and what the OpenAPI document says of one.

use landfall_domain::clock::Ambient;
use landfall_tests::world::{World, json_of, tracking_id};
use serde_json::{Map, Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn decisions_are_listed_by_all_that_can_be_asked_for() {
    let world = decided().await;
    let all = listed(&world, "").await;
    // Those that stand, those that were turned down, and those that were refused: the newest first.
    assert_eq!(ids(&all), ["unknown", "dev-3", "dev-2", "dev-1"]);
    let results: Vec<_> = all.iter().map(|item| item["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["refused", "assigned", "failed", "assigned"]);
    let shown = world.get(&format!("/api/v1/decisions/{}", all[3]["trackingId"].as_str().unwrap())).await;
    let revision = shown["kind"]["decided"]["calls"][0]["revision"].as_str().unwrap().to_owned();
    for (query, wanted) in [
        ("verdict=assigned", &["dev-3", "dev-1"][..]),
        ("verdict=failed", &["dev-2"]),
        ("verdict=refused", &["unknown"]),
        ("verdict=waits", &[]),
        ("hub=a.example", &["dev-1"]),
        ("hub=b.example", &["dev-3"]),
        ("registrationId=DEV-2", &["dev-2"]),
        ("registrationId=dev-9", &[]),
        ("group=devices", &["unknown", "dev-3", "dev-2", "dev-1"]),
        ("group=others", &[]),
        ("enrollment=dev-1", &[]),
        // Nobody was asked about a device for which there was no room.
        ("policy=weighted", &["dev-3", "dev-1"]),
        ("policy=table", &["dev-3", "dev-1"]),
        ("policy=nearest", &[]),
        (&format!("policy=weighted@{revision}&verdict=assigned"), &["dev-3", "dev-1"]),
        (&format!("policy=table@{revision}"), &[]),
        ("policy=table&hub=b.example&group=devices&verdict=assigned&registrationId=dev-3", &["dev-3"]),
        ("policy=table&hub=a.example&group=devices&verdict=assigned&registrationId=dev-3", &[]),
    ] {
        assert_eq!(ids(&listed(&world, query).await), wanted, "{query}");
    }
    // The bounds of time: from is within, to is without. Moments of one length are in the order of their texts.
    let at = |item: &Value| item["at"].as_str().unwrap().to_owned();
    for bound in all.iter().map(at).chain(["1970-01-01T00:00:00.0000000Z".to_owned()]) {
        let within = |passes: &dyn Fn(&str) -> bool| -> Vec<&str> {
            all.iter().filter(|item| passes(&at(item))).map(id).collect()
        };
        assert_eq!(ids(&listed(&world, &format!("from={bound}")).await), within(&|at| at >= bound.as_str()), "{bound}");
        assert_eq!(ids(&listed(&world, &format!("to={bound}")).await), within(&|at| at < bound.as_str()), "{bound}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_decisions_follow_each_other_while_more_come() {
    let world = decided().await;
    let first = page(&world, "limit=2").await;
    assert_eq!(ids(first["items"].as_array().unwrap()), ["unknown", "dev-3"]);
    let next = first["next"].as_str().unwrap().to_owned();
    refused(&world, "newer").await;
    let scope = &world.scope;
    let removed = world.manage("DELETE", &format!("/api/v1/scopes/{scope}/registrations/dev-1"), b"").await;
    assert_eq!(removed.status, 204, "{removed:?}");
    let second = page(&world, &format!("limit=9&after={next}")).await;
    assert_eq!(ids(second["items"].as_array().unwrap()), ["dev-2", "dev-1"], "{second}");
    assert!(second.get("next").is_none(), "{second}");

    // The place means nothing elsewhere: another id scope shows what is its own, which is nothing.
    let made = world.manage("PUT", "/api/v1/scopes/0neOTHER", b"").await;
    assert!(made.status.is_success(), "{made:?}");
    let wish = json!({ "role": "operator", "scope": "0neOTHER", "note": "" }).to_string();
    let token = json_of(&world.manage("POST", "/api/v1/tokens", wish.as_bytes()).await)["token"].clone();
    let token = token.as_str().unwrap();
    let ask = async |path: String| world.manage_as(token, "GET", &path, "application/json", b"").await;
    for after in ["", &format!("?after={next}"), "?group=devices", "?hub=a.example"] {
        let elsewhere = json_of(&ask(format!("/api/v1/scopes/0neOTHER/decisions{after}")).await);
        assert_eq!(elsewhere, json!({ "items": [] }), "{after}");
    }
    let forbidden = ask(format!("/api/v1/scopes/{scope}/decisions")).await;
    assert!([403, 404].contains(&forbidden.status.as_u16()), "{forbidden:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_for_decisions_that_is_wrong_is_told_so() {
    let world = World::empty(|_| {}).await;
    let place = "1764280215123.0197c5c1-0000-7000-8000-000000000000";
    assert_eq!(page(&world, &format!("after={place}")).await, json!({ "items": [] }));
    for (query, says) in [
        ("after=", "after"),
        ("after=0000000000000007", "after"),
        (&format!("after=0{place}"), "after"),
        (&format!("after={place}0"), "after"),
        ("from=yesterday", "from"),
        ("to=2026-01-31", "to"),
        ("verdict=maybe", "maybe"),
        ("policy=ours@xyz", "xyz"),
        ("policy=Not%20A%20Name", "Not A Name"),
        ("hub=-", "hub"),
        ("since=2h", "since"),
        ("group=a&enrollment=b", "enrollment"),
    ] {
        let answer = world.manage("GET", &format!("/api/v1/scopes/{}/decisions?{query}", world.scope), b"").await;
        assert_eq!(answer.status, 400, "{query}: {answer:?}");
        let problem = json_of(&answer);
        let told = problem["parameter"] == says || problem["detail"].as_str().unwrap().contains(says);
        assert!(told, "{query}: {problem}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_documents_schema_names_every_member_of_a_decision() {
    let world = decided().await;
    let document = world.get("/api/v1/openapi.json").await;
    let good = &document["paths"]["/api/v1/decisions/{trackingId}"]["get"]["responses"]["2XX"];
    let schema = &good["content"]["application/json"]["schema"];
    let mut kinds = Vec::new();
    for item in listed(&world, "").await {
        let decision = world.get(&format!("/api/v1/decisions/{}", item["trackingId"].as_str().unwrap())).await;
        let misfits = misfits(&document, schema, &decision, "");
        assert!(misfits.is_empty(), "{misfits:#?} in {decision:#}");
        kinds.push(item["result"].as_str().unwrap().to_owned());
        // It can tell: a member that the schema does not name, and one of another type.
        let mut other = decision.clone();
        other["kind"] = json!({ "refused": { "cause": 7, "detail": "", "more": "" } });
        assert_eq!(self::misfits(&document, schema, &other, "").len(), 1);
    }
    assert_eq!(kinds, ["refused", "assigned", "failed", "assigned"]);
    // Every member of what a decision is made of says what it means.
    let mut left = vec![schema.clone()];
    let mut seen: Vec<String> = Vec::new();
    while let Some(schema) = left.pop() {
        for (name, member) in schema["properties"].as_object().into_iter().flatten() {
            let inner =
                member["oneOf"].as_array().into_iter().flatten().any(|choice| choice["description"].is_string());
            assert!(inner || member["description"].is_string(), "{name} has no description: {schema:#}");
        }
        if let Some(name) = schema["$ref"].as_str().filter(|name| !seen.iter().any(|seen| seen == name)) {
            seen.push(name.to_owned());
            left.push(document.pointer(name.trim_start_matches('#')).unwrap().clone());
        }
        let parts = ["oneOf", "allOf"].iter().filter_map(|key| schema[key].as_array()).flatten();
        let members = schema["properties"].as_object().into_iter().flat_map(|members| members.values());
        left.extend(parts.chain(members).chain(schema.get("items")).cloned());
    }
    assert!(seen.len() > 30, "a decision is made of many things: {seen:?}");
}

/// A server that has assigned dev-1, had no room for dev-2, assigned dev-3, and refused `unknown`, in this order.
async fn decided() -> World {
    let world = World::empty(|_| {}).await;
    world.link_hub("a.example", 1, 1).await;
    world.enroll_factory().await;
    for (id, status) in [("dev-1", "assigned"), ("dev-2", "failed"), ("dev-3", "assigned")] {
        if id == "dev-3" {
            world.link_hub("b.example", 1, 9).await;
        }
        let answer = world.device(id).await.register().await;
        assert_eq!(json_of(&answer)["status"], status, "{id}: {answer:?}");
        world.ledger(&tracking_id(&answer)).await;
    }
    refused(&world, "unknown").await;
    world
}

/// Has a device refused that no record names.
async fn refused(world: &World, id: &str) {
    let issued = world.factory.device(id, Ambient::system().now(), 30).unwrap();
    let answer = world.stranger(id, &issued).register().await;
    assert_eq!(answer.status, 401, "{answer:?}");
    world.ledger(&tracking_id(&answer)).await;
}

async fn page(world: &World, query: &str) -> Value {
    let answer = world.manage("GET", &format!("/api/v1/scopes/{}/decisions?{query}", world.scope), b"").await;
    assert_eq!(answer.status, 200, "{query}: {answer:?}");
    json_of(&answer)
}

/// All pages of two.
async fn listed(world: &World, query: &str) -> Vec<Value> {
    let (mut items, mut after) = (Vec::new(), String::new());
    loop {
        let page = page(world, format!("limit=2{after}&{query}").trim_end_matches('&')).await;
        items.extend(page["items"].as_array().unwrap().iter().cloned());
        match page.get("next").and_then(Value::as_str) {
            Some(next) => after = format!("&after={next}"),
            None => return items,
        }
    }
}

fn id(item: &Value) -> &str {
    item["registrationId"].as_str().unwrap()
}

fn ids(items: &[Value]) -> Vec<&str> {
    items.iter().map(id).collect()
}

/// Where a value is not as a schema says: a wrong type, a member that is missing, or one that is not named.
fn misfits(document: &Value, schema: &Value, value: &Value, place: &str) -> Vec<String> {
    if let Some(name) = schema["$ref"].as_str() {
        let schema = document.pointer(name.trim_start_matches('#')).unwrap_or_else(|| panic!("no schema {name}"));
        return misfits(document, schema, value, place);
    }
    if let Some(choices) = schema["oneOf"].as_array() {
        let tried = choices.iter().map(|choice| misfits(document, choice, value, place));
        // The best attempt tells most.
        return tried.min_by_key(Vec::len).filter(|least| !least.is_empty()).map_or_else(Vec::new, |least| {
            vec![format!("{place}: none of {} choices fits, the best because {least:?}", choices.len())]
        });
    }
    if let Some(values) = schema["enum"].as_array() {
        return if values.contains(value) { vec![] } else { vec![format!("{place}: {value} is none of {values:?}")] };
    }
    let kinds: Vec<&str> = match &schema["type"] {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    match value {
        Value::Object(members) if kinds.is_empty() || kinds.contains(&"object") => {
            let (mut named, mut required) = (Map::new(), Vec::new());
            gather(document, schema, &mut named, &mut required);
            let missing = required.iter().filter(|name| !members.contains_key(*name));
            let missing = missing.map(|name| format!("{place}: {name} is missing")).collect::<Vec<_>>();
            let any_other = &schema["additionalProperties"];
            let inner = members.iter().flat_map(|(name, value)| {
                match named.get(name).or(any_other.as_object().map(|_| any_other)) {
                    Some(schema) => misfits(document, schema, value, &format!("{place}/{name}")),
                    None => vec![format!("{place}: {name} is not in the schema")],
                }
            });
            missing.into_iter().chain(inner).collect()
        }
        Value::Array(items) if kinds.contains(&"array") => {
            let each = items.iter().enumerate();
            each.flat_map(|(at, item)| misfits(document, &schema["items"], item, &format!("{place}/{at}"))).collect()
        }
        Value::String(_) if kinds.contains(&"string") => vec![],
        Value::Bool(_) if kinds.contains(&"boolean") => vec![],
        Value::Null if kinds.contains(&"null") => vec![],
        Value::Number(number) if kinds.contains(&"number") || (kinds.contains(&"integer") && !number.is_f64()) => {
            vec![]
        }
        other => vec![format!("{place}: {other} is not of {kinds:?}")],
    }
}

/// The members of an object, those of the objects that it is made of included.
fn gather(document: &Value, schema: &Value, named: &mut Map<String, Value>, required: &mut Vec<String>) {
    if let Some(name) = schema["$ref"].as_str() {
        return gather(document, document.pointer(name.trim_start_matches('#')).unwrap(), named, required);
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        gather(document, part, named, required);
    }
    named.extend(schema["properties"].as_object().into_iter().flatten().map(|(name, of)| (name.clone(), of.clone())));
    required.extend(schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned));
}
