//! The components that the tests load, built by the build script from `tests/guests` and `examples/policies/rust`.

include!(concat!(env!("OUT_DIR"), "/guests.rs"));

/// The component of this name, such as `loops-forever`: that of its file in `tests/guests/examples`.
///
/// # Panics
///
/// When there is none: a test that names it is wrong.
pub fn component(name: &str) -> &'static [u8] {
    let found = ALL.iter().find(|(guest, _)| *guest == name);
    found.unwrap_or_else(|| panic!("there is no guest `{name}`")).1
}
