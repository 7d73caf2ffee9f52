//! Whether a new revision of a plugin can take the old one's place.
//!
//! Publishing under a name that is in use changes what decides for every enrollment that names it. A revision that
//! cannot do what one of them asks of it, or does not take its settings, never becomes the live one.

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
#[allow(missing_docs, reason = "the names say it")]
pub enum TakeOverError {
    /// An enrollment stands against it.
    #[error("{enrollment} uses it, and the new revision cannot take over: {reason}")]
    Enrollment {
        /// Which: the first that was found.
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
    /// It is asked for hubs.
    #[error("it chooses no hubs")]
    ChoosesNoHubs,
    /// It is asked for places.
    #[error("it places no devices")]
    PlacesNoDevices,
    /// It does not take the settings.
    #[error(transparent)]
    Configure(#[from] ConfigureError),
    /// The thread that tried it ended.
    #[error("trying its settings was interrupted; publish it again")]
    Interrupted,
}

impl Service {
    /// Whether a revision, within these limits, does what every enrollment that follows the plugin's name asks of it.
    ///
    /// # Errors
    ///
    /// The first enrollment that it does not fit, and why.
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
    /// What it would have.
    budgets: Budgets,
    /// Settings that it has taken: a million enrollments share a few.
    taken: HashSet<String>,
}

impl Trial<'_> {
    async fn fits(&mut self, allocation: &Allocation) -> Result<(), Unfit> {
        let name = self.name;
        // Whoever names one revision keeps it.
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
        let (policies, revision) = (Arc::clone(&self.service.policies()), Arc::clone(self.revision));
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

/// Individual enrollments that are read at once.
const PAGE: usize = 1000;
