//! Checks whether a new revision of a plugin can take the place of the old one.
//!
//! Publishing under a name that is in use changes what decides for every enrollment that names it. A revision never
//! becomes the live one if it cannot do what one of these enrollments needs, or does not accept its settings.

use std::collections::HashSet;
use std::sync::Arc;

use landfall_domain::enrollment::{Allocation, PolicyBinding};
use landfall_domain::names::PluginName;
use landfall_domain::plugin::rules::PluginLimits;
use landfall_policy::Budgets;
use landfall_policy::image::{ConfigureError, Revision};
use landfall_store::{Page, StoreError};

use crate::catalogue::ScopeCatalogue;
use crate::service::Service;

/// Why a revision cannot take over a plugin's name.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum TakeOverError {
    /// An enrollment does not fit the revision.
    #[error("{enrollment} uses it, and the new revision cannot take over: {reason}")]
    Enrollment {
        /// The enrollment: the first that was found.
        enrollment: String,
        reason: Unfit,
    },
    /// The individual enrollments cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a revision does not fit an enrollment.
#[derive(Debug, thiserror::Error)]
pub enum Unfit {
    /// The enrollment needs it to choose hubs.
    #[error("it chooses no hubs")]
    ChoosesNoHubs,
    /// The enrollment needs it to place devices.
    #[error("it places no devices")]
    PlacesNoDevices,
    /// It does not accept the settings.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
    /// The thread that tried the settings ended early.
    #[error("trying its settings was interrupted; publish it again")]
    Interrupted,
}

impl Service {
    /// Checks that a revision, within these limits, does what every enrollment that follows the plugin's name needs.
    ///
    /// # Errors
    ///
    /// The first enrollment that it does not fit, and the reason.
    pub async fn takes_over(
        &self,
        scope: &ScopeCatalogue,
        name: &PluginName,
        revision: &Arc<Revision>,
        limits: PluginLimits,
    ) -> Result<(), TakeOverError> {
        let budgets = self.policies.budgets().limited(limits);
        let mut trial = Trial { service: self, name, revision, budgets, taken: HashSet::new() };
        for group in scope.groups() {
            let fits = trial.fits(&group.group.terms.allocation).await;
            fits.map_err(|reason| against(format!("group {}", group.group.id), reason))?;
        }
        let mut after = None;
        loop {
            let page = self.store.individuals(&scope.scope, Page { after, limit: PAGE }).await?;
            for individual in &page.items {
                let fits = trial.fits(&individual.terms.allocation).await;
                let whose = || format!("the individual enrollment {}", individual.registration_id);
                fits.map_err(|reason| against(whose(), reason))?;
            }
            match page.next {
                Some(next) => after = Some(next),
                None => return Ok(()),
            }
        }
    }
}

/// A revision that is tried with one enrollment after the other.
struct Trial<'a> {
    service: &'a Service,
    name: &'a PluginName,
    revision: &'a Arc<Revision>,
    /// The budgets that it would have.
    budgets: Budgets,
    /// Settings that it has accepted: a million enrollments share a few.
    taken: HashSet<String>,
}

impl Trial<'_> {
    async fn fits(&mut self, allocation: &Allocation) -> Result<(), Unfit> {
        let name = self.name;
        // An enrollment that names a revision keeps that revision.
        let follows = |binding: &PolicyBinding| binding.plugin == *name && binding.revision.is_none();
        let worlds = self.revision.card().worlds;
        if !worlds.selects() && std::iter::once(&allocation.selection).chain(&allocation.fallback).any(follows) {
            return Err(Unfit::ChoosesNoHubs);
        }
        if !worlds.places() && allocation.grouping.iter().any(follows) {
            return Err(Unfit::PlacesNoDevices);
        }
        for binding in allocation.bindings().filter(|binding| follows(binding)) {
            self.takes(binding.settings.as_str()).await?;
        }
        Ok(())
    }

    async fn takes(&mut self, settings: &str) -> Result<(), Unfit> {
        if self.taken.contains(settings) {
            return Ok(());
        }
        let (policies, revision) = (Arc::clone(self.service.policies()), Arc::clone(self.revision));
        let (given, budgets) = (settings.to_owned(), self.budgets.clone());
        let tried = move || policies.configure_within(&revision, &given, budgets).map(drop);
        let tried = tokio::task::spawn_blocking(tried).await;
        tried.map_err(|_| Unfit::Interrupted)??;
        self.taken.insert(settings.to_owned());
        Ok(())
    }
}

fn against(enrollment: String, reason: Unfit) -> TakeOverError {
    TakeOverError::Enrollment { enrollment, reason }
}

/// The number of individual enrollments that are read at once.
const PAGE: usize = 1000;
