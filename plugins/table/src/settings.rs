//! What the operator writes: the shape only. The meaning is checked where it is parsed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};

/// The settings of `table`.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "table")]
pub struct Settings {
    /// Tried from the top.
    pub rules: Vec<RuleSettings>,
}

/// One rule: conditions and results.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct RuleSettings {
    /// What the rule is called in reasons and logs; its number, from 1, when left out.
    pub name: Option<String>,
    /// All of these must hold. Leave it out for a rule that always matches.
    pub when: Vec<ConditionSettings>,
    /// Result: this hub.
    pub hub: Option<String>,
    /// Result: the first of these hubs that takes devices, the others as alternates in this order.
    pub hubs: Option<Vec<String>>,
    /// Result: one of the hubs with all of these labels, by weight and always the same for a device. Texts may hold
    /// placeholders.
    pub hub_labels: Option<BTreeMap<String, String>>,
    /// What becomes of a device while none of the hubs named by this rule takes any.
    pub unavailable: UnavailableSettings,
    /// Result: where the device belongs, from the outermost group inwards. Texts may hold placeholders.
    pub group: Option<Vec<String>>,
    /// Result: top-level tags of the initial twin. Texts may hold placeholders.
    pub tags: Option<Map<String, Value>>,
    /// Result: desired properties of the initial twin. Texts may hold placeholders.
    pub desired: Option<Map<String, Value>>,
    /// Result: what the device is told in the `payload` of its registration. Texts may hold placeholders.
    pub reply: Option<Value>,
}

/// One condition: what is looked at (one of `fact`, `claim`, `tag`, `payload`) and what it must be (one of `equals`,
/// `one-of`, `prefix`, `glob`, `min` and `max`, `present`).
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ConditionSettings {
    /// Look at what the manufacturer said of the device.
    pub fact: Option<String>,
    /// Look at what the device's credential proves.
    pub claim: Option<String>,
    /// Look at a top-level tag of the enrollment.
    pub tag: Option<String>,
    /// Look at what the device says of itself, by a JSON pointer such as `/model`. Untrusted.
    pub payload: Option<String>,
    /// It is this text, number or boolean.
    pub equals: Option<Scalar>,
    /// It is one of these.
    pub one_of: Option<Vec<Scalar>>,
    /// It begins with this.
    pub prefix: Option<String>,
    /// It matches this pattern: `*` stands for any text, `?` for any one character.
    pub glob: Option<String>,
    /// It is a number and not less than this.
    pub min: Option<f64>,
    /// It is a number and not more than this.
    pub max: Option<f64>,
    /// It is there (`true`) or not (`false`).
    pub present: Option<bool>,
    /// Turns the condition round: it must not hold.
    pub not: bool,
}

/// A value that can be compared: `7` and `"7"` are the same.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "a text, a number or a boolean")]
pub enum Scalar {
    /// A text.
    Text(String),
    /// A whole number.
    Whole(i64),
    /// A number.
    Number(f64),
    /// A boolean.
    Truth(bool),
}

/// What becomes of a device while none of the hubs named takes any.
#[derive(Clone, Copy, Debug, Default, Deserialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum UnavailableSettings {
    /// It waits and asks again.
    #[default]
    Defer,
    /// The rules below are tried.
    Next,
    /// The enrollment's fallback policy decides.
    Abstain,
}

impl Scalar {
    /// As text, the way facts and claims are.
    pub fn into_text(self) -> String {
        match self {
            Self::Text(text) => text,
            Self::Whole(number) => number.to_string(),
            Self::Number(number) => number.to_string(),
            Self::Truth(truth) => truth.to_string(),
        }
    }
}
