//! A folder that `landfall plugin new` makes builds and passes its tests as it comes.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use landfall_tests::world::in_tests;

#[test]
fn a_new_rust_policy_builds_and_passes_its_tests_natively_and_under_the_engine() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("our-regions");
    expect(landfall().args(["plugin", "new", "our-regions", "--path"]).arg(&folder));
    // The versions that this workspace is tested with; a person gets the newest.
    std::fs::copy(in_tests("../examples/policies/rust/Cargo.lock"), folder.join("Cargo.lock")).unwrap();
    expect(&mut cargo(&folder, &["test"]));
    let under_wasm = expect(&mut cargo(&folder, &["test", "--target", "wasm32-wasip2"]));
    let told = String::from_utf8_lossy(&under_wasm.stdout).into_owned();
    assert!(told.contains("test tests::a_device_stays_in_its_region ... ok"), "{told}");
    assert!(told.contains("test result: ok. 4 passed"), "{told}");
    expect(&mut cargo(&folder, &["build", "--release", "--target", "wasm32-wasip2"]));
    let component = target().join("wasm32-wasip2/release/our_regions.wasm");
    expect(landfall().args(["plugin", "check"]).arg(&component));
    expect(landfall().args(["plugin", "test"]).arg(&component).arg(folder.join("golden-vectors.json")));
    expect(&mut cargo(&folder, &["fmt", "--check"]));
}

#[test]
fn a_test_that_panics_ends_alone_and_is_told_with_its_line() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("our-mistakes");
    expect(landfall().args(["plugin", "new", "our-mistakes", "--path"]).arg(&folder));
    std::fs::copy(in_tests("../examples/policies/rust/Cargo.lock"), folder.join("Cargo.lock")).unwrap();
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

fn cache() -> PathBuf {
    in_tests("../target/tmp/author-cache").components().collect()
}
