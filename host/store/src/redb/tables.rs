//! The tables, and a transaction that has all of them open.

use landfall_domain::names::{Digest, HubName, IdScope};
use redb::{ReadableTable, ReadableTableMetadata, Table, TableDefinition, WriteTransaction};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::codec;
use crate::StoreError;

type Bytes = &'static [u8];
/// The definition of a table.
pub(super) type Definition = TableDefinition<'static, Bytes, Bytes>;

/// The key and the value of a row.
type Row = (Vec<u8>, Vec<u8>);

/// One table within a write transaction.
pub(crate) struct Rows<'t> {
    table: Table<'t, Bytes, Bytes>,
    what: &'static str,
    changed: bool,
}

impl Rows<'_> {
    /// The value of a key, decoded.
    pub(super) fn get<T: DeserializeOwned>(&self, key: &[u8]) -> Result<Option<T>, StoreError> {
        get(&self.table, self.what, key)
    }

    /// Whether a key exists.
    pub(super) fn has(&self, key: &[u8]) -> Result<bool, StoreError> {
        Ok(self.table.get(key).map_err(failed)?.is_some())
    }

    /// A count; 0 if there is no row.
    pub(super) fn count(&self, key: &[u8]) -> Result<u64, StoreError> {
        Ok(self.get(key)?.unwrap_or(0))
    }

    /// Writes a value.
    pub(super) fn put<T: Serialize>(&mut self, key: &[u8], value: &T) -> Result<(), StoreError> {
        self.put_encoded(key, &codec::encode(value)?)
    }

    /// Writes a value that is encoded already, or bytes that are stored unchanged.
    pub(super) fn put_encoded(&mut self, key: &[u8], value: &[u8]) -> Result<(), StoreError> {
        self.changed = true;
        self.table.insert(key, value).map_err(failed)?;
        Ok(())
    }

    /// Sets a count. A count of 0 removes the row, so that removed things leave no rows behind.
    pub(super) fn set_count(&mut self, key: &[u8], count: u64) -> Result<(), StoreError> {
        if count == 0 { self.remove(key) } else { self.put(key, &count) }
    }

    /// Removes the row of a key, if it exists.
    pub(super) fn remove(&mut self, key: &[u8]) -> Result<(), StoreError> {
        self.changed = true;
        self.table.remove(key).map_err(failed)?;
        Ok(())
    }

    /// Removes all rows.
    pub(super) fn clear(&mut self) -> Result<(), StoreError> {
        self.changed = true;
        self.table.retain(|_, _| false).map_err(failed)
    }

    /// Removes the first rows whose keys are before `end`, at most `most` of them.
    pub(super) fn remove_first_before(&mut self, end: &[u8], most: usize) -> Result<(), StoreError> {
        let mut over = Vec::new();
        for row in self.table.range(..end).map_err(failed)?.take(most) {
            over.push(row.map_err(failed)?.0.value().to_vec());
        }
        over.iter().try_for_each(|key| self.remove(key))
    }

    /// The number of rows.
    pub(super) fn len(&self) -> Result<u64, StoreError> {
        self.table.len().map_err(failed)
    }

    /// Removes the first row and returns it.
    pub(super) fn pop_first(&mut self) -> Result<Option<Row>, StoreError> {
        self.changed = true;
        let first = self.table.pop_first().map_err(failed)?;
        Ok(first.map(|(key, value)| (key.value().to_vec(), value.value().to_vec())))
    }

    /// The last key.
    pub(super) fn last_key(&self) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.table.last().map_err(failed)?.map(|(key, _)| key.value().to_vec()))
    }

    /// The value of a key, not decoded.
    pub(super) fn bytes(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.table.get(key).map_err(failed)?.map(|row| row.value().to_vec()))
    }

    /// Calls `look` for every key.
    pub(super) fn each_key(&self, mut look: impl FnMut(&[u8]) -> Result<(), StoreError>) -> Result<(), StoreError> {
        self.table.iter().map_err(failed)?.try_for_each(|row| look(row.map_err(failed)?.0.value()))
    }

    /// The first value whose key has this prefix.
    pub(super) fn first_of<T: DeserializeOwned>(&self, prefix: &[u8]) -> Result<Option<T>, StoreError> {
        let mut rows = self.table.range(prefix..).map_err(failed)?;
        match rows.next().transpose().map_err(failed)? {
            Some((key, value)) if key.value().starts_with(prefix) => codec::decode(self.what, value.value()).map(Some),
            _ => Ok(None),
        }
    }

    /// All values whose keys have this prefix.
    pub(super) fn starting_with<T: DeserializeOwned>(&self, prefix: &[u8]) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        for row in self.table.range(prefix..).map_err(failed)? {
            let (key, value) = row.map_err(failed)?;
            if !key.value().starts_with(prefix) {
                break;
            }
            found.push(codec::decode(self.what, value.value())?);
        }
        Ok(found)
    }

    /// The size of the value of a key, in bytes.
    pub(super) fn size_of(&self, key: &[u8]) -> Result<Option<usize>, StoreError> {
        Ok(self.table.get(key).map_err(failed)?.map(|row| row.value().len()))
    }

    /// Calls a function for every row, one at a time.
    pub(super) fn each<T: DeserializeOwned>(
        &self,
        mut look: impl FnMut(&[u8], T) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        for row in self.table.iter().map_err(failed)? {
            let (key, value) = row.map_err(failed)?;
            look(key.value(), codec::decode(self.what, value.value())?)?;
        }
        Ok(())
    }

    /// The number of rows from `first` to before `end`.
    pub(super) fn count_between(&self, first: &[u8], end: &[u8]) -> Result<u64, StoreError> {
        let mut count = 0_u64;
        for row in self.table.range(first..end).map_err(failed)? {
            row.map_err(failed)?;
            count = count.saturating_add(1);
        }
        Ok(count)
    }

    /// All rows from `first` to before `end`.
    pub(super) fn range<T: DeserializeOwned>(&self, first: &[u8], end: &[u8]) -> Result<Vec<(Vec<u8>, T)>, StoreError> {
        let mut found = Vec::new();
        for row in self.table.range(first..end).map_err(failed)? {
            let (key, value) = row.map_err(failed)?;
            found.push((key.value().to_vec(), codec::decode(self.what, value.value())?));
        }
        Ok(found)
    }
}

