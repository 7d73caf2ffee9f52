//! What was built against the contract once works for ever, and the contract itself stays as it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use landfall_domain::names::Digest;
use landfall_tests::world::in_tests;

#[test]
fn what_was_built_with_an_older_sdk_loads_and_decides_as_it_did() {
    let mut tried = 0;
    for version in folder(&in_tests("museum")).into_iter().filter(|path| path.is_dir()) {
        for component in folder(&version).into_iter().filter(|path| path.extension().is_some_and(|e| e == "wasm")) {
            let mut test = Command::new(env!("CARGO_BIN_EXE_landfall-under-test"));
            test.args(["plugin", "test"]).arg(&component).arg(component.with_extension("json"));
            test.env("XDG_CACHE_HOME", in_tests("../target/tmp/author-cache").components().collect::<PathBuf>());
            let output = test.output().expect("the tool starts");
            assert!(output.status.success(), "{}: {output:?}", component.display());
            tried += 1;
        }
    }
    assert!(tried >= 3, "the museum is empty");
}

#[test]
fn the_contract_of_0_1_is_what_it_was() {
    let mut text = String::new();
    for file in folder(&in_tests("../wit/v0_1")) {
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        text.push_str(&format!("{}  {name}\n", Digest::of(&std::fs::read(&file).unwrap())));
    }
    let kept = std::fs::read_to_string(in_tests("../wit/v0_1.sha256")).unwrap();
    assert_eq!(
        text, kept,
        "wit/v0_1 has been edited. Plugins are built against it: make a new folder instead, as wit/README.md says. Only \
         as long as 0.1.0 is not released may wit/v0_1.sha256 be written anew (cd wit/v0_1 && sha256sum * > ../v0_1.sha256)"
    );
}

fn folder(path: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
