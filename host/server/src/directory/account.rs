//! What a directory's entry says about an account.

use landfall_domain::clock::Timestamp;
use landfall_domain::enrollment::AccountKind;
use ldap3::SearchEntry;

use super::DirectoryFlaw;

/// An account that is enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its security identifier, as the directory has it. It is never given to another account.
    pub sid: Vec<u8>,
    /// The kind of account, whatever its name ends with.
    pub kind: AccountKind,
    /// When it expires, if it does.
    pub expires: Option<Timestamp>,
    /// The names (`sAMAccountName`) of all its security groups except the primary one, sorted. Distribution groups (for
    /// mail) are not included: their managers may not be allowed to grant rights.
    pub groups: Vec<String>,
}

impl Account {
    /// Reads an entry with [`ATTRIBUTES`]. The groups come from another query.
    pub(super) fn read(name: &str, entry: &SearchEntry) -> Result<Self, DirectoryFlaw> {
        let sid = entry.bin_attrs.get("objectSid").and_then(|values| values.first()).cloned();
        // The library passes on a value as text if its bytes happen to be UTF-8.
        let sid = sid.or_else(|| Some(text(entry, "objectSid")?.as_bytes().to_vec()));
        let hidden = |attribute| DirectoryFlaw::Hidden { attribute, account: name.to_owned() };
        let kind = match text(entry, "sAMAccountType").ok_or_else(|| hidden("sAMAccountType"))? {
            MACHINE => AccountKind::Computers,
            _ => AccountKind::Users,
        };
        let expires = text(entry, "accountExpires").map(|value| value.parse().map_err(|_| hidden("accountExpires")));
        let expires = expires.transpose()?.and_then(expiry);
        Ok(Self { sid: sid.ok_or_else(|| hidden("objectSid"))?, kind, expires, groups: Vec::new() })
    }

    /// Whether it has expired.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

fn text<'a>(entry: &'a SearchEntry, attribute: &str) -> Option<&'a str> {
    entry.attrs.get(attribute)?.first().map(String::as_str)
}

/// Converts a time in units of 100 ns since 1601. Zero and the largest value mean never.
fn expiry(value: i64) -> Option<Timestamp> {
    let millis = u64::try_from(value).ok()? / 10_000;
    let never = value == 0 || value == i64::MAX;
    // A time before 1970 is in the past in any case.
    (!never).then(|| Timestamp::from_millis(millis.saturating_sub(BEFORE_1970)))
}

/// The attributes of an account that are requested.
pub(super) const ATTRIBUTES: [&str; 3] = ["objectSid", "sAMAccountType", "accountExpires"];
/// SAM_MACHINE_ACCOUNT (MS-SAMR, 2.2.1.9).
const MACHINE: &str = "805306369";
const BEFORE_1970: u64 = 11_644_473_600_000;

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn entry(attributes: &[(&str, &str)]) -> SearchEntry {
        let one = |(name, value): &(&str, &str)| ((*name).to_owned(), vec![(*value).to_owned()]);
        let bin_attrs = HashMap::from([("objectSid".to_owned(), vec![vec![1, 2]])]);
        SearchEntry { dn: "cn=x".to_owned(), attrs: attributes.iter().map(one).collect(), bin_attrs }
    }

    #[test]
    fn an_account_has_a_kind_and_an_end() {
        let read = |attributes: &[(&str, &str)]| Account::read("x", &entry(attributes));
        let user = read(&[("sAMAccountType", "805306368"), ("accountExpires", "0")]).unwrap();
        assert_eq!(
            (user.kind, user.expires, user.is_over(Timestamp::from_millis(u64::MAX))),
            (AccountKind::Users, None, false)
        );
        let machine = read(&[("sAMAccountType", MACHINE), ("accountExpires", "9223372036854775807")]).unwrap();
        assert_eq!((machine.kind, machine.expires), (AccountKind::Computers, None));
        // 2026-11-24T00:00:00Z.
        let ends = read(&[("sAMAccountType", MACHINE), ("accountExpires", "134398656000000000")]).unwrap();
        let at = Timestamp::from_millis(1_795_392_000_000);
        assert_eq!(ends.expires, Some(at));
        assert!(ends.is_over(at) && !ends.is_over(Timestamp::from_millis(at.as_millis() - 1)));
        let past = read(&[("sAMAccountType", MACHINE), ("accountExpires", "1")]).unwrap();
        assert!(past.is_over(Timestamp::from_millis(0)));
        assert!(matches!(read(&[]), Err(DirectoryFlaw::Hidden { attribute: "sAMAccountType", .. })));
        let odd = read(&[("sAMAccountType", MACHINE), ("accountExpires", "soon")]);
        assert!(matches!(odd, Err(DirectoryFlaw::Hidden { attribute: "accountExpires", .. })));
    }
}
