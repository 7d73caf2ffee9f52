//! A folder that `landfall plugin new` makes builds and passes its tests as it comes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, MutexGuard, PoisonError};

use landfall_tests::world::in_tests;

#[test]
fn a_new_rust_policy_builds_and_passes_its_tests_natively_and_under_the_engine() {
    let place = tempfile::tempdir().unwrap();
    let _alone = alone();
    let folder = place.path().join("our-regions");
    expect(landfall().args(["plugin", "new", "our-regions", "--path"]).arg(&folder));
    // The lock file that comes with it fits, whatever is newest.
    expect(&mut cargo(&folder, &["test", "--locked"]));
    let under_wasm = expect(&mut cargo(&folder, &["test", "--target", "wasm32-wasip2"]));
    let told = String::from_utf8_lossy(&under_wasm.stdout).into_owned();
    assert!(told.contains("test tests::a_device_stays_in_its_region ... ok"), "{told}");
    assert!(told.contains("test result: ok. 4 passed"), "{told}");
    expect(&mut cargo(&folder, &["build", "--release", "--target", "wasm32-wasip2"]));
    let component = target().join("wasm32-wasip2/release/our_regions.wasm");
    expect(landfall().args(["plugin", "check"]).arg(&component));
    let vectors = folder.join("golden-vectors.json");
    expect(landfall().args(["plugin", "test"]).arg(&component).arg(&vectors));
    // Its policy asks for a fact, and is measured and profiled all the same.
    let more = |command: &str| {
        let mut tool = landfall();
        tool.args(["plugin", command, "--seconds=1", "--vectors"]).arg(&vectors).arg(&component).current_dir(&folder);
        String::from_utf8(expect(&mut tool).stdout).unwrap()
    };
    let told = more("bench");
    assert!(told.contains("512 ") && told.contains("HANDING OVER"), "{told}");
    assert!(more("profile").contains("samples of"));
    assert!(more("fuzz").contains("Nothing was found."));
    expect(&mut cargo(&folder, &["fmt", "--check"]));
}

#[test]
fn a_new_rust_policy_that_asks_a_service_builds_and_is_tested_as_a_component() {
    let place = tempfile::tempdir().unwrap();
    let _alone = alone();
    let folder = place.path().join("our-service");
    let world = ["plugin", "new", "our-service", "--world", "selector", "--path"];
    expect(landfall().args(world).arg(&folder));
    let change = |file: &str, from: &str, to: &str| {
        let path = folder.join(file);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} is without {from}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    };
    change("Cargo.toml", "plugins/sdk\" }", "plugins/sdk\", features = [\"http\"] }");
    change("src/lib.rs", "let region = self.region(device)?;", "let region = &asked(device)?[..];");
    let asked = r#"
fn asked(device: &Device) -> Result<String, Fault> {
    let body = std::collections::BTreeMap::from([("device", &device.registration_id)]);
    let response = landfall_plugin::http::post_json("https://fn.example/region", &[], &body)
        .map_err(|error| Fault::internal(error.to_string()))?;
    response.json().map_err(|error| Fault::bad_input(error.to_string()))
}

impl OurService {"#;
    change("src/lib.rs", "\nimpl OurService {", asked);
    change("src/lib.rs", "    fn region", "    #[allow(dead_code)]\n    fn region");
    expect(&mut cargo(&folder, &["build", "--locked", "--release", "--target", "wasm32-wasip2"]));
    let vectors = folder.join("service.json");
    let text = r#"{ "vectors": [{ "name": "the service says the region", "device": { "registrationId": "pump-1" },
      "hubs": [{ "name": "eu-1.example", "labels": { "region": "eu" } }, { "name": "us-1.example", "labels": { "region": "us" } }],
      "http": [{ "request": { "url": "https://fn.example/region", "body": { "device": "pump-1" } }, "response": { "body": "\"us\"" } }],
      "expect": { "assign": { "hub": "us-1.example" } } }] }"#;
    std::fs::write(&vectors, text).unwrap();
    let component = target().join("wasm32-wasip2/release/our_service.wasm");
    expect(landfall().args(["plugin", "test"]).arg(&component).arg(&vectors));
}

#[test]
fn a_test_that_panics_ends_alone_and_is_told_with_its_line() {
    let place = tempfile::tempdir().unwrap();
    let _alone = alone();
    let folder = place.path().join("our-mistakes");
    expect(landfall().args(["plugin", "new", "our-mistakes", "--path"]).arg(&folder));
    let tests = folder.join("src/tests.rs");
    let mut text = std::fs::read_to_string(&tests).unwrap();
    text.push_str("\n#[test]\nfn b_panics() {\n    panic!(\"not like this\");\n}\n");
    text.push_str("\n#[test]\n#[ignore]\nfn c_is_ignored() {}\n");
    std::fs::write(&tests, text).unwrap();
    let output = cargo(&folder, &["test", "--target", "wasm32-wasip2", "--", "--show-usage"]).output().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(101), "{told}");
    for part in [
        "test tests::b_panics ... FAILED",
        "not like this",
        "src/tests.rs:",
        "c_is_ignored ... ignored",
        "4 passed; 1 failed; 1 ignored",
        " fuel, ",
    ] {
        assert!(told.contains(part), "{told} is without {part:?}");
    }
}

#[test]
fn what_is_there_already_is_left_alone() {
    let place = tempfile::tempdir().unwrap();
    for lang in ["rust", "js", "python"] {
        let folder = place.path().join(lang);
        expect(landfall().args(["plugin", "new", "ours", "--lang", lang, "--path"]).arg(&folder));
        std::fs::write(folder.join("README.md"), "mine").unwrap();
        let again = landfall().args(["plugin", "new", "ours", "--lang", lang, "--path"]).arg(&folder).output().unwrap();
        assert_eq!(again.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&again.stderr).contains("is there already"), "{again:?}");
        assert_eq!(std::fs::read_to_string(folder.join("README.md")).unwrap(), "mine");
    }
    let bad = landfall().args(["plugin", "new", "Not A Name"]).current_dir(place.path()).output().unwrap();
    assert_eq!(bad.status.code(), Some(2), "{bad:?}");
}

fn landfall() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_landfall-under-test"));
    command.env("XDG_CACHE_HOME", cache());
    command
}

fn cargo(folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(words).current_dir(folder);
    // The outer build's flags are not the policy's.
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CARGO_ENCODED") || name == "RUSTFLAGS") {
        command.env_remove(name);
    }
    let runner = format!("{} plugin test-runner", env!("CARGO_BIN_EXE_landfall-under-test"));
    command.env("CARGO_TARGET_WASM32_WASIP2_RUNNER", runner).env("XDG_CACHE_HOME", cache());
    command.env("CARGO_TARGET_DIR", target()).env("CARGO_TERM_COLOR", "never");
    command
}

fn expect(command: &mut Command) -> Output {
    let output = command.output().expect("the program starts");
    let told = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}\n{}\n{}", told(&output.stdout), told(&output.stderr));
    output
}

/// What is built once is there the next time.
fn target() -> PathBuf {
    in_tests("../target/tmp/new-policies").components().collect()
}

/// One policy is built after the other: cargo gives parts of the same name in different folders one file name, and each
/// would replace the other's while that is used.
fn alone() -> MutexGuard<'static, ()> {
    static BUILDING: Mutex<()> = Mutex::new(());
    BUILDING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn cache() -> PathBuf {
    in_tests("../target/tmp/author-cache").components().collect()
}
