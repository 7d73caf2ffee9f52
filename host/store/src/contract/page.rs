//! Listings come in pages.

/// Part of a listing: so many after a key.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The key after which it begins, in any case; the first page when absent.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// A page of things.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Listing<T> {
    pub items: Vec<T>,
    /// Where the next page begins; absent on the last.
    pub next: Option<String>,
}
