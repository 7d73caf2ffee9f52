//! Golden vectors: the inputs of a policy and the answers that it must give, as JSON that is independent of the
//! language.
//!
//! ```json
//! { "vectors": [{
//!   "name": "a gold customer goes to the gold hub",
//!   "settings": { "tier": "gold" },
//!   "device": { "registrationId": "pump-1", "facts": { "customer": "acme" } },
//!   "hubs": [{ "name": "a.example" }, { "name": "b.example", "labels": { "tier": "gold" } }],
//!   "catalogue": { "groupCounts": [{ "path": ["acme"], "count": 3 }] },
//!   "expect": { "assign": { "hub": "b.example" } },
//!   "max_fuel": 60000
//! }] }
//! ```
//!
//! The same file tests a policy in Rust, in JavaScript and in Python, and shows the differences between revisions.
//! Members that are left out have a default that never changes, so that a vector states only what it is about. Members
//! that are left out of `expect` are not compared. `max_fuel` makes the cost of a policy a part of its tests: fuel is
//! the same number on every machine.
//!
//! A file is read as a whole before anything runs. So a mistake in it is an error with its JSON pointer, and does not
//! look like a policy that answers wrongly.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use landfall_domain::decision::call::{
    Attestation, Call, Candidate, Candidates, Device, EnrollmentKind, Hub, Label, Location, PlaceInput, Prior,
    SelectInput,
};
use landfall_domain::json::{self, Misfit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::expectation::Expectation;
use super::service::{ServiceVector, Services};
use crate::host_view::{GroupCounts, LiveCatalogue};

/// A file of golden vectors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
#[schemars(title = "Golden vectors of a Landfall policy")]
pub struct VectorFile {
    /// The JSON Schema of this format, for editors.
    #[serde(rename = "$schema", default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<String>,
    /// The vectors.
    pub vectors: Vec<Vector>,
}

/// One call of a policy, and what must come of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Vector {
    /// What it shows, in a sentence.
    pub name: String,
    /// The policy's settings. `{}` when left out.
    #[serde(default = "no_settings")]
    pub settings: Value,
    /// What is ambient.
    #[serde(default)]
    pub call: CallVector,
    /// The device that registers.
    #[serde(default)]
    pub device: DeviceVector,
    /// The hubs that the policy may choose, in this order.
    #[serde(default)]
    pub hubs: Vec<HubVector>,
    /// For grouping: the hub that was chosen before. The first one when left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chosen: Option<String>,
    /// What else the policy may ask the host.
    #[serde(default)]
    pub catalogue: CatalogueVector,
    /// What services answer to a policy of the tier `recorded`, each entry to one request. Nothing is ever sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub http: Vec<ServiceVector>,
    /// What must come of it.
    pub expect: Expectation,
    /// Units of fuel that the call may use; the server's budget when left out.
    #[serde(rename = "max_fuel", alias = "maxFuel", default, skip_serializing_if = "Option::is_none")]
    pub max_fuel: Option<u64>,
}

/// What is ambient.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct CallVector {
    /// The id of the decision.
    pub decision_id: String,
    /// Milliseconds since 1970-01-01 UTC.
    pub now: u64,
    /// The only randomness.
    pub seed: u64,
    /// Changes whenever the operator changes the hubs.
    pub catalog_revision: u64,
    /// Above 0 when the hubs that were chosen before had no room left.
    pub attempt: u32,
}

/// The device that registers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct DeviceVector {
    /// Its registration id.
    pub registration_id: String,
    /// How it proved its credential: `x509`, `tpm`, `symmetric-key` or `token`.
    #[schemars(with = "String")]
    pub attestation: Attestation,
    /// Whether an `individual` enrollment or a `group` admitted it.
    #[schemars(with = "String")]
    pub enrollment: EnrollmentKind,
    /// The enrollment's id.
    pub enrollment_id: String,
    /// What the manufacturer said.
    pub facts: BTreeMap<String, String>,
    /// What the credential proved.
    pub claims: BTreeMap<String, String>,
    /// The enrollment's initial tags.
    pub tags: Map<String, Value>,
    /// What the device says of itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<Value>,
    /// Where it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prior: Option<PriorVector>,
}

