//! The second cargo.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::{Build, Component, Profile, What, inputs};

/// The cargo that runs the build script, and where its products go.
pub(crate) struct Cargo {
    program: OsString,
    target_dir: PathBuf,
    package_dir: PathBuf,
}

impl Cargo {
    /// Finds what the build script was started with.
    pub(crate) fn find() -> Result<Self, String> {
        Ok(Self {
            program: variable("CARGO")?,
            target_dir: target_dir(Path::new(&variable("OUT_DIR")?)),
            package_dir: variable("CARGO_MANIFEST_DIR")?.into(),
        })
    }

    /// Builds, and says what to watch.
    pub(crate) fn run(&self, build: &Build) -> Result<Vec<Component>, String> {
        let manifest = self.package_dir.join(&build.manifest);
        let manifest = manifest.canonicalize().map_err(|error| format!("{}: {error}", manifest.display()))?;
        inputs::watch(&manifest);
        inputs::watch(&manifest.with_file_name("Cargo.lock"));

        let mut command = self.command(build.profile);
        command.arg("--manifest-path").arg(&manifest);
        match &build.what {
            What::Libraries(packages) => {
                command.arg("--lib");
                packages.iter().for_each(|package| {
                    command.args(["--package", package]);
                });
            }
            What::Examples => {
                command.arg("--examples");
            }
        }
        let output = command.output().map_err(|error| format!("cargo could not be started: {error}"))?;
        if !output.status.success() {
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
            return Err(format!(
                "the guest components of {} do not build; cargo's words are below",
                manifest.display()
            ));
        }
        self.components(build, &manifest)
    }

    fn command(&self, profile: Profile) -> Command {
        let mut command = Command::new(&self.program);
        for (key, _) in env::vars_os() {
            if key.to_str().is_some_and(belongs_to_the_outer_build) {
                command.env_remove(key);
            }
        }
        command.args(["build", "--locked", "--target", TARGET, "--target-dir"]).arg(&self.target_dir);
        command.args(["--profile", profile.name()]);
        for setting in profile.settings() {
            command.arg("--config").arg(format!("profile.{}.{setting}", profile.name()));
        }
        // The flags of the outer build may have been given in its configuration, which the second cargo reads, too.
        command.current_dir(&self.package_dir);
        command
    }

    fn components(&self, build: &Build, manifest: &Path) -> Result<Vec<Component>, String> {
        let folder = self.target_dir.join(TARGET).join(build.profile.name());
        let (folder, stems) = match &build.what {
            What::Libraries(packages) => (folder, packages.clone()),
            What::Examples => (folder.join("examples"), inputs::examples(manifest)?),
        };
        let component = |stem: String| {
            let wasm = folder.join(format!("{}.wasm", stem.replace('-', "_")));
            inputs::watch_sources_of(&wasm)?;
            let name = stem.strip_prefix("landfall-").unwrap_or(&stem).to_owned();
            Ok(Component { name, wasm })
        };
        stems.into_iter().map(component).collect()
    }
}

impl Profile {
    fn name(self) -> &'static str {
        match self {
            Self::Shipped => "guest",
            Self::Quick => "guest-quick",
        }
    }

    /// Given on the command line, so that every manifest's components are built alike.
    fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Shipped => &[
                "inherits=\"release\"",
                "opt-level=3",
                "lto=\"fat\"",
                "codegen-units=1",
                "panic=\"abort\"",
                "strip=true",
                "debug=false",
            ],
            Self::Quick => &[
                "inherits=\"release\"",
                "opt-level=1",
                "lto=false",
                "codegen-units=16",
                "panic=\"abort\"",
                "strip=true",
                "debug=false",
            ],
        }
    }
}

fn belongs_to_the_outer_build(variable: &str) -> bool {
    let passed_on = ["CARGO_HOME", "CARGO_NET_", "CARGO_HTTP_", "CARGO_REGISTR", "CARGO_SOURCE_", "CARGO_MAKEFLAGS"];
    let flags =
        ["RUSTFLAGS", "RUSTDOCFLAGS", "RUSTC_WORKSPACE_WRAPPER", "CLIPPY_ARGS", "CLIPPY_CONF_DIR", "LLVM_PROFILE_FILE"];
    flags.contains(&variable)
        || ["CARGO_", "DEP_", "__CARGO"].iter().any(|prefix| variable.starts_with(prefix))
            && !passed_on.iter().any(|prefix| variable.starts_with(prefix))
}

/// `guests` in the outer build's target folder, which is the one that cargo has marked as a cache.
fn target_dir(out_dir: &Path) -> PathBuf {
    let outer = out_dir.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    outer.unwrap_or(out_dir).join("guests")
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("{name} is not set: this is for build scripts, which cargo runs"))
}

/// The target that this package's build script has found or installed.
const TARGET: &str = env!("GUEST_TARGET");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn compilers_and_flags_of_the_outer_build_are_not_passed_on() {
        for variable in [
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC_WORKSPACE_WRAPPER",
            "CARGO_BUILD_TARGET",
            "CARGO_TARGET_DIR",
            "CARGO_PROFILE_RELEASE_LTO",
        ] {
            assert!(belongs_to_the_outer_build(variable), "{variable}");
        }
    }

    #[test]
    fn where_packages_come_from_is_passed_on() {
        for variable in [
            "CARGO_HOME",
            "CARGO_NET_OFFLINE",
            "CARGO_REGISTRIES_MIRROR_INDEX",
            "CARGO_MAKEFLAGS",
            "PATH",
            "RUSTUP_TOOLCHAIN",
        ] {
            assert!(!belongs_to_the_outer_build(variable), "{variable}");
        }
    }
}
