//! Running a policy's logic in a plain `cargo test`, with a made-up catalogue.
//!
//! ```
//! use landfall_plugin::testing::{self, Catalogue, hub};
//! # use landfall_plugin::*;
//! # #[derive(Policy, serde::Deserialize, schemars::JsonSchema)]
//! # struct First {}
//! # impl SelectHub for First {
//! #     fn select_hub(&self, _: &Call, _: &Device, hubs: &[Hub]) -> Result<Outcome, Fault> {
//! #         landfall_plugin::info!("taking the first");
//! #         Ok(Choice::in_order(hubs).unwrap().into())
//! #     }
//! # }
//! let policy: First = testing::configure(serde_json::json!({})).unwrap();
//! let catalogue = Catalogue::new()
//!     .hub(hub("eu-1.example").capacity(1000).assigned(999).label("region", "eu"))
//!     .hub(hub("us-1.example").label("region", "us"))
//!     .group(["eu", "berlin"], 12);
//! let device = testing::device("pump-1").fact("region", "eu").build();
//!
//! let run = catalogue.run(|hubs| policy.select_hub(&testing::call(), &device, hubs));
//!
//! assert_eq!(catalogue.chosen(&run.answer), Some("eu-1.example"));
//! assert_eq!(run.log[0].message, "taking the first");
//! ```
//!
//! What this leaves out is the component itself: its imports, its cost, its limits. Those are tested with the built
//! component under the host's own engine.

use std::cell::RefCell;

use serde_json::Value;

use crate::log::Level;
use crate::{
    __export, Attestation, Call, Device, EnrollmentKind, Fault, Hub, Label, Location, Outcome, Policy, Prior, Problem,
};

/// Makes a policy from settings, exactly as `configure` of the component does.
///
/// # Errors
///
/// What is wrong with the settings.
pub fn configure<P: Policy>(settings: Value) -> Result<P, Vec<Problem>> {
    __export::configure(&settings.to_string())
}

/// A call with fixed values. Change what matters: `Call { attempt: 1, ..testing::call() }`.
pub fn call() -> Call {
    Call { decision_id: "decision-1".into(), now: NOW, seed: 1, catalog_revision: 1, attempt: 0 }
}

/// A device, enrolled by itself with a certificate, of which nothing else is known.
pub fn device(registration_id: &str) -> DeviceBuilder {
    DeviceBuilder(Device {
        registration_id: registration_id.into(),
        attestation: Attestation::X509,
        enrollment: EnrollmentKind::Individual,
        enrollment_id: registration_id.into(),
        facts: Vec::new(),
        claims: Vec::new(),
        tags: Vec::new(),
        payload: None,
        prior: None,
    })
}

/// A hub of weight 1 that takes 1000 devices and has none.
pub fn hub(name: &str) -> HubBuilder {
    HubBuilder {
        hub: Hub { handle: 0, name: name.into(), weight: 1, capacity: 1000, assigned: 0, pending: 0, location: None },
        labels: Vec::new(),
    }
}

/// The hubs, their labels and the groups that a policy sees in a test.
#[derive(Clone, Debug)]
pub struct Catalogue {
    hubs: Vec<HubBuilder>,
    groups: Vec<(Vec<String>, u64)>,
    keep_log_from: Level,
}

/// What came of [`Catalogue::run`].
#[derive(Clone, Debug)]
pub struct Run<T> {
    /// What the policy answered.
    pub answer: T,
    /// What it logged.
    pub log: Vec<LogLine>,
}

/// One line of the log.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "the names say it")]
pub struct LogLine {
    /// How grave it is.
    pub level: Level,
    pub message: String,
    /// The fields, in the order written.
    pub fields: Vec<Label>,
}

/// Builds a [`Device`]; see [`device`].
#[derive(Clone, Debug)]
pub struct DeviceBuilder(Device);

/// Builds a hub with its labels; see [`hub`].
#[derive(Clone, Debug)]
pub struct HubBuilder {
    hub: Hub,
    labels: Vec<Label>,
}

impl Catalogue {
    /// No hubs, no groups, and every log line kept.
    pub fn new() -> Self {
        Self { hubs: Vec::new(), groups: Vec::new(), keep_log_from: Level::Trace }
    }

