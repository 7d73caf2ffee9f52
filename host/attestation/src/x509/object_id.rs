//! Object identifiers: compared as bytes, and written for people at a cost that their length bounds.
//!
//! The digits of a long identifier cost the square of its length, and a stranger chooses how long one is. This is the one
//! place that writes them.

use x509_parser::oid_registry::Oid;

/// The identifier in digits and dots; one that is longer than any that is in use, only by its length.
pub(super) fn text(oid: &Oid<'_>) -> String {
    let octets = oid.as_bytes().len();
    if octets > MAX_OCTETS {
        return format!("an identifier of {octets} octets");
    }
    #[cfg(test)]
    tests::WRITTEN.with(|written| written.set(written.get() + octets));
    oid.to_id_string()
}

/// Whether the identifier is longer than any that is in use.
pub(super) fn is_overlong(oid: &Oid<'_>) -> bool {
    oid.as_bytes().len() > MAX_OCTETS
}

/// Those of UUIDs (2.25) have 20.
pub(super) const MAX_OCTETS: usize = 48;

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// How many octets of identifiers were turned into digits.
        pub(in super::super) static WRITTEN: Cell<usize> = const { Cell::new(0) };
    }
}
