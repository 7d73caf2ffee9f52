//! `landfall plugin set`.

use std::str::FromStr;

use clap::Args;
use landfall_domain::names::PluginName;
use serde_json::{Map, Value, json};

use super::super::output::{cleaned, text};
use super::super::{CliError, Session};

/// What to say of a plugin. What is not given stays as it is.
#[derive(Debug, Args)]
#[command(after_help = "\
A limit of `default` follows the configuration again. Limits and resorts belong to the plugin, not to a revision: they stay
when it is published anew. Every enrollment's settings are tried with the new limits first.

Resorts, asked in this order in the same decision when a call broke, could not, or its breaker is open:
  previous-revision  the revision that was live before, with the same settings
  shipped:NAME       a policy that comes with Landfall, such as shipped:weighted, with its default settings
  retry-later        the device waits and asks again; always the last one

  landfall plugin set ours --fuel 2000000 --on-failure previous-revision,shipped:weighted,retry-later")]
pub(in crate::cli) struct SetArgs {
    /// The plugin's name.
    name: PluginName,
    /// Units of fuel of a call.
    #[arg(long, value_name = "N|default")]
    fuel: Option<Limit>,
    /// CPU time of a call, in milliseconds.
    #[arg(long, value_name = "N|default")]
    deadline_ms: Option<Limit>,
    /// Memory of a call, in bytes.
    #[arg(long, value_name = "N|default")]
    memory_bytes: Option<Limit>,
    /// The answer's texts, in bytes.
    #[arg(long, value_name = "N|default")]
    output_bytes: Option<Limit>,
    /// The log lines that are kept with a decision, in bytes.
    #[arg(long, value_name = "N|default")]
    log_bytes: Option<Limit>,
    /// Who is asked when it gives no answer.
    #[arg(long, value_name = "RESORT,...", value_delimiter = ',')]
    on_failure: Option<Vec<ResortName>>,
}

/// A number, or the value of the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit(Option<u64>);

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "default" {
            return Ok(Self(None));
        }
        let number = text.replace('_', "").parse().map(Some).map(Self);
        number.map_err(|_| "a whole number, or `default`".to_owned())
    }
}

/// A resort in the form of the management API.
#[derive(Clone, Debug, PartialEq)]
struct ResortName(Value);

impl FromStr for ResortName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (text, text.strip_prefix("shipped:")) {
            ("previous-revision" | "retry-later", _) => Ok(Self(json!(text))),
            (_, Some(name)) => Ok(Self(json!({ "shipped": name }))),
            _ => Err("`previous-revision`, `shipped:NAME` or `retry-later`".to_owned()),
        }
    }
}

pub(super) async fn set(session: &mut Session, args: SetArgs) -> Result<(), CliError> {
    let path = session.path(&["plugins", args.name.as_str()]);
    let answer = session.api.patch(&path, &change(&args)).await?;
    let (limits, resorts) = (text(answer.get("limits")), in_words(answer.get("onFailure")).join(", "));
    let limits = if limits.is_empty() { "the configuration's limits".to_owned() } else { limits };
    session.out.done(format!("Plugin {}: {limits}; when it gives no answer: {resorts}.", args.name), &answer)
}

/// Resorts as they are typed. Settings are shown if there are any.
pub(super) fn in_words(resorts: Option<&Value>) -> Vec<String> {
    let word = |resort: &Value| match (resort.get("shipped"), resort.get("settings")) {
        (None, _) => text(Some(resort)),
        (name, Some(Value::Object(settings))) if !settings.is_empty() => {
            format!("shipped:{} with {}", text(name), cleaned(&Value::Object(settings.clone()).to_string()))
        }
        (name, _) => format!("shipped:{}", text(name)),
    };
    resorts.and_then(Value::as_array).into_iter().flatten().map(word).collect()
}

/// The merge patch for the options that were given.
fn change(args: &SetArgs) -> Value {
    let limits = [
        ("fuel", args.fuel),
        ("deadlineMs", args.deadline_ms),
        ("memoryBytes", args.memory_bytes),
        ("outputBytes", args.output_bytes),
        ("logBytes", args.log_bytes),
    ];
    let given = limits.into_iter().filter_map(|(name, limit)| Some((name.to_owned(), json!(limit?.0))));
    let mut change = json!({ "limits": given.collect::<Map<_, _>>() });
    if let (Some(resorts), Some(members)) = (&args.on_failure, change.as_object_mut()) {
        let resorts = resorts.iter().map(|ResortName(resort)| resort.clone());
        members.insert("onFailure".to_owned(), resorts.collect());
    }
    change
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_given_is_changed() {
        let none = SetArgs {
            name: "ours".parse().unwrap(),
            fuel: None,
            deadline_ms: None,
            memory_bytes: None,
            output_bytes: None,
            log_bytes: None,
            on_failure: None,
        };
        assert_eq!(change(&none), json!({ "limits": {} }));
        let some = SetArgs {
            fuel: Some("2_000_000".parse().unwrap()),
            log_bytes: Some("default".parse().unwrap()),
            on_failure: Some(vec!["shipped:weighted".parse().unwrap(), "retry-later".parse().unwrap()]),
            ..none
        };
        let limits = json!({ "fuel": 2_000_000, "logBytes": null });
        assert_eq!(change(&some), json!({ "limits": limits, "onFailure": [{ "shipped": "weighted" }, "retry-later"] }));
        let shown =
            json!([{ "shipped": "fixed", "settings": { "hub": "a" } }, { "shipped": "weighted", "settings": {} }]);
        assert_eq!(in_words(Some(&shown)), [r#"shipped:fixed with {"hub":"a"}"#, "shipped:weighted"]);
        assert!("a lot".parse::<Limit>().is_err() && "weighted".parse::<ResortName>().is_err());
    }
}
