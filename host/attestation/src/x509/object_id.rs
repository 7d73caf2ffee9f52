//! Object identifiers: compared as bytes, and written as text at a limited cost.
//!
//! Writing an identifier in decimal costs the square of its length, and a stranger chooses the length. So this is the
//! only place that writes identifiers.

use x509_parser::oid_registry::Oid;

/// The identifier in digits and dots. For an identifier that is longer than any in use, only its length is given.
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

/// Maximum length in octets. Identifiers of UUIDs (2.25) have 20.
pub(super) const MAX_OCTETS: usize = 48;

#[cfg(test)]
pub(super) mod tests {
    use std::cell::Cell;

    thread_local! {
        /// How many octets of identifiers were written in decimal.
        pub(in super::super) static WRITTEN: Cell<usize> = const { Cell::new(0) };
    }
}
