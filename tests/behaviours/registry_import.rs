//! Manufacturing records come in through the front door: streamed, reported row by row, and only as far as a token goes.

use http::Method;
use landfall::client::{self, Answer, Client, FileUpload};
use landfall_tests::world::{World, json_of};
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread")]
async fn a_large_file_is_imported_as_it_comes_and_again_without_a_change() {
    let world = World::empty(|_| {}).await;
    let rows: u64 = 60_000;
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("records.jsonl");
    let lines: String = (0..rows)
        .map(|n| format!("{}\n", json!({ "registrationId": format!("pump-{n}"), "facts": { "site": "oslo" } })))
        .collect();
    std::fs::write(&file, lines).unwrap();
    for (added, unchanged) in [(rows, 0), (0, rows)] {
        let upload = FileUpload::open(&file).await.unwrap();
        let report = json_of(&import(&world, "?manufacturer=acme", "application/x-ndjson", upload.into()).await);
        assert_eq!(
            (report["added"].as_u64(), report["unchanged"].as_u64()),
            (Some(added), Some(unchanged)),
            "{report}"
        );
        assert_eq!(report["refused"], 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn exactly_the_bad_rows_among_many_are_reported() {
    let world = World::empty(|_| {}).await;
    let line = |n: u64| if n.is_multiple_of(100) { format!("bad {n},x\n") } else { format!("pump-{n},x\n") };
    let file: String = std::iter::once("registrationId,model\n".to_owned()).chain((1..=20_000).map(line)).collect();
    let report = json_of(&import(&world, "?manufacturer=acme", "text/csv", file.into_bytes().into()).await);
    assert_eq!(
        (report["rows"].as_u64(), report["added"].as_u64(), report["refused"].as_u64()),
        (Some(20_000), Some(19_800), Some(200))
    );
    let lines: Vec<u64> =
        report["errors"].as_array().unwrap().iter().map(|error| error["line"].as_u64().unwrap()).collect();
    // The names of the columns are line 1.
    assert_eq!(lines, (1..=200).map(|n| n * 100 + 1).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn all_or_nothing_leaves_nothing_behind() {
    let world = World::empty(|_| {}).await;
    let mut file: String = (0..12_000).map(|n| format!("{{\"registrationId\":\"pump-{n}\"}}\n")).collect();
    file.push_str("{\"registrationId\":\"pump 12000\"}\n");
    let query = "?manufacturer=acme&allOrNothing=true";
    let report = json_of(&import(&world, query, "application/x-ndjson", file.clone().into_bytes().into()).await);
    assert_eq!((&report["written"], &report["refused"]), (&json!(false), &json!(1)), "{report}");
    assert_eq!((&report["added"], &report["wouldBeAdded"]), (&json!(0), &json!(12_000)), "{report}");
    assert_eq!(listed(&world).await, 0);
    let good = file.replace("pump 12000", "pump-12000");
    let report = json_of(&import(&world, query, "application/x-ndjson", good.into_bytes().into()).await);
    assert_eq!((&report["written"], &report["added"]), (&json!(true), &json!(12_001)), "{report}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_survives_the_next_import_and_a_retired_device_stays_as_it_is() {
    let world = World::empty(|_| {}).await;
    world.record("pump-1", None).await;
    world.put("records/pump-1/state", &json!({ "state": "quarantined" })).await;
    let row = b"{\"registrationId\":\"pump-1\",\"facts\":{\"site\":\"bergen\"}}".to_vec();
    let report = json_of(&import(&world, "?manufacturer=acme", "application/x-ndjson", row.into()).await);
    assert_eq!(report["updated"], 1, "{report}");
    let path = format!("/api/v1/scopes/{}/records/pump-1", world.scope);
    assert_eq!(world.get(&path).await["state"], "quarantined");
    world.put("records/pump-1/state", &json!({ "state": "retired" })).await;
    let row = b"{\"registrationId\":\"pump-1\",\"facts\":{\"site\":\"lom\"}}".to_vec();
    let report = json_of(&import(&world, "?manufacturer=acme", "application/x-ndjson", row.into()).await);
    assert_eq!(report["refused"], 1, "{report}");
    let back = world.manage("PUT", &format!("{path}/state"), b"{\"state\":\"active\"}").await;
    assert_eq!(back.status, 409, "{back:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_leaves_evidence_out_takes_it_away_only_when_it_is_told_to() {
    let world = World::new().await;
    let issued = world.factory.device("pump-1", landfall_domain::clock::Ambient::system().now(), 30).unwrap();
    let device = world.stranger("pump-1", &issued);
    world.record("pump-1", Some(landfall_domain::names::Digest::of(b"another certificate"))).await;
    let bare = async |query: &str| {
        let rows = b"{\"registrationId\":\"pump-1\",\"facts\":{\"site\":\"lom\"}}".to_vec();
        json_of(&import(&world, &format!("?manufacturer=acme{query}"), "application/x-ndjson", rows.into()).await)
    };
    let left_out = |dropped: bool| json!({ "dropped": dropped, "rows": 1, "members": { "certificateSha256": 1 } });
    let report = bare("").await;
    assert_eq!((&report["updated"], &report["evidenceLeftOut"]), (&json!(1), &left_out(false)), "{report}");
    assert_eq!(device.register().await.status, 401, "the record names another certificate still");
    let report = bare("&dropEvidence=true&dryRun=true").await;
    assert_eq!((&report["written"], &report["evidenceLeftOut"]), (&json!(false), &left_out(true)), "{report}");
    let report = bare("&dropEvidence=true&allOrNothing=true&dryRun=true").await;
    assert_eq!(report["evidenceLeftOut"], left_out(true), "{report}");
    assert_eq!(device.register().await.status, 401);
    let report = bare("&dropEvidence=true").await;
    assert_eq!((&report["written"], &report["evidenceLeftOut"]), (&json!(true), &left_out(true)), "{report}");
    assert_eq!(device.register().await.status, 200);
    assert!(bare("").await.get("evidenceLeftOut").is_none(), "nothing is left out any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_manufacturer_may_have_so_many_records_and_no_more() {
    let world = World::empty(|_| {}).await;
    let wish = json!({ "role": "manufacturer", "manufacturer": "blue", "scope": world.scope, "quota": 5 });
    let made = json_of(&world.manage("POST", "/api/v1/tokens", wish.to_string().as_bytes()).await);
    let token = made["token"].as_str().unwrap();
    let path = format!("/api/v1/scopes/{}/records", world.scope);
    let rows: String = (0..8).map(|n| format!("{{\"registrationId\":\"b-{n}\"}}\n")).collect();
    for (added, unchanged) in [(5, 0), (0, 5)] {
        let answer = world.manage_as(token, "POST", &path, "application/x-ndjson", rows.as_bytes()).await;
        let report = json_of(&answer);
        assert_eq!(
            (&report["added"], &report["unchanged"], &report["refused"]),
            (&json!(added), &json!(unchanged), &json!(3)),
            "{report}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_cannot_be_read_on_is_answered_although_more_of_it_comes() {
    let world = World::empty(|config| config.limits.management.import_rows = 10).await;
    let file: String = (0..200_000).map(|n| format!("{{\"registrationId\":\"pump-{n}\"}}\n")).collect();
    let answer = import(&world, "?manufacturer=acme", "application/x-ndjson", file.into_bytes().into()).await;
    let report = json_of(&answer);
    assert_eq!(report["added"], 10, "{report}");
    assert!(report["stopped"].as_str().is_some_and(|reason| reason.contains("at most 10 rows")), "{report}");
}

async fn import(world: &World, query: &str, content_type: &str, body: client::RequestBody) -> Answer {
    let ca = std::fs::read(world.folder.ca_certificate()).unwrap();
    let tls = client::tls::client(&ca, None).unwrap();
    let mut client = Client::connect(world.server().management_addr, "localhost", tls).await.unwrap();
    let bearer = format!("Bearer {}", world.operator_token);
    let headers = client::headers(&[("authorization", bearer.as_str()), ("content-type", content_type)]);
    let path = format!("/api/v1/scopes/{}/records{query}", world.scope);
    let answer = client.send(Method::POST, &path, headers, body).await.unwrap();
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

async fn listed(world: &World) -> usize {
    let page: Value = world.get(&format!("/api/v1/scopes/{}/records", world.scope)).await;
    page["items"].as_array().unwrap().len()
}
