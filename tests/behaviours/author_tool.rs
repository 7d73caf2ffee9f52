//! What authors of policies do with files: the tools run plugins as production does, and say what is wrong in their words.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use landfall_policy::shipped;
use landfall_policy::workbench::vector::VectorFile;
use landfall_tests::guests::component;
use landfall_tests::world::in_tests;
use serde_json::{Value, json};

#[test]
fn shipped_policies_answer_their_golden_vectors_within_their_fuel() {
    let desk = Desk::new();
    for (name, bytes) in shipped::names_and_components() {
        let vectors = in_tests(&format!("vectors/policies/{name}.json"));
        let file = desk.put("policy.wasm", bytes);
        let tried = desk.plugin(["test", "--json"], [&file, &vectors]);
        let result = json_of(&tried);
        assert!(tried.status.success(), "{name}: {result:#}");
        for vector in result["vectors"].as_array().unwrap() {
            let (used, most) = (vector["usage"]["fuel"].as_u64().unwrap(), vector["maxFuel"].as_u64());
            let Some(most) = most else { continue };
            // A limit that is far above what is used would let a policy become dear unseen.
            assert!(most <= used + used / 20 + 100, "{name}, {}: {used} used, {most} allowed", vector["name"]);
        }
    }
}

#[test]
fn the_schema_of_golden_vectors_is_the_golden_one() {
    let printed = Desk::new().plugin(["test", "--schema"], [] as [&Path; 0]);
    let golden = in_tests("vectors/policies/golden-vectors.schema.json");
    if std::env::var_os("LANDFALL_RENEW_GOLDEN").is_some() {
        std::fs::write(&golden, &printed.stdout).unwrap();
    }
    assert_eq!(std::fs::read(golden).unwrap(), printed.stdout, "renew it with LANDFALL_RENEW_GOLDEN=1");
}

