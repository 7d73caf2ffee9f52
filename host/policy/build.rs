//! Builds the policies that are embedded in the binary, and lists what `landfall plugin new` writes.

use std::error::Error;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

fn main() -> Result<(), Box<dyn Error>> {
    landfall_guest_build::Guests::default()
        .libraries(
            "../../Cargo.toml",
            &["landfall-fixed", "landfall-nearest", "landfall-table", "landfall-webhook", "landfall-weighted"],
        )
        .build("shipped.rs");
    vendored()
}

/// The sources of the SDK and the contract, which a policy's folder gets as long as they are not published.
fn vendored() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(std::env::var_os("CARGO_MANIFEST_DIR").ok_or("cargo does not say where the package is")?);
    let root = here.ancestors().nth(2).ok_or("the package is not in the workspace")?;
    let mut text = String::from("/// Files by their path in the workspace.\nconst VENDORED: &[(&str, &str)] = &[\n");
    for folder in ["plugins/sdk/src", "plugins/sdk/wit", "plugins/sdk-macros/src", "wit/v0_1"] {
        let mut files = Vec::new();
        collect(&root.join(folder), &mut files)?;
        files.sort();
        for file in files {
            let name = file.strip_prefix(root)?.display().to_string();
            writeln!(text, "    ({name:?}, include_str!({:?})),", file.display().to_string())?;
        }
        println!("cargo::rerun-if-changed={}", root.join(folder).display());
    }
    text.push_str("];\n");
    let out = PathBuf::from(std::env::var_os("OUT_DIR").ok_or("cargo does not say where to write")?);
    Ok(std::fs::write(out.join("vendored.rs"), text)?)
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            collect(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
