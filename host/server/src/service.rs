//! What a running Landfall consists of.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use aws_lc_rs::hmac;
use landfall_attestation::bearer::TokenRules;
use landfall_attestation::password::{Remembered, hash_of_no_password};
use landfall_attestation::tpm::challenge::Challenges;
use landfall_attestation::x509::VerifyPolicy;
use landfall_domain::clock::{Ambient, Timestamp};
use landfall_domain::enrollment::{GroupAttestation, PasswordHash};
use landfall_domain::names::{Digest, IdScope, PluginName, RegistrationId};
use landfall_domain::plugin::rules::Resort;
use landfall_domain::plugin::{PublishBounds, PublishedPlugin};
use landfall_domain::secret::sealing::SealingKey;
use landfall_policy::host_view::GroupCounts;
use landfall_policy::watch::{Watched, Watches};
use landfall_policy::{PolicyHost, shipped};
use landfall_store::{Lane, Store, StoreError};
use tokio::sync::watch;
use zeroize::Zeroizing;

use self::revocation_refresh::Lists;
use self::seen::Seen;
use self::unread::Unread;
use crate::answered::Answered;
use crate::catalogue::{BoundPolicy, Catalogue, ScopeCatalogue};
use crate::certificate_issuing::CertificateIssuing;
use crate::config::Config;
use crate::directory::Directories;
use crate::folder::DataFolder;
use crate::identity_providers::{self, IdentityProviders};
use crate::listener::Trouble;
use crate::metrics::Metrics;
use crate::provisioning::{Decoy, Operations, Telling, Throttle};
use crate::service::images::Images;
use crate::shares::Shares;
use crate::turns::Turns;

pub mod images;
pub mod issuer_keys;
pub mod revocation_refresh;
pub mod seen;
pub mod switch;
pub mod take_over;
mod unread;

#[cfg(test)]
mod tests;

/// The parts that requests work with.
pub struct Service {
    /// Every limit and address.
    pub config: Config,
    /// Time and randomness.
    pub ambient: Ambient,
    /// How far the database and the clock had come before.
    pub seen: Seen,
    /// The data folder.
    pub folder: DataFolder,
    /// Seals what must not be read in the store.
    pub sealing: Arc<SealingKey>,
    /// The keys of identity providers.
    pub identity_providers: IdentityProviders,
    /// How the fetching of revocation lists goes.
    pub lists: Lists,
    /// Directories whose accounts devices are.
    pub directories: Directories,
    /// Who issues certificates for devices.
    pub certificate_issuing: CertificateIssuing,
    /// Challenges that TPMs have not answered yet, or have a moment ago.
    pub challenges: Challenges,
    /// Makes the keys with which TPMs sign in at their hubs.
    hub_keys: hmac::Key,
    /// Who was let in by a password a moment ago.
    pub remembered: Remembered,
    /// What is compared where there is no password.
    pub password_of_nobody: PasswordHash,
    /// Bounds the passwords that are tried at once.
    pub(crate) password_checks: Arc<Turns>,
    /// Bounds the tokens that are tried with the keys of many groups at once.
    pub(crate) token_checks: Arc<Turns>,
    /// Replies of policies that some devices cannot read.
    pub(crate) odd_replies: Trouble,
    /// What is asked for that is not served here.
    pub(crate) not_served: Trouble,
    /// Keys of nobody.
    pub decoy: Decoy,
    /// What must not be lost.
    pub store: Arc<dyn Store>,
    /// Runs policies.
    pub policies: Arc<PolicyHost>,
    /// What it runs.
    pub images: Images,
    /// Bounds what is told of refusals.
    pub telling: Telling,
    /// What was answered to whom neither a decision nor a refusal tells of.
    pub answered: Answered,
    /// Registrations under way.
    pub operations: Operations,
    /// How often devices may ask.
    pub throttle: Throttle,
    /// What is counted.
    pub metrics: Metrics,
    /// The breakers and meters of what can be asked.
    pub watches: Arc<Watches>,
    catalogue: ArcSwap<Catalogue>,
    changing: tokio::sync::Mutex<()>,
    unread: Unread,
    /// Who makes another revision of a plugin live.
    switching: Shares<(IdScope, PluginName)>,
}

/// What only this machine has: its keys, and what it holds keys to.
pub struct Keys {
    /// Makes operation ids and the keys for hubs.
    pub operations: [u8; 32],
    /// How far the database and the clock had come before.
    pub seen: Seen,
    /// The data folder.
    pub folder: DataFolder,
    /// Seals what must not be read in the store.
    pub sealing: SealingKey,
    /// Who issues certificates for devices.
    pub certificate_issuing: CertificateIssuing,
    /// Directories whose accounts devices are.
    pub directories: Directories,
}

