//! The tasks of a service, each with its plan.

use std::sync::Arc;
use std::time::Duration;

use super::{Service, issuer_keys, revocation_refresh};
use crate::tasks::{Plan, Ran};

/// Registers the tasks of a service. They run until [`Tasks::stop`](crate::tasks::Tasks::stop).
pub(super) fn register(service: &Arc<Service>) {
    let tasks = service.tasks();
    let noting = Arc::clone(service);
    tasks.register(Plan::every("seen", SEEN_EVERY), move || noting_seen(Arc::clone(&noting)));
    let reading = Arc::clone(service);
    let plan = Plan::when_activated("catalogue").activated_by(service.catalogue().left());
    tasks.register(plan.again_after_failure(READ_AGAIN_AFTER).cut_when_stopped(), move || {
        let service = Arc::clone(&reading);
        async move { service.catalogue().read_what_is_left().await }
    });
    let renewing = Arc::clone(service);
    tasks.register(Plan::every("issuer-keys", LOOK_FOR_OLD_KEYS).cut_when_stopped(), move || {
        issuer_keys::renew_old(Arc::clone(&renewing))
    });
    let fetching = Arc::clone(service);
    let plan = Plan::every("revocation-lists", LOOK_FOR_DUE_LISTS).activated_by(&service.outside().lists().due);
    tasks.register(plan.cut_when_stopped(), move || revocation_refresh::fetch_due(Arc::clone(&fetching)));
    let making = Arc::clone(service);
    tasks.register(Plan::at_start("policy-images").cut_when_stopped(), move || {
        let service = Arc::clone(&making);
        async move {
            service.warm_up().await;
            Ok("the policies of all groups are loaded, as far as they can be".to_owned())
        }
    });
}

async fn noting_seen(service: Arc<Service>) -> Ran {
    let noted = tokio::task::spawn_blocking(move || service.note_seen()).await;
    noted.map(|()| "how far database and clock have come is noted".to_owned()).map_err(|error| error.to_string())
}

/// How often the file is written that says how far the database and the clock have come.
const SEEN_EVERY: Duration = Duration::from_secs(60);
/// How often the task looks for keys of issuers that are old.
const LOOK_FOR_OLD_KEYS: Duration = Duration::from_secs(60);
/// How often the task looks for revocation lists that are due.
const LOOK_FOR_DUE_LISTS: Duration = Duration::from_secs(30);
/// The pause before a change that could not be read is read again.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);
