//! Network access of policies: the tier `recorded`.
//!
//! A policy that imports `wasi:http/outgoing-handler` calls a service while a device waits. That makes provisioning
//! depend on the service, so the operator must grant it for each plugin, in `[policy.http.plugins.NAME]`; without a
//! grant nothing is sent. A grant is narrow:
//!
//! | what | how |
//! | --- | --- |
//! | where to | an allow-list of origins ([`origin`]); the empty list denies |
//! | which servers | public addresses only, unless the grant says otherwise; checked after the name is resolved, and the connection goes to the checked address ([`landfall_net::address`]) |
//! | how | HTTP/1.1 over TLS 1.2 or 1.3, certificates checked against the platform's roots or the configured file; redirects are not followed, proxies of the environment are not used |
//! | how much | requests, bytes out, bytes in, bytes of headers and milliseconds of a call, in `[limits.http]` |
//!
//! Every exchange is recorded with the decision, and a replay takes its answers from the record: [`exchange`]. A
//! request that exceeds a grant ends the call like a trap, because the operator must learn of it, not the policy.
//! Failures of the network (a refused connection, a bad certificate) are reported to the policy, which may have an
//! alternative.
//!
//! One decision may call the same policy twice, for a hub and for a placement. A request with `Cache-Control:
//! only-if-cached` (RFC 9111, section 5.2.1.7) is never sent. It is answered with the last answer that this image got
//! for the same method and address in this decision, or with 504 if there is none ([`Memory`]).
//!
//! A call that may wait for the network runs on separate threads, and never holds a worker that other policies need.

mod client;
pub(crate) use landfall_domain::decision::exchange;
pub mod origin;

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use landfall_domain::clock::{Clock, Stopwatch};
use landfall_domain::names::{Digest, IdScope, PluginName};
use tokio::runtime::Handle;

use self::client::Client;
pub use self::exchange::{HttpAnswer, HttpBody, HttpBreach, HttpFailure, HttpRequest, HttpResponse};
pub use self::origin::{Origin, OriginError};

/// The settings of network access: the grants, and the limits of a call.
#[derive(Clone, Debug, Default)]
pub struct HttpSettings {
    /// A PEM file of certificates to trust instead of the platform's.
    pub ca_file: Option<PathBuf>,
    /// The grants, by the name of the published plugin.
    pub grants: BTreeMap<PluginName, Grant>,
    /// The limits of one call.
    pub quota: Quota,
}

/// The network access of one plugin.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Grant {
    /// The id scopes in which the grant applies: in another scope, the same name may be somebody else's plugin.
    pub scopes: Vec<IdScope>,
    pub allow: Vec<Origin>,
    /// Whether addresses that are not public may be connected to.
    pub allow_private_networks: bool,
}

/// The network limits of one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct Quota {
    pub requests: u32,
    /// Bytes sent: all bodies and headers together.
    pub bytes_out: usize,
    /// Bytes received: all bodies together.
    pub bytes_in: usize,
    /// Bytes of the head of one answer.
    pub header_bytes: usize,
    /// Time spent waiting, for all requests together.
    pub wait: Duration,
}

/// Why network access cannot be set up.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum HttpError {
    /// The file of certificates cannot be used.
    #[error("policy.http.ca_file {path}: {reason}; name a file of PEM certificates, or take the key out")]
    CaFile {
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The platform's certificates cannot be used.
    #[error("the platform's trusted certificates cannot be had: {0}; name a file of them in policy.http.ca_file")]
    Roots(String),
    /// The runtime for the requests cannot be started.
    #[error("policies are granted the network, and there is no runtime to serve it; this is a bug in Landfall")]
    NoRuntime,
}

/// Network access as granted. Without grants it has no client and reads no certificates.
pub(super) struct Http {
    grants: BTreeMap<PluginName, Arc<Grant>>,
    quota: Quota,
    wire: Option<Arc<Wire>>,
}

struct Wire {
    client: Client,
    runtime: Handle,
    clock: Arc<dyn Clock>,
}

/// The answers that the policies of one decision got, by image, method and address.
#[derive(Default)]
pub struct Memory(Mutex<HashMap<Remembered, HttpResponse>>);

type Remembered = (ImageKey, String, String);

/// A revision and its settings: no policy can read the answers of another.
pub type ImageKey = (Digest, Digest);

/// The network access of one call.
pub struct Connection {
    memory: Arc<Memory>,
    image: ImageKey,
    wire: Arc<Wire>,
    grant: Arc<Grant>,
    quota: Quota,
    spent: Mutex<Spent>,
}

#[derive(Default)]
struct Spent {
    requests: u32,
    bytes_out: usize,
    bytes_in: usize,
    waited: Duration,
}

impl Default for Quota {
    fn default() -> Self {
        Self {
            requests: 4,
            bytes_out: 192 << 10,
            bytes_in: 192 << 10,
            header_bytes: 16 << 10,
            wait: Duration::from_secs(10),
        }
    }
}

