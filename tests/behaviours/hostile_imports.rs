//! Files that nobody should send: cut off on the way, written by spreadsheets, full of what breaks other programs.

use landfall::client::{self, Answer};
use landfall_tests::world::{World, json_of};
use serde_json::{Value, json};

const JSON_LINES: &str = "application/x-ndjson";
const CSV: &str = "text/csv";

#[tokio::test(flavor = "multi_thread")]
async fn the_same_records_in_another_format_change_nothing() {
    let world = World::empty(|_| {}).await;
    let file = "\u{feff}registrationId,model,certificateSha256\r\npump-1,x2,\r\npump-2,\"a, b\",\r\npump-3,,";
    let first = import(&world, CSV, "", file).await;
    assert_eq!(counts(&first), (3, 0, 0, 0), "{first}");
    let before = records(&world).await;
    assert_eq!(before[1]["facts"], json!({ "model": "a, b" }));
    assert_eq!(before[2]["facts"], json!({}), "an empty cell says nothing");

    let second = import(&world, CSV, "", file).await;
    assert_eq!(counts(&second), (0, 0, 3, 0), "{second}");
    let as_lines = "{\"registrationId\":\"pump-1\",\"facts\":{\"model\":\"x2\"}}\n";
    assert_eq!(counts(&import(&world, JSON_LINES, "", as_lines).await), (0, 0, 1, 0), "the same in the other format");
    assert_eq!(records(&world).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn all_or_nothing_is_nothing_when_the_last_of_many_batches_has_a_bad_row() {
    let world = World::empty(|config| config.limits.management.import_batch_rows = 10).await;
    import(&world, JSON_LINES, "", "{\"registrationId\":\"gone\"}\n").await;
    world.put("records/gone/state", &json!({ "state": "retired" })).await;
    let good: String = (0..95).map(|n| format!("{{\"registrationId\":\"pump-{n}\"}}\n")).collect();
    for bad in ["{\"registrationId\":\"pump 7\"}\n", "{\"registrationId\":\"gone\",\"facts\":{\"a\":\"b\"}}\n"] {
        let report = import(&world, JSON_LINES, "&allOrNothing=true", &format!("{good}{bad}")).await;
        assert_eq!((&report["refused"], &report["written"]), (&json!(1), &json!(false)), "{report}");
        assert_eq!(errors(&report)[0]["line"], 96);
        assert_eq!(records(&world).await.len(), 1, "something was written");
    }
    let report = import(&world, JSON_LINES, "&allOrNothing=true", &good).await;
    assert_eq!((counts(&report), &report["written"]), ((95, 0, 0, 0), &json!(true)), "{report}");
    assert_eq!(records(&world).await.len(), 96);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_breaks_off_anywhere_is_finished_by_sending_it_again() {
    let world = World::empty(|config| {
        config.limits.management.import_batch_rows = 16;
        // The server may not have noticed the end of the last ones when the next begins.
        config.limits.management.imports = 64;
    })
    .await;
    // A row of CSV that is cut short still looks like one.
    let mut file = "registrationId,text\n".to_owned();
    for number in 0..100 {
        file.push_str(&format!("pump-{number},as long as it is sent whole {number}\n"));
    }
    for percent in (3..100).step_by(7) {
        break_off(&world, &file.as_bytes()[..file.len() * percent / 100], file.len()).await;
    }
    let report = import(&world, CSV, "", &file).await;
    assert_eq!(report["refused"], 0, "{report}");
    assert_eq!(report["updated"], 0, "half a row was taken for a whole one: {report}");
    let records = records(&world).await;
    assert_eq!(records.len(), 100);
    for record in records {
        let number = record["registrationId"].as_str().unwrap().trim_start_matches("pump-").to_owned();
        assert_eq!(record["facts"]["text"], format!("as long as it is sent whole {number}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn naughty_strings_are_kept_as_they_are_or_refused_with_a_reason() {
    let world = World::empty(|_| {}).await;
    let naughty: Vec<String> = serde_json::from_str(include_str!("../vectors/blns/blns.json")).unwrap();
    assert!(naughty.len() > 500, "the corpus is whole");
    let control = |text: &str| text.chars().any(char::is_control);
    let lines: String = naughty
        .iter()
        .enumerate()
        .map(|(n, text)| {
            format!("{}\n", json!({ "registrationId": format!("as-fact-{n}"), "facts": { "text": text } }))
        })
        .chain(naughty.iter().map(|text| format!("{}\n", json!({ "registrationId": text }))))
        .chain(naughty.iter().map(|text| format!("{}\n", json!({ "registrationId": "x", "facts": { text: "1" } }))))
        .chain(naughty.iter().map(|text| format!("{}\n", json!({ "registrationId": "x", "certificateSha256": text }))))
        .collect();
    let report = import(&world, JSON_LINES, "", &lines).await;
    assert_eq!(report["rows"], 4 * naughty.len());
    assert!(errors(&report).iter().all(|error| !error["reason"].as_str().unwrap().is_empty()));
    for (n, text) in naughty.iter().enumerate() {
        let answer = world.manage("GET", &path(&world, &format!("/as-fact-{n}")), b"").await;
        if control(text) || text.len() > 512 {
            assert_eq!(answer.status, 404, "{text:?} was taken");
        } else {
            assert_eq!(json_of(&answer)["facts"]["text"], **text, "line {}", n + 1);
        }
    }

    // As cells of CSV, byte for byte: what a spreadsheet would run (= + - @) is data like any other.
    let mut cells = "registrationId,text\n".to_owned();
    for (n, text) in naughty.iter().enumerate() {
        cells.push_str(&format!("as-cell-{n},\"{}\"\n", text.replace('"', "\"\"")));
    }
    let report = import(&world, CSV, "", &cells).await;
    assert_eq!(report["rows"], naughty.len());
    assert!(report["stopped"].is_null(), "{report}");
    for (n, text) in naughty.iter().enumerate().filter(|(_, text)| !control(text) && (1..=512).contains(&text.len())) {
        let record = world.get(&path(&world, &format!("/as-cell-{n}"))).await;
        assert_eq!(record["facts"]["text"], **text, "{text:?}");
    }
}

async fn import(world: &World, format: &str, how: &str, file: &str) -> Value {
    let path = format!("{}?manufacturer=acme{how}", path(world, ""));
    report(world.manage_as(&world.operator_token, "POST", &path, format, file.as_bytes()).await)
}

fn report(answer: Answer) -> Value {
    assert_eq!(answer.status, 200, "{answer:?}");
    let report = json_of(&answer);
    let (added, updated, unchanged, refused) = counts(&report);
    let would_be = ["wouldBeAdded", "wouldBeUpdated"].map(|what| report[what].as_u64().unwrap());
    let counted = added + updated + unchanged + refused + would_be.iter().sum::<u64>();
    assert_eq!(report["rows"], counted, "every row is counted once: {report}");
    assert!(report["written"] == true || added + updated == 0, "what was not written was not added: {report}");
    report
}

fn counts(report: &Value) -> (u64, u64, u64, u64) {
    let count = |what: &str| report[what].as_u64().unwrap_or_else(|| panic!("no {what}: {report}"));
    (count("added"), count("updated"), count("unchanged"), count("refused"))
}

fn errors(report: &Value) -> &Vec<Value> {
    report["errors"].as_array().expect("a list of errors")
}

fn path(world: &World, what: &str) -> String {
    format!("/api/v1/scopes/{}/records{what}", world.scope)
}

async fn records(world: &World) -> Vec<Value> {
    world.get(&path(world, "")).await["items"].as_array().expect("a list of records").clone()
}

/// Promises a whole file, sends the beginning and goes away.
async fn break_off(world: &World, beginning: &[u8], whole: usize) {
    use std::io::Write as _;
    use std::sync::Arc;

    let ca = std::fs::read(world.folder.ca_certificate()).expect("the server's CA");
    let config = client::tls::client(&ca, None).expect("TLS");
    let head = format!(
        "POST {}?manufacturer=acme HTTP/1.1\r\nhost: localhost\r\nauthorization: Bearer {}\r\n\
         content-type: {CSV}\r\ncontent-length: {whole}\r\n\r\n",
        path(world, ""),
        world.operator_token
    );
    let (address, beginning) = (world.server().management_addr, beginning.to_owned());
    let sent = tokio::task::spawn_blocking(move || {
        let mut config = Arc::unwrap_or_clone(config);
        config.alpn_protocols.clear();
        let name = "localhost".try_into().expect("a name");
        let mut tls = rustls::ClientConnection::new(Arc::new(config), name).expect("TLS");
        let mut socket = std::net::TcpStream::connect(address).expect("a connection");
        let mut stream = rustls::Stream::new(&mut tls, &mut socket);
        stream.write_all(head.as_bytes())?;
        stream.write_all(&beginning)?;
        stream.flush()
    });
    sent.await.expect("no panic").expect("sent");
}
