//! Things that `landfall.toml` grants to some id scopes: certificate issuers and directories.
//!
//! An id scope is a tenant, and an operator may be bound to one. For a scope, things of other scopes look as if they
//! did not exist, and the scope must always be named to get at a thing.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use landfall_domain::names::IdScope;

/// Things by their names, each for some id scopes.
pub struct ByScope<N, T>(BTreeMap<N, (Vec<IdScope>, Arc<T>)>);

impl<N, T> Default for ByScope<N, T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<N: Ord + Display, T> ByScope<N, T> {
    /// The thing of this name, if it is for this id scope.
    pub fn get(&self, scope: &IdScope, name: &N) -> Option<&Arc<T>> {
        self.0.get(name).filter(|(scopes, _)| scopes.contains(scope)).map(|(_, thing)| thing)
    }

    /// The names of the things that are for this id scope, for people.
    pub fn names(&self, scope: &IdScope) -> String {
        let open = self.0.iter().filter(|(_, (scopes, _))| scopes.contains(scope));
        let names: Vec<String> = open.map(|(name, _)| name.to_string()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    }

    /// The thing of this name, whatever its id scopes. This is only for data that is no secret and was given out
    /// before.
    pub(crate) fn whoever_asks(&self, name: &N) -> Option<&Arc<T>> {
        self.0.get(name).map(|(_, thing)| thing)
    }

    /// Whether there is any thing at all.
    pub fn any(&self) -> bool {
        !self.0.is_empty()
    }
}

impl<N: Ord, T> FromIterator<(N, (Vec<IdScope>, Arc<T>))> for ByScope<N, T> {
    fn from_iter<I: IntoIterator<Item = (N, (Vec<IdScope>, Arc<T>))>>(things: I) -> Self {
        Self(things.into_iter().collect())
    }
}

/// The id scopes that a thing is for: those that are named, or the server's own.
pub fn scopes_of(named: Option<&[IdScope]>, own: &IdScope) -> Vec<IdScope> {
    named.map_or_else(|| vec![own.clone()], <[IdScope]>::to_vec)
}