impl Http {
    pub(super) fn start(settings: HttpSettings, clock: &Arc<dyn Clock>) -> Result<Self, HttpError> {
        let HttpSettings { ca_file, grants, quota } = settings;
        let wire = if grants.is_empty() {
            None
        } else {
            let runtime = Handle::try_current().map_err(|_| HttpError::NoRuntime)?;
            Some(Arc::new(Wire { client: Client::new(ca_file.as_deref())?, runtime, clock: Arc::clone(clock) }))
        };
        let grants = grants.into_iter().map(|(plugin, grant)| (plugin, Arc::new(grant))).collect();
        Ok(Self { grants, quota, wire })
    }

    pub(super) fn is_granted(&self) -> bool {
        !self.grants.is_empty()
    }

    /// The grant of the plugin that has this name in an id scope.
    pub(super) fn grant(&self, scope: &IdScope, plugin: &PluginName) -> Option<&Arc<Grant>> {
        self.grants.get(plugin).filter(|grant| grant.scopes.contains(scope))
    }

    /// The network access of a call of a plugin; `None` if nothing is granted to it.
    pub(super) fn connection(
        &self,
        scope: &IdScope,
        plugin: &PluginName,
        image: ImageKey,
        memory: &Arc<Memory>,
    ) -> Option<Connection> {
        let (grant, wire) = (self.grant(scope, plugin)?, self.wire.as_ref()?);
        Some(Connection {
            memory: Arc::clone(memory),
            image,
            wire: Arc::clone(wire),
            grant: Arc::clone(grant),
            quota: self.quota,
            spent: Mutex::default(),
        })
    }
}

impl Connection {
    /// Sends a request and waits for the whole answer. It blocks the calling thread, which must not be one that serves
    /// connections.
    pub(super) fn exchange(&self, request: &http::Request<Bytes>) -> HttpAnswer {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        let allowed = match self.admit(request, &mut spent) {
            Ok(allowed) => allowed,
            Err(breach) => return HttpAnswer::Breach(breach),
        };
        let key = (self.image, request.method().to_string(), request.uri().to_string());
        if only_if_cached(request) {
            return HttpAnswer::Response(self.memory.recall(&key));
        }
        let began = Stopwatch::start(&self.wire.clock);
        let answer = self.wire.runtime.block_on(async {
            let sent = self.wire.client.send(request, allowed);
            match tokio::time::timeout(allowed.wait, sent).await {
                Ok(answer) => answer,
                Err(_) => HttpAnswer::Breach(HttpBreach::Time { limit_ms: millis(self.quota.wait) }),
            }
        });
        spent.waited = spent.waited.saturating_add(began.elapsed());
        if let HttpAnswer::Response(response) = &answer {
            spent.bytes_in = spent.bytes_in.saturating_add(response.body.size());
            self.memory.keep(key, response.clone());
        }
        answer
    }

    fn admit(&self, request: &http::Request<Bytes>, spent: &mut Spent) -> Result<Allowed, HttpBreach> {
        let Self { grant, quota, .. } = self;
        if !grant.allow.iter().any(|origin| origin.holds(request.uri())) {
            return Err(HttpBreach::Origin { origin: origin::shown(request.uri()) });
        }
        spent.requests = spent.requests.saturating_add(1);
        if spent.requests > quota.requests {
            return Err(HttpBreach::Requests { limit: quota.requests });
        }
        let headers = request.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4);
        let size = request.body().len() + headers.sum::<usize>() + request.uri().path().len();
        spent.bytes_out = spent.bytes_out.saturating_add(size);
        if spent.bytes_out > quota.bytes_out {
            return Err(HttpBreach::BytesOut { limit: quota.bytes_out });
        }
        Ok(Allowed {
            private: grant.allow_private_networks,
            bytes_in: quota.bytes_in.saturating_sub(spent.bytes_in),
            bytes_in_limit: quota.bytes_in,
            header_bytes: quota.header_bytes,
            wait: quota.wait.saturating_sub(spent.waited),
            wait_limit: quota.wait,
        })
    }
}

impl Memory {
    fn keep(&self, key: Remembered, response: HttpResponse) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key, response);
    }

    fn recall(&self, key: &Remembered) -> HttpResponse {
        let kept = self.0.lock().unwrap_or_else(PoisonError::into_inner).get(key).cloned();
        kept.unwrap_or_else(|| HttpResponse { status: 504, headers: Vec::new(), body: HttpBody::Text(String::new()) })
    }
}

fn only_if_cached(request: &http::Request<Bytes>) -> bool {
    let values = request.headers().get_all(http::header::CACHE_CONTROL).iter();
    let mut directives = values.filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(','));
    directives.any(|directive| directive.trim().eq_ignore_ascii_case("only-if-cached"))
}

/// The remaining allowance for one exchange.
#[derive(Clone, Copy)]
struct Allowed {
    private: bool,
    bytes_in: usize,
    bytes_in_limit: usize,
    header_bytes: usize,
    wait: Duration,
    wait_limit: Duration,
}

fn millis(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}
