//! What was taken back: one certificate, a range of serial numbers, a whole authority.
//!
//! An authority says it by its revocation list (a standard, made elsewhere, brought or fetched), and an operator says it
//! here, at once, without the authority's key: numbers of a lot that was stolen, or the authority itself, whose key was.
//!
//! What was said belongs to the *issuer*: a name and a key ([`Issuer`]), whatever certificate it shows. So it outlives each
//! certificate of it, its row in the catalogue and the name under which an operator uploaded it ([`RevocationRecord`]). It is
//! changed by commands ([`RevocationCommand`]), which the store merges over whatever stands there by then.
//!
//! [`Known`] judges: each certificate on a verified path is looked for with its issuer, then the one at the top with its
//! own, and so on upwards over all certificates that are held here (proven authorities, groups' intermediates, and the
//! issuers of which something is said). A pinned certificate is asked about like any other.

mod issuer;
mod known;
mod record;

use landfall_domain::registry::SerialNumber;
use serde::{Deserialize, Serialize};

pub use self::issuer::{Issuer, issued};
pub use self::known::{Known, Said, Standing};
pub use self::record::{
    KeptRevocations, MOST_RANGES, RevocationChange, RevocationCommand, RevocationConflict, RevocationRecord,
    SourceChange,
};

/// What an operator says of an authority's certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RevocationRules {
    /// Where its list is fetched.
    pub source: Option<ListSource>,
    /// What holds while its list is out of date, or was never there.
    pub when_stale: WhenStale,
    /// Numbers that are taken back whatever the list says.
    pub serials: Vec<SerialRange>,
    /// The authority itself is taken back, with all that it issued.
    pub whole: bool,
}

/// Where a list is fetched, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListSource {
    /// An https:// or http:// address. The list is signed, so that http:// alters nothing; who is between can only hold a
    /// newer one back.
    pub url: String,
    /// Minutes from one time to the next.
    pub refresh_minutes: u64,
    /// The authority that the address is trusted by, PEM; the platform's when absent.
    pub ca_certificate: Option<String>,
    /// Whether the address must be a public one: an operator of one id scope has named it, and must not learn through it what
    /// answers in the server's own networks.
    #[serde(default)]
    pub public_hosts_only: bool,
}

impl ListSource {
    /// Whether two are one place, trusted in one way, however often it is asked.
    pub fn is_the_place_of(&self, other: &Self) -> bool {
        self.url == other.url
            && self.ca_certificate == other.ca_certificate
            && self.public_hosts_only == other.public_hosts_only
    }
}

/// What holds while a list is out of date.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum WhenStale {
    /// The authority's devices are refused: nobody knows any more.
    #[default]
    Refuse,
    /// The list counts on, and the log says so now and then.
    Warn,
}

/// From one number to another, both among them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs, reason = "the names say it")]
pub struct SerialRange {
    pub from: SerialNumber,
    pub to: SerialNumber,
}

impl std::fmt::Display for SerialRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.from == self.to { write!(f, "{}", self.from) } else { write!(f, "{}..{}", self.from, self.to) }
    }
}
