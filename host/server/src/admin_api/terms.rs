//! Reads the body of an enrollment into the domain's types. Errors carry JSON pointers.

use landfall_domain::enrollment::{
    Allocation, ExpiredCertificates, InitialTwin, KeyChange, Manufacturing, PolicyBinding, ReprovisionPolicy, Terms,
};
use landfall_domain::json::JsonText;
use landfall_domain::names::{IssuerName, PluginName};
use landfall_domain::plugin::card::Worlds;
use landfall_domain::secret::address;
use landfall_domain::text::hex;
use landfall_policy::image::ConfigureError;
use landfall_store::Lane;
use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::problem::{Problem, ProblemPart};
use crate::catalogue::ScopeCatalogue;
use crate::service::Service;
use crate::service::images::ImageError;

mod attestation;
mod function;
mod view;

pub(super) use attestation::{
    DirectoryBody, PasswordBody, Proof, SymmetricKeyBody, TokenBody, TpmBody, X509Body, can_serve, group_attestation,
    individual_attestation,
};
pub(super) use view::{GroupView, IndividualView, group_view, individual_view};

/// An enrollment, individual or group.
#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct EnrollmentBody {
    /// The device's id in its hub; individual enrollments only.
    pub(super) device_id: Option<String>,
    /// How devices prove themselves: this, or `symmetricKey`.
    pub(super) x509: Option<X509Body>,
    /// How devices prove themselves: this, or `x509`, or `tpm`.
    pub(super) symmetric_key: Option<SymmetricKeyBody>,
    /// How the device of an individual enrollment proves itself: this, or one of the others.
    pub(super) tpm: Option<TpmBody>,
    /// How the devices of a group prove themselves: this, or one of the others.
    pub(super) token: Option<TokenBody>,
    /// How the devices of a group prove themselves: this, or one of the others.
    pub(super) directory: Option<DirectoryBody>,
    /// How the device of an individual enrollment proves itself: this, or one of the others. Not recommended.
    pub(super) password: Option<PasswordBody>,
    #[serde(default = "yes")]
    enabled: bool,
    #[serde(default)]
    manufacturing: Manufacturing,
    /// Whose manufacturing records admit its devices; anybody's who may import, when absent.
    manufacturers: Option<Vec<String>>,
    #[serde(default)]
    key_change: KeyChange,
    #[serde(default)]
    expired_certificates: ExpiredCertificates,
    /// Who issues the certificates that its devices ask for: a name of `[issuing]` in `landfall.toml`
    /// that is for this id scope.
    certificate_issuer: Option<String>,
    #[serde(default)]
    reprovision: ReprovisionPolicy,
    /// The hubs that its devices may get; all linked ones when absent.
    hubs: Option<Vec<String>>,
    allocation: AllocationBody,
    #[serde(default)]
    initial_twin: TwinBody,
    /// What was read can be sent back: the members from here on are not looked at.
    #[serde(default, rename = "id")]
    #[schema(ignore)]
    _id: Option<IgnoredAny>,
    #[serde(default, rename = "registrationId")]
    #[schema(ignore)]
    _registration_id: Option<IgnoredAny>,
    #[serde(default, rename = "createdAt")]
    #[schema(ignore)]
    _created_at: Option<IgnoredAny>,
    #[serde(default, rename = "updatedAt")]
    #[schema(ignore)]
    _updated_at: Option<IgnoredAny>,
    #[serde(default, rename = "etag")]
    #[schema(ignore)]
    _etag: Option<IgnoredAny>,
}

#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct AllocationBody {
    selection: BindingBody,
    /// Decides when the first abstains: the shipped policy `weighted` when absent, nobody when null.
    #[serde(default, deserialize_with = "said")]
    #[schema(value_type = Option<BindingBody>)]
    fallback: Option<Option<BindingBody>>,
    #[serde(default)]
    grouping: Vec<BindingBody>,
}

#[derive(Clone, Debug, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct BindingBody {
    plugin: String,
    /// SHA-256 of one exact revision; the live one when absent.
    revision: Option<String>,
    /// The plugin's settings.
    #[serde(default)]
    #[schema(value_type = Object)]
    settings: Option<Box<RawValue>>,
}

#[derive(Clone, Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct TwinBody {
    #[serde(default)]
    #[schema(value_type = Object)]
    tags: Map<String, Value>,
    #[serde(default)]
    #[schema(value_type = Object)]
    desired: Map<String, Value>,
}

