//! What an entry of a directory says of an account.

use landfall_domain::clock::Timestamp;
use landfall_domain::enrollment::AccountKind;
use ldap3::SearchEntry;

use super::DirectoryFlaw;

/// An account that is enabled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its security identifier, as it stands in the directory: it is never given to another.
    pub sid: Vec<u8>,
    /// What it is, whatever its name ends with.
    pub kind: AccountKind,
    /// When it ends, if it does.
    pub expires: Option<Timestamp>,
    /// The names (`sAMAccountName`) of all security groups that it is in but its primary one, sorted. Groups for mail are none:
    /// whoever manages those need not be one who says who may do what.
    pub groups: Vec<String>,
}

impl Account {
    /// Reads an entry with [`ATTRIBUTES`]; the groups come from elsewhere.
    pub(super) fn read(name: &str, entry: &SearchEntry) -> Result<Self, DirectoryFlaw> {
        let sid = entry.bin_attrs.get("objectSid").and_then(|values| values.first()).cloned();
        // One that happens to be text comes as text.
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

    /// Whether it has ended.
    pub(super) fn is_over(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }
}

fn text<'a>(entry: &'a SearchEntry, attribute: &str) -> Option<&'a str> {
    entry.attrs.get(attribute)?.first().map(String::as_str)
}

/// A time in tenths of microseconds since 1601; zero and the last of all mean never.
fn expiry(value: i64) -> Option<Timestamp> {
    let millis = u64::try_from(value).ok()? / 10_000;
    let never = value == 0 || value == i64::MAX;
    // What ended before 1970 has ended.
    (!never).then(|| Timestamp::from_millis(millis.saturating_sub(BEFORE_1970)))
}

/// What is asked of an account's entry.
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
