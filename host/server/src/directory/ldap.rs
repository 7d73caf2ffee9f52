//! Asks a directory over LDAPS.
//!
//! Each question has a connection of its own. TLS must protect it, because a password is sent. Names are escaped in
//! filters, also names that came from the directory itself: a backslash or a parenthesis in a name must not become
//! syntax.

use std::sync::Arc;
use std::time::Duration;

use ldap3::{Ldap, LdapConnAsync, LdapConnSettings, LdapError, Scope, SearchEntry, ldap_escape};
use rustls::ClientConfig;
use tokio::task::JoinSet;
use zeroize::Zeroizing;

use super::account::{ATTRIBUTES, Account};
use crate::client::tls;

/// Why there is no answer. With any of these errors the device is not admitted.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum DirectoryFlaw {
    /// The address has another scheme than `ldaps:`.
    #[error("`{0}` is not an address like ldaps://dc1.example.org; plain LDAP would show the password")]
    Address(String),
    /// The trusted certificates cannot be used.
    #[error("the CA certificates of the directory: {0}")]
    Ca(String),
    /// The password is empty: such a bind succeeds as the anonymous user.
    #[error("the directory needs a password: an empty one binds as nobody and finds nothing")]
    NoPassword,
    /// There is no connection, or TLS failed.
    #[error("the directory cannot be reached: {0}")]
    Connection(String),
    /// The directory answered with an error.
    #[error("the directory refused {operation}: {source}")]
    Refused {
        /// What was asked of it.
        operation: &'static str,
        source: Box<LdapError>,
    },
    /// The answer took too long.
    #[error("the directory did not answer within {0:?}")]
    Slow(Duration),
    /// The directory was asked a short time ago and did not answer.
    #[error("the directory did not answer a moment ago: {0}")]
    Away(String),
    /// The directory does not show an attribute that is needed.
    #[error("the directory does not show {attribute} of the account `{account}` to the one who asks")]
    Hidden { attribute: &'static str, account: String },
}

impl DirectoryFlaw {
    /// How long the directory is not asked again. A bind that fails again and again would lock this server's account.
    pub(super) fn pause(&self) -> Duration {
        match self {
            Self::Refused { .. } => Duration::from_secs(30),
            Self::Connection(_) | Self::Slow(_) => Duration::from_secs(5),
            _ => Duration::ZERO,
        }
    }
}

/// The address of a directory, and the account with which it is asked.
pub(super) struct Ldaps {
    address: String,
    base: String,
    bind_dn: String,
    password: Zeroizing<String>,
    tls: Arc<ClientConfig>,
}

impl Ldaps {
    /// Only the certificates in `ca_pem` are trusted.
    pub(super) fn new(
        address: &str,
        base: &str,
        bind_dn: &str,
        password: Zeroizing<String>,
        ca_pem: &[u8],
    ) -> Result<Self, DirectoryFlaw> {
        // This is checked here because the library panics on an address without a host.
        let uri: Option<http::Uri> = address.parse().ok();
        let whole = uri.is_some_and(|uri| {
            let plain = uri.path_and_query().is_none_or(|path| path.as_str() == "/");
            uri.scheme_str() == Some("ldaps") && uri.host().is_some_and(|host| !host.is_empty()) && plain
        });
        if !whole {
            return Err(DirectoryFlaw::Address(address.to_owned()));
        }
        if password.is_empty() {
            return Err(DirectoryFlaw::NoPassword);
        }
        let tls = tls::client_without_alpn(ca_pem).map_err(|error| DirectoryFlaw::Ca(error.to_string()))?;
        Ok(Self { address: address.to_owned(), base: base.to_owned(), bind_dn: bind_dn.to_owned(), password, tls })
    }

    /// Finds an enabled account by its exact name (`sAMAccountName`: `dev-1`, or `dev-2$` for a computer).
    pub(super) async fn account(&self, name: &str) -> Result<Option<Account>, DirectoryFlaw> {
        tokio::time::timeout(PATIENCE, self.ask(name)).await.map_err(|_| DirectoryFlaw::Slow(PATIENCE))?
    }

