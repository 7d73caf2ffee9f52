//! What the components are made of.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Has the build script run again when this changes.
pub(crate) fn watch(path: &Path) {
    println!("cargo::rerun-if-changed={}", path.display());
}

/// Watches every source file that cargo says went into a component, and the manifests above them.
pub(crate) fn watch_sources_of(wasm: &Path) -> Result<(), String> {
    let dep_info = wasm.with_extension("d");
    let text = fs::read_to_string(&dep_info).map_err(|error| format!("{}: {error}", dep_info.display()))?;
    let sources = sources(&text);
    let manifests: BTreeSet<PathBuf> = sources.iter().filter_map(|source| manifest_above(source)).collect();
    sources.iter().chain(&manifests).for_each(|path| watch(path));
    Ok(())
}

/// The files right of the colon. Spaces in a name are written as `\ `.
fn sources(dep_info: &str) -> Vec<PathBuf> {
    let Some((_, sources)) = dep_info.lines().next().and_then(|line| line.split_once(": ")) else {
        return Vec::new();
    };
    let kept = sources.replace("\\ ", "\0");
    kept.split_whitespace().map(|source| PathBuf::from(source.replace('\0', " "))).collect()
}

fn manifest_above(source: &Path) -> Option<PathBuf> {
    source.ancestors().skip(1).map(|folder| folder.join("Cargo.toml")).find(|manifest| manifest.is_file())
}

/// The examples of a package, sorted: each file and each folder in `examples`.
pub(crate) fn examples(manifest: &Path) -> Result<Vec<String>, String> {
    let folder = manifest.with_file_name("examples");
    watch(&folder);
    let entries = fs::read_dir(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    let names = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        let is_example = path.extension().is_some_and(|extension| extension == "rs") || path.join("main.rs").is_file();
        is_example.then(|| path.file_stem()?.to_str().map(str::to_owned)).flatten()
    });
    Ok(names.collect::<BTreeSet<_>>().into_iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_read_from_dep_info_spaces_and_all() {
        let text = "/t/a.wasm: /home/me/a\\ b/lib.rs /home/me/policy.wit\n\n/home/me/policy.wit:\n";
        assert_eq!(sources(text), [Path::new("/home/me/a b/lib.rs"), Path::new("/home/me/policy.wit")]);
    }
}
