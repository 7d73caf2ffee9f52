//! Makes sure, before anything heavy is compiled, that this toolchain can build WebAssembly components.
//!
//! Nothing that takes long to compile comes before this build script. So a build that cannot succeed ends in its first
//! minute, and not after everything else has been compiled. Where rustup manages the toolchain, it installs the target.

use std::env;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

fn main() -> ExitCode {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rustc-env=GUEST_TARGET={TARGET}");
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    match ensure(&rustc) {
        // Cargo runs this again when the folder is gone.
        Ok(library) => {
            println!("cargo::rerun-if-changed={}", library.display());
            ExitCode::SUCCESS
        }
        Err(refused) => {
            println!("cargo::error={refused}");
            ExitCode::FAILURE
        }
    }
}

/// Where the target's standard library is, after it was installed if it was missing.
///
/// Only rustup can install it, and only into a toolchain of its own: rustup's `cargo` sets `RUSTUP_TOOLCHAIN`.
///
/// # Errors
///
/// What the person who builds has to do.
fn ensure(rustc: &OsStr) -> Result<PathBuf, String> {
    let folder = library(rustc)?;
    if folder.is_dir() {
        return Ok(folder);
    }
    let missing = format!(
        "Landfall's policies are WebAssembly components, and the toolchain of {} lacks the target {TARGET}",
        Path::new(rustc).display()
    );
    let Some(toolchain) = env::var_os("RUSTUP_TOOLCHAIN") else {
        return Err(format!(
            "{missing}. Install the target's standard library with the package manager that installed this toolchain, \
             or build with rustup (https://rustup.rs)"
        ));
    };
    let advice = format!("Run: rustup target add {TARGET}");
    let added = Command::new("rustup").args(["target", "add", TARGET, "--toolchain"]).arg(toolchain).output();
    match added {
        Ok(output) if output.status.success() && folder.is_dir() => Ok(folder),
        Ok(output) => {
            let told = String::from_utf8_lossy(&output.stderr);
            let told = told.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it gave no reason");
            Err(format!("{missing}, and rustup could not install it ({}). {advice}", told.trim()))
        }
        Err(error) => Err(format!("{missing}, and rustup could not be started ({error}). {advice}")),
    }
}

fn library(rustc: &OsStr) -> Result<PathBuf, String> {
    let refused = |reason: String| format!("{} does not tell where its libraries are: {reason}", rustc.display());
    let asked = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    let answer = asked.map_err(|error| refused(error.to_string()))?;
    if !answer.status.success() {
        return Err(refused(String::from_utf8_lossy(&answer.stderr).trim().to_owned()));
    }
    Ok(PathBuf::from(String::from_utf8_lossy(&answer.stdout).trim()))
}

/// The target that components are built for.
const TARGET: &str = "wasm32-wasip2";
