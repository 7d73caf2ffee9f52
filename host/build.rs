//! Builds the policies that are embedded in the binary, and lists what `landfall plugin new` writes.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() {
    landfall_guest_build::Guests::default()
        .libraries(
            "../Cargo.toml",
            &["landfall-fixed", "landfall-nearest", "landfall-table", "landfall-webhook", "landfall-weighted"],
        )
        .build("shipped.rs");
    vendored();
}

/// The sources of the SDK and the contract, which a folder of a policy gets as long as they are not published.
fn vendored() {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").expect("cargo says where the package is"));
    let root = here.parent().expect("the package is in the workspace");
    let mut text =
        String::from("/// Files by the path that they have in the workspace.\nconst VENDORED: &[(&str, &str)] = &[\n");
    for folder in ["plugins/sdk/src", "plugins/sdk-macros/src", "wit/v0_1"] {
        let mut files = Vec::new();
        collect(&root.join(folder), &mut files);
        files.sort();
        for file in files {
            let name = file.strip_prefix(root).expect("it is below the workspace").display().to_string();
            println!("cargo::rerun-if-changed={}", file.display());
            writeln!(text, "    ({name:?}, include_str!({:?})),", file.display().to_string()).expect("a text grows");
        }
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
    }
    text.push_str("];\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo says where to write"));
    std::fs::write(out.join("vendored.rs"), text).expect("the list can be written");
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("the folder is there") {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            collect(&path, files);
        } else {
            files.push(path);
        }
    }
}
