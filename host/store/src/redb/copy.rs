//! Copies the file as one transaction left it, while writes go on.
//!
//! A read transaction is copied table by table, whatever tables exist: a file of an earlier format is copied
//! unchanged. The copy is written anew, so that it has no free pages. Its format is written last: an incomplete copy
//! has no format, and is refused.

use std::path::Path;

use landfall_domain::clock::Timestamp;
use redb::backends::FileBackend;
use redb::{Database, ReadTransaction, ReadableDatabase, ReadableTable, TableDefinition, TableHandle};

use super::engine::COPIED;
use super::open::{owners_file, sync_folder};
use super::tables::META;
use super::{codec, unreadable};
use crate::StoreError;

/// Copies a view of the database into a new file that only its owner may read; returns the number of rows. `room` is
/// called repeatedly to check that there is still disk space.
pub(super) fn copy(
    view: &ReadTransaction,
    to: &Path,
    now: Timestamp,
    room: impl Fn() -> Result<(), StoreError>,
) -> Result<u64, StoreError> {
    let failed = |error: &dyn std::fmt::Display| StoreError::Write(format!("{}: {error}", to.display()));
    if to.exists() {
        return Err(failed(&"it is there already"));
    }
    let file = owners_file(to).map_err(|e| failed(&e))?;
    let backend = FileBackend::new(file).map_err(|e| failed(&e))?;
    let database =
        Database::builder().set_cache_size(CACHE_BYTES).create_with_backend(backend).map_err(|e| failed(&e))?;
    let mut names: Vec<String> = view.list_tables().map_err(unreadable)?.map(|table| table.name().to_owned()).collect();
    // The properties of the file come last: a file without a format is refused as a database.
    names.sort_by_key(|name| name == META.name());
    let mut rows = 0_u64;
    for name in &names {
        let definition = TableDefinition::<&[u8], &[u8]>::new(name);
        let table = view.open_table(definition).map_err(unreadable)?;
        let mut all = table.iter().map_err(unreadable)?.peekable();
        loop {
            room()?;
            let transaction = database.begin_write().map_err(|e| failed(&e))?;
            {
                let mut into = transaction.open_table(definition).map_err(|e| failed(&e))?;
                let mut bytes = 0_usize;
                while bytes < BYTES_AT_ONCE {
                    let Some(row) = all.next() else { break };
                    let (key, value) = row.map_err(unreadable)?;
                    bytes = bytes.saturating_add(key.value().len()).saturating_add(value.value().len());
                    into.insert(key.value(), value.value()).map_err(|e| failed(&e))?;
                    rows = rows.saturating_add(1);
                }
                if name == META.name() && all.peek().is_none() {
                    let at = codec::encode(&now)?;
                    into.insert(COPIED, at.as_slice()).map_err(|e| failed(&e))?;
                }
            }
            transaction.commit().map_err(|e| failed(&e))?;
            if all.peek().is_none() {
                break;
            }
        }
    }
    database.close().map_err(|e| failed(&e))?;
    sync_folder(to).map_err(|e| failed(&e))?;
    Ok(rows)
}

/// Copies a file that no process has open, of whatever format.
pub(super) fn copy_file(from: &Path, to: &Path, now: Timestamp) -> Result<u64, StoreError> {
    let refused = |reason: String| StoreError::Open { path: from.display().to_string(), reason };
    let database = super::open::as_it_is(from).map_err(refused)?;
    let view = database.begin_read().map_err(unreadable)?;
    copy(&view, to, now, || Ok(()))
}

/// The size of the page cache while copying.
pub(super) const CACHE_BYTES: usize = 64 << 20;
/// The approximate number of bytes in one transaction of a copy.
const BYTES_AT_ONCE: usize = 32 << 20;
