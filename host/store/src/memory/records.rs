//! Manufacturing records and their import.

use std::collections::BTreeSet;
use std::sync::Arc;

use async_trait::async_trait;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::{IdScope, ManufacturerId, RegistrationId};
use landfall_domain::registry::{ManufacturingRecord, RecordState};

use super::{MemoryStore, State, of_scope, page_of};
use crate::rules::{Scoped as _, import};
use crate::{
    Batches, ImportBatch, Listing, Page, Precondition, PutOutcome, RecordFilter, RecordStore, RowOutcome, RowResult,
    Staging, StoreError, entity_tag,
};

#[async_trait]
impl RecordStore for MemoryStore {
    async fn record(&self, scope: &IdScope, id: &RegistrationId) -> Result<Option<ManufacturingRecord>, StoreError> {
        self.read(|state| state.of(scope).record(id))?
    }

    async fn records(
        &self,
        scope: &IdScope,
        page: Page,
        filter: RecordFilter,
    ) -> Result<Listing<ManufacturingRecord>, StoreError> {
        self.read(|state| page_of(&state.records, scope, &page, |record| filter.shows(record)))
    }

    async fn import_batch(&self, batch: ImportBatch) -> Result<Vec<RowResult>, StoreError> {
        self.write(|state| state.import(&batch))
    }

    async fn import_whole(&self, batches: Arc<dyn Batches>) -> Result<Vec<Vec<RowResult>>, StoreError> {
        let store = Self(Arc::clone(&self.0));
        let import = move |state: &mut State| {
            let before = state.records.clone();
            let imported = state.import_all(&*batches);
            if !imported.as_ref().is_ok_and(|results| results.iter().flatten().all(RowResult::is_good)) {
                state.records = before;
                state.changed = false;
            }
            imported
        };
        // Reading the batches may block.
        let imported = tokio::task::spawn_blocking(move || store.write(import)).await;
        imported.map_err(|error| StoreError::Write(error.to_string()))?
    }

    fn staging(&self) -> Result<Staging, StoreError> {
        let file = tempfile::tempfile().map_err(|error| StoreError::Write(error.to_string()))?;
        Ok(Staging { file, room: Arc::new(|| Ok(())) })
    }

    async fn set_record_state(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        state: RecordState,
        now: Timestamp,
        when: Precondition,
    ) -> Result<Result<ManufacturingRecord, PutOutcome>, StoreError> {
        self.write(|all| {
            let Some(stands) = all.of(scope).record(id)? else { return Ok(Err(PutOutcome::Missing)) };
            if let Err(refused) = when.judge(Some(&entity_tag(&stands))) {
                return Ok(Err(refused));
            }
            let Some(changed) = import::in_state(&stands, state, now) else { return Ok(Ok(stands)) };
            all.put_record(scope, changed.clone());
            Ok(Ok(changed))
        })
    }

    async fn manufacturers(&self, scope: &IdScope, most: usize) -> Result<Vec<ManufacturerId>, StoreError> {
        self.read(|state| {
            let all = of_scope(&state.records, scope).map(|(_, record)| record.manufacturer.as_str());
            let names: BTreeSet<&str> = all.collect();
            names.into_iter().take(most).filter_map(|name| name.parse().ok()).collect()
        })
    }
}

impl State {
    fn put_record(&mut self, scope: &IdScope, record: ManufacturingRecord) {
        self.changed = true;
        self.records.insert((scope.clone(), record.registration_id.key().to_owned()), record);
    }

    fn import(&mut self, batch: &ImportBatch) -> Result<Vec<RowResult>, StoreError> {
        let own = of_scope(&self.records, &batch.scope).filter(|(_, record)| record.manufacturer == batch.manufacturer);
        let has = u64::try_from(own.count()).unwrap_or(u64::MAX);
        let order = import::order(batch).into_iter().map(|place| (place, ()));
        let scope = self.of(&batch.scope);
        let judged = import::judge(batch, order, has, |(), row| scope.record(&row.registration_id))?;
        if !batch.dry_run {
            for row in &judged {
                let new = batch.rows.get(row.place).filter(|_| row.outcome == RowOutcome::Added);
                // A row beyond the quota has no effect, even if it would update a record that the first row of its
                // device adds.
                let takes = matches!(row.outcome, RowOutcome::Updated | RowOutcome::OtherManufacturer);
                let updated = row.updated.as_ref().filter(|_| takes);
                if let Some(record) = new.or(updated) {
                    self.put_record(&batch.scope, record.clone());
                }
            }
        }
        Ok(import::results(judged))
    }

    fn import_all(&mut self, batches: &dyn Batches) -> Result<Vec<Vec<RowResult>>, StoreError> {
        let mut results = Vec::new();
        for batch in batches.begin()? {
            let of = self.import(&ImportBatch { all_or_nothing: true, dry_run: false, ..batch? })?;
            let good = of.iter().all(RowResult::is_good);
            results.push(of);
            if !good {
                break;
            }
        }
        Ok(results)
    }
}
