//! Crates know of each other what docs/architecture.md says, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What each crate under `host/` may know, as the first table of the page says: a name, what it holds, whom it may know.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let page = include_str!("../../docs/architecture.md");
    let (_, table) = page.split_once("| crate | holds | may know |\n| --- | --- | --- |\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    let names = |cell: &str| cell.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>();
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').collect();
        (names(cells[0]).remove(0), names(cells[2]).into_iter().collect())
    })
    .collect()
}

/// The packages of the workspace that are in a folder, and which of our own packages each depends on, as cargo says.
fn packages(folder: &str) -> BTreeMap<String, BTreeSet<String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let metadata = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1", "--manifest-path"])
        .arg(root.join("Cargo.toml"))
        .output()
        .unwrap();
    assert!(metadata.status.success(), "{}", String::from_utf8_lossy(&metadata.stderr));
    let metadata: Value = serde_json::from_slice(&metadata.stdout).unwrap();
    let all = metadata["packages"].as_array().unwrap();
    let is_in = |package: &&Value| {
        let manifest = Path::new(package["manifest_path"].as_str().unwrap());
        manifest.strip_prefix(root.join(folder)).is_ok()
    };
    let own: BTreeSet<&str> = all.iter().filter(is_in).map(|package| package["name"].as_str().unwrap()).collect();
    let depends = |package: &Value| {
        let dependencies = package["dependencies"].as_array().unwrap().iter();
        // What tests use beside what they test is no arrow of the architecture.
        let built = dependencies.filter(|dependency| dependency["kind"] != "dev");
        built.filter_map(|d| d["name"].as_str()).filter(|name| own.contains(name)).map(str::to_owned).collect()
    };
    all.iter().filter(is_in).map(|package| (package["name"].as_str().unwrap().to_owned(), depends(package))).collect()
}

#[test]
fn crates_know_each_other_as_the_architecture_says() {
    let (allowed, packages) = (allowed(), packages("host"));
    let (named, there): (Vec<_>, Vec<_>) = (allowed.keys().collect(), packages.keys().collect());
    assert_eq!(named, there, "docs/architecture.md has a row for each crate in host/, and for no other");
    for (package, depends) in &packages {
        let too_much: Vec<_> = depends.difference(&allowed[package]).collect();
        assert!(too_much.is_empty(), "{package} knows {too_much:?}, which docs/architecture.md does not allow");
    }
}

#[test]
fn no_arrow_between_crates_points_up() {
    // The table lists a crate below those that it may know.
    let page = include_str!("../../docs/architecture.md");
    let place = |name: &str| page.find(&format!("\n| `{name}` |")).unwrap();
    for (package, may_know) in allowed() {
        for known in may_know {
            assert!(place(&known) < place(&package), "{package} may know {known}, which stands below it");
        }
    }
}
