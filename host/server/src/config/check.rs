//! Parses the text to a [`Config`], with errors that a person can act on.
//!
//! The text is read twice. First each key is compared with the declared limits, so that an error knows the line, the
//! range and the nearest known key. Then serde reads it, and also checks the type of every value.

use std::ops::Range;
use std::path::Path;

use toml::de::{DeTable, DeValue};

use super::limits::{Fact, TABLES};
use super::{Config, ConfigError};

pub(super) fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
    let file = File { text, path };
    let root = DeTable::parse(text).map_err(|error| file.of_toml(&error))?;
    file.walk(root.get_ref(), "")?;
    let config: Config = toml::from_str(text).map_err(|error| file.of_toml(&error))?;
    let host = &config.server.hostname;
    if !is_host(host) {
        let reason = format!(
            "server.hostname is {host:?}; it must be a host name or an IP address, without a port and without a dot at its end"
        );
        let at = text.find("hostname").unwrap_or_default();
        return Err(ConfigError::Value { path: path.to_owned(), line: file.line(at), reason });
    }
    Ok(config)
}

struct File<'a> {
    text: &'a str,
    path: &'a Path,
}

impl File<'_> {
    /// Checks that every key of a table is known, and that every limit is within its range.
    fn walk(&self, table: &DeTable<'_>, name: &str) -> Result<(), ConfigError> {
        for (key, value) in table {
            let full = joined(name, key.get_ref());
            match value.get_ref() {
                // The operator chooses these names. Serde checks their form.
                DeValue::Table(named) if keys_of_named(&full).is_some() => {
                    let known = keys_of_named(&full).unwrap_or_default();
                    for (name, table) in named {
                        let mut keys = table.get_ref().as_table().into_iter().flatten();
                        if let Some((key, _)) = keys.find(|(key, _)| !known.contains(&key.get_ref().as_ref())) {
                            let of = format!("{full}.{}.{}", name.get_ref(), key.get_ref());
                            return Err(self.unknown(&full, &of, key.span()));
                        }
                    }
                }
                DeValue::Table(inner) if is_table(&full) => self.walk(inner, &full)?,
                DeValue::Integer(number) => {
                    let fact = fact_of(name, key.get_ref()).ok_or_else(|| self.unknown(name, &full, key.span()))?;
                    let exact = i128::from_str_radix(&number.as_str().replace('_', ""), number.radix());
                    if !exact.is_ok_and(|exact| (fact.lowest.into()..=fact.highest.into()).contains(&exact)) {
                        return Err(self.out_of_range(fact, &full, number.as_str(), value.span()));
                    }
                }
                _ if is_known(name, key.get_ref()) => {}
                _ => return Err(self.unknown(name, &full, key.span())),
            }
        }
        Ok(())
    }

    fn out_of_range(&self, fact: &Fact, key: &str, value: &str, span: Range<usize>) -> ConfigError {
        let Fact { lowest, highest, unit, .. } = *fact;
        let (path, line) = (self.path.to_owned(), self.line(span.start));
        ConfigError::OutOfRange { path, line, key: key.to_owned(), value: value.to_owned(), lowest, highest, unit }
    }

    fn unknown(&self, table: &str, key: &str, span: Range<usize>) -> ConfigError {
        let in_table = nearest(key, known_keys().filter(|known| known.starts_with(table)), |known| known);
        let elsewhere = || nearest(last_part(key), known_keys(), last_part);
        let advice = match in_table.or_else(elsewhere) {
            Some(known) => format!("did you mean {known}? `landfall config` lists all of them"),
            None => "take it out; `landfall config` lists all that there are".to_owned(),
        };
        ConfigError::UnknownKey { path: self.path.to_owned(), line: self.line(span.start), key: key.to_owned(), advice }
    }

    fn of_toml(&self, error: &toml::de::Error) -> ConfigError {
        let at = error.span().map_or(0, |span| span.start);
        let reason = error.message().trim().replace('\n', "; ");
        ConfigError::Value { path: self.path.to_owned(), line: self.line(at), reason }
    }

    /// The line of a byte position, from 1.
    fn line(&self, at: usize) -> usize {
        self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1
    }
}