    /// Equal hubs of these names.
    pub fn of<'a>(names: impl IntoIterator<Item = &'a str>) -> Self {
        names.into_iter().fold(Self::new(), |catalogue, name| catalogue.hub(hub(name)))
    }

    /// Adds a hub. Its handle is its position.
    #[must_use]
    pub fn hub(mut self, mut hub: HubBuilder) -> Self {
        hub.hub.handle = u32::try_from(self.hubs.len()).unwrap_or(u32::MAX);
        self.hubs.push(hub);
        self
    }

    /// Adds devices at a path.
    #[must_use]
    pub fn group<S: Into<String>>(mut self, path: impl IntoIterator<Item = S>, devices: u64) -> Self {
        self.groups.push((path.into_iter().map(Into::into).collect(), devices));
        self
    }

    /// Keeps log lines from this level on.
    #[must_use]
    pub fn keep_log_from(mut self, level: Level) -> Self {
        self.keep_log_from = level;
        self
    }

    /// All hubs as candidates.
    pub fn candidates(&self) -> Vec<Hub> {
        self.hubs.iter().map(|entry| entry.hub.clone()).collect()
    }

    /// Runs something with this catalogue behind [`Hub::label`], [`group_count`](crate::group_count) and the log.
    pub fn run<T>(&self, policy: impl FnOnce(&[Hub]) -> T) -> Run<T> {
        let outer = CURRENT.replace(Some(Current { catalogue: self.clone(), log: Vec::new() }));
        let answer = policy(&self.candidates());
        let log = CURRENT.replace(outer).map(|current| current.log).unwrap_or_default();
        Run { answer, log }
    }

    /// The name of the hub that was assigned, `None` when none was.
    pub fn chosen(&self, answer: &Result<Outcome, Fault>) -> Option<&str> {
        match answer {
            Ok(Outcome::Assign(choice)) => self.find(choice.hub).map(|entry| entry.hub.name.as_str()),
            _ => None,
        }
    }

    fn find(&self, handle: u32) -> Option<&HubBuilder> {
        self.hubs.iter().find(|entry| entry.hub.handle == handle)
    }
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::new()
    }
}

impl LogLine {
    /// The value of a field.
    pub fn field(&self, key: &str) -> Option<&str> {
        self.fields.iter().find(|field| field.key == key).map(|field| field.value.as_str())
    }
}

impl DeviceBuilder {
    /// Adds something that the manufacturer said beforehand.
    #[must_use]
    pub fn fact(mut self, key: &str, value: &str) -> Self {
        put(&mut self.0.facts, key, value);
        self
    }

    /// Adds something that the credential proved.
    #[must_use]
    pub fn claim(mut self, key: &str, value: &str) -> Self {
        put(&mut self.0.claims, key, value);
        self
    }

    /// Adds a tag of the enrollment.
    #[must_use]
    pub fn tag(mut self, key: &str, value: impl Into<Value>) -> Self {
        put(&mut self.0.tags, key, &value.into().to_string());
        self
    }

    /// Sets what the device says of itself.
    #[must_use]
    pub fn payload(mut self, payload: impl Into<Value>) -> Self {
        self.0.payload = Some(payload.into().to_string());
        self
    }

    /// Makes it a device of an enrollment group.
    #[must_use]
    pub fn in_group(mut self, enrollment_group: &str) -> Self {
        self.0.enrollment = EnrollmentKind::Group;
        self.0.enrollment_id = enrollment_group.into();
        self
    }

    /// Sets how it proved its credential.
    #[must_use]
    pub fn attested_by(mut self, attestation: Attestation) -> Self {
        self.0.attestation = attestation;
        self
    }

    /// Makes it a device that was assigned before.
    #[must_use]
    pub fn was_at(mut self, hub: &str, path: &[&str]) -> Self {
        let group_path = path.iter().map(|&name| name.to_owned()).collect();
        self.0.prior = Some(Prior { hub: hub.into(), group_path, since: NOW });
        self
    }

    /// The device.
    pub fn build(self) -> Device {
        self.0
    }
}

