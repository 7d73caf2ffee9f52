//! The policies that come with Landfall, embedded in the binary.
//!
//! They are ordinary plugins: they are loaded, checked, metered and replaceable like any other.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use landfall_domain::names::Digest;

include!(concat!(env!("OUT_DIR"), "/shipped.rs"));

/// The component of a shipped policy, by its plugin name.
pub fn component(name: &str) -> Option<&'static [u8]> {
    names_and_components().find(|(shipped, _)| *shipped == name).map(|(_, component)| component)
}

/// Every shipped policy's name and component, sorted by name.
pub fn names_and_components() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    ALL.iter().copied()
}

/// The component of a shipped policy, by its SHA-256.
pub fn component_of(digest: Digest) -> Option<&'static [u8]> {
    DIGESTS.iter().find(|(_, known)| **known == digest).and_then(|(name, _)| component(name))
}

/// The SHA-256 of a shipped policy's component, by its plugin name.
pub fn digest_of(name: &str) -> Option<Digest> {
    DIGESTS.get(name).copied()
}

/// Whether a component came with this binary.
pub fn is_shipped(component: Digest) -> bool {
    DIGESTS.values().any(|known| *known == component)
}

/// The digest of every shipped policy.
static DIGESTS: LazyLock<BTreeMap<&'static str, Digest>> =
    LazyLock::new(|| names_and_components().map(|(name, component)| (name, Digest::of(component))).collect());

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shipped_policy_is_a_component() {
        let names: Vec<_> = names_and_components().map(|(name, _)| name).collect();
        assert_eq!(names, landfall_domain::plugin::SHIPPED);
        for (name, component) in names_and_components() {
            // The header of a component, not of a core module: the second half of the version field is layer 1.
            assert_eq!(component.get(..8), Some(b"\0asm\x0d\0\x01\0".as_slice()), "{name}");
        }
    }

    #[test]
    fn a_policy_that_is_not_shipped_is_not_found() {
        assert_eq!(component("nearest-of-all"), None);
        assert_eq!(component("weighted"), Some(WEIGHTED));
    }
}
