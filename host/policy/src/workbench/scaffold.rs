//! Creates a folder for a new policy, which builds and passes its tests at once: `landfall plugin new`.
//!
//! Everything that the policy needs and that is not on a public registry is written into the folder: the SDK's sources
//! for Rust, the common code for JavaScript and Python, and the contract for all of them. So it needs only the
//! language's own tools and this binary.
//!
//! Templates are files with `{{words}}`. A line `{{#selects}}` begins a part that is only for policies that choose
//! hubs, and `{{/selects}}` ends it. `places`, `both`, `only-selects` and `only-places` work in the same way.

use std::path::{Path, PathBuf};

use landfall_domain::names::PluginName;
use landfall_domain::plugin::card::Worlds;

include!(concat!(env!("OUT_DIR"), "/vendored.rs"));

/// A language that policies are written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Language {
    /// Rust: 20 µs a decision.
    Rust,
    /// JavaScript: about a millisecond a decision.
    Js,
    /// Python: about two milliseconds a decision.
    Python,
}

/// A new policy.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Scaffold {
    pub name: PluginName,
    pub language: Language,
    /// Which parts of a decision the policy makes.
    pub worlds: Worlds,
}

/// A file of the folder: its path in the folder, and its text.
pub type NewFile = (PathBuf, String);

/// Why the folder could not be created.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum ScaffoldError {
    /// The path exists already.
    #[error("{0} is there already; nothing was written. Choose another name, or another folder with --path")]
    Taken(PathBuf),
    /// A file cannot be written.
    #[error("cannot write {path}: {source}")]
    Write { path: PathBuf, source: std::io::Error },
}

impl Scaffold {
    /// Writes the folder.
    ///
    /// # Errors
    ///
    /// The path exists already, or a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), ScaffoldError> {
        if folder.exists() {
            return Err(ScaffoldError::Taken(folder.to_owned()));
        }
        for (path, text) in self.files() {
            let path = folder.join(path);
            let parent = path.parent().unwrap_or(folder);
            let written = std::fs::create_dir_all(parent).and_then(|()| std::fs::write(&path, text));
            written.map_err(|source| ScaffoldError::Write { path: path.clone(), source })?;
            if path.extension().is_some_and(|ending| ending == "sh") {
                make_executable(&path).map_err(|source| ScaffoldError::Write { path, source })?;
            }
        }
        Ok(())
    }

    /// All files of the folder.
    #[must_use]
    pub fn files(&self) -> Vec<NewFile> {
        let own: &[(&str, &str)] = match self.language {
            Language::Rust => RUST,
            Language::Js => JS,
            Language::Python => PYTHON,
        };
        let own = own.iter().chain(COMMON).map(|(path, template)| ((*path).into(), self.render(template)));
        own.chain(self.lock()).chain(self.vendored()).collect()
    }

    /// A lock file with the versions that the policy is built with: those with which Landfall's own example is tested.
    fn lock(&self) -> Option<NewFile> {
        match self.language {
            Language::Rust => Some(("Cargo.lock".into(), cargo_lock(self.name.as_str()))),
            Language::Js => Some(("package-lock.json".into(), npm_lock(self.name.as_str()))),
            // requirements.txt already pins the only package.
            Language::Python => None,
        }
    }

    fn vendored(&self) -> Vec<NewFile> {
        let rust = self.language == Language::Rust;
        let wanted = VENDORED.iter().filter(|(path, _)| rust || path.starts_with("wit/"));
        let at = |path: &str| Path::new("vendor/landfall").join(path);
        let mut files: Vec<_> = wanted.map(|(path, text)| (at(path), (*text).to_owned())).collect();
        if rust {
            files.push((at("plugins/sdk/Cargo.toml"), self.render(include_str!("../../templates/vendor/sdk.toml"))));
            let macros = self.render(include_str!("../../templates/vendor/sdk-macros.toml"));
            files.push((at("plugins/sdk-macros/Cargo.toml"), macros));
        }
        files
    }

    /// A template with its words filled in, without the parts that are for other kinds of policies.
    fn render(&self, template: &str) -> String {
        let (selects, places) = (self.worlds.selects(), self.worlds.places());
        let holds = |part: &str| match part {
            "selects" => selects,
            "places" => places,
            "both" => selects && places,
            "only-selects" => selects && !places,
            "only-places" => places && !selects,
            _ => false,
        };
        let name = self.name.as_str();
        let words = [
            ("{{name}}", name.to_owned()),
            ("{{Type}}", type_of(name)),
            ("{{world}}", world_of(self.worlds).to_owned()),
            ("{{component}}", format!("target/wasm32-wasip2/release/{}.wasm", name.replace('-', "_"))),
            ("{{version}}", env!("CARGO_PKG_VERSION").to_owned()),
            ("{{channel}}", concat!(env!("CARGO_PKG_RUST_VERSION"), ".0").to_owned()),
            ("{{fuel}}", self.fuel().to_string()),
        ];
        let mut text = String::new();
        let mut left_out = None;
        for line in template.lines() {
            let part = line.strip_prefix("{{#").or_else(|| line.strip_prefix("{{/")).and_then(|p| p.strip_suffix("}}"));
            match (part, left_out) {
                (Some(part), None) if line.starts_with("{{#") && !holds(part) => left_out = Some(part),
                (Some(part), Some(out)) if part == out => left_out = None,
                (Some(_), _) | (None, Some(_)) => {}
                (None, None) => {
                    text.push_str(line);
                    text.push('\n');
                }
            }
        }
        words.iter().fold(text, |text, (word, value)| text.replace(word, value))
    }

    /// The fuel that the template's policy uses for its first vector, plus half as much again.
    fn fuel(&self) -> u64 {
        match self.language {
            Language::Rust => 40_000,
            Language::Js => 6_000_000,
            Language::Python => 2_000_000,
        }
    }
}

