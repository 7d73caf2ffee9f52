//! The rules that an operator sets for a plugin: its limits, and what decides when it gives no answer.
//!
//! A change is a JSON merge patch (RFC 7396): an absent member keeps its value, and `null` returns to the configured
//! value. The result is tried with every enrollment before it is accepted.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use landfall_domain::json::JsonText;
use landfall_domain::names::PluginName;
use landfall_domain::plugin::rules::{MAX_RESORTS, PluginLimits, PluginRules, Resort};
use landfall_domain::secret::address;
use landfall_policy::budget::{Budget, check_limits};
use landfall_policy::image::ConfigureError;
use landfall_policy::shipped;
use landfall_store::{Lane, PutOutcome};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Value, json};

use super::{answered, not_loaded, not_switched, published};
use crate::admin_api::authorize::Caller;
use crate::admin_api::body::{self, Answer, At};
use crate::admin_api::hub::known;
use crate::admin_api::problem::{Problem, ProblemPart};
use crate::service::Service;

pub(in crate::admin_api) async fn set(
    State(service): State<Arc<Service>>,
    At((scope, name)): At<(String, String)>,
    Extension(caller): Extension<Caller>,
    request: Request,
) -> Answer {
    let (scope, name): (_, PluginName) = (known(&service, &scope)?, name.parse()?);
    let when = body::precondition(request.headers());
    let body: RulesBody = body::json(&service, request).await?;
    let plugin = published(&scope, &name)?;
    check_limits(body.limits.over(plugin.rules.limits)).map_err(|error| {
        let message = format!("it is {}, and must be from {} to {}", error.value, error.lowest, error.highest);
        Problem::at(format!("/limits/{}", camel(error.limit)), message)
    })?;
    if !caller.governs_all() {
        body.limits.raised(plugin.rules.limits, &service.policies().budgets().call)?;
    }
    let resorts = match &body.on_failure {
        None => None,
        Some(None) => Some(Vec::new()),
        Some(Some(resorts)) => Some(resorts_of(&service, resorts, &plugin.rules.on_failure).await?),
    };
    let revision = service.images().revision_of(Lane::Operator, &name, plugin.live).await.map_err(not_loaded)?;
    let change = |before: &PluginRules| PluginRules {
        limits: body.limits.over(before.limits),
        on_failure: resorts.unwrap_or_else(|| before.on_failure.clone()),
    };
    let set = service.set_rules(&scope.scope, &name, &revision, change, when).await;
    match set.map_err(|error| not_switched(&name, error))? {
        // If the plugin is gone, the answer of the look-up says so.
        PutOutcome::Replaced | PutOutcome::Missing => answered(&service, &scope.scope, &name).await,
        refused => body::put(refused, &format!("plugin {name}"), None, &()),
    }
}

/// Parses the resorts. Shipped policies are configured with their settings, which checks the settings.
async fn resorts_of(service: &Service, resorts: &[Value], before: &[Resort]) -> Result<Vec<Resort>, Problem> {
    let kept: Vec<String> = before.iter().flat_map(addresses_of).collect();
    let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
    let mut read = Vec::new();
    for (number, resort) in resorts.iter().enumerate() {
        let at = format!("/onFailure/{number}");
        let wrong = |message: String| Problem::at(&at, message);
        match resort {
            Value::String(word) if word == LAST_RESORT && number + 1 == resorts.len() => {}
            Value::String(word) if word == LAST_RESORT => {
                return Err(wrong(format!("{LAST_RESORT:?} is the last resort: nothing comes after it")));
            }
            Value::String(word) if word == Resort::PreviousRevision.kind() => read.push(Resort::PreviousRevision),
            Value::Object(_) => read.push(shipped_resort(service, resort, &kept, &at).await?),
            _ => return Err(wrong(format!("a resort is {RESORTS}"))),
        }
    }
    if read.len() > MAX_RESORTS {
        return Err(Problem::at("/onFailure", format!("at most {MAX_RESORTS} resorts are taken")));
    }
    if let Some(twice) =
        read.iter().enumerate().find(|(at, resort)| read.iter().take(*at).any(|other| other == *resort))
    {
        return Err(Problem::at(format!("/onFailure/{}", twice.0), "it stands there twice"));
    }
    Ok(read)
}