fn is_table(name: &str) -> bool {
    ["policy", "policy.http"].contains(&name)
        || keys_of_named(name).is_some()
        || PLAIN.iter().any(|(table, _)| *table == name)
        || TABLES.iter().any(|(table, ..)| *table == name || table.starts_with(&format!("{name}.")))
}

fn is_known(table: &str, key: &str) -> bool {
    let full = joined(table, key);
    is_table(&full) || known_keys().any(|known| known == full)
}

fn fact_of(table: &str, key: &str) -> Option<&'static Fact> {
    TABLES.iter().filter(|(name, ..)| *name == table).flat_map(|(.., facts)| *facts).find(|fact| fact.key == key)
}

fn known_keys() -> impl Iterator<Item = String> {
    let plain = PLAIN.iter().flat_map(|(table, keys)| keys.iter().map(move |key| format!("{table}.{key}")));
    let named = NAMED.iter().flat_map(|(table, keys)| keys.iter().map(move |key| format!("{table}.NAME.{key}")));
    let policy = std::iter::once("policy.http.ca_file".to_owned())
        .chain(NAMED.iter().map(|(table, _)| (*table).to_owned()))
        .chain(named);
    let tables = TABLES.iter().map(|(table, ..)| (*table).to_owned());
    let limits = TABLES.iter().flat_map(|(.., facts)| *facts).map(|fact| format!("{}.{}", fact.table, fact.key));
    plain.chain(policy).chain(limits).chain(tables)
}

fn keys_of_named(table: &str) -> Option<&'static [&'static str]> {
    NAMED.iter().find(|(name, _)| *name == table).map(|(_, keys)| *keys)
}

fn last_part(key: &str) -> &str {
    key.rsplit('.').next().unwrap_or(key)
}

fn joined(table: &str, key: &str) -> String {
    if table.is_empty() { key.to_owned() } else { format!("{table}.{key}") }
}

pub(crate) fn is_host(text: &str) -> bool {
    let label = |text: &str| {
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        (1..=63).contains(&text.len()) && text.bytes().all(plain) && !text.starts_with('-') && !text.ends_with('-')
    };
    // The last label of a host name may not be a number: clients would take the text for a malformed IP address.
    let name = |text: &str| {
        let last = text.rsplit('.').next().unwrap_or_default();
        text.len() <= 253 && text.split('.').all(label) && !last.bytes().all(|byte| byte.is_ascii_digit())
    };
    text.parse::<std::net::IpAddr>().is_ok() || name(text)
}

/// The candidate whose compared `part` needs the fewest edits, if they are few enough for a typing mistake.
fn nearest(text: &str, candidates: impl Iterator<Item = String>, part: fn(&str) -> &str) -> Option<String> {
    let name = last_part(text).chars().count();
    let most = (name / 4).max(1);
    let measured = candidates.map(|candidate| (edits(text, part(&candidate)), candidate));
    measured.filter(|(edits, _)| *edits <= most).min().map(|(_, candidate)| candidate)
}

/// The number of characters to insert, delete or replace (Levenshtein).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(row.first_mut().unwrap_or(&mut 0), i + 1);
        let mut left = i + 1;
        for (cell, y) in row.iter_mut().skip(1).zip(&b) {
            let changed = diagonal + usize::from(x != *y);
            diagonal = *cell;
            left = changed.min(diagonal + 1).min(left + 1);
            *cell = left;
        }
    }
    row.last().copied().unwrap_or_default()
}

/// Tables whose keys are not limits.
const PLAIN: [(&str, &[&str]); 3] = [
    ("server", &["hostname", "scope", "device_listen", "management_listen"]),
    ("passwords", &["enabled"]),
    ("plugins", &["trusted_keys", "require_signature"]),
];
/// Tables of tables whose names the operator chooses.
const NAMED: [(&str, &[&str]); 3] = [
    ("policy.http.plugins", &["allow", "allow_private_networks", "scopes"]),
    ("directory", &["keytab", "ldaps", "ca_file", "base", "bind_dn", "password_file", "scopes"]),
    (
        "issuing",
        &[
            "certificate",
            "key",
            "pkcs11_module",
            "pkcs11_token",
            "pkcs11_key",
            "pkcs11_pin_file",
            "lifetime_hours",
            "scopes",
        ],
    ),
];
