//! Makes images before a device asks for them, and loads and publishes the components that come with Landfall.

use std::collections::HashSet;

use landfall_domain::names::{Digest, IdScope, PluginName};
use landfall_domain::plugin::{PublishBounds, PublishedPlugin};
use landfall_policy::shipped;
use landfall_store::{Lane, Precondition, StoreError};

use crate::catalogue::{BoundPolicy, ScopeCatalogue};
use crate::service::Service;
use crate::service::live_catalogue::needed;

impl Service {
    /// Makes the images of all groups, so that the first device does not wait for a compiler. If one cannot be made,
    /// the operator is told and its devices wait. Then makes the images that are asked, or rolled back to, when one of
    /// the first breaks.
    ///
    /// One image is made at a time, and those that most groups use come first. If a device asks for another image
    /// meanwhile, that image is made at once: what devices need now comes before what they may need later.
    pub async fn warm_up(&self) {
        self.warm_up_if(|_| true).await;
    }

    /// Loads the built-in policies that groups use: only the components, without anybody's settings.
    pub async fn load_shipped(&self) {
        let catalogue = self.catalogue.now();
        let groups = catalogue.scopes().flat_map(|scope| scope.groups());
        let asked = groups.flat_map(|group| group.allocation.policies()).filter_map(|policy| policy.revision);
        let shipped: HashSet<Digest> = asked.filter(|revision| shipped::is_shipped(*revision)).collect();
        for revision in shipped {
            if let Err(error) = self.images.revision(Lane::Operator, revision).await {
                tracing::error!(revision = revision.short(), %error, "a policy that comes with Landfall cannot be run");
            }
        }
    }

    /// Makes the images of those policies of the groups for which `wanted` is true, and then of what stands behind
    /// them.
    pub(in crate::service) async fn warm_up_if(&self, wanted: impl Fn(&BoundPolicy) -> bool) {
        let catalogue = self.catalogue.now();
        let mut asked: Vec<(usize, &ScopeCatalogue, &BoundPolicy)> = Vec::new();
        for scope in catalogue.scopes() {
            for policy in scope.groups().flat_map(|group| group.allocation.policies()).filter(|policy| wanted(policy)) {
                let same = asked.iter_mut().find(|(_, of, known)| of.scope == scope.scope && known.is_same(policy));
                match same {
                    Some((groups, ..)) => *groups += 1,
                    None => asked.push((1, scope, policy)),
                }
            }
        }
        asked.sort_by_key(|(groups, ..)| std::cmp::Reverse(*groups));
        for (groups, scope, policy) in asked {
            if let Err(error) = self.images.get(Lane::Operator, policy).await {
                tracing::error!(scope = %scope.scope, groups, plugin = %policy.plugin, %error, "a policy cannot be run");
            }
        }
        for scope in catalogue.scopes() {
            for policy in needed(scope).iter().filter(|policy| wanted(policy)) {
                if let Err(error) = self.images.get(Lane::Operator, policy).await {
                    let revision = policy.revision.map(|revision| revision.short());
                    tracing::debug!(scope = %scope.scope, plugin = %policy.plugin, revision, %error, "a policy could not take another's place");
                }
            }
        }
    }

    /// Publishes the built-in policies in a scope that does not have them.
    pub async fn publish_shipped(&self, scope: &IdScope) -> Result<(), StoreError> {
        let known = self.scope(scope);
        for (name, component) in shipped::names_and_components() {
            let Ok(name) = name.parse::<PluginName>() else { continue };
            if known.as_ref().is_some_and(|scope| scope.plugin(&name).is_some()) {
                continue;
            }
            let plugin = PublishedPlugin::first(name, component, self.ambient.now(), "landfall");
            let (bytes, bounds) = (component.to_vec(), PublishBounds::NONE);
            let publish = self
                .catalogue
                .change(|store| store.publish_plugin(scope, plugin, bytes, Vec::new(), bounds, Precondition::New));
            publish.await?;
        }
        Ok(())
    }
}