impl Service {
    /// Puts the parts together and reads the catalogue.
    pub async fn start(
        config: Config,
        ambient: Ambient,
        store: Arc<dyn Store>,
        policies: Arc<PolicyHost>,
        keys: Keys,
    ) -> Result<Arc<Self>, StoreError> {
        let Keys { operations: operations_key, seen, folder, sealing, certificate_issuing, directories } = keys;
        let clock = || Arc::clone(&ambient.clock);
        let max_images = config.limits.policy.max_images;
        let images = Images::new(Arc::clone(&policies), Arc::clone(&store), max_images, clock());
        let operations =
            Operations::new(&operations_key, config.limits.device.max_operations, config.limits.device.waiting_bytes);
        let device = &config.limits.device;
        let lasts = Duration::from_secs(device.challenge_seconds);
        let challenges = Challenges::new(lasts, device.max_challenges);
        let decoy = Decoy::new(&ambient).ok_or(StoreError::Closed)?;
        let throttle = Throttle::new(&config.limits.throttle, ambient.clone());
        let watches = Arc::new(Watches::new(config.limits.policy.breaker(), ambient.clone()));
        let issuer_keys = Duration::from_secs(config.limits.device.issuer_keys_hours.saturating_mul(3600));
        let remembered = Remembered::new(&ambient.random());
        let (telling, lists) = (Telling::new(clock()), Lists::new(clock()));
        let password_of_nobody = hash_of_no_password(ambient.random());
        let service = Self {
            seen,
            folder,
            remembered,
            password_of_nobody,
            password_checks: Arc::new(Turns::new(PASSWORD_CHECKS, config.limits.device.max_passwords_waiting)),
            token_checks: Arc::new(Turns::new(TOKEN_CHECKS, config.limits.device.max_tokens_waiting)),
            odd_replies: Trouble::new(&ambient.clock),
            not_served: Trouble::new(&ambient.clock),
            answered: Answered::new(config.limits.device.answers_kept),
            config,
            sealing: Arc::new(sealing),
            identity_providers: IdentityProviders::new(issuer_keys, Arc::clone(&store), ambient.clone()),
            lists,
            certificate_issuing,
            directories,
            challenges,
            ambient,
            hub_keys: hmac::Key::new(hmac::HMAC_SHA256, &operations_key),
            decoy,
            store,
            policies,
            images,
            operations,
            throttle,
            metrics: Metrics::default(),
            watches,
            telling,
            catalogue: ArcSwap::default(),
            changing: tokio::sync::Mutex::default(),
            unread: Unread::default(),
            switching: Shares::new(1),
        };
        let kept = service.store.challenges().await?;
        service.challenges.take_up(kept, &service.sealing, (service.ambient.now(), service.ambient.instant()));
        service.identity_providers.take_up(service.store.issuer_keys().await?);
        service.reload().await?;
        Ok(Arc::new(service))
    }

    /// The key with which a TPM signs in at its hub, and which the hub has to have: made of this installation's own key and
    /// the TPM's, so that it is the same at every registration and is kept nowhere.
    pub fn hub_key(&self, scope: &IdScope, id: &RegistrationId, endorsement: Digest) -> Zeroizing<[u8; 32]> {
        let text = format!("hub key\0{scope}\0{}\0{endorsement}", id.key());
        let tag = hmac::sign(&self.hub_keys, text.as_bytes());
        let mut key = Zeroizing::new([0; 32]);
        for (to, from) in key.iter_mut().zip(tag.as_ref()) {
            *to = *from;
        }
        key
    }

    /// The time by which a token has ended: a clock that was set back makes none good again.
    pub fn latest_time(&self) -> Timestamp {
        self.seen.latest(self.ambient.now())
    }

    /// Keeps how far the database and the clock have come. Writes a file.
    pub fn note_seen(&self) {
        self.seen.note(self.store.sequence(), self.ambient.now());
    }

    /// One tenant, as it is now.
    pub fn scope(&self, scope: &IdScope) -> Option<Arc<ScopeCatalogue>> {
        self.catalogue.load().scope(scope).cloned()
    }

    /// The catalogue as it is now.
    pub fn catalogue(&self) -> Arc<Catalogue> {
        self.catalogue.load_full()
    }

    /// Reads the catalogue anew, after something in it was changed. What is changed is on disk by then: where it cannot be
    /// read, [`Service::keep_reading`] goes on, so that the change does not lie there unseen until somebody makes another one.
    pub async fn reload(&self) -> Result<(), StoreError> {
        self.read_catalogue().await.map_err(|error| self.unread.leave(error))
    }

