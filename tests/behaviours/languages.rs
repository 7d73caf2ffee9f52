//! Policies in Rust, JavaScript, Python and C: one policy, one file of golden vectors, one server.
//!
//! The components of the last three are built with their own tools (`examples/policies`), which not every machine
//! has. What is missing is said loudly, and CI builds them.

use std::path::PathBuf;
use std::process::Command;

use landfall_tests::guests::component;
use landfall_tests::world::{World, in_tests, json_of, tracking_id};
use serde_json::json;

#[test]
fn one_policy_answers_the_same_in_every_language() {
    let vectors = in_tests("../examples/policies/golden-vectors.json");
    for (language, component) in components() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("policy.wasm");
        std::fs::write(&file, component).unwrap();
        let mut test = Command::new(env!("CARGO_BIN_EXE_landfall-under-test"));
        test.args(["plugin", "test"]).arg(&file).arg(&vectors);
        test.env("XDG_CACHE_HOME", in_tests("../target/tmp/author-cache").components().collect::<PathBuf>());
        let output = test.output().expect("the tool starts");
        assert!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[test]
fn a_policy_in_every_language_decides_among_512_hubs_under_the_default_limits() {
    let vectors = in_tests("../examples/policies/golden-vectors.json");
    for (language, component) in components() {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("policy.wasm");
        std::fs::write(&file, component).unwrap();
        let mut bench = Command::new(env!("CARGO_BIN_EXE_landfall-under-test"));
        bench.args(["plugin", "bench", "--json", "--seconds=1", "--threads=1", "--hubs=512", "--vectors"]);
        bench.arg(&vectors).arg(&file);
        bench.env("XDG_CACHE_HOME", in_tests("../target/tmp/author-cache").components().collect::<PathBuf>());
        let output = bench.output().expect("the tool starts");
        assert!(output.status.success(), "{language}: {}", String::from_utf8_lossy(&output.stderr));
        let measured: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let fuel = measured["rows"][0]["fuel"].as_f64().unwrap();
        assert!(fuel > 0.0 && fuel < 400_000_000.0, "{language}: {measured}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn policies_in_every_language_decide_beside_each_other_in_one_server() {
    let world = World::new().await;
    let hub = json!({ "weight": 1, "capacity": 1000, "labels": { "region": "eu" } });
    world.put("hubs/eu-1.example", &hub).await;
    for (language, component) in components() {
        let path = format!("/api/v1/scopes/{}/plugins/{language}", world.scope);
        let published = world.manage_as(&world.operator_token, "PUT", &path, "application/wasm", &component).await;
        assert!(published.status.is_success(), "{language}: {published:?}");
        let group = json!({
            "x509": { "authorities": { "primary": "factory" } },
            "allocation": { "selection": { "plugin": language }, "grouping": [{ "plugin": language }] },
            "hubs": ["eu-1.example"],
        });
        world.put("enrollment-groups/devices", &group).await;
        let devices: Vec<_> = (0..4).map(|number| format!("{language}-{number}")).collect();
        let mut registered = Vec::new();
        for id in &devices {
            let issued = world.factory.device(id, landfall_domain::clock::Ambient::system().now(), 30).unwrap();
            let facts =
                json!({ "registrationId": id, "facts": { "region": "eu", "customer": "acme", "site": "oslo" } });
            let path = format!("/api/v1/scopes/{}/records?manufacturer=acme", world.scope);
            let body = format!("{facts}\n");
            let record = world.manage_as(&world.operator_token, "POST", &path, "application/x-ndjson", body.as_bytes());
            assert_eq!(record.await.status, 200);
            registered.push(world.stranger(id, &issued));
        }
        // At once: the pool holds instances of all of them.
        let answers = futures_of(registered).await;
        for answer in answers {
            let text = json_of(&answer);
            assert_eq!(text["status"], "assigned", "{language}: {text}, {}", tracking_id(&answer));
            assert_eq!(text["registrationState"]["assignedHub"], "eu-1.example", "{language}");
        }
    }
}

async fn futures_of(devices: Vec<landfall_tests::world::Device>) -> Vec<landfall::client::Answer> {
    let running: Vec<_> =
        devices.into_iter().map(|device| tokio::spawn(async move { device.register().await })).collect();
    let mut answers = Vec::new();
    for one in running {
        answers.push(one.await.expect("a registration"));
    }
    answers
}

/// The policy in each language that is built here.
fn components() -> Vec<(&'static str, Vec<u8>)> {
    let mut found = vec![("rust", component("region-and-customer").to_vec())];
    for (language, how) in [
        ("js", "npm ci && npm run build"),
        ("python", "pip install -r requirements.txt && ./build.sh"),
        ("c", "pip install -r requirements.txt && ./build.sh"),
    ] {
        match std::fs::read(in_tests(&format!("../examples/policies/{language}/policy.wasm"))) {
            Ok(bytes) => found.push((language, bytes)),
            Err(_) => {
                let missing = format!("examples/policies/{language} is not built: {how}");
                assert!(std::env::var_os("LANDFALL_REQUIRE_REAL_PARTS").is_none(), "{missing}");
                eprintln!("SKIPPED: {missing}");
            }
        }
    }
    found
}
