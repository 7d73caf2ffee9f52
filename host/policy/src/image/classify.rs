//! Determines from a component's bytes what it is and what it needs, before anything is compiled.
//!
//! A hostile component could make the host work while it is compiled (the engine promises nothing about that). So
//! everything that can be refused by reading is refused here: because of size, numbers of functions and segments,
//! imports that are not granted, unknown worlds and versions.

use wasmparser::{Encoding, Parser, Payload};

use super::{Card, Tier, Worlds};
use crate::link::WitVersion;

/// Why a component is not a plugin for this host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the messages say what the fields are")]
pub enum ClassifyError {
    /// The component is larger than allowed.
    #[error(
        "the component has {size_bytes} bytes; at most {limit_bytes} are taken (strip debug information, optimise for size)"
    )]
    TooLarge { size_bytes: usize, limit_bytes: usize },
    /// The bytes are not Wasm.
    #[error("this is no WebAssembly component: it does not begin with `\\0asm`")]
    NotWasm,
    /// The bytes are a core module, not a component.
    #[error("this is a core WebAssembly module and not a component; build for the target wasm32-wasip2")]
    CoreModule,
    /// The bytes are damaged or cut off.
    #[error("the component is damaged at byte {offset}: {message}")]
    Malformed { offset: u64, message: String },
    /// The component has more of something than a policy needs and a compiler should get.
    #[error("the component has more than {limit} {what}; a policy is smaller than that")]
    TooComplex { what: &'static str, limit: u32 },
    /// The component imports something that policies do not get.
    #[error("the component imports what is not granted to a policy: {}; remove what uses it", imports.join(", "))]
    NotGranted { imports: Vec<String> },
    /// The component is built for a version of WASI that this host does not have.
    #[error(
        "the component is built for WASI {version} ({import}), which is not supported; build it for WASI 0.2 (in Rust: the \
         target wasm32-wasip2)"
    )]
    WasiVersion { version: String, import: String },
    /// The component exports no `control`, or neither selection nor grouping.
    #[error("the component does not export {missing} of landfall:policy; it exports {}", listed(exports))]
    NoWorld { missing: &'static str, exports: Vec<String> },
    /// The component is built for a version of the contract that this host does not support.
    #[error("the component is built against landfall:policy@{found}; this host speaks {}", known())]
    Version { found: String },
    /// The component is built for two versions of the contract at once.
    #[error("the component names two versions of landfall:policy, {one} and {other}")]
    MixedVersions { one: String, other: String },
}

/// Determines what a component imports, exports and consists of.
pub(crate) fn classify(bytes: &[u8], limit_bytes: usize) -> Result<Card, ClassifyError> {
    if bytes.len() > limit_bytes {
        return Err(ClassifyError::TooLarge { size_bytes: bytes.len(), limit_bytes });
    }
    let Outline { mut imports, mut exports } = outline(bytes)?;
    imports.sort_unstable();
    exports.sort_unstable();

    let of_other_wasi = |import: &&String| Name::parse(import).is_some_and(|name| name.is_of_another_wasi());
    if let Some(import) = imports.iter().find(of_other_wasi) {
        let version = Name::parse(import).map(|name| name.version.to_owned()).unwrap_or_default();
        return Err(ClassifyError::WasiVersion { version, import: import.clone() });
    }
    let not_granted: Vec<_> = imports.iter().filter(|name| !is_granted(name)).cloned().collect();
    if !not_granted.is_empty() {
        return Err(ClassifyError::NotGranted { imports: not_granted });
    }
    let wit = version(imports.iter().chain(&exports))?;
    let has = |interface: &str| {
        exports.iter().any(|name| Name::parse(name).is_some_and(|n| n.is_ours() && n.interface == interface))
    };
    let worlds = match (has("control"), has("hub-selection"), has("grouping")) {
        (true, true, true) => Worlds::Policy,
        (true, true, false) => Worlds::Selector,
        (true, false, true) => Worlds::Grouper,
        (true, false, false) => {
            return Err(ClassifyError::NoWorld { missing: "`hub-selection` or `grouping`", exports });
        }
        (false, ..) => {
            return Err(ClassifyError::NoWorld { missing: "`control`", exports });
        }
    };
    let size_bytes = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
    // Components with neither were refused above.
    let tier = if imports.iter().any(|name| is_network(name)) { Tier::Recorded } else { Tier::Pure };
    let wit = wit.ok_or(ClassifyError::NoWorld { missing: "anything", exports })?;
    Ok(Card { tier, wit, worlds, imports, size_bytes })
}

struct Outline {
    imports: Vec<String>,
    exports: Vec<String>,
}