impl HubBuilder {
    /// Sets the weight.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.hub.weight = weight;
        self
    }

    /// Sets how many devices it takes.
    #[must_use]
    pub fn capacity(mut self, capacity: u64) -> Self {
        self.hub.capacity = capacity;
        self
    }

    /// Sets how many devices it has.
    #[must_use]
    pub fn assigned(mut self, assigned: u64) -> Self {
        self.hub.assigned = assigned;
        self
    }

    /// Sets how many registrations that have chosen it are under way.
    #[must_use]
    pub fn pending(mut self, pending: u32) -> Self {
        self.hub.pending = pending;
        self
    }

    /// Sets where it stands, in degrees.
    #[must_use]
    pub fn location(mut self, latitude: f64, longitude: f64) -> Self {
        self.hub.location = Some(Location { latitude, longitude });
        self
    }

    /// Adds a label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        put(&mut self.labels, key, value);
        self
    }

    /// The hub by itself, for a policy that asks nothing about it.
    pub fn alone(self) -> Hub {
        self.hub
    }
}

/// Runs something with a service behind [`http::send`](crate::http::send).
#[cfg(feature = "http")]
pub fn with_service<T>(
    service: impl Fn(&crate::http::Request) -> Result<crate::http::Response, crate::http::Error> + 'static,
    run: impl FnOnce() -> T,
) -> T {
    let outer = SERVICE.replace(Some(std::rc::Rc::new(service)));
    let answer = run();
    SERVICE.set(outer);
    answer
}

#[cfg(feature = "http")]
type Service = std::rc::Rc<dyn Fn(&crate::http::Request) -> Result<crate::http::Response, crate::http::Error>>;

#[cfg(feature = "http")]
thread_local! {
    static SERVICE: RefCell<Option<Service>> = const { RefCell::new(None) };
}

/// The host's side of the imports.
pub(crate) mod asked {
    #[cfg(feature = "http")]
    pub(crate) fn service(request: &crate::http::Request) -> Result<crate::http::Response, crate::http::Error> {
        match super::SERVICE.with_borrow(Clone::clone) {
            Some(service) => service(request),
            None => Err(crate::http::Error::Network("no service in this test: testing::with_service".into())),
        }
    }

    use super::{CURRENT, Current, LogLine};
    use crate::Label;
    use crate::log::Level;

    pub(crate) fn hub_labels(hub: u32) -> Vec<Label> {
        with(|current| current.catalogue.find(hub).map(|entry| entry.labels.clone())).flatten().unwrap_or_default()
    }

    pub(crate) fn hub_label(hub: u32, key: &str) -> Option<String> {
        hub_labels(hub).into_iter().find(|label| label.key == key).map(|label| label.value)
    }

    pub(crate) fn group_count(path: &[String]) -> u64 {
        with(|current| {
            let below = current.catalogue.groups.iter().filter(|(group, _)| group.starts_with(path));
            below.map(|(_, devices)| devices).sum()
        })
        .unwrap_or_default()
    }

    pub(crate) fn log_enabled(level: Level) -> bool {
        with(|current| level >= current.catalogue.keep_log_from).unwrap_or_default()
    }

    pub(crate) fn log_emit(level: Level, message: String, fields: Vec<Label>) {
        with(|current| current.log.push(LogLine { level, message, fields }));
    }

    fn with<T>(f: impl FnOnce(&mut Current) -> T) -> Option<T> {
        CURRENT.with_borrow_mut(|current| current.as_mut().map(f))
    }
}

/// A test's catalogue while its policy runs.
struct Current {
    catalogue: Catalogue,
    log: Vec<LogLine>,
}

/// Sorted by key, as the host hands them over; a key that is there is replaced.
fn put(labels: &mut Vec<Label>, key: &str, value: &str) {
    labels.retain(|label| label.key != key);
    let place = labels.partition_point(|label| label.key.as_str() < key);
    labels.insert(place, Label { key: key.into(), value: value.into() });
}

thread_local! {
    static CURRENT: RefCell<Option<Current>> = const { RefCell::new(None) };
}

const NOW: u64 = 1_767_225_600_000;
