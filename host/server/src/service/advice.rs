//! Warnings to the operator at a start: about what may be a mistake, and about what is risky.

use landfall_domain::names::IdScope;

use super::Service;

impl Service {
    /// Warns of a grant whose plugin is not published: the plugin may still come, or its name may be misspelled.
    pub fn check_grants(&self) {
        for granted in self.config.policy.http.plugins.keys() {
            let catalogue = self.catalogue.now();
            let published: Vec<_> = catalogue.scopes().flat_map(|scope| scope.plugins()).map(|p| &p.name).collect();
            if !published.contains(&granted) {
                let meant = landfall_domain::did_you_mean::nearest(
                    granted.as_str(),
                    published.iter().map(|name| name.as_str()),
                );
                let hint = meant.map(|name| format!("; did you mean {name}?")).unwrap_or_default();
                tracing::warn!("policy.http.plugins.{granted} grants a plugin that is not published{hint}");
            }
        }
    }

    /// Warns of groups that rely on the records of any manufacturer, if there are several manufacturers: each of them
    /// could import another's devices first, with whatever facts it likes.
    pub async fn warn_of_mixed_manufacturers(&self, scope: &IdScope) {
        let manufacturers = match self.store.manufacturers(scope, MANUFACTURERS_TOLD).await {
            Ok(manufacturers) if manufacturers.len() > 1 => manufacturers,
            Ok(_) => return,
            Err(error) => return tracing::debug!(%error, "it is not known whose records there are"),
        };
        let Some(known) = self.scope(scope) else { return };
        let groups = known.groups().filter(|group| group.terms.manufacturers.is_none() && group.terms.enabled);
        let groups: Vec<_> = groups.map(|group| group.group.id.to_string()).take(MANUFACTURERS_TOLD).collect();
        if !groups.is_empty() {
            let manufacturers: Vec<_> = manufacturers.iter().map(ToString::to_string).collect();
            tracing::warn!(
                %scope, groups = groups.join(" "), manufacturers = manufacturers.join(" "),
                "these groups rely on records of any manufacturer, and there are several: name those whose devices they are \
                 for (--manufacturer)"
            );
        }
    }
}

/// How many manufacturers, or groups, a line of the log names.
const MANUFACTURERS_TOLD: usize = 8;
