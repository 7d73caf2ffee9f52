//! The generated Rust file.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::Component;

/// Copies the components beside the Rust file that includes them, and writes that file.
pub(crate) fn write(components: &[Component], file: &str) -> Result<(), String> {
    let out_dir = PathBuf::from(env::var_os("OUT_DIR").ok_or("OUT_DIR is not set")?);
    let folder = out_dir.join("guests");
    fs::create_dir_all(&folder).map_err(|error| at(&folder, &error))?;
    let mut kept = Vec::new();
    for Component { name, wasm } in components {
        let copy = folder.join(format!("{name}.wasm"));
        let bytes = fs::read(wasm).map_err(|error| at(wasm, &error))?;
        write_if_changed(&copy, &bytes)?;
        kept.push((name.as_str(), copy));
    }
    write_if_changed(&out_dir.join(file), source(&kept).as_bytes())
}

fn source(components: &[(&str, PathBuf)]) -> String {
    let mut source = String::new();
    let mut all = String::new();
    for (name, path) in components {
        let constant = constant(name);
        let path = path.display().to_string();
        // Writing into a String does not fail.
        let _ =
            writeln!(source, "/// The component `{name}`.\npub const {constant}: &[u8] = include_bytes!({path:?});");
        let _ = writeln!(all, "    ({name:?}, {constant}),");
    }
    let _ = write!(source, "/// Every component with its name.\npub const ALL: &[(&str, &[u8])] = &[\n{all}];\n");
    source
}

fn constant(name: &str) -> String {
    name.replace('-', "_").to_uppercase()
}

/// A file that stays as it is does not make cargo compile what includes it again.
fn write_if_changed(path: &Path, bytes: &[u8]) -> Result<(), String> {
    if fs::read(path).is_ok_and(|old| old == bytes) {
        return Ok(());
    }
    fs::write(path, bytes).map_err(|error| at(path, &error))
}

fn at(path: &Path, error: &std::io::Error) -> String {
    format!("{}: {error}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_becomes_a_constant_and_a_line_of_the_list() {
        let source = source(&[("wrong-hub", PathBuf::from("/out/wrong-hub.wasm"))]);
        assert!(source.contains(r#"pub const WRONG_HUB: &[u8] = include_bytes!("/out/wrong-hub.wasm");"#), "{source}");
        assert!(source.contains(r#"    ("wrong-hub", WRONG_HUB),"#), "{source}");
    }
}