    /// Reads the catalogue for whoever has changed it and could not, again and again until it is read. For as long as the
    /// server is.
    pub async fn keep_reading(self: Arc<Self>, mut stopping: watch::Receiver<bool>) {
        let mut tried = 0_u64;
        loop {
            let stop = async { _ = stopping.wait_for(|stop| *stop).await };
            let Some(left) = self.unread.left() else {
                tried = 0;
                tokio::select! {
                    () = self.unread.more.notified() => continue,
                    () = stop => return,
                }
            };
            match self.read_catalogue().await {
                Ok(()) => {
                    self.unread.read(left);
                    tracing::info!("the change that could not be read is read");
                }
                Err(error) => {
                    tried = tried.saturating_add(1);
                    // The first says it, and then one a minute.
                    if tried % 60 == 1 {
                        tracing::error!(%error, tried, "a change of hubs, enrollments, authorities or plugins is on disk and not in force yet; it is tried again");
                    }
                    tokio::select! {
                        () = tokio::time::sleep(READ_AGAIN_AFTER) => {}
                        () = stop => return,
                    }
                }
            }
        }
    }

    /// Sees to it that what decides is at least as new as what the store said of an id scope. A change is
    /// read by whoever made it; this is for when that failed.
    pub fn catch_up(self: &Arc<Self>, scope: &IdScope, revision: u64) {
        let (service, scope) = (Arc::clone(self), scope.clone());
        tokio::spawn(async move {
            let behind = || service.scope(&scope).is_none_or(|scope| scope.revision < revision);
            {
                // Whoever made the change may be reading it now.
                let _reading = service.changing.lock().await;
                if !behind() {
                    return;
                }
            }
            if let Err(error) = service.reload().await {
                tracing::error!(%scope, %error, "a change of what admits devices could not be read; it is tried again");
            }
        });
    }

    async fn read_catalogue(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.changing.lock().await;
        let records = self.store.load_catalogue().await?;
        let before = self.catalogue.load_full();
        let (known, watches, sealing) = (Arc::clone(&before), Arc::clone(&self.watches), Arc::clone(&self.sealing));
        // Reading certificates and lists takes what they take, and requests of devices must not wait behind it.
        let reading = tokio::task::spawn_blocking(move || Catalogue::new(records, &known, &watches, &sealing));
        let catalogue = reading.await.map_err(|e| StoreError::Read(format!("the catalogue cannot be read: {e}")))?;
        let catalogue = Arc::new(catalogue);
        self.catalogue.store(Arc::clone(&catalogue));
        let needed: Vec<BoundPolicy> = catalogue.scopes().flat_map(|scope| needed(scope)).collect();
        // What no group asks is loaded when it is asked for, so that who publishes does not fill the memory.
        let revisions = catalogue.scopes().flat_map(|scope| {
            let asked = |plugin: &&PublishedPlugin| {
                let mut policies = scope.groups().flat_map(|group| group.allocation.policies());
                policies.any(|policy| policy.plugin == plugin.name)
            };
            let both = |plugin: &PublishedPlugin| [Some(plugin.live), plugin.previous.first().copied()];
            scope.plugins().filter(asked).flat_map(both).flatten().collect::<Vec<_>>()
        });
        self.images.settle(needed.iter(), revisions);
        self.watches.retain(&watched(&catalogue, &needed));
        let relied_on = catalogue.scopes().flat_map(|scope| token_rules(scope)).map(identity_providers::named);
        self.identity_providers.retain(&relied_on.collect());
        Ok(())
    }

    /// Makes the images of all groups, so that the first device does not wait for a compiler. One that cannot be made
    /// is told to the operator; its devices wait. Then those that are asked, or rolled back to, when one of them breaks.
    ///
    /// One at a time, those that most groups ask first: a device that asks for another one meanwhile has it made at once, so
    /// that what devices need comes before what they may need.
    pub async fn warm_up(&self) {
        self.warm_up_if(|_| true).await;
    }

    /// Loads the policies that come with Landfall and that groups ask: the components, without anybody's settings.
    pub async fn load_shipped(&self) {
        let catalogue = self.catalogue();
        let groups = catalogue.scopes().flat_map(|scope| scope.groups());
        let asked = groups.flat_map(|group| group.allocation.policies()).filter_map(|policy| policy.revision);
        let shipped: HashSet<Digest> = asked.filter(|revision| shipped::is_shipped(*revision)).collect();
        for revision in shipped {
            if let Err(error) = self.images.revision(Lane::Operator, revision).await {
                tracing::error!(revision = revision.short(), %error, "a policy that comes with Landfall cannot be run");
            }
        }
    }