/// Reads the terms, and configures every policy with its settings.
pub(super) async fn terms(
    service: &Service,
    scope: &ScopeCatalogue,
    body: &EnrollmentBody,
    before: Option<&Terms>,
) -> Result<Terms, Problem> {
    let mut errors = Vec::new();
    let mut hubs = Vec::new();
    for (at, name) in body.hubs.iter().flatten().enumerate() {
        match name.parse() {
            Ok(hub) if scope.hubs.get(&hub).is_some() => hubs.push(hub),
            Ok(hub) => errors.push(part(format!("/hubs/{at}"), format!("{hub} is not linked"))),
            Err(error) => errors.push(part(format!("/hubs/{at}"), error.to_string())),
        }
    }
    let certificate_issuer = match body.certificate_issuer.as_deref().map(str::parse::<IssuerName>).transpose() {
        Ok(Some(name)) => match service.outside().certificate_issuing().refusal(&scope.scope, &name) {
            Some(message) => {
                errors.push(part("/certificateIssuer", message));
                None
            }
            None => Some(name),
        },
        Ok(None) => None,
        Err(error) => {
            errors.push(part("/certificateIssuer", error.to_string()));
            None
        }
    };
    let mut manufacturers = Vec::new();
    for (at, name) in body.manufacturers.iter().flatten().enumerate() {
        match name.parse() {
            Ok(manufacturer) => manufacturers.push(manufacturer),
            Err(error) => errors.push(part(format!("/manufacturers/{at}"), format!("{error}"))),
        }
    }
    if body.manufacturers.as_ref().is_some_and(Vec::is_empty) {
        errors.push(part("/manufacturers", "name at least one, or leave it out for all of them"));
    }
    if body.manufacturing == Manufacturing::Optional && body.tpm.as_ref().is_some_and(TpmBody::takes_makers) {
        let message =
            "a maker vouches for its TPMs and not for devices: the record that names the endorsement key is required";
        errors.push(part("/manufacturing", message));
    }
    let AllocationBody { selection, fallback, grouping } = &body.allocation;
    let selects = |at: &str| (format!("/allocation/{at}"), Wanted::Selection);
    let kept = before.map(|before| &before.allocation).into_iter().flat_map(Allocation::bindings).collect();
    let mut bound = Bindings { service, scope, kept, errors: &mut errors };
    let selection = bound.read(selection, selects("selection")).await;
    let fallback = match fallback {
        Some(Some(fallback)) => bound.read(fallback, selects("fallback")).await,
        Some(None) => None,
        // If a policy abstains, the default policy decides for its devices, unless the operator chooses another.
        None => {
            selection.as_ref().filter(|policy| policy.plugin.as_str() != DEFAULT_POLICY).and_then(|_| default_policy())
        }
    };
    let (mut places, serves) = (Vec::new(), service.config().policy.function_plugin());
    for (at, policy) in grouping.iter().enumerate() {
        places.extend(bound.read(policy, (format!("/allocation/grouping/{at}"), Wanted::Grouping)).await);
    }
    // By contract, a function that is named by address returns hub and twin in one answer. So its policy is also one
    // that places the device.
    if let Some(function) = selection.as_ref().filter(|policy| function::address_of(policy, serves).is_some())
        && !places.contains(function)
    {
        places.insert(0, function.clone());
    }
    let twin = json!({ "tags": body.initial_twin.tags, "desired": body.initial_twin.desired });
    if twin.to_string().len() > MAX_TWIN_BYTES {
        errors.push(part("/initialTwin", format!("at most {MAX_TWIN_BYTES} bytes are taken")));
    }
    let (Some(selection), true) = (selection, errors.is_empty()) else { return Err(Problem::of(errors)) };
    let now = service.ambient().now();
    let etag = hex(&service.ambient().random::<8>());
    Ok(Terms {
        enabled: body.enabled,
        manufacturing: body.manufacturing,
        manufacturers: body.manufacturers.is_some().then_some(manufacturers),
        key_change: body.key_change,
        expired_certificates: body.expired_certificates,
        certificate_issuer,
        reprovision: body.reprovision,
        hubs: body.hubs.is_some().then_some(hubs),
        allocation: Allocation { selection, fallback, grouping: places },
        initial_twin: InitialTwin { tags: body.initial_twin.tags.clone(), desired: body.initial_twin.desired.clone() },
        created_at: before.map_or(now, |before| before.created_at),
        updated_at: now,
        etag,
    })
}

#[derive(Clone, Copy, PartialEq)]
enum Wanted {
    Selection,
    Grouping,
}

struct Bindings<'a> {
    service: &'a Service,
    scope: &'a ScopeCatalogue,
    /// The stored policies of the enrollment.
    kept: Vec<&'a PolicyBinding>,
    errors: &'a mut Vec<ProblemPart>,
}