/// The decoded value of a key in any table.
pub(super) fn get<T: DeserializeOwned>(
    table: &impl ReadableTable<Bytes, Bytes>,
    what: &'static str,
    key: &[u8],
) -> Result<Option<T>, StoreError> {
    match table.get(key).map_err(|e| StoreError::Read(e.to_string()))? {
        Some(row) => codec::decode(what, row.value()).map(Some),
        None => Ok(None),
    }
}

fn failed(error: redb::StorageError) -> StoreError {
    StoreError::Write(error.to_string())
}

/// The limits of what is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    /// The maximum number of enrollment groups of an id scope.
    pub(super) groups: u64,
    /// The maximum number of entries in [`Tables::others`].
    pub(super) entries: u64,
    /// How many earlier decisions of each registration are kept.
    pub(super) decisions_per_device: usize,
    /// Which components are built into the program.
    pub(super) built_in: fn(Digest) -> bool,
}

impl Default for Kept {
    fn default() -> Self {
        Self { groups: 0, entries: 0, decisions_per_device: 0, built_in: |_| false }
    }
}

/// Tables of earlier formats, by name. They are removed when a file is migrated.
pub(super) const RETIRED: &[Definition] = &[
    // Format 2: the views of entries that led to no registration. `decision_views` covers all entries.
    TableDefinition::new("other_views"),
];

/// Removes the tables of earlier formats. No table of the transaction may be open.
pub(super) fn remove_retired(transaction: &WriteTransaction) -> Result<(), StoreError> {
    RETIRED.iter().try_for_each(|table| match transaction.delete_table(*table) {
        Ok(_) => Ok(()),
        Err(error) => Err(StoreError::Write(error.to_string())),
    })
}

