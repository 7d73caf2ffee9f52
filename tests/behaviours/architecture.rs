//! Crates, and the modules of the server, know of each other what docs/architecture.md says, and nothing else.

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

/// The rows of the page's table of modules, the lowest first.
fn rows_of_modules() -> Vec<BTreeSet<String>> {
    let page = include_str!("../../docs/architecture.md");
    let (_, table) = page.split_once("| row | modules |\n| --- | --- |\n").unwrap();
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.map(|row| row.split('`').skip(1).step_by(2).map(str::to_owned).collect()).collect()
}

/// The modules of the server, and which of the others the sources of each name. Unit tests beside the code do not count: they
/// may use what stands above what they test.
fn modules() -> BTreeMap<String, BTreeSet<String>> {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("host/server/src");
    let mut modules: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut files = vec![sources.clone()];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let inside = path.strip_prefix(&sources).unwrap();
        let module = inside.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
        if ["lib", "main"].contains(&module) || inside.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        let code = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
        modules.entry(module.to_owned()).or_default().extend(named_in(code));
    }
    modules
}

/// The modules that code names after `crate::`, alone or in braces.
fn named_in(code: &str) -> Vec<String> {
    let name = |text: &str| text.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect::<String>();
    let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = lines.flat_map(|line| [line, "\n"]).collect();
    let mut names = Vec::new();
    for (at, before) in code.match_indices("crate::") {
        let after = &code[at + before.len()..];
        match after.strip_prefix('{') {
            None => names.push(name(after)),
            Some(group) => {
                // Braces inside braces are of what is below a module.
                let mut depth = 0;
                let mut at_a_name = true;
                for (position, letter) in group.char_indices() {
                    match letter {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        ',' if depth == 0 => at_a_name = true,
                        letter if at_a_name && depth == 0 && letter.is_ascii_lowercase() => {
                            names.push(name(&group[position..]));
                            at_a_name = false;
                        }
                        _ => {}
                    }
                }
            }
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

#[test]
fn modules_know_those_of_the_rows_above_theirs() {
    let (rows, modules) = (rows_of_modules(), modules());
    let row = |module: &str| rows.iter().position(|row| row.contains(module));
    let named: BTreeSet<&String> = rows.iter().flatten().collect();
    assert_eq!(named, modules.keys().collect(), "docs/architecture.md names each module of the server, and no other");
    for (module, knows) in &modules {
        for known in knows.iter().filter(|known| *known != module) {
            let Some(place) = row(known) else { continue };
            assert!(place < row(module).unwrap(), "{module} knows {known}, which docs/architecture.md does not allow");
        }
    }
}

#[test]
fn names_after_crate_are_found_alone_and_in_braces() {
    let code = "use crate::a::{b, c};\nuse crate::{d, e::{f, g}, h};\n// crate::i\nlet x = crate::j::k();";
    assert_eq!(named_in(code), ["a", "d", "e", "h", "j"]);
}

/// What changes what decides. Each is written by `LiveCatalogue::change`, which has it decide.
const WRITES_OF_THE_CATALOGUE: [&str; 11] = [
    "create_scope",
    "put_group",
    "delete_group",
    "upload_authority",
    "change_revocations",
    "put_authority",
    "delete_authority",
    "put_hub",
    "delete_hub",
    "set_plugin_rules",
    "delete_plugin",
];

#[test]
fn the_catalogue_is_written_where_it_is_read_again() {
    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().join("host/server/src");
    let mut files = vec![sources.clone()];
    let mut wrong = Vec::new();
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let inside = path.strip_prefix(&sources).unwrap().to_string_lossy().into_owned();
        // They write to a store that no server serves from at that time, or are clients of the management API.
        let beside_a_server = ["init.rs", "reseal.rs"].contains(&inside.as_str()) || inside.starts_with("cli/");
        if beside_a_server || inside.ends_with("tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for method in WRITES_OF_THE_CATALOGUE.into_iter().chain(["publish_plugin"]) {
            for (at, _) in text.match_indices(&format!(".{method}(")) {
                let before: String = text[..at].chars().rev().take(120).collect();
                let before: String = before.chars().rev().collect();
                // The closure of `change` calls its argument by this name.
                if !before.contains("|store|") {
                    wrong.push(format!("{inside}: {method}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "written beside `LiveCatalogue::change`: {wrong:?}");
}

#[test]
fn files_that_the_page_names_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let page = include_str!("../../docs/architecture.md");
    let code = page.split('`').skip(1).step_by(2);
    let paths = code.filter(|text| text.starts_with("host/") && !text.contains(['*', ' ']));
    let missing: Vec<&str> = paths.filter(|path| !root.join(path).exists()).collect();
    assert!(missing.is_empty(), "docs/architecture.md names files that are not there: {missing:?}");
}