    async fn ask(&self, name: &str) -> Result<Option<Account>, DirectoryFlaw> {
        let settings = LdapConnSettings::new().set_config(Arc::clone(&self.tls));
        let (connection, mut ldap) = LdapConnAsync::with_settings(settings, &self.address)
            .await
            .map_err(|error| DirectoryFlaw::Connection(error.to_string()))?;
        // Dropping the set ends the connection, whatever the answer, and also if there is none in time.
        let mut driver = JoinSet::new();
        driver.spawn(connection.drive());
        let answer = self.look_up(&mut ldap, name).await;
        drop(ldap.unbind().await);
        answer
    }

    async fn look_up(&self, ldap: &mut Ldap, name: &str) -> Result<Option<Account>, DirectoryFlaw> {
        let refused = |operation| move |error| DirectoryFlaw::Refused { operation, source: Box::new(error) };
        let bound = ldap.simple_bind(&self.bind_dn, &self.password).await;
        bound.and_then(ldap3::LdapResult::success).map_err(refused("the bind"))?;
        let account = format!("(&(objectClass=user)(sAMAccountName={})(!({DISABLED})))", ldap_escape(name));
        let found = self.search(ldap, &account, &ATTRIBUTES).await.map_err(refused("the search for the account"))?;
        let [entry] = found.as_slice() else { return Ok(None) };
        let account = Account::read(name, entry)?;
        let groups = format!("(&{SECURITY_GROUP}(member:{IN_CHAIN}:={}))", ldap_escape(entry.dn.as_str()));
        let found = self.search(ldap, &groups, &["sAMAccountName"]).await.map_err(refused("the search for groups"))?;
        let mut groups: Vec<String> =
            found.into_iter().filter_map(|mut entry| entry.attrs.remove("sAMAccountName")?.pop()).collect();
        groups.sort();
        Ok(Some(Account { groups, ..account }))
    }

    async fn search(&self, ldap: &mut Ldap, filter: &str, attributes: &[&str]) -> Result<Vec<SearchEntry>, LdapError> {
        let (entries, _) = ldap.search(&self.base, Scope::Subtree, filter, attributes).await?.success()?;
        Ok(entries.into_iter().map(SearchEntry::construct).collect())
    }
}

/// LDAP_MATCHING_RULE_IN_CHAIN: membership at any depth.
const IN_CHAIN: &str = "1.2.840.113556.1.4.1941";
/// LDAP_MATCHING_RULE_BIT_AND, and the bit of `userAccountControl` that disables an account.
const DISABLED: &str = "userAccountControl:1.2.840.113556.1.4.803:=2";
/// A group that can be given rights, as its `groupType` says.
const SECURITY_GROUP: &str = "(objectClass=group)(groupType:1.2.840.113556.1.4.803:=2147483648)";
const PATIENCE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_one_of_ldaps_with_a_host_and_nothing_more() {
        let made = landfall_attestation::x509::make::Authority::root(
            "Fleet CA",
            landfall_domain::clock::Ambient::system().now(),
            1,
        )
        .unwrap();
        let new = |address: &str, password: &str, ca: &str| {
            Ldaps::new(address, "dc=x", "cn=y", Zeroizing::new(password.to_owned()), ca.as_bytes()).map(drop)
        };
        for good in ["ldaps://dc1.fleet.test", "ldaps://localhost:636", "ldaps://dc1.fleet.test:636/"] {
            assert!(new(good, "p", &made.certificate_pem).is_ok(), "{good}");
        }
        for bad in ["ldap://dc1.fleet.test", "ldaps:", "ldaps:dc1", "ldaps://", "dc1.fleet.test", "ldaps://h/dc=x", ""]
        {
            assert!(matches!(new(bad, "p", &made.certificate_pem), Err(DirectoryFlaw::Address(_))), "{bad}");
        }
        assert!(matches!(new("ldaps://h", "", &made.certificate_pem), Err(DirectoryFlaw::NoPassword)));
        assert!(matches!(new("ldaps://h", "p", "nothing"), Err(DirectoryFlaw::Ca(_))));
    }
}
