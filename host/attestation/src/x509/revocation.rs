//! Revocation of one certificate, of a range of serial numbers, or of a whole authority.
//!
//! There are two sources. An authority publishes a revocation list (a standard form, made elsewhere, uploaded or
//! fetched). An operator revokes directly, at once and without the authority's key: the serial numbers of a lot that
//! was stolen, or the authority itself if its key was stolen.
//!
//! Revocations belong to the *issuer*: a name and a key ([`Issuer`]), whatever certificate the issuer uses. So they
//! outlive each of its certificates, its row in the catalogue and the name under which an operator uploaded it
//! ([`RevocationRecord`]). They are changed by commands ([`RevocationCommand`]), which the store applies to the record
//! as it is at that time.
//!
//! [`Known`] decides. Each certificate on a verified path is looked up with its issuer; then the certificate at the
//! top with its own issuer, and so on upwards over all certificates that are held here (proven authorities, groups'
//! intermediates, and issuers with a revocation record). A pinned certificate is looked up like any other.

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

/// An operator's rules for the certificates of an authority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct RevocationRules {
    /// Where the authority's list is fetched from.
    pub source: Option<ListSource>,
    /// What happens while the list is out of date or missing.
    pub when_stale: WhenStale,
    /// Serial numbers that are revoked, whatever the list says.
    pub serials: Vec<SerialRange>,
    /// The authority itself is revoked, with everything that it issued.
    pub whole: bool,
}

/// Where a list is fetched from, and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ListSource {
    /// An https:// or http:// address. The list is signed, so with http:// nobody can change it; an attacker between
    /// can only withhold a newer list.
    pub url: String,
    /// Minutes between two fetches.
    pub refresh_minutes: u64,
    /// The certificate authority (PEM) that is trusted for the connection. `None`: those of the platform.
    pub ca_certificate: Option<String>,
    /// Whether the address must be public. True when an operator of one id scope named the address: that operator must
    /// not learn through it what answers in the server's own networks.
    #[serde(default)]
    pub public_hosts_only: bool,
}

impl ListSource {
    /// Whether both name the same address with the same trust. The interval is not compared.
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

/// A range of serial numbers, including both ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names say it")]
pub struct SerialRange {
    pub from: SerialNumber,
    pub to: SerialNumber,
}

impl std::fmt::Display for SerialRange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.from == self.to { write!(f, "{}", self.from) } else { write!(f, "{}..{}", self.from, self.to) }
    }
}