/// `region-policy` → `RegionPolicy`.
fn type_of(name: &str) -> String {
    let capital = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    let name: String = name.split('-').map(capital).collect();
    // A type name does not begin with a digit, and these names are taken.
    match name.as_str() {
        "Policy" | "Place" | "SelectHub" | "Hub" | "Device" | "Call" | "Choice" | "Fault" | "Outcome" | "Placement"
        | "Pointer" | "Problem" | "Reason" | "Duration" | "Self" => format!("{name}Policy"),
        _ if name.starts_with(|first: char| first.is_ascii_digit()) => format!("Policy{name}"),
        _ => name,
    }
}

fn world_of(worlds: Worlds) -> &'static str {
    match worlds {
        Worlds::Selector => "selector",
        Worlds::Grouper => "grouper",
        Worlds::Policy => "policy",
    }
}

/// The example's lock file, with the example's package renamed. Packages are sorted by their names.
fn cargo_lock(name: &str) -> String {
    let mut packages = EXAMPLE_CARGO_LOCK.split("\n[[package]]\n");
    let head = packages.next().unwrap_or_default();
    let own = format!("name = \"{EXAMPLE}\"\n");
    let mut packages: Vec<String> = packages
        .map(|package| package.trim_end().replacen(&own, &format!("name = \"{name}\"\n"), 1))
        .map(|package| match package.starts_with(&format!("name = \"{name}\"\n")) {
            true => package.replacen("version = \"1.0.0\"", "version = \"0.1.0\"", 1),
            false => package,
        })
        .collect();
    packages.sort_by(|one, other| name_in(one).cmp(name_in(other)));
    packages.iter().fold(head.trim_end().to_owned(), |text, package| text + "\n\n[[package]]\n" + package) + "\n"
}

fn name_in(package: &str) -> &str {
    package.split('"').nth(1).unwrap_or_default()
}

/// The example's lock file for another package. Its entries name no registry, so that each team's own registry is
/// used.
fn npm_lock(name: &str) -> String {
    let text = EXAMPLE_NPM_LOCK.replace(&format!("\"{EXAMPLE}\""), &format!("\"{name}\""));
    text.replacen("\"version\": \"1.0.0\"", "\"version\": \"0.1.0\"", 2).replacen(
        "      \"license\": \"Apache-2.0\",\n",
        "",
        1,
    )
}

fn make_executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))
}

/// The name of the examples in their lock files.
const EXAMPLE: &str = "region-and-customer";
const EXAMPLE_CARGO_LOCK: &str = include_str!("../../../../examples/policies/rust/Cargo.lock");
const EXAMPLE_NPM_LOCK: &str = include_str!("../../../../examples/policies/js/package-lock.json");

const COMMON: &[(&str, &str)] = &[
    ("golden-vectors.json", include_str!("../../templates/vectors.json")),
    ("device.json", include_str!("../../templates/device.json")),
    ("hubs.json", include_str!("../../templates/hubs.json")),
];

const RUST: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../templates/rust/Cargo.toml")),
    ("rust-toolchain.toml", include_str!("../../templates/rust/rust-toolchain.toml")),
    (".cargo/config.toml", include_str!("../../templates/rust/config.toml")),
    (".github/workflows/ci.yml", include_str!("../../templates/rust/ci.yml")),
    (".gitignore", "target/\nlandfall-data/\n"),
    ("README.md", include_str!("../../templates/rust/README.md")),
    ("rustfmt.toml", include_str!("../../templates/rust/rustfmt.toml")),
    ("src/lib.rs", include_str!("../../templates/rust/lib.rs")),
    ("src/tests.rs", include_str!("../../templates/rust/tests.rs")),
];

