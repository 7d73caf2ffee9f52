//! The server's current certificate. It is read at the start, and again when the operator says so (SIGHUP).
//!
//! Open connections keep the certificate that they began with. A new certificate that cannot be used changes nothing:
//! the server keeps the present one.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use landfall_attestation::x509::make::{end_of, validity_of};
use landfall_domain::clock::Timestamp;
use rustls::server::{ClientHello, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::ServerName;

use super::{Identity, TlsError, Untimely, provider};

/// The certificate that clients are shown.
#[derive(Debug)]
pub struct Current(ArcSwap<CertifiedKey>);

impl Current {
    /// Starts with this certificate.
    ///
    /// # Errors
    ///
    /// If key and certificate do not belong together, or are of a kind that TLS does not support.
    pub fn new(identity: Identity) -> Result<Arc<Self>, TlsError> {
        Ok(Arc::new(Self(ArcSwap::from_pointee(certified(identity)?))))
    }

    /// Shows another certificate from now on.
    ///
    /// # Errors
    ///
    /// As [`Current::new`]. The present certificate then stays.
    pub fn replace(&self, identity: Identity) -> Result<(), TlsError> {
        self.0.store(Arc::new(certified(identity)?));
        Ok(())
    }

    /// When it expires. If its end cannot be read, it counts as expired now.
    pub fn expires_at(&self) -> Timestamp {
        let shown = self.0.load();
        shown.cert.first().map_or_else(Timestamp::default, |leaf| end_of(leaf))
    }

    /// Checks its dates at a time. The clock may be wrong by `skew`.
    ///
    /// # Errors
    ///
    /// If it has expired, or is not valid yet.
    pub fn is_good_at(&self, now: Timestamp, skew: Duration) -> Result<(), Untimely> {
        let shown = self.0.load();
        let (begin, end) = shown.cert.first().map_or_else(Default::default, |leaf| validity_of(leaf));
        if end <= now {
            return Err(Untimely::Expired(end));
        }
        // It begins later than the clock's error can explain.
        if begin.since(now) > skew { Err(Untimely::NotYet(begin)) } else { Ok(()) }
    }

    /// Checks that clients which call the server by this name accept the certificate.
    ///
    /// # Errors
    ///
    /// The reason why they do not.
    pub fn is_for(&self, hostname: &str) -> Result<(), String> {
        let name = ServerName::try_from(hostname).map_err(|error| error.to_string())?;
        let shown = self.0.load();
        let leaf = shown.cert.first().ok_or("there is no certificate")?;
        let leaf = ParsedCertificate::try_from(leaf).map_err(|error| error.to_string())?;
        rustls::client::verify_server_name(&leaf, &name).map_err(|error| error.to_string())
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn certified(identity: Identity) -> Result<CertifiedKey, TlsError> {
    CertifiedKey::from_der(identity.chain, identity.key, &provider()).map_err(TlsError::Identity)
}

#[cfg(test)]
mod tests {
    use landfall_attestation::x509::make::Authority;
    use landfall_domain::clock::Ambient;

    use super::*;

    fn issued(names: &[&str], days: i64) -> Identity {
        let now = Ambient::system().now();
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        Identity::of(&Authority::root("CA", now, 9).unwrap().server(&names, now, days).unwrap())
    }

    #[test]
    fn it_knows_its_end_and_its_names() {
        let current = Current::new(issued(&["dps.example.com", "192.0.2.7"], 5)).unwrap();
        let left = current.expires_at().since(Ambient::system().now()).as_secs();
        assert!((4 * 86_400..=5 * 86_400).contains(&left), "{left}");
        assert_eq!(current.is_for("dps.example.com"), Ok(()));
        assert_eq!(current.is_for("192.0.2.7"), Ok(()));
        assert!(current.is_for("other.example.com").is_err());
        assert!(current.is_for("a b").is_err());
    }

    #[test]
    fn it_knows_whether_it_is_good_now() {
        let (now, skew) = (Ambient::system().now(), Duration::from_secs(300));
        let at = |seconds: i64| Timestamp::from_millis(now.as_millis().saturating_add_signed(seconds * 1000));
        let current = Current::new(issued(&["a.example"], 5)).unwrap();
        assert_eq!(current.is_good_at(now, skew), Ok(()));
        // The certificate began an hour ago.
        assert_eq!(current.is_good_at(at(-3700), skew), Ok(()));
        assert!(matches!(current.is_good_at(at(-3600 - 400), skew), Err(Untimely::NotYet(_))));
        assert_eq!(current.is_good_at(at(5 * 86_400), skew), Err(Untimely::Expired(current.expires_at())));
    }

    #[test]
    fn a_key_of_another_certificate_is_refused_and_changes_nothing() {
        let current = Current::new(issued(&["a.example"], 5)).unwrap();
        let (one, other) = (issued(&["b.example"], 5), issued(&["c.example"], 5));
        let mixed = Identity { chain: one.chain.clone(), key: other.key };
        assert!(matches!(current.replace(mixed), Err(TlsError::Identity(_))));
        assert_eq!(current.is_for("a.example"), Ok(()));
        current.replace(one).unwrap();
        assert_eq!(current.is_for("b.example"), Ok(()));
    }
}