/// Where a device was before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PriorVector {
    /// Its hub.
    pub hub: String,
    /// Its group, outermost first.
    #[serde(default)]
    pub group_path: Vec<String>,
    /// Since when: milliseconds since 1970-01-01 UTC.
    #[serde(default)]
    pub since: u64,
}

/// A hub that may be chosen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct HubVector {
    /// Its host name.
    pub name: String,
    /// The operator's weight.
    #[serde(default = "one")]
    pub weight: u32,
    /// How many devices it takes.
    #[serde(default = "much")]
    pub capacity: u64,
    /// How many it has.
    #[serde(default)]
    pub assigned: u64,
    /// Registrations that have chosen it and are not yet committed.
    #[serde(default)]
    pub pending: u32,
    /// Where it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<LocationVector>,
    /// The operator's labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
}

/// Degrees, WGS 84.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LocationVector {
    /// -90 to 90.
    pub latitude: f64,
    /// -180 to 180.
    pub longitude: f64,
}

/// What a policy may ask the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase", default)]
pub struct CatalogueVector {
    /// Devices placed at a path or below it; 0 for a path that is not here.
    pub group_counts: Vec<GroupCountVector>,
}

/// How many devices a group has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GroupCountVector {
    /// The group, outermost first.
    pub path: Vec<String>,
    /// Its devices.
    pub count: u64,
}

/// Why a file is not a file of golden vectors.
#[derive(Debug, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum VectorError {
    /// The file cannot be read.
    #[error("cannot read {path}: {source}")]
    Read { path: PathBuf, source: std::io::Error },
    /// The text is not JSON, or does not have the format of golden vectors.
    #[error("{path}{}: {message}", at(pointer))]
    Misfit {
        path: PathBuf,
        /// Where the mistake is. `None` if the text is not JSON at all.
        pointer: Option<String>,
        /// What is wrong.
        message: String,
    },
}

impl VectorFile {
    /// Reads a file and checks all of it.
    ///
    /// # Errors
    ///
    /// The first mistake, and where it is.
    pub fn read(path: &Path) -> Result<Self, VectorError> {
        let text = std::fs::read(path).map_err(|source| VectorError::Read { path: path.to_owned(), source })?;
        Self::parse(&text).map_err(|misfit| of_file(path, misfit))
    }

    /// Parses a text and checks all of it.
    ///
    /// # Errors
    ///
    /// As [`VectorFile::read`].
    pub fn parse(text: &[u8]) -> Result<Self, Misfit> {
        let file: Self = json::read(text)?;
        for (number, vector) in file.vectors.iter().enumerate() {
            vector.check(&format!("/vectors/{number}"))?;
        }
        Ok(file)
    }

    /// The JSON Schema of the format.
    #[must_use]
    pub fn json_schema() -> Value {
        schemars::schema_for!(Self).to_value()
    }
}

impl Vector {
    /// Checks the rules that the schema cannot express.
    fn check(&self, place: &str) -> Result<(), Misfit> {
        let wrong = |at: &str, message: String| Err(Misfit { pointer: Some(format!("{place}{at}")), message });
        if !self.settings.is_object() {
            return wrong("/settings", "settings are a JSON object".into());
        }
        let mut seen = std::collections::HashSet::new();
        for (number, hub) in self.hubs.iter().enumerate() {
            if !seen.insert(hub.name.as_str()) {
                return wrong(&format!("/hubs/{number}/name"), format!("there are two hubs {}", hub.name));
            }
        }
        if let Some(chosen) = self.chosen.as_deref().filter(|chosen| !seen.contains(chosen)) {
            return wrong("/chosen", format!("{chosen} is none of the hubs"));
        }
        for (at, hub) in self.expect.hubs() {
            if !seen.contains(hub) {
                return wrong(&format!("/expect{at}"), format!("{hub} is none of the hubs"));
            }
        }
        for (number, service) in self.http.iter().enumerate() {
            service.check().or_else(|message| wrong(&format!("/http/{number}"), message))?;
        }
        if self.hubs.is_empty() && !self.expect.is_of_settings() {
            return wrong("/hubs", "a policy is never asked without a hub; name at least one".into());
        }
        Ok(())
    }