/// The addresses with a key in the settings of a resort.
fn addresses_of(resort: &Resort) -> Vec<String> {
    match resort {
        Resort::PreviousRevision => Vec::new(),
        Resort::Shipped { settings, .. } => address::addresses(&mut settings.value()),
    }
}

async fn shipped_resort(service: &Service, resort: &Value, kept: &[&str], at: &str) -> Result<Resort, Problem> {
    let body: ShippedBody = serde_json::from_value(resort.clone())
        .map_err(|error| Problem::at(at, format!("a resort is {RESORTS}: {error}")))?;
    let under = |part: &str| format!("{at}/{part}");
    let Some(component) = shipped::component(&body.shipped) else {
        let all: Vec<_> = shipped::names_and_components().map(|(name, _)| name).collect();
        let message = format!("no policy {:?} comes with Landfall; there are {}", body.shipped, all.join(", "));
        return Err(Problem::at(under("shipped"), message));
    };
    let policy = body.shipped.parse().map_err(|error| Problem::at(under("shipped"), format!("{error}")))?;
    let mut settings = body.settings.unwrap_or_else(|| json!({}));
    // Addresses are masked when they are read, and may be sent back masked.
    address::restore_all(&mut settings, kept).map_err(|pointer| {
        Problem::at(
            under(&format!("settings{pointer}")),
            "the key of this address is not known; give the whole address",
        )
    })?;
    let settings = JsonText::of(&settings);
    let revision = service.images().load(component.to_vec().into()).await.map_err(not_loaded)?;
    let (policies, given) = (Arc::clone(service.policies()), settings.as_str().to_owned());
    let tried = tokio::task::spawn_blocking(move || policies.configure(&revision, &given).map(drop)).await;
    match tried.map_err(|_| Problem::new(503, "trying its settings was interrupted; try again"))? {
        Ok(()) => Ok(Resort::Shipped { policy, settings }),
        Err(ConfigureError::Refused { problems }) => {
            let place = |pointer: &str| under(&format!("settings{pointer}"));
            let part = |problem: &landfall_policy::Problem| ProblemPart {
                pointer: place(&problem.pointer),
                message: problem.message.clone(),
            };
            Err(Problem::of(problems.iter().map(part).collect()))
        }
        Err(error) => Err(Problem::at(under("settings"), error.to_string())),
    }
}

/// What to change. What is absent stays as it is.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = PluginRulesChange)]
pub(in crate::admin_api) struct RulesBody {
    /// What a call may use.
    #[schema(default = json!({}))]
    limits: LimitsBody,
    /// Who is asked when it gives no answer, in this order: `previous-revision`,
    /// `{"shipped": NAME, "settings": {...}}`, `retry-later`; the last is always `retry-later`, said or not.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<Vec<ResortShape>>)]
    on_failure: Option<Option<Vec<Value>>>,
}

/// Limits of one plugin; `null` follows the configuration.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(default, deny_unknown_fields, rename_all = "camelCase")]
#[schema(as = PluginLimitsChange)]
struct LimitsBody {
    /// Units of fuel.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<u64>)]
    fuel: Option<Option<u64>>,
    /// Milliseconds of CPU time.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<u32>)]
    deadline_ms: Option<Option<u32>>,
    /// Bytes of each linear memory.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<u64>)]
    memory_bytes: Option<Option<usize>>,
    /// Bytes of the answer.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<u64>)]
    output_bytes: Option<Option<usize>>,
    /// Bytes of log lines kept with the decision.
    #[serde(deserialize_with = "said")]
    #[schema(value_type = Option<u64>)]
    log_bytes: Option<Option<usize>>,
}