impl Bindings<'_> {
    /// The plugin that calls functions which are named by address.
    fn serves(&self) -> &str {
        self.service.config().policy.function_plugin()
    }

    /// Reads a binding and makes its image, which makes the plugin check its settings.
    async fn read(&mut self, body: &BindingBody, (at, wanted): (String, Wanted)) -> Option<PolicyBinding> {
        if function::is_address(&body.plugin) {
            return self.read_function(body, at, wanted).await;
        }
        let plugin: PluginName = match body.plugin.parse() {
            Ok(plugin) => plugin,
            Err(error) => return self.wrong(format!("{at}/plugin"), error.to_string()),
        };
        let revision = match body.revision.as_deref().map(str::parse).transpose() {
            Ok(revision) => revision,
            Err(error) => return self.wrong(format!("{at}/revision"), format!("{error}")),
        };
        // Stored exactly as written, so that the digest is that of the author's text.
        let settings = body.settings.as_deref().map_or("{}", RawValue::get);
        let settings = match JsonText::parse(settings, MAX_SETTINGS_BYTES, MAX_SETTINGS_DEPTH) {
            Ok(settings) => settings,
            Err(error) => return self.wrong(format!("{at}/settings"), error.to_string()),
        };
        let settings = match self.with_addresses(settings) {
            Ok(settings) => settings,
            Err(pointer) => return self.wrong(format!("{at}/settings{pointer}"), MASKED),
        };
        self.fit(PolicyBinding { plugin, revision, settings }, (at, wanted)).await
    }

    /// Reads an allocation function that is named by address.
    async fn read_function(&mut self, body: &BindingBody, at: String, wanted: Wanted) -> Option<PolicyBinding> {
        let no_settings =
            body.settings.as_deref().is_none_or(|settings| matches!(settings.get().trim(), "{}" | "null"));
        if !no_settings || body.revision.is_some() {
            let message = format!(
                "a function that is named by its address has neither settings nor a revision; name `{}` to give them",
                self.serves()
            );
            return self.wrong(format!("{at}/plugin"), message);
        }
        let settings = match self.with_addresses(function::settings_of(&body.plugin)) {
            Ok(settings) => settings,
            Err(_) => return self.wrong(format!("{at}/plugin"), MASKED),
        };
        let plugin = self.serves().parse().ok()?;
        self.fit(PolicyBinding { plugin, revision: None, settings }, (at, wanted)).await
    }

    /// Restores masked addresses in settings from the stored ones. Settings without changes are kept as they were
    /// written.
    fn with_addresses(&self, settings: JsonText) -> Result<JsonText, String> {
        let read = |text: &JsonText| serde_json::from_str::<Value>(text.as_str()).unwrap_or_default();
        let mut given = read(&settings);
        let mut addresses = Vec::new();
        self.kept.iter().for_each(|kept| addresses.extend(address::addresses(&mut read(&kept.settings))));
        let addresses: Vec<&str> = addresses.iter().map(String::as_str).collect();
        if !address::restore_all(&mut given, &addresses)? {
            return Ok(settings);
        }
        let same = self.kept.iter().find(|kept| read(&kept.settings) == given);
        Ok(same.map_or_else(|| JsonText::of(&given), |same| same.settings.clone()))
    }

    /// Makes the image of a binding, and checks that it exports what is needed.
    async fn fit(&mut self, binding: PolicyBinding, (at, wanted): (String, Wanted)) -> Option<PolicyBinding> {
        let image = match self.service.images().get(Lane::Operator, &self.scope.bind_one(&binding)).await {
            Ok(image) => image,
            Err(error) => {
                match &*error {
                    ImageError::Configure(ConfigureError::Refused { problems }) => {
                        let at = |pointer: &str| format!("{at}/settings{pointer}");
                        self.errors.extend(problems.iter().map(|p| part(at(&p.pointer), p.message.clone())));
                    }
                    ImageError::NotPublished(_) | ImageError::NoComponent(_) => {
                        self.errors.push(part(format!("{at}/plugin"), error.to_string()));
                    }
                    _ => self.errors.push(part(at, error.to_string())),
                }
                return None;
            }
        };
        let worlds: Worlds = image.revision().card().worlds;
        match wanted {
            Wanted::Selection if !worlds.selects() => self.wrong(format!("{at}/plugin"), "this plugin chooses no hubs"),
            Wanted::Grouping if !worlds.places() => self.wrong(format!("{at}/plugin"), "this plugin places no devices"),
            Wanted::Selection | Wanted::Grouping => Some(binding),
        }
    }

    fn wrong<T>(&mut self, pointer: String, message: impl Into<String>) -> Option<T> {
        self.errors.push(part(pointer, message));
        None
    }
}

fn part(pointer: impl Into<String>, message: impl Into<String>) -> ProblemPart {
    ProblemPart { pointer: pointer.into(), message: message.into() }
}

fn default_policy() -> Option<PolicyBinding> {
    Some(PolicyBinding { plugin: DEFAULT_POLICY.parse().ok()?, revision: None, settings: JsonText::of(&json!({})) })
}

/// Reads a member that is present, even if it is `null`.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<Option<T>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

fn yes() -> bool {
    true
}

/// The shipped policy that decides when another one abstains.
const DEFAULT_POLICY: &str = "weighted";

/// The maximum size of an initial twin, in bytes.
const MAX_TWIN_BYTES: usize = 32 * 1024;

/// The message for a masked address that matches no stored one.
const MASKED: &str =
    "the query of this address is masked (?****), and the enrollment has no such address; give it in full";

/// The maximum size of settings that the policy host accepts, in bytes.
const MAX_SETTINGS_BYTES: usize = 1 << 20;
const MAX_SETTINGS_DEPTH: usize = 64;