#[test]
fn a_fixture_that_is_wrong_is_named_by_its_place_before_anything_runs() {
    let desk = Desk::new();
    let good = desk.put("policy.wasm", component("takes-first"));
    let vectors = |text: &str| desk.put("vectors.json", text.as_bytes());
    for (text, says) in [
        (
            r#"{"vectors":[{"name":"a","devcie":{},"hubs":[],"expect":{"assign":{}}}]}"#,
            vec!["/vectors/0/devcie", "`device`"],
        ),
        (
            r#"{"vectors":[{"name":"a","hubs":[{"name":"h"}],"expect":{"assign":{"hub":"g"}}}]}"#,
            vec!["/vectors/0/expect/assign/hub", "none of the hubs"],
        ),
        (
            r#"{"vectors":[{"name":"a","hubs":[{"name":"h","weight":-1}],"expect":{"assign":{}}}]}"#,
            vec!["/vectors/0/hubs/0/weight"],
        ),
        (r#"{"vectors":["#, vec!["not JSON", "line 1"]),
    ] {
        let tried = desk.plugin(["test"], [&good, &vectors(text)]);
        assert_eq!(tried.status.code(), Some(1), "{text}");
        assert_eq!(String::from_utf8_lossy(&tried.stdout), "", "nothing ran: {text}");
        let said = String::from_utf8(tried.stderr).unwrap();
        for part in says {
            assert!(said.contains(part), "{text}: {said} is without {part}");
        }
    }
}

#[test]
fn a_vector_that_fails_says_what_was_expected_what_came_and_what_was_logged() {
    let desk = Desk::new();
    let vectors = json!({ "vectors": [
        { "name": "the second", "hubs": [{ "name": "a" }, { "name": "b" }], "expect": { "assign": { "hub": "b" } } },
        { "name": "cheap", "hubs": [{ "name": "a" }], "expect": { "assign": {} }, "max_fuel": 10 },
        { "name": "the first", "hubs": [{ "name": "a" }], "expect": { "assign": { "hub": "a" } } },
    ] });
    let vectors = desk.put("vectors.json", vectors.to_string().as_bytes());
    let tried = desk.plugin(["test"], [&desk.put("policy.wasm", component("takes-first")), &vectors]);
    assert_eq!(tried.status.code(), Some(1));
    let told = String::from_utf8(tried.stdout).unwrap();
    for part in [
        "FAILED  the second",
        "/assign/hub",
        "expected  \"b\"",
        "got       \"a\"",
        "more fuel than its max_fuel",
        "ok      the first",
        "1 passed, 2 failed",
    ] {
        assert!(told.contains(part), "{told} is without {part}");
    }

    let panics = desk.plugin(["test"], [&desk.put("panics.wasm", component("panics")), &vectors]);
    let told = String::from_utf8(panics.stdout).unwrap();
    assert!(told.contains("panicked at examples/panics.rs:4"), "the author learns the line: {told}");
}

#[test]
fn checking_says_what_a_server_would_say() {
    let desk = Desk::new();
    let truncated = component("takes-first")[..2_000].to_vec();
    for (name, bytes, says) in [
        ("good", component("takes-first").to_vec(), None),
        ("core module", b"\0asm\x01\0\0\0".to_vec(), Some("core WebAssembly module")),
        ("truncated", truncated, Some("damaged at byte")),
        ("text", b"hello".to_vec(), Some("no WebAssembly component")),
        ("socket", component("opens-socket").to_vec(), Some("wasi:sockets/")),
        ("import", component("unknown-import").to_vec(), Some("not granted")),
        ("version", component("other-version").to_vec(), Some("0.1")),
        ("panics", component("panics-in-configure").to_vec(), Some("the settings were too much for me")),
        ("settings", component("refuses-settings").to_vec(), Some("/rules/3/hub")),
    ] {
        let checked = desk.plugin(["check"], [&desk.put("policy.wasm", &bytes)]);
        assert_eq!(checked.status.success(), says.is_none(), "{name}: {checked:?}");
        let said = String::from_utf8(checked.stderr).unwrap();
        assert!(said.contains(says.unwrap_or_default()), "{name}: {said}");
    }
    let missing = desk.plugin(["check"], [Path::new("nowhere.wasm")]);
    assert!(String::from_utf8(missing.stderr).unwrap().contains("cannot read nowhere.wasm"));
}

#[test]
fn inspecting_shows_what_a_component_is_and_may_do() {
    let desk = Desk::new();
    let file = desk.put("policy.wasm", shipped::component("table").unwrap());
    let seen = json_of(&desk.plugin(["inspect", "--json"], [&file]));
    assert_eq!(seen["description"]["name"], "table");
    assert_eq!(
        (&seen["card"]["tier"], &seen["card"]["worlds"], &seen["card"]["wit"]),
        (&json!("pure"), &json!("policy"), &json!("0.1"))
    );
    assert!(seen["settingsSchema"]["properties"]["rules"].is_object(), "{seen:#}");
    assert!(seen["card"]["imports"].as_array().unwrap().iter().any(|import| import == "landfall:policy/log@0.1.0"));
    let told = String::from_utf8(desk.plugin(["inspect"], [&file]).stdout).unwrap();
    for part in ["tier      pure", "world     policy", "goes into the log", "rules"] {
        assert!(told.contains(part), "{told} is without {part}");
    }
}

#[test]
fn one_call_is_run_and_explained() {
    let desk = Desk::new();
    let policy = desk.put("policy.wasm", shipped::component("weighted").unwrap());
    let hubs = desk.put("hubs.json", br#"[{"name":"a.example"},{"name":"b.example","weight":9}]"#);
    let device = desk.put("device.json", br#"{"registrationId":"pump-1"}"#);
    let arguments =
        [policy.as_path(), Path::new("--hubs"), &hubs, Path::new("--device"), &device, Path::new("--explain")];
    let run = desk.plugin(["run"], arguments);
    let told = String::from_utf8(run.stdout).unwrap();
    for part in ["\"assign\"", "debug scored", "hub=a.example", "hub=b.example", " fuel, "] {
        assert!(told.contains(part), "{told} is without {part}");
    }
    let mistyped = desk.put("device.json", br#"{"registrationid":"pump-1"}"#);
    let run = desk.plugin(["run"], [policy.as_path(), Path::new("--hubs"), &hubs, Path::new("--device"), &mistyped]);
    let said = String::from_utf8(run.stderr).unwrap();
    assert!(said.contains("did you mean `registrationId`?"), "{said}");
}

#[test]
fn fuzzing_finds_what_breaks_makes_it_small_and_keeps_it() {
    let desk = Desk::new();
    let finding = desk.path("finding.json");
    let arguments = |policy: &Path| {
        let output = format!("--output={}", finding.display());
        vec![policy.to_owned(), PathBuf::from(output), "--runs=40".into(), "--seed=7".into(), "--seconds=60".into()]
    };
    let good = desk.put("good.wasm", shipped::component("weighted").unwrap());
    let found = desk.plugin(["fuzz", "--json"], arguments(&good));
    assert!(found.status.success(), "{found:?}");
    assert_eq!((&json_of(&found)["runs"], &json_of(&found)["finding"]), (&json!(40), &Value::Null));

    for (guest, kind) in [("panics", "panic"), ("names-unknown-hub", "invalid-verdict"), ("counts-calls", "")] {
        let bad = desk.put("bad.wasm", component(guest));
        let found = desk.plugin(["fuzz", "--json"], arguments(&bad));
        if kind.is_empty() {
            assert!(found.status.success(), "a fresh instance counts from the start each time: {found:?}");
            continue;
        }
        assert_eq!(found.status.code(), Some(1), "{guest}: {found:?}");
        assert_eq!(json_of(&found)["finding"]["kind"], kind, "{guest}");
        let kept = VectorFile::read(&finding).unwrap();
        assert_eq!(kept.vectors[0].hubs.len(), 1, "{guest}: as small as can be");
        assert_eq!(kept.vectors[0].device.facts.len(), 0, "{guest}");
        assert_eq!(kept.vectors[0].hubs[0].labels.len(), 0, "{guest}");
        let again = desk.plugin(["test"], [&bad, &finding]);
        assert_eq!(again.status.code(), Some(1), "{guest}: it fails as a golden vector");
        let once_more = json_of(&desk.plugin(["fuzz", "--json"], arguments(&bad)));
        assert_eq!(
            once_more["finding"]["vector"],
            serde_json::to_value(&json_of(&found)["finding"]["vector"]).unwrap()
        );
    }
}

#[test]
fn fuzzing_from_vectors_goes_past_what_a_policy_asks_for_first() {
    let desk = Desk::new();
    let policy = desk.put("policy.wasm", component("region-and-customer"));
    let vectors = in_tests("../examples/policies/golden-vectors.json");
    let report = |more: &[&Path]| {
        let plan = ["--runs=60", "--seed=7", "--seconds=120"].map(Path::new);
        let output = format!("--output={}", desk.path("finding.json").display());
        let plan = [&[policy.as_path(), Path::new(&output)], &plan[..], more].concat();
        let report = json_of(&desk.plugin(["fuzz", "--json"], plan));
        (report["runs"].as_u64().unwrap(), report["faults"].as_u64().unwrap())
    };
    assert_eq!(report(&[]), (60, 60), "without them, no call goes further than the first fact");
    let (runs, faults) = report(&[Path::new("--vectors"), &vectors]);
    assert!(faults < runs, "{faults} of {runs}");
}

#[test]
fn a_profile_has_samples_and_is_what_the_firefox_profiler_reads() {
    let desk = Desk::new();
    let policy = desk.put("policy.wasm", shipped::component("weighted").unwrap());
    let profile = desk.path("profile.json");
    let output = format!("--output={}", profile.display());
    let made = desk.plugin(["profile", "--json", "--seconds=1"], [policy.as_path(), Path::new(&output)]);
    assert!(made.status.success(), "{made:?}");
    let profile: Value = serde_json::from_slice(&std::fs::read(profile).unwrap()).unwrap();
    let samples = profile["threads"][0]["samples"]["length"].as_u64().unwrap();
    assert!(samples > 0, "{}", profile["threads"][0]["samples"]);
    assert_eq!(json_of(&made)["samples"], samples);
    assert!(profile["meta"]["version"].is_number());
}

#[test]
fn what_a_decision_costs_is_measured() {
    let desk = Desk::new();
    let policy = desk.put("policy.wasm", shipped::component("weighted").unwrap());
    let measured = json_of(&desk.plugin(["bench", "--json", "--seconds=1", "--hubs=8,64"], [&policy]));
    let rows = measured["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert!(rows[0]["fuel"].as_f64() < rows[1]["fuel"].as_f64());
    assert!(
        rows.iter().all(|row| row["cpu_us"].as_f64() > Some(0.0) && row["handing_over_us"].is_number()),
        "{measured:#}"
    );
}

#[test]
fn a_policy_that_asks_for_a_fact_or_a_service_is_measured_and_profiled_by_its_vectors() {
    let desk = Desk::new();
    let policy = desk.put("policy.wasm", shipped::component("webhook").unwrap());
    let vectors = in_tests("vectors/policies/webhook.json");
    let flag = Path::new("--vectors");
    let measured = desk.plugin(["bench", "--json", "--seconds=1", "--hubs=2,64"], [&policy, flag, &vectors]);
    assert!(measured.status.success(), "{measured:?}");
    let rows = json_of(&measured)["rows"].clone();
    assert!(rows[0]["fuel"].as_f64() < rows[1]["fuel"].as_f64(), "{rows}");

    let output = format!("--output={}", desk.path("profile.json").display());
    let profiled = desk.plugin(["profile", "--seconds=1"], [policy.as_path(), flag, &vectors, Path::new(&output)]);
    assert!(profiled.status.success(), "{profiled:?}");

    // Without them, the message says what helps, and with which number of hubs it ended.
    let asks = desk.put("asks.wasm", component("region-and-customer"));
    let failed = desk.plugin(["bench", "--seconds=1"], [&asks]);
    let said = String::from_utf8(failed.stderr).unwrap();
    assert!(said.contains("with 8 hubs: ") && said.contains("`region`") && said.contains("--vectors"), "{said}");
}

#[test]
fn what_a_service_answers_is_a_part_of_a_vector_and_nothing_is_sent() {
    let desk = Desk::new();
    let policy = desk.put("policy.wasm", shipped::component("webhook").unwrap());
    let vector = |request: Value, hub: &str| {
        let vector = json!({
            "name": "the function chooses", "settings": { "url": "https://fn.example/a" },
            "hubs": [{ "name": "a.example" }, { "name": "b.example" }],
            "http": [{ "request": request, "response": { "body": { "iotHubHostName": hub } } }],
            "expect": { "assign": { "hub": "b.example" } },
        });
        desk.put("vectors.json", json!({ "vectors": [vector] }).to_string().as_bytes())
    };
    let good = vector(json!({ "url": "https://fn.example/a", "method": "POST" }), "b.example");
    let tried = desk.plugin(["test"], [&policy, &good]);
    assert!(tried.status.success(), "{tried:?}");
    let other = vector(json!({ "url": "https://fn.example/b" }), "b.example");
    let told = String::from_utf8(desk.plugin(["test"], [&policy, &other]).stdout).unwrap();
    assert!(told.contains("POST https://fn.example/a") && told.contains("no entry of `http` fits it"), "{told}");

    let hubs = desk.put("hubs.json", br#"[{"name":"a.example"},{"name":"b.example"}]"#);
    let http = desk.put("http.json", br#"[{"request":{"url":"https://fn.example/a"},"response":{"body":{"iotHubHostName":"a.example","payload":7}}}]"#);
    let settings = r#"{"url":"https://fn.example/a"}"#;
    let run = desk.plugin(
        ["run"],
        [
            policy.as_path(),
            Path::new("--hubs"),
            &hubs,
            Path::new("--http"),
            &http,
            Path::new("--settings"),
            Path::new(settings),
        ],
    );
    let told = String::from_utf8(run.stdout).unwrap();
    // Grouping asks for what selection was answered, and is answered from memory.
    for part in ["\"hub\": \"a.example\"", "\"reply\": 7", "webhook: the function named this hub"] {
        assert!(told.contains(part), "{told} is without {part}");
    }
}

#[test]
fn settings_are_json_or_a_file_everywhere() {
    let desk = Desk::new();
    let table = desk.put("policy.wasm", shipped::component("fixed").unwrap());
    let file = desk.put("settings.json", br#"{"hub":"a.example"}"#);
    let at = PathBuf::from(format!("@{}", file.display()));
    for settings in [file.as_path(), &at, Path::new(r#"{"hub":"a.example"}"#)] {
        let checked = desk.plugin(["check"], [table.as_path(), Path::new("--settings"), settings]);
        assert!(checked.status.success(), "{}: {checked:?}", settings.display());
    }
    let missing = desk.plugin(["check"], [table.as_path(), Path::new("--settings"), Path::new("setings.json")]);
    assert!(String::from_utf8(missing.stderr).unwrap().contains("cannot read setings.json"));
}

#[test]
fn the_settings_in_the_recipes_are_taken() {
    let desk = Desk::new();
    let table = desk.put("policy.wasm", shipped::component("table").unwrap());
    let recipes = std::fs::read_to_string(in_tests("../docs/policies/recipes.md")).unwrap();
    let settings: Vec<_> = recipes.split("```json\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(settings.len(), 3);
    for text in settings {
        let file = desk.put("settings.json", text.as_bytes());
        let checked = desk.plugin(["check"], [table.as_path(), Path::new("--settings"), &file]);
        assert!(checked.status.success(), "{text}: {checked:?}");
    }
}

/// An author's desk: a folder, and the tool.
struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn put(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    fn plugin<A: AsRef<Path>>(
        &self,
        words: impl IntoIterator<Item = &'static str>,
        arguments: impl IntoIterator<Item = A>,
    ) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_landfall-under-test"));
        command.arg("plugin").args(words).args(arguments.into_iter().map(|argument| argument.as_ref().to_owned()));
        // The tests of a machine share what is compiled, as an author's tools do.
        command.env("XDG_CACHE_HOME", in_tests("../target/tmp/author-cache").components().collect::<PathBuf>());
        command.output().expect("the tool starts")
    }
}

fn json_of(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("no JSON ({error}): {output:?}"))
}
