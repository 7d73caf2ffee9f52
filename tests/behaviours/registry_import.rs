//! A manufacturer imports what it has built.

use landfall::client::Answer;
use landfall_tests::world::{World, json_of};
use serde_json::{Value, json};

const JSON_LINES: &str = "application/x-ndjson";
const CSV: &str = "text/csv";

#[tokio::test(flavor = "multi_thread")]
async fn both_formats_say_the_same_of_a_device() {
    let world = World::empty(|_| {}).await;
    let acme = manufacturer(&world, "acme", None).await;
    let lines = "{\"registrationId\":\"a-1\",\"facts\":{\"site\":\"oslo\"}}\n\n{\"registrationId\":\"a-2\",\"facts\":{\"site\":\"bergen\"}}\n";
    let report = import(&world, &acme, JSON_LINES, "", lines).await;
    assert_eq!(counts(&report), [2, 0, 0, 0], "{report}");
    assert_eq!(report["written"], true);

    let table = "registrationId,site\r\na-1,oslo\r\na-2,tromsø\r\na-3,\"a, b\"\r\n";
    let report = import(&world, &acme, CSV, "", table).await;
    assert_eq!(counts(&report), [1, 1, 1, 0], "{report}");
    let record = world.get(&records(&world, "/a-3")).await;
    assert_eq!(record["facts"], json!({ "site": "a, b" }), "{record}");
    assert_eq!(record["manufacturer"], "acme");
    assert_eq!(record["state"], "active");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_twice_changes_nothing() {
    let world = World::empty(|_| {}).await;
    let acme = manufacturer(&world, "acme", None).await;
    let file: String =
        (0..50).map(|n| format!("{{\"registrationId\":\"p-{n}\",\"facts\":{{\"n\":\"{n}\"}}}}\n")).collect();
    assert_eq!(counts(&import(&world, &acme, JSON_LINES, "", &file).await), [50, 0, 0, 0]);
    let before = world.get(&records(&world, "")).await;
    assert_eq!(counts(&import(&world, &acme, JSON_LINES, "", &file).await), [0, 0, 50, 0]);
    assert_eq!(world.get(&records(&world, "")).await, before, "not even a date changed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manufacturer_touches_and_sees_its_own_records_only() {
    let world = World::empty(|_| {}).await;
    let (acme, other) = (manufacturer(&world, "acme", None).await, manufacturer(&world, "other", None).await);
    import(&world, &acme, JSON_LINES, "", "{\"registrationId\":\"a-1\"}\n").await;

    let path = records(&world, "?manufacturer=acme");
    let answer = world.manage_as(&other, "POST", &path, JSON_LINES, b"{\"registrationId\":\"a-2\"}\n").await;
    assert_eq!(answer.status, 403, "{answer:?}");

    let report =
        import(&world, &other, JSON_LINES, "", "{\"registrationId\":\"A-1\"}\n{\"registrationId\":\"o-1\"}\n").await;
    assert_eq!(counts(&report), [1, 0, 0, 1], "{report}");
    assert_eq!(report["errors"][0]["line"], 1);
    assert_eq!(report["errors"][0]["reason"], "another manufacturer has this device");

    assert_eq!(get_as(&world, &other, "/a-1").await.status, 404, "as good as none");
    assert_eq!(ids(&json_of(&get_as(&world, &other, "?manufacturer=acme").await)), ["o-1"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_bad_line_is_told_with_its_number_and_its_reason() {
    let world = World::empty(|_| {}).await;
    let acme = manufacturer(&world, "acme", None).await;
    let lines = [
        r#"{"registrationId":"good-1"}"#,
        r"not JSON",
        r#"{"registrationId":"a b"}"#,
        r#"{"facts":{}}"#,
        r#"{"registrationId":"x","certificateSha256":"12"}"#,
        r#"{"registrationId":"x","serial":"12"}"#,
        r#""registrationId""#,
        r#"{"registrationId":"x","registrationId":"y"}"#,
        r#"{"registrationId":"x","manufacturer":"other"}"#,
        r#"{"registrationId":"good-2"}"#,
    ];
    let report = import(&world, &acme, JSON_LINES, "", &lines.join("\n")).await;
    assert_eq!(counts(&report), [2, 0, 0, 8], "{report}");
    let errors = report["errors"].as_array().unwrap();
    let numbers: Vec<u64> = errors.iter().map(|error| error["line"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [2, 3, 4, 5, 6, 7, 8, 9], "{report}");
    let reason = |at: usize| errors[at]["reason"].as_str().unwrap();
    for (at, word) in [(2, "registrationId"), (3, "certificateSha256"), (4, "serial")] {
        assert!(reason(at).contains(word), "does not name {word}: {}", reason(at));
    }
    assert!(errors.iter().all(|error| !error["reason"].as_str().unwrap().is_empty()));

    let table = "registrationId,certificateSha256,site\ngood-3,,oslo\nbad one,,oslo\nshort,x\ngood-4,,\n";
    let report = import(&world, &acme, CSV, "", table).await;
    assert_eq!(counts(&report), [2, 0, 0, 2], "{report}");
    assert_eq!(
        (report["errors"][0]["line"].as_u64(), report["errors"][1]["line"].as_u64()),
        (Some(3), Some(4)),
        "{report}"
    );
    assert!(report["errors"][1]["reason"].as_str().unwrap().contains("3 columns"), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn all_or_nothing_writes_nothing_when_one_row_is_refused() {
    let world = World::empty(|_| {}).await;
    let acme = manufacturer(&world, "acme", None).await;
    let mixed = "{\"registrationId\":\"a-1\"}\nnonsense\n{\"registrationId\":\"a-2\"}\n";
    let report = import(&world, &acme, JSON_LINES, "?allOrNothing=true", mixed).await;
    assert_eq!(report["written"], false, "{report}");
    assert_eq!(report["errors"][0]["line"], 2, "{report}");
    assert_eq!(ids(&world.get(&records(&world, "")).await), Vec::<String>::new());

    let long: String = (0..5_000).map(|n| format!("{{\"registrationId\":\"l-{n}\"}}\n")).collect();
    let report = import(&world, &acme, JSON_LINES, "?allOrNothing=true", &format!("{long}nonsense\n")).await;
    assert_eq!((&report["written"], &report["refused"]), (&json!(false), &json!(1)), "{report}");
    assert_eq!(ids(&world.get(&records(&world, "")).await), Vec::<String>::new());

    let report = import(&world, &acme, JSON_LINES, "?allOrNothing=true", &long).await;
    assert_eq!(counts(&report), [5_000, 0, 0, 0], "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let world = World::empty(|_| {}).await;
    let acme = manufacturer(&world, "acme", None).await;
    let report = import(&world, &acme, JSON_LINES, "?dryRun=true", "{\"registrationId\":\"a-1\"}\n").await;
    assert_eq!((counts(&report), &report["written"]), ([1, 0, 0, 0], &json!(false)), "{report}");
    assert_eq!(get_as(&world, &acme, "/a-1").await.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_quota_bounds_new_records_and_never_known_ones() {
    let world = World::empty(|_| {}).await;
    let acme = manufacturer(&world, "acme", Some(2)).await;
    let three = "{\"registrationId\":\"a-1\"}\n{\"registrationId\":\"a-2\"}\n{\"registrationId\":\"a-3\"}\n";
    let report = import(&world, &acme, JSON_LINES, "", three).await;
    assert_eq!(counts(&report), [2, 0, 0, 1], "{report}");
    assert_eq!(report["errors"][0]["line"], 3);
    assert!(report["errors"][0]["reason"].as_str().unwrap().contains("quota"), "{report}");
    let changed = "{\"registrationId\":\"a-1\",\"facts\":{\"site\":\"oslo\"}}\n";
    assert_eq!(counts(&import(&world, &acme, JSON_LINES, "", changed).await), [0, 1, 0, 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_device_stays_retired_whoever_says_otherwise() {
    let world = World::empty(|_| {}).await;
    let acme = manufacturer(&world, "acme", None).await;
    import(&world, &acme, JSON_LINES, "", "{\"registrationId\":\"a-1\"}\n{\"registrationId\":\"a-2\"}\n").await;
    assert_eq!(state(&world, "a-1", "quarantined").await.status, 200);
    assert_eq!(state(&world, "a-1", "active").await.status, 200, "quarantine ends");
    assert_eq!(state(&world, "a-1", "retired").await.status, 200);
    assert_eq!(state(&world, "a-1", "active").await.status, 409);
    assert_eq!(state(&world, "nobody", "active").await.status, 404);
    assert_eq!(state(&world, "a-2", "asleep").await.status, 400);

    let again = "{\"registrationId\":\"a-1\",\"facts\":{\"site\":\"oslo\"}}\n";
    let report = import(&world, &acme, JSON_LINES, "", again).await;
    assert_eq!(counts(&report), [0, 0, 0, 1], "{report}");
    assert!(report["errors"][0]["reason"].as_str().unwrap().contains("retired"), "{report}");
    assert_eq!(world.get(&records(&world, "/a-1")).await["state"], "retired");

    assert_eq!(ids(&world.get(&records(&world, "?state=retired")).await), ["a-1"]);
    assert_eq!(ids(&world.get(&records(&world, "?state=active")).await), ["a-2"]);
    assert_eq!(ids(&world.get(&records(&world, "?prefix=A-2")).await), ["a-2"]);
    assert_eq!(ids(&world.get(&records(&world, "?manufacturer=other")).await), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_rows_are_all_there_page_by_page() {
    const ROWS: usize = 20_000;
    let world = World::empty(|_| {}).await;
    let acme = manufacturer(&world, "acme", None).await;
    let file: String = (0..ROWS)
        .map(|n| format!("{{\"registrationId\":\"p-{n:05}\",\"facts\":{{\"site\":\"s{}\"}}}}\n", n % 7))
        .collect();
    let report = import(&world, &acme, JSON_LINES, "", &file).await;
    assert_eq!((&report["added"], &report["rows"]), (&json!(ROWS), &json!(ROWS)), "{report}");

    let mut listed = Vec::new();
    let mut after = String::new();
    loop {
        let page = world.get(&records(&world, &format!("?limit=999{after}"))).await;
        let items = ids(&page);
        assert!(items.len() <= 999);
        listed.extend(items);
        match page["next"].as_str() {
            Some(next) => after = format!("&after={}", landfall::client::management::escaped(next)),
            None => break,
        }
    }
    let all: Vec<String> = (0..ROWS).map(|n| format!("p-{n:05}")).collect();
    assert_eq!(listed, all, "each once, in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_another_kind_is_not_guessed_at() {
    let world = World::empty(|_| {}).await;
    let path = records(&world, "?manufacturer=acme");
    for kind in ["application/json", "text/plain", ""] {
        let answer = world.manage_as(&world.operator_token, "POST", &path, kind, b"{}").await;
        assert_eq!(answer.status, 415, "{kind}");
    }
    let nobody = world.manage_as(&world.operator_token, "POST", &records(&world, ""), JSON_LINES, b"{}").await;
    assert_eq!(nobody.status, 400, "an operator says whose records they are");
}

/// A manufacturer's token.
async fn manufacturer(world: &World, name: &str, quota: Option<u64>) -> String {
    let mut wish = json!({ "role": "manufacturer", "manufacturer": name, "scope": world.scope });
    if let Some(quota) = quota {
        wish["quota"] = quota.into();
    }
    let made = world.manage("POST", "/api/v1/tokens", wish.to_string().as_bytes()).await;
    json_of(&made)["token"].as_str().unwrap().to_owned()
}

async fn import(world: &World, token: &str, kind: &str, query: &str, file: &str) -> Value {
    let answer = world.manage_as(token, "POST", &records(world, query), kind, file.as_bytes()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    json_of(&answer)
}

async fn state(world: &World, id: &str, state: &str) -> Answer {
    let path = records(world, &format!("/{id}/state"));
    world.manage("PUT", &path, json!({ "state": state }).to_string().as_bytes()).await
}

async fn get_as(world: &World, token: &str, what: &str) -> Answer {
    world.manage_as(token, "GET", &records(world, what), "application/json", b"").await
}

fn records(world: &World, what: &str) -> String {
    format!("/api/v1/scopes/{}/records{what}", world.scope)
}

/// Added, updated, unchanged, refused.
fn counts(report: &Value) -> [u64; 4] {
    ["added", "updated", "unchanged", "refused"].map(|name| report[name].as_u64().unwrap())
}

fn ids(page: &Value) -> Vec<String> {
    page["items"].as_array().unwrap().iter().map(|item| item["registrationId"].as_str().unwrap().to_owned()).collect()
}