    /// The same vector with `count` hubs: its own hubs, repeated under other names.
    #[must_use]
    pub fn with_hubs(&self, count: usize) -> Self {
        let repeated = self.hubs.iter().cycle().take(count).enumerate();
        let named = |(at, hub): (usize, &HubVector)| match at.checked_div(self.hubs.len()) {
            None | Some(0) => hub.clone(),
            Some(round) => HubVector { name: format!("{round}.{}", hub.name), ..hub.clone() },
        };
        Self { hubs: repeated.map(named).collect(), chosen: None, ..self.clone() }
    }

    /// The input of selection.
    #[must_use]
    pub fn select_input(&self) -> SelectInput {
        SelectInput { call: self.call(), device: Arc::new(self.device.build()), candidates: self.candidates() }
    }

    /// The input of grouping.
    #[must_use]
    pub fn place_input(&self) -> Option<PlaceInput> {
        let chosen = |hub: &&HubVector| self.chosen.as_deref().is_none_or(|chosen| chosen == hub.name);
        let hub = self.hubs.iter().find(chosen)?;
        let candidate = Candidate { hub: 0, assigned: hub.assigned, pending: hub.pending };
        Some(PlaceInput { call: self.call(), device: Arc::new(self.device.build()), hub: hub.build(), candidate })
    }

    /// What the policy may ask the host during selection.
    #[must_use]
    pub fn catalogue(&self) -> Arc<Services> {
        let catalogue = LiveCatalogue::new(self.candidates(), Arc::new(self.catalogue.clone()));
        Services::new(catalogue, &self.http)
    }

    /// What the policy may ask the host during grouping.
    #[must_use]
    pub fn catalogue_of_hub(&self, input: &PlaceInput) -> Arc<Services> {
        Services::new(self.of_hub(input), &self.http)
    }

    /// As [`Vector::catalogue`], for a call that is repeated: each entry of `http` answers any number of requests.
    #[must_use]
    pub fn catalogue_again(&self) -> Arc<Services> {
        self.catalogue().again()
    }

    /// As [`Vector::catalogue_of_hub`], for a call that is repeated.
    #[must_use]
    pub fn catalogue_of_hub_again(&self, input: &PlaceInput) -> Arc<Services> {
        self.catalogue_of_hub(input).again()
    }

    /// As [`Vector::catalogue_of_hub`], in the decision whose selection these services answered.
    #[must_use]
    pub fn catalogue_after(&self, selection: &Services, input: &PlaceInput) -> Arc<Services> {
        selection.beside(self.of_hub(input))
    }

    fn of_hub(&self, input: &PlaceInput) -> LiveCatalogue {
        let hub = Candidates::new([input.hub.clone()].into(), [input.candidate]);
        LiveCatalogue::new(hub, Arc::new(self.catalogue.clone()))
    }

    fn call(&self) -> Call {
        let CallVector { decision_id, now, seed, catalog_revision, attempt } = self.call.clone();
        Call { decision_id, now, seed, catalog_revision, attempt }
    }

    fn candidates(&self) -> Candidates {
        let shown = (0..).zip(&self.hubs);
        let shown = shown.map(|(at, hub)| Candidate { hub: at, assigned: hub.assigned, pending: hub.pending });
        Candidates::new(self.hubs.iter().map(HubVector::build).collect(), shown.collect::<Vec<_>>())
    }
}

impl DeviceVector {
    /// The device in the form that policies get.
    #[must_use]
    pub fn build(&self) -> Device {
        Device {
            registration_id: self.registration_id.clone(),
            attestation: self.attestation,
            enrollment: self.enrollment,
            enrollment_id: self.enrollment_id.clone(),
            facts: labels(&self.facts),
            claims: labels(&self.claims),
            tags: self.tags.iter().map(|(key, value)| Label { key: key.clone(), value: value.to_string() }).collect(),
            payload: self.payload.as_ref().map(Value::to_string),
            prior: self.prior.as_ref().map(|prior| Prior {
                hub: prior.hub.clone(),
                group_path: prior.group_path.clone(),
                since: prior.since,
            }),
        }
    }
}

impl HubVector {
    /// The hub in the form that policies get.
    #[must_use]
    pub fn build(&self) -> Hub {
        Hub {
            name: self.name.as_str().into(),
            weight: self.weight,
            capacity: self.capacity,
            location: self.location.map(|LocationVector { latitude, longitude }| Location { latitude, longitude }),
            labels: labels(&self.labels).into(),
        }
    }
}