impl LimitsBody {
    /// Limits beyond the configuration take resources from the plugins of all id scopes, so they need a caller bound
    /// to none.
    fn raised(&self, before: PluginLimits, all: &Budget) -> Result<(), Problem> {
        let wide = |size: usize| u64::try_from(size).unwrap_or(u64::MAX);
        let wider = |size: Option<usize>| size.map(wide);
        let after = self.over(before);
        let limits = [
            ("fuel", after.fuel, before.fuel, all.fuel),
            ("deadlineMs", after.deadline_ms.map(u64::from), before.deadline_ms.map(u64::from), all.deadline_ms.into()),
            ("memoryBytes", wider(after.memory_bytes), wider(before.memory_bytes), wide(all.memory_bytes)),
            ("outputBytes", wider(after.output_bytes), wider(before.output_bytes), wide(all.output_bytes)),
            ("logBytes", wider(after.log_bytes), wider(before.log_bytes), wide(all.log_bytes)),
        ];
        for (name, after, before, most) in limits {
            // A limit that an authorised caller has granted before may stay.
            if let Some(wanted) = after.filter(|wanted| *wanted > most && Some(*wanted) != before) {
                return Err(Problem::new(
                    403,
                    format!(
                        "{name} is {wanted}, and {most} is what the configuration gives every plugin: more is for an operator \
                         whose token is bound to no id scope"
                    ),
                ));
            }
        }
        Ok(())
    }

    fn over(&self, before: PluginLimits) -> PluginLimits {
        PluginLimits {
            fuel: self.fuel.unwrap_or(before.fuel),
            deadline_ms: self.deadline_ms.unwrap_or(before.deadline_ms),
            memory_bytes: self.memory_bytes.unwrap_or(before.memory_bytes),
            output_bytes: self.output_bytes.unwrap_or(before.output_bytes),
            log_bytes: self.log_bytes.unwrap_or(before.log_bytes),
        }
    }
}

/// Who is asked when a policy gives no answer: a word, or a policy that comes with Landfall.
#[derive(utoipa::ToSchema)]
#[serde(untagged)]
#[schema(as = PluginResort)]
#[expect(dead_code, reason = "it is read by hand, for the sake of what is said of mistakes; this is its schema")]
enum ResortShape {
    Word(String),
    Shipped(ShippedBody),
}

#[derive(Debug, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = ShippedResort)]
struct ShippedBody {
    shipped: String,
    #[schema(value_type = Option<Object>)]
    settings: Option<Value>,
}

/// What the operator says of a plugin.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PluginRules)]
pub(super) struct RulesView {
    /// What a call may use, where that is not what the configuration says.
    limits: LimitsView,
    /// Who is asked when it gives no answer.
    #[schema(value_type = Vec<ResortShape>)]
    on_failure: Vec<Value>,
}

/// Limits of one plugin; what is absent follows the configuration.
#[derive(Clone, Debug, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase")]
#[schema(as = PluginLimits)]
struct LimitsView {
    /// Units of fuel.
    #[serde(skip_serializing_if = "Option::is_none")]
    fuel: Option<u64>,
    /// Milliseconds of CPU time.
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline_ms: Option<u32>,
    /// Bytes of each linear memory.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<usize>,
    /// Bytes of the answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    output_bytes: Option<usize>,
    /// Bytes of log lines kept with the decision.
    #[serde(skip_serializing_if = "Option::is_none")]
    log_bytes: Option<usize>,
}

impl RulesView {
    pub(super) fn of(rules: &PluginRules) -> Self {
        let PluginLimits { fuel, deadline_ms, memory_bytes, output_bytes, log_bytes } = rules.limits;
        let resort = |resort: &Resort| match resort {
            Resort::PreviousRevision => json!(resort.kind()),
            Resort::Shipped { policy, settings } => {
                let mut settings = settings.value();
                address::mask_all(&mut settings);
                json!({ "shipped": policy, "settings": settings })
            }
        };
        Self {
            limits: LimitsView { fuel, deadline_ms, memory_bytes, output_bytes, log_bytes },
            on_failure: rules.on_failure.iter().map(resort).chain([json!(LAST_RESORT)]).collect(),
        }
    }
}

/// Reads a member that is present, even if it is `null`.
fn said<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

/// The name of a limit in JSON.
fn camel(name: &str) -> String {
    let mut parts = name.split('_');
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |name, part| {
        let (head, tail) = part.split_at_checked(1).unwrap_or((part, ""));
        format!("{name}{}{tail}", head.to_ascii_uppercase())
    })
}

/// The final resort: the device asks again.
const LAST_RESORT: &str = "retry-later";

/// The allowed resorts, for messages.
const RESORTS: &str = r#""previous-revision", {"shipped": NAME, "settings": {...}} or "retry-later""#;
