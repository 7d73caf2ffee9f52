//! Keys of identity providers that are read again by a task of their own: an old key that its provider has taken back is not
//! good for as long as no device comes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::Service;
use super::live_catalogue::token_rules;

/// Has keys read again that are old, until the server stops.
pub async fn keep_renewing(service: Arc<Service>, mut stopping: watch::Receiver<bool>) {
    loop {
        for scope in service.catalogue().now().scopes() {
            token_rules(scope).for_each(|rules| service.outside().identity_providers().renew(rules));
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            _ = stopping.wait_for(|stop| *stop) => return,
        }
    }
}

/// How often it is looked whether any are.
const LOOK: Duration = Duration::from_secs(60);