fn outline(bytes: &[u8]) -> Result<Outline, ClassifyError> {
    let malformed = |error: wasmparser::BinaryReaderError| ClassifyError::Malformed {
        offset: u64::try_from(error.offset()).unwrap_or(u64::MAX),
        message: error.message().to_owned(),
    };
    if !bytes.starts_with(b"\0asm") {
        return Err(ClassifyError::NotWasm);
    }
    let mut outline = Outline { imports: Vec::new(), exports: Vec::new() };
    let mut counts = Counts::default();
    let mut depth = 0_u32;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.map_err(malformed)? {
            Payload::Version { encoding: Encoding::Module, .. } if depth == 0 => {
                return Err(ClassifyError::CoreModule);
            }
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => {
                depth += 1;
                counts.nested.add(1)?;
            }
            Payload::End(_) => depth = depth.saturating_sub(1),
            Payload::CodeSectionStart { count, .. } => counts.functions.add(count)?,
            Payload::CodeSectionEntry(body) => {
                let size = u32::try_from(body.range().len()).unwrap_or(u32::MAX);
                if size > MAX_FUNCTION_BYTES {
                    return Err(ClassifyError::TooComplex { what: "bytes in one function", limit: MAX_FUNCTION_BYTES });
                }
            }
            Payload::DataSection(section) => counts.segments.add(section.count())?,
            Payload::ElementSection(section) => counts.segments.add(section.count())?,
            Payload::ComponentTypeSection(section) => counts.types.add(section.count())?,
            Payload::TypeSection(section) => counts.types.add(section.count())?,
            Payload::ComponentImportSection(section) if depth == 0 => {
                for import in section {
                    outline.imports.push(import.map_err(malformed)?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if depth == 0 => {
                for export in section {
                    outline.exports.push(export.map_err(malformed)?.name.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok(outline)
}

struct Counts {
    functions: Count,
    segments: Count,
    types: Count,
    nested: Count,
}

struct Count {
    what: &'static str,
    so_far: u32,
    limit: u32,
}

impl Default for Counts {
    fn default() -> Self {
        let count = |what, limit| Count { what, so_far: 0, limit };
        // A Python interpreter has about 30,000 functions and 40 modules. No known component has half of these limits.
        Self {
            functions: count("functions", 100_000),
            segments: count("data and element segments", 100_000),
            types: count("types", 100_000),
            nested: count("nested modules and components", 200),
        }
    }
}

impl Count {
    fn add(&mut self, more: u32) -> Result<(), ClassifyError> {
        self.so_far = self.so_far.saturating_add(more);
        if self.so_far > self.limit {
            return Err(ClassifyError::TooComplex { what: self.what, limit: self.limit });
        }
        Ok(())
    }
}

struct Name<'a> {
    package: &'a str,
    interface: &'a str,
    version: &'a str,
}

impl<'a> Name<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let (package, rest) = text.split_once('/')?;
        let (interface, version) = rest.split_once('@')?;
        Some(Self { package, interface, version })
    }

    fn is_ours(&self) -> bool {
        self.package == "landfall:policy"
    }

    /// Whether the import is from WASI but not from version 0.2 (pre-releases of 0.2 count as another version).
    fn is_of_another_wasi(&self) -> bool {
        self.package.starts_with("wasi:") && (self.track() != Some("0.2") || self.version.contains('-'))
    }

    /// The part of the version within which names are compatible: `0.1` of `0.1.3`.
    fn track(&self) -> Option<&'a str> {
        let release = self.version.split('-').next().unwrap_or_default();
        release.rsplit_once('.').map(|(track, _)| track)
    }
}

fn is_granted(import: &str) -> bool {
    let Some(name) = Name::parse(import) else {
        return false;
    };
    let granted = match name.package {
        // For an unknown version, the version is reported and not the interface.
        "landfall:policy" => {
            return name.track() != Some("0.1") || OUR_IMPORTS.contains(&name.interface);
        }
        "wasi:cli" => CLI,
        "wasi:clocks" => &["monotonic-clock", "wall-clock"],
        "wasi:http" => &["outgoing-handler", "types"],
        "wasi:filesystem" => &["preopens", "types"],
        "wasi:io" => &["error", "poll", "streams"],
        "wasi:random" => &["insecure", "insecure-seed", "random"],
        _ => return false,
    };
    granted.contains(&name.interface) && name.track() == Some("0.2")
}

/// Whether the import makes a plugin one of the tier `recorded`.
fn is_network(import: &str) -> bool {
    Name::parse(import).is_some_and(|name| name.package == "wasi:http")
}

fn version<'a>(names: impl Iterator<Item = &'a String>) -> Result<Option<WitVersion>, ClassifyError> {
    let mut found: Option<&str> = None;
    for name in names.filter_map(|name| Name::parse(name)).filter(Name::is_ours) {
        match found {
            Some(one) if one != name.version => {
                return Err(ClassifyError::MixedVersions { one: one.to_owned(), other: name.version.to_owned() });
            }
            _ => found = Some(name.version),
        }
    }
    let Some(found) = found else { return Ok(None) };
    let known = WitVersion::KNOWN.iter().find(|known| {
        found
            .strip_prefix(known.as_str())
            .and_then(|patch| patch.strip_prefix('.'))
            .is_some_and(|patch| !patch.is_empty() && patch.bytes().all(|byte| byte.is_ascii_digit()))
    });
    known.copied().map(Some).ok_or_else(|| ClassifyError::Version { found: found.to_owned() })
}

fn known() -> String {
    let known: Vec<_> = WitVersion::KNOWN.iter().map(|known| known.as_str()).collect();
    known.join(", ")
}

fn listed(exports: &[String]) -> String {
    if exports.is_empty() { "nothing".into() } else { exports.join(", ") }
}

const OUR_IMPORTS: &[&str] = &["types", "log", "catalog"];
const CLI: &[&str] = &[
    "environment",
    "exit",
    "stderr",
    "stdin",
    "stdout",
    "terminal-input",
    "terminal-output",
    "terminal-stderr",
    "terminal-stdin",
    "terminal-stdout",
];
/// Maximum size of a function. For larger ones, compile time grows more than proportionally.
const MAX_FUNCTION_BYTES: u32 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    #[test]
    fn what_is_no_component_is_told_apart() {
        assert_eq!(classify(b"#!/bin/sh", LIMIT), Err(ClassifyError::NotWasm));
        assert_eq!(classify(b"\0asm\x01\0\0\0", LIMIT), Err(ClassifyError::CoreModule));
        assert!(matches!(classify(b"\0asm\x0d\0\x01\0\x07", LIMIT), Err(ClassifyError::Malformed { .. })));
        let nothing = classify(b"\0asm\x0d\0\x01\0", LIMIT).unwrap_err();
        assert_eq!(
            nothing.to_string(),
            "the component does not export `control` of landfall:policy; it exports nothing"
        );
        assert!(matches!(classify(&[0; 9], 8), Err(ClassifyError::TooLarge { size_bytes: 9, limit_bytes: 8 })));
    }

    #[test]
    fn only_what_is_bound_to_the_call_is_granted() {
        for granted in [
            "landfall:policy/log@0.1.0",
            "wasi:io/streams@0.2.6",
            "wasi:cli/stderr@0.2.0",
            "wasi:http/outgoing-handler@0.2.6",
        ] {
            assert!(is_granted(granted), "{granted}");
        }
        for refused in [
            "wasi:sockets/tcp@0.2.6",
            "wasi:http/incoming-handler@0.2.6",
            "wasi:http/outgoing-handler@0.3.0",
            "wasi:io/streams@0.3.0",
            "wasi:cli/run@0.2.6",
            "landfall:policy/secrets@0.1.0",
            "env",
            "wasi:io/streams",
        ] {
            assert!(!is_granted(refused), "{refused}");
        }
    }

    #[test]
    fn a_component_for_another_wasi_is_told_which_one_is_here() {
        for (import, other) in [
            ("wasi:io/streams@0.2.6", false),
            ("wasi:sockets/tcp@0.2.0", false),
            ("landfall:policy/log@0.3.0", false),
            ("wasi:cli/stdout@0.3.0", true),
            ("wasi:cli/stdout@0.3.0-rc-2025-09-16", true),
            ("wasi:cli/stdout@0.2.0-rc-2023-12-05", true),
        ] {
            assert_eq!(Name::parse(import).unwrap().is_of_another_wasi(), other, "{import}");
        }
        let error = ClassifyError::WasiVersion { version: "0.3.0".into(), import: "wasi:cli/stdout@0.3.0".into() };
        assert!(error.to_string().contains("WASI 0.3.0") && error.to_string().contains("build it for WASI 0.2"));
    }

    #[test]
    fn another_version_of_the_contract_is_named() {
        let version_of = |text: &str| version([format!("landfall:policy/log@{text}")].iter());
        assert_eq!(version_of("0.1.0"), Ok(Some(WitVersion::V0_1)));
        assert_eq!(version_of("0.1.7"), Ok(Some(WitVersion::V0_1)));
        for other in ["0.2.0", "0.10.0", "0.1.0-rc1", "1.1.0"] {
            assert_eq!(version_of(other), Err(ClassifyError::Version { found: other.into() }));
        }
    }
}