    /// Makes the images of the groups' policies that are wanted, and then of what stands behind them.
    pub(super) async fn warm_up_if(&self, wanted: impl Fn(&BoundPolicy) -> bool) {
        let catalogue = self.catalogue();
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

    /// Publishes the policies that come with Landfall in a scope that does not have them.
    pub async fn publish_shipped(&self, scope: &IdScope) -> Result<(), StoreError> {
        let known = self.scope(scope);
        for (name, component) in shipped::names_and_components() {
            let Ok(name) = name.parse::<PluginName>() else { continue };
            if known.as_ref().is_some_and(|scope| scope.plugin(&name).is_some()) {
                continue;
            }
            let plugin = PublishedPlugin::first(name, component, self.ambient.now(), "landfall");
            self.store.publish_plugin(scope, plugin, component.to_vec(), Vec::new(), PublishBounds::NONE).await?;
        }
        Ok(())
    }

    /// Tells the operator of a grant whose plugin nobody has published: it may come, or its name may be a slip.
    pub fn check_grants(&self) {
        for granted in self.config.policy.http.plugins.keys() {
            let catalogue = self.catalogue();
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

    /// Tells the operator of groups that take the word of any manufacturer, where there are several: each of them could name
    /// another's devices first, and say of them what it likes.
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

    /// Waits until the registrations under way have ended, at most as long as connections may drain.
    pub async fn finish(&self) {
        let drain = Duration::from_secs(self.config.limits.listener.drain_seconds);
        let ended = async {
            while self.operations.running() > 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(drain, ended).await.is_err() {
            tracing::warn!("registrations under way were left; their devices ask again");
        }
    }

    /// How strictly certificates are judged.
    pub fn verify_policy(&self) -> VerifyPolicy {
        self.config.verify_policy(self.ambient.now())
    }

    /// Counts the devices of a tenant's groups, for policies that ask.
    pub fn group_counts(&self, scope: &IdScope) -> Arc<dyn GroupCounts> {
        Arc::new(StoredCounts {
            store: Arc::clone(&self.store),
            scope: scope.clone(),
            runtime: tokio::runtime::Handle::current(),
        })
    }
}

/// What the groups of a scope are decided with, what is asked when one of these gives no answer, and what would be if
/// somebody rolled back.
fn needed(scope: &ScopeCatalogue) -> Vec<BoundPolicy> {
    let mut needed = Vec::new();
    for policy in scope.groups().flat_map(|group| group.allocation.policies()) {
        needed.extend(policy.chain().map(|(_, bound)| bound.clone()));
        let published = scope.plugin(&policy.plugin);
        let previous = published.filter(|plugin| policy.revision == Some(plugin.live));
        if let Some(previous) = previous.and_then(|plugin| plugin.previous.first()) {
            needed.push(BoundPolicy { revision: Some(*previous), stand_ins: Vec::new(), ..policy.clone() });
        }
    }
    needed
}

/// How enrollments rely on issuers of tokens.
fn token_rules(scope: &ScopeCatalogue) -> impl Iterator<Item = &TokenRules> {
    scope.groups().filter_map(|bound| match &bound.group.attestation {
        GroupAttestation::Token(rules) => Some(rules),
        _ => None,
    })
}

/// What can be asked: the groups' policies and their stand-ins, and with whatever settings of every plugin the live
/// revision, the one before it and what the operator named for when it gives no answer.
fn watched(catalogue: &Catalogue, needed: &[BoundPolicy]) -> HashSet<Watched> {
    let of_groups = needed.iter().filter_map(|bound| bound.watch.as_ref()?.of.clone());
    let of_plugins = catalogue.scopes().flat_map(|scope| {
        scope.plugins().flat_map(|plugin| {
            let own = std::iter::once(plugin.live).chain(plugin.previous.first().copied());
            let own = own.map(|revision| (plugin.name.clone(), revision));
            let shipped = plugin.rules.on_failure.iter().filter_map(|resort| match resort {
                Resort::PreviousRevision => None,
                Resort::Shipped { policy, .. } => Some((policy.clone(), shipped::digest_of(policy.as_str())?)),
            });
            let of = |(plugin, revision)| Watched { scope: scope.scope.clone(), plugin, revision, settings: None };
            own.chain(shipped).map(of).collect::<Vec<_>>()
        })
    });
    of_groups.chain(of_plugins).collect()
}

/// Asks the store from a policy's thread, which is none of the runtime's and so may wait.
struct StoredCounts {
    store: Arc<dyn Store>,
    scope: IdScope,
    runtime: tokio::runtime::Handle,
}

impl GroupCounts for StoredCounts {
    fn group_count(&self, path: &[String]) -> Result<u64, String> {
        self.runtime.block_on(self.store.group_count(&self.scope, path)).map_err(|error| error.to_string())
    }
}

/// How many manufacturers, or groups, a line of the log names.
const MANUFACTURERS_TOLD: usize = 8;

/// Passwords that are tried at once: each takes a core and 19 MiB.
const PASSWORD_CHECKS: usize = 2;

/// Tokens that are tried at once with the keys of more groups than a request tries by itself.
const TOKEN_CHECKS: usize = 2;

/// How long a change that could not be read is left alone.
const READ_AGAIN_AFTER: Duration = Duration::from_secs(1);