const JS: &[(&str, &str)] = &[
    ("package.json", include_str!("../../templates/js/package.json")),
    ("build.mjs", include_str!("../../templates/js/build.mjs")),
    (".github/workflows/ci.yml", include_str!("../../templates/js/ci.yml")),
    (".gitignore", "node_modules/\npolicy.wasm\nlandfall-data/\n"),
    ("README.md", include_str!("../../templates/js/README.md")),
    ("policy.js", include_str!("../../templates/js/policy.js")),
    ("landfall.js", include_str!("../../../../examples/policies/js/landfall.js")),
    ("landfall-policy.d.ts", include_str!("../../../../examples/policies/js/landfall-policy.d.ts")),
    ("jsconfig.json", include_str!("../../../../examples/policies/js/jsconfig.json")),
];

const PYTHON: &[(&str, &str)] = &[
    ("requirements.txt", include_str!("../../../../examples/policies/python/requirements.txt")),
    ("build.sh", include_str!("../../templates/python/build.sh")),
    (".github/workflows/ci.yml", include_str!("../../templates/python/ci.yml")),
    (".gitignore", "__pycache__/\npolicy.wasm\nvenv/\nlandfall-data/\n"),
    ("README.md", include_str!("../../templates/python/README.md")),
    ("policy.py", include_str!("../../templates/python/policy.py")),
    ("landfall.py", include_str!("../../../../examples/policies/python/landfall.py")),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::workbench::vector::VectorFile;

    #[test]
    fn nothing_is_left_to_fill_in_and_every_vector_is_one() {
        for language in [Language::Rust, Language::Js, Language::Python] {
            for worlds in [Worlds::Selector, Worlds::Grouper, Worlds::Policy] {
                let scaffold = Scaffold { name: "our-regions".parse().unwrap(), language, worlds };
                for (path, text) in scaffold.files() {
                    let own = !path.starts_with("vendor/landfall/plugins") && !path.starts_with(".github");
                    assert!(!(own && text.contains("{{")), "{} ({language:?}, {worlds:?}): {text}", path.display());
                    if path.ends_with("golden-vectors.json") {
                        VectorFile::parse(text.as_bytes()).unwrap();
                    }
                }
            }
        }
    }

    #[test]
    fn what_the_sdk_reads_when_it_is_built_comes_with_it() {
        let scaffold = Scaffold { name: "ours".parse().unwrap(), language: Language::Rust, worlds: Worlds::Selector };
        let files = scaffold.files();
        let sdk = Path::new("vendor/landfall/plugins/sdk");
        let mut read = 0;
        for (path, text) in files.iter().filter(|(path, _)| path.extension().is_some_and(|ending| ending == "rs")) {
            for named in text.split("path: \"").skip(1).filter_map(|rest| rest.split('"').next()) {
                let folder = sdk.join(named).components().fold(PathBuf::new(), |path, part| match part {
                    std::path::Component::ParentDir => path.parent().unwrap_or(&path).to_owned(),
                    part => path.join(part),
                });
                let there = files.iter().any(|(file, _)| file.starts_with(&folder));
                assert!(there, "{} reads {}, which is not written", path.display(), folder.display());
                read += 1;
            }
        }
        assert!(read >= 2, "the contract and the HTTP of the SDK are read by path");
    }

    #[test]
    fn the_versions_are_those_that_the_examples_are_tested_with() {
        for name in ["aaa", "our-regions", "zzz"] {
            let lock = cargo_lock(name);
            let names: Vec<_> = lock.split("[[package]]\n").skip(1).map(name_in).collect();
            assert!(names.is_sorted() && names.contains(&name) && !names.contains(&EXAMPLE), "{names:?}");
            assert_eq!(names.len(), EXAMPLE_CARGO_LOCK.matches("[[package]]").count());
            assert!(lock.contains(&format!("name = \"{name}\"\nversion = \"0.1.0\"\n")), "{lock}");
        }
        let lock: serde_json::Value = serde_json::from_str(&npm_lock("ours")).unwrap();
        let template: serde_json::Value =
            serde_json::from_str(&include_str!("../../templates/js/package.json").replace("{{name}}", "ours")).unwrap();
        let root = &lock["packages"][""];
        assert_eq!((&lock["name"], &lock["version"]), (&template["name"], &template["version"]));
        for member in ["name", "version", "devDependencies"] {
            assert_eq!(root[member], template[member], "{member}");
        }
        assert!(root.get("license").is_none() && !npm_lock("ours").contains("resolved"));
    }

    #[test]
    fn a_type_is_named_after_the_policy() {
        for (name, expected) in [("our-regions", "OurRegions"), ("policy", "PolicyPolicy"), ("3rd", "Policy3rd")] {
            assert_eq!(type_of(name), expected);
        }
    }
}
