//! Builds guest components from a build script, so that `cargo build` and `cargo test` on a fresh checkout do everything.
//!
//! ```no_run
//! landfall_guest_build::Guests::default()
//!     .libraries("../Cargo.toml", &["landfall-weighted"])
//!     .examples("guests/Cargo.toml")
//!     .build("guests.rs");
//! ```
//!
//! The build script's cargo runs a second one, for `wasm32-wasip2`, and writes a Rust file into `OUT_DIR` with the bytes
//! of each component as a constant (`WEIGHTED`) and all of them with their names (`ALL`). What makes that safe:
//!
//! - **A target folder of its own**, `guests` beside the folders of the outer build's profiles, because the outer cargo
//!   holds the lock of its own for as long as it waits for us. All build scripts and profiles share it, so that what the
//!   components have in common is compiled once.
//! - **An environment of its own.** The flags, wrappers and `CARGO_*` variables of the outer build (`clippy`'s compiler,
//!   a coverage tool's flags) are meant for it alone, and would make each of `check`, `clippy`, `doc` and `test` compile
//!   the components anew. What says where packages come from, and the job server, are passed on.
//! - **`--locked`**: building does not write into the source tree, and components are made from the versions that were
//!   tested.
//! - **The target first**: this package's own build script installs the WebAssembly target where rustup can, and ends the
//!   build in its first seconds where it cannot.
//! - **Reruns by dep-info**: cargo says which files went into a component; those, the manifests above them and the lock
//!   files are watched, and nothing else.

use std::path::PathBuf;
use std::process;

mod cargo;
mod inputs;
mod write;

/// The components to build.
#[derive(Debug, Default)]
pub struct Guests {
    builds: Vec<Build>,
}

/// How components are compiled.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Profile {
    /// For embedding: small and fast, slow to compile.
    Shipped,
    /// For tests: many components, each run a few times.
    Quick,
}

/// One run of cargo.
#[derive(Debug)]
pub(crate) struct Build {
    manifest: PathBuf,
    profile: Profile,
    what: What,
}

#[derive(Debug)]
pub(crate) enum What {
    /// The library of each of these packages, named after the package without `landfall-`.
    Libraries(Vec<String>),
    /// Every example of the package, named after itself.
    Examples,
}

/// One component that was built.
#[derive(Debug)]
pub(crate) struct Component {
    name: String,
    wasm: PathBuf,
}

impl Guests {
    /// Builds the libraries of these packages of the workspace, or package, with this manifest. The path is relative to
    /// the package of the build script. A constant is named after the package, without a leading `landfall-`.
    #[must_use]
    pub fn libraries(mut self, manifest: &str, packages: &[&str]) -> Self {
        let packages = packages.iter().map(|&package| package.to_owned()).collect();
        self.builds.push(Build::new(manifest, Profile::Shipped, What::Libraries(packages)));
        self
    }

    /// Builds every example of this package that is a `cdylib`, without much optimisation: for tests that need many
    /// small components. A constant is named after its example.
    #[must_use]
    pub fn examples(mut self, manifest: &str) -> Self {
        self.builds.push(Build::new(manifest, Profile::Quick, What::Examples));
        self
    }

    /// Builds, and writes the Rust file of this name into `OUT_DIR`. To be used as
    /// `include!(concat!(env!("OUT_DIR"), "/guests.rs"));`.
    ///
    /// When it fails it says why and ends the build script.
    pub fn build(self, file: &str) {
        if let Err(failure) = self.try_build(file) {
            // Shown by cargo as an error of the package, above everything else.
            println!("cargo::error={}", failure.replace('\n', " "));
            process::exit(1);
        }
    }

    fn try_build(self, file: &str) -> Result<(), String> {
        let cargo = cargo::Cargo::find()?;
        let mut components = Vec::new();
        for build in &self.builds {
            components.extend(cargo.run(build)?);
        }
        write::write(&components, file)
    }
}

impl Build {
    fn new(manifest: &str, profile: Profile, what: What) -> Self {
        Self { manifest: PathBuf::from(manifest), profile, what }
    }
}