/// Declares the tables: the definitions, and [`Tables`] with one open table for each.
macro_rules! tables {
    ($($(#[$doc:meta])* $constant:ident $field:ident $what:literal;)*) => {
        $($(#[$doc])* pub(super) const $constant: Definition = TableDefinition::new(stringify!($field));)*

        pub(super) const ALL: &[Definition] = &[$($constant),*];

        /// A write transaction with all its tables open.
        pub(crate) struct Tables<'t> {
            $($(#[$doc])* pub(super) $field: Rows<'t>,)*
            /// The limits of what is kept.
            pub(super) kept: Kept,
            /// The counts of hubs that this transaction has changed.
            pub(super) moved: Vec<(IdScope, HubName, u64)>,
        }

        impl<'t> Tables<'t> {
            /// Opens all tables, and creates the missing ones.
            pub(super) fn open(
                transaction: &'t WriteTransaction,
                kept: Kept,
            ) -> Result<Self, StoreError> {
                Ok(Self {
                    $($field: Rows {
                        table: transaction
                            .open_table($constant)
                            .map_err(|e| StoreError::Write(e.to_string()))?,
                        what: $what,
                        changed: false,
                    },)*
                    kept,
                    moved: Vec::new(),
                })
            }

            /// Whether the transaction has written anything.
            pub(super) fn changed(&self) -> bool {
                [$(self.$field.changed),*].contains(&true)
            }
        }
    };
}

tables! {
    /// Property name → value, for the file itself.
    META meta "file property";
    /// Id scope → revision of its catalogue.
    SCOPES scopes "id scope";
    /// Scope, registration id → registration.
    REGISTRATIONS registrations "registration";
    /// Scope, SHA-256 of a key → the registration id that belongs to it.
    BOUND_KEYS bound_keys "binding of a key";
    /// Scope, hub, device id → the registration id that owns this identity.
    HUB_IDENTITIES hub_identities "identity in a hub";
    /// Scope, view, registration id → nothing: the row means that the registration is in the view.
    REGISTRATION_VIEWS registration_views "view of registrations";
    /// Scope, way of finding an enrollment → change counter of the data by which it is found.
    ADMISSIONS admissions "admission revision";
    /// Tracking id of the request that started it → TPM challenge.
    CHALLENGES challenges "challenge";
    /// SHA-256 of a token issuer and of who trusts it → the keys that the issuer has published.
    ISSUER_KEYS issuer_keys "keys of an issuer";
    /// Expiry time, SHA-256 of a Kerberos authenticator → nothing: the row means that it was seen.
    AUTHENTICATORS authenticators "authenticator";
    /// Scope, hub → how many registrations name it, whether it is linked or not.
    HUB_LOADS hub_loads "count of a hub";
    /// Scope, group path → the number of devices at the path or below it.
    GROUP_COUNTS group_counts "count of a group";
    /// Tracking id → entry that explains a registration. The key has no scope, because an operator may know only the
    /// tracking id.
    DECISIONS decisions "ledger entry";
    /// Tracking id → entry that led to no registration, such as a refusal. A table of its own, so that evicting these
    /// entries can never remove one that explains a registration.
    OTHERS others "ledger entry";
    /// Sequence number → tracking id in [`OTHERS`]: the order of arrival, whatever the clock said.
    OTHERS_ORDER others_order "order of the ledger";
    /// Scope, view, time, tracking id in [`DECISIONS`] or [`OTHERS`] → a summary in the view of all entries, nothing
    /// in other views: the row means that the entry is in the view.
    DECISION_VIEWS decision_views "view of the ledger";
    /// SHA-256 → the content, unchanged and without a version byte: the digest identifies it.
    CONTENT content "content";
    /// SHA-256 of a content → how many entries and enrollments name it.
    USES uses "use of a content";
    /// SHA-256 of a component that no plugin names but a decision or an enrollment does → the publisher that it counts
    /// against.
    KEPT_COMPONENTS kept_components "component that is kept";
    /// SHA-256 of a component → the signatures of its publications.
    SIGNATURES signatures "signature";
    /// Scope, registration id → manufacturing record.
    RECORDS records "manufacturing record";
    /// Scope, manufacturer → the number of its records.
    RECORD_COUNTS record_counts "count of a manufacturer";
    /// Scope, view, registration id → nothing: the row means that the record is in the view.
    RECORD_VIEWS record_views "view of manufacturing records";
    /// Scope, registration id → individual enrollment.
    INDIVIDUALS individuals "individual enrollment";
    /// Scope, group id → enrollment group.
    GROUPS groups "enrollment group";
    /// Scope, identifier of a certificate → the only enrollment that holds it.
    CERTIFICATES certificates "use of a certificate";
    /// Scope, plugin, enrollment → nothing: the row means that the enrollment uses the plugin.
    PLUGIN_USES plugin_uses "use of a plugin";
    /// Scope, name → certificate authority.
    AUTHORITIES authorities "certificate authority";
    /// Scope, SHA-256 of an issuer's key, SHA-256 of one of its certificates → the revocations of certificates that it
    /// issued.
    REVOCATIONS revocations "revocation";
    /// The key of [`REVOCATIONS`] → the revocation list of the issuer, DER, without a version byte.
    REVOCATION_LISTS revocation_lists "revocation list";
    /// Scope, name → linked hub.
    HUBS hubs "linked hub";
    /// Scope, name → published plugin.
    PLUGINS plugins "published plugin";
    /// SHA-256 of the secret → token. The key has no scope, because a token may be valid for all scopes.
    TOKENS tokens "token";
}
