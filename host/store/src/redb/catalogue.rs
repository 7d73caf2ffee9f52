//! The catalogue: id scopes, hubs, certificate authorities and plugins. They are few, and are read as a whole.

use async_trait::async_trait;
use std::collections::BTreeMap;

use landfall_domain::enrollment::Group;
use landfall_domain::hub::Hub;
use landfall_domain::names::IdScope;
use redb::ReadableTable;
use serde::de::DeserializeOwned;

use super::codec::{self, key};
use super::engine::Write;
use super::tables::{self, ADMISSIONS, AUTHORITIES, Definition, GROUPS, HUBS, PLUGINS, SCOPES, Tables};
use super::{RedbStore, View, admissions, revocations, unreadable};
use crate::writer::Lane;
use crate::{Admissions, CatalogueRecords, ScopeRecords, StoreError, Way};

#[async_trait]
impl crate::CatalogueStore for RedbStore {
    async fn load_catalogue(&self) -> Result<CatalogueRecords, StoreError> {
        self.look(load).await
    }

    async fn create_scope(&self, scope: IdScope) -> Result<bool, StoreError> {
        self.write(Lane::Operator, CreateScope::new(&scope)).await
    }
}

/// Loads the records of all id scopes.
pub(super) fn load(view: &View) -> Result<CatalogueRecords, StoreError> {
    let mut scopes = BTreeMap::new();
    let counts = view.table(ADMISSIONS)?;
    let count = |scope: &IdScope, way| -> Result<u64, StoreError> {
        Ok(tables::get(&counts, "admission revision", &admissions::row(scope, way))?.unwrap_or(0))
    };
    for row in view.table(SCOPES)?.iter().map_err(unreadable)? {
        let (key, value) = row.map_err(unreadable)?;
        let (scope, _) = codec::parts("id scope", key.value())?;
        let records = ScopeRecords {
            scope: scope.clone(),
            revision: codec::decode("id scope", value.value())?,
            admissions: Admissions {
                certificates: count(&scope, Way::Certificates)?,
                tokens: count(&scope, Way::Tokens)?,
                directories: count(&scope, Way::Directories)?,
            },
            hubs: Vec::new(),
            groups: Vec::new(),
            authorities: Vec::new(),
            revocations: Vec::new(),
            plugins: Vec::new(),
        };
        scopes.insert(scope, records);
    }
    for ((scope, _), hub) in all::<Hub>(view, HUBS, "linked hub")? {
        scopes.entry(scope).and_modify(|records| records.hubs.push(hub));
    }
    for ((scope, _), group) in all::<Group>(view, GROUPS, "enrollment group")? {
        scopes.entry(scope).and_modify(|records| records.groups.push(group));
    }
    for ((scope, _), authority) in all(view, AUTHORITIES, "certificate authority")? {
        scopes.entry(scope).and_modify(|records| records.authorities.push(authority));
    }
    for (scope, kept) in revocations::all(view)? {
        scopes.entry(scope).and_modify(|records| records.revocations.push(kept));
    }
    for ((scope, _), plugin) in all(view, PLUGINS, "published plugin")? {
        scopes.entry(scope).and_modify(|records| records.plugins.push(plugin));
    }
    Ok(CatalogueRecords { scopes: scopes.into_values().collect() })
}

/// A thing of an id scope, and its name.
type Named<T> = ((IdScope, String), T);

/// All rows of a table whose names are texts, by scope and name.
fn all<T: DeserializeOwned>(
    view: &View,
    definition: Definition,
    what: &'static str,
) -> Result<Vec<Named<T>>, StoreError> {
    let mut found = Vec::new();
    for row in view.table(definition)?.iter().map_err(unreadable)? {
        let (key, value) = row.map_err(unreadable)?;
        found.push((codec::parts(what, key.value())?, codec::decode(what, value.value())?));
    }
    Ok(found)
}

/// Increases the revision of a scope, and creates the scope if it does not exist.
pub(super) fn bump(tables: &mut Tables<'_>, scope: &IdScope) -> Result<(), StoreError> {
    let key = key(scope, "");
    let revision: u64 = tables.scopes.get(&key)?.unwrap_or(0);
    tables.scopes.put(&key, &revision.saturating_add(1))
}

/// Calls [`bump`], then returns the outcome of the change that required it.
pub(super) fn revised<T>(tables: &mut Tables<'_>, scope: &IdScope, outcome: T) -> Result<T, StoreError> {
    bump(tables, scope)?;
    Ok(outcome)
}

/// Creates an id scope.
pub(super) struct CreateScope(IdScope);

impl CreateScope {
    pub(super) fn new(scope: &IdScope) -> Self {
        Self(scope.clone())
    }
}

impl Write for CreateScope {
    type Answer = bool;

    fn apply(&self, tables: &mut Tables<'_>) -> Result<bool, StoreError> {
        let new = !tables.scopes.has(&key(&self.0, ""))?;
        if new {
            bump(tables, &self.0)?;
        }
        Ok(new)
    }
}