impl GroupCounts for CatalogueVector {
    fn group_count(&self, path: &[String]) -> Result<u64, String> {
        Ok(self.group_counts.iter().find(|known| known.path == path).map_or(0, |known| known.count))
    }
}

impl Default for CallVector {
    fn default() -> Self {
        Self {
            decision_id: "00000000-0000-7000-8000-000000000001".into(),
            // 2026-01-01.
            now: 1_767_225_600_000,
            seed: 1,
            catalog_revision: 1,
            attempt: 0,
        }
    }
}

impl Default for DeviceVector {
    fn default() -> Self {
        Self {
            registration_id: "device-1".into(),
            attestation: Attestation::X509,
            enrollment: EnrollmentKind::Group,
            enrollment_id: "devices".into(),
            facts: BTreeMap::new(),
            claims: BTreeMap::new(),
            tags: Map::new(),
            payload: None,
            prior: None,
        }
    }
}

/// The error for a mistake in a file.
#[must_use]
pub fn of_file(path: &Path, misfit: Misfit) -> VectorError {
    let Misfit { pointer, message } = misfit;
    VectorError::Misfit { path: path.to_owned(), pointer, message }
}

fn labels(map: &BTreeMap<String, String>) -> Vec<Label> {
    map.iter().map(|(key, value)| Label { key: key.clone(), value: value.clone() }).collect()
}

fn at(pointer: &Option<String>) -> String {
    match pointer.as_deref() {
        None => ", which is not JSON".into(),
        Some("") => String::new(),
        Some(pointer) => format!(" at {pointer}"),
    }
}

fn no_settings() -> Value {
    Value::Object(Map::new())
}

fn one() -> u32 {
    1
}

fn much() -> u64 {
    1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;

    fn misfit(text: &str) -> (Option<String>, String) {
        let misfit = VectorFile::parse(text.as_bytes()).unwrap_err();
        (misfit.pointer, misfit.message)
    }

    #[test]
    fn a_slip_is_named_with_its_place() {
        let (pointer, message) = misfit(r#"{"vectors":[{"name":"a","expcet":{}}]}"#);
        assert_eq!(pointer.as_deref(), Some("/vectors/0/expcet"));
        assert!(message.contains("did you mean `expect`?"), "{message}");
        let (pointer, message) =
            misfit(r#"{"vectors":[{"name":"a","hubs":[{"name":"h","weight":"2"}],"expect":{"assign":{}}}]}"#);
        assert_eq!(pointer.as_deref(), Some("/vectors/0/hubs/0/weight"));
        assert!(message.contains("expected u32"), "{message}");
        assert_eq!(misfit("{").0, None);
    }

    #[test]
    fn hubs_that_are_expected_are_there() {
        let (pointer, message) =
            misfit(r#"{"vectors":[{"name":"a","hubs":[{"name":"h"}],"expect":{"assign":{"hub":"g"}}}]}"#);
        assert_eq!(
            (pointer.as_deref(), message.as_str()),
            (Some("/vectors/0/expect/assign/hub"), "g is none of the hubs")
        );
        let (pointer, _) =
            misfit(r#"{"vectors":[{"name":"a","hubs":[{"name":"h"},{"name":"h"}],"expect":{"assign":{}}}]}"#);
        assert_eq!(pointer.as_deref(), Some("/vectors/0/hubs/1/name"));
        let (pointer, _) = misfit(r#"{"vectors":[{"name":"a","expect":{"assign":{}}}]}"#);
        assert_eq!(pointer.as_deref(), Some("/vectors/0/hubs"));
    }

    #[test]
    fn exactly_one_outcome_is_expected() {
        for expect in ["{}", r#"{"assign":{},"reject":{}}"#, r#"{"assing":{}}"#] {
            let (pointer, message) =
                misfit(&format!(r#"{{"vectors":[{{"name":"a","hubs":[{{"name":"h"}}],"expect":{expect}}}]}}"#));
            assert_eq!(pointer.as_deref(), Some("/vectors/0/expect"), "{expect}: {message}");
        }
    }
}
