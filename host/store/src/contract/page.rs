//! Pages of listings.

/// The part of a listing that is requested.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// The key after which the page begins, whether or not the key exists; the first page when absent.
    pub after: Option<String>,
    /// The maximum number of items.
    pub limit: usize,
}

/// A page of a listing.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Listing<T> {
    pub items: Vec<T>,
    /// The key after which the next page begins; absent on the last page.
    pub next: Option<String>,
}
