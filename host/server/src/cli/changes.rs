//! Describes what a command has changed, as old and new values, and makes changes of a part that leave the rest as it
//! is.

use clap::{ArgAction, Args};
use landfall_domain::names::{HubName, IssuerName, ManufacturerId};
use serde_json::{Map, Value, json};

use super::CliError;
use super::output::text;
use super::terms::{KeyChangeName, ManufacturingName, binding, bound, json_or_file};

/// Describes a change, one line for each member that differs. Empty for a new thing.
pub(super) fn difference(before: Option<&Value>, after: &Value) -> String {
    difference_with(before, after, &[])
}

/// The same, with members that were set again and that no answer shows.
pub(super) fn difference_with(before: Option<&Value>, after: &Value, unseen: &[&str]) -> String {
    let Some(before) = before else { return String::new() };
    let mut lines = Vec::new();
    compare("", before, after, &mut lines);
    lines.extend(unseen.iter().map(|member| format!("\n  {member}: (given anew)")));
    if lines.is_empty() { "\nNothing is another than before.".to_owned() } else { lines.concat() }
}

fn compare(at: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    if let (Value::Object(old), Value::Object(new)) = (before, after) {
        let added = new.keys().filter(|key| !old.contains_key(*key));
        for key in old.keys().chain(added).filter(|key| !UNTOLD.contains(&key.as_str())) {
            let place = if at.is_empty() { key.clone() } else { format!("{at}.{key}") };
            let member = |members: &Map<String, Value>| members.get(key).cloned().unwrap_or_default();
            compare(&place, &member(old), &member(new), lines);
        }
        // An answer contains a key only if the key was generated or set by this request.
        for key in new.keys().filter(|key| KEYS.contains(&key.as_str())) {
            lines.push(format!("\n  {at}.{key}: (given anew)"));
        }
    } else if let (Value::Null, Value::Object(new)) = (before, after) {
        compare(at, &Value::Object(Map::new()), &Value::Object(new.clone()), lines);
    } else if before != after {
        lines.push(format!("\n  {at}: {} -> {}", short(before), short(after)));
    }
}

/// A value in one line, cut to a length.
fn short(value: &Value) -> String {
    let text = text(Some(value));
    match text.char_indices().nth(MOST_CHARACTERS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Changes of the terms. What is not said stays.
#[derive(Debug, Args)]
pub(super) struct ChangeArgs {
    /// The plugin that chooses the hub, without settings unless --settings says some; `NAME@DIGEST` keeps to one revision.
    /// The https:// address of an allocation function in its place asks that function, for the hub and for the initial twin.
    /// The policy that decides where this one has no opinion stays what it is: see --fallback.
    #[arg(long, value_name = "PLUGIN")]
    allocation: Option<String>,
    /// The settings of the plugin that chooses the hub: JSON, or @FILE.
    #[arg(long, value_name = "JSON|FILE")]
    settings: Option<String>,
    /// The plugin that chooses when the first has no opinion, with its settings.
    #[arg(long, value_name = "PLUGIN[=JSON|FILE]", conflicts_with = "no_fallback")]
    fallback: Option<String>,
    /// No plugin chooses when the first has no opinion: its devices wait.
    #[arg(long)]
    no_fallback: bool,
    /// A plugin that says where devices belong, with its settings. All that are given replace the present ones.
    #[arg(long, value_name = "PLUGIN[=JSON|FILE]", conflicts_with = "no_grouping")]
    grouping: Vec<String>,
    /// No plugin says where devices belong.
    #[arg(long)]
    no_grouping: bool,
    /// A hub that devices may get. All that are given replace the present ones.
    #[arg(long = "hub", value_name = "NAME", conflicts_with = "all_hubs")]
    hubs: Vec<HubName>,
    /// Devices may get every linked hub.
    #[arg(long)]
    all_hubs: bool,
    /// Whether a manufacturing record is demanded.
    #[arg(long, value_name = "HOW")]
    manufacturing: Option<ManufacturingName>,
    /// A manufacturer whose records admit devices. All that are given replace the present ones.
    #[arg(long = "manufacturer", value_name = "ID", conflicts_with = "all_manufacturers")]
    manufacturers: Vec<ManufacturerId>,
    /// The records of every manufacturer admit devices.
    #[arg(long)]
    all_manufacturers: bool,
    /// Whether a device may come back with another key.
    #[arg(long, value_name = "HOW")]
    key_change: Option<KeyChangeName>,
    /// Take a device's expired certificate when it comes back with the key that it registered with.
    #[arg(long, value_name = "true|false", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    take_expired: Option<bool>,
    /// Who issues the certificates that devices ask for: a name of [issuing] in the server's landfall.toml that is
    /// for the id scope.
    #[arg(long, value_name = "NAME", conflicts_with = "no_certificate_issuer")]
    certificate_issuer: Option<IssuerName>,
    /// Devices get no certificates.
    #[arg(long)]
    no_certificate_issuer: bool,
    /// Leave a device on its hub when it registers again.
    #[arg(long, value_name = "true|false", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    keep_hub: Option<bool>,
    /// Set a device's twin back when it comes to another hub, in place of moving its data.
    #[arg(long, value_name = "true|false", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    reset_data: Option<bool>,
    /// Where twins start: {"tags": {...}, "desired": {...}} as JSON, or @FILE.
    #[arg(long, value_name = "JSON|FILE")]
    initial_twin: Option<String>,
    /// Refuse its devices, and hide any other enrollment that would take them; --disabled=false takes them again.
    #[arg(long, value_name = "true|false", action = ArgAction::Set, num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    disabled: Option<bool>,
}

impl ChangeArgs {
    /// The present body, with the changes of this command in it.
    pub(super) fn over(&self, stands: &Value) -> Result<Map<String, Value>, CliError> {
        let mut body = stands.as_object().cloned().unwrap_or_default();
        self.change_allocation(&mut body)?;
        let mut set = |name: &str, value: Option<Value>| {
            if let Some(value) = value {
                body.insert(name.to_owned(), value);
            }
        };
        set("enabled", self.disabled.map(|disabled| (!disabled).into()));
        set("manufacturing", self.manufacturing.map(|how| how.as_str().into()));
        set("keyChange", self.key_change.map(|how| how.as_str().into()));
        set("expiredCertificates", self.take_expired.map(|take| if take { "reprovision" } else { "refuse" }.into()));
        set("certificateIssuer", self.certificate_issuer.as_ref().map(|issuer| json!(issuer)));
        set("manufacturers", (!self.manufacturers.is_empty()).then(|| json!(self.manufacturers)));
        set("hubs", (!self.hubs.is_empty()).then(|| json!(self.hubs)));
        let twin = self.initial_twin.as_ref().map(|twin| json_or_file(twin, "--initial-twin")).transpose()?;
        set("initialTwin", twin);
        for (all, name) in [
            (self.all_hubs, "hubs"),
            (self.all_manufacturers, "manufacturers"),
            (self.no_certificate_issuer, "certificateIssuer"),
        ] {
            if all {
                body.remove(name);
            }
        }
        if let Some(Value::Object(reprovision)) = body.get_mut("reprovision") {
            let said = [("updateHubAssignment", self.keep_hub), ("migrateDeviceData", self.reset_data)];
            for (name, not) in said {
                if let Some(not) = not {
                    reprovision.insert(name.to_owned(), (!not).into());
                }
            }
        }
        Ok(body)
    }

    fn change_allocation(&self, body: &mut Map<String, Value>) -> Result<(), CliError> {
        let Some(Value::Object(allocation)) = body.get_mut("allocation") else { return Ok(()) };
        if let Some(plugin) = &self.allocation {
            allocation.insert("selection".to_owned(), binding(plugin, self.settings.as_deref().or(Some("{}")))?);
        } else if let (Some(settings), Some(Value::Object(selection))) =
            (&self.settings, allocation.get_mut("selection"))
        {
            selection.insert("settings".to_owned(), json_or_file(settings, "--settings")?);
        }
        if let Some(fallback) = &self.fallback {
            allocation.insert("fallback".to_owned(), bound(fallback)?);
        } else if self.no_fallback {
            allocation.insert("fallback".to_owned(), Value::Null);
        }
        if self.no_grouping || !self.grouping.is_empty() {
            let grouping: Result<Vec<Value>, CliError> = self.grouping.iter().map(|text| bound(text)).collect();
            allocation.insert("grouping".to_owned(), grouping?.into());
        }
        Ok(())
    }

    /// Whether any option was given, even one that changes nothing.
    pub(super) fn says_something(&self) -> bool {
        let Self { allocation, settings, fallback, grouping, hubs, manufacturing, manufacturers, key_change, .. } =
            self;
        let flags = [self.take_expired, self.keep_hub, self.reset_data, self.disabled];
        allocation.is_some()
            || settings.is_some()
            || fallback.is_some()
            || !grouping.is_empty()
            || !hubs.is_empty()
            || manufacturing.is_some()
            || !manufacturers.is_empty()
            || key_change.is_some()
            || self.certificate_issuer.is_some()
            || self.initial_twin.is_some()
            || flags.iter().any(Option::is_some)
            || self.no_fallback
            || self.no_grouping
            || self.all_hubs
            || self.all_manufacturers
            || self.no_certificate_issuer
    }
}

/// The error for a command that gives nothing to change.
pub(super) fn nothing_said() -> CliError {
    CliError::Usage("nothing is said that could change; --help lists what can".to_owned())
}

/// A hint about the fallback, after another policy was set to choose the hub.
pub(super) fn hint_of_fallback(before: Option<&Value>, after: &Value) -> String {
    let selection = |of: &Value| of.pointer("/allocation/selection/plugin").and_then(Value::as_str).map(str::to_owned);
    let now =
        selection(after).filter(|plugin| plugin != "weighted" && before.and_then(selection).as_ref() != Some(plugin));
    let nobody = after.pointer("/allocation/fallback").is_none_or(Value::is_null);
    match now.filter(|_| nobody) {
        Some(plugin) => format!(
            "\nWhere {plugin} has no opinion no other policy is asked, and the device waits; --fallback weighted names one."
        ),
        None => String::new(),
    }
}

/// Members that say nothing about a change, or that must not be printed twice.
const UNTOLD: [&str; 7] = ["etag", "updatedAt", "createdAt", "primaryKey", "secondaryKey", "password", "assigned"];

/// Secrets that an answer contains if they were generated or set by this request.
const KEYS: [&str; 2] = ["primaryKey", "secondaryKey"];

/// The most characters of a value that are printed.
const MOST_CHARACTERS: usize = 100;

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Words {
        #[command(flatten)]
        change: ChangeArgs,
    }

    fn over(stands: &Value, words: &[&str]) -> Result<Value, CliError> {
        let words = Words::try_parse_from(std::iter::once("set").chain(words.iter().copied())).unwrap();
        assert!(words.change.says_something());
        words.change.over(stands).map(Value::from)
    }

    fn standing() -> Value {
        json!({
            "id": "pumps", "x509": { "authorities": { "primary": "factory" } }, "enabled": true, "keyChange": "refuse",
            "hubs": ["a.example"], "reprovision": { "updateHubAssignment": true, "migrateDeviceData": true },
            "allocation": {
                "selection": { "plugin": "table", "settings": { "x": 1 } },
                "grouping": [{ "plugin": "table", "settings": {} }],
            },
            "etag": "1", "updatedAt": "now",
        })
    }

    #[test]
    fn what_is_not_said_stays() {
        let stands = standing();
        let mut wanted = stands.clone();
        wanted["keyChange"] = json!("allow");
        assert_eq!(over(&stands, &["--key-change", "allow"]).unwrap(), wanted);
        wanted["enabled"] = json!(false);
        wanted["reprovision"]["updateHubAssignment"] = json!(false);
        let changed = over(&stands, &["--key-change", "allow", "--disabled", "--keep-hub"]).unwrap();
        assert_eq!(changed, wanted);
        let back = over(&changed, &["--disabled=false", "--keep-hub=false", "--key-change=refuse"]).unwrap();
        assert_eq!(back, stands);
        let mut wanted = stands.clone();
        wanted["allocation"]["selection"]["settings"] = json!({ "y": 2 });
        assert_eq!(over(&stands, &["--settings", r#"{"y": 2}"#]).unwrap(), wanted);
        wanted["allocation"]["grouping"] = json!([]);
        wanted.as_object_mut().unwrap().remove("hubs");
        assert_eq!(over(&stands, &["--settings", r#"{"y": 2}"#, "--no-grouping", "--all-hubs"]).unwrap(), wanted);
        assert!(!Words::try_parse_from(["set"]).unwrap().change.says_something());
    }

    #[test]
    fn another_policy_brings_no_fallback_and_takes_none_away() {
        let mut stands = standing();
        stands["allocation"]["fallback"] = Value::Null;
        let mut wanted = stands.clone();
        wanted["allocation"]["selection"] = json!({ "plugin": "ours", "settings": {} });
        let changed = over(&stands, &["--allocation", "ours"]).unwrap();
        assert_eq!(changed, wanted);
        assert!(hint_of_fallback(Some(&stands), &changed).contains("--fallback weighted"));
        assert_eq!(hint_of_fallback(Some(&changed), &changed), "");
        wanted["allocation"]["fallback"] = json!({ "plugin": "weighted", "settings": {} });
        let changed = over(&changed, &["--fallback", "weighted"]).unwrap();
        assert_eq!(changed, wanted);
        assert_eq!(hint_of_fallback(Some(&stands), &changed), "");
        assert_eq!(over(&changed, &["--no-fallback"]).unwrap()["allocation"]["fallback"], Value::Null);
    }

    #[test]
    fn a_change_is_told_as_old_and_new() {
        let (before, mut after) = (standing(), standing());
        after["keyChange"] = json!("allow");
        after["allocation"]["grouping"] = json!([]);
        after["etag"] = json!("2");
        after["symmetricKey"] = json!({ "primaryKey": "secret" });
        let told = difference(Some(&before), &after);
        assert!(told.contains("\n  keyChange: refuse -> allow"), "{told}");
        assert!(told.contains("\n  allocation.grouping: plugin=table settings= -> -"), "{told}");
        assert!(!told.contains("etag"), "{told}");
        assert!(told.contains("\n  symmetricKey.primaryKey: (given anew)") && !told.contains("secret"), "{told}");
        assert_eq!(
            difference_with(Some(&before), &before, &["password.password"]),
            "\n  password.password: (given anew)"
        );
        assert_eq!(difference(None, &after), "");
        assert_eq!(difference(Some(&before), &before), "\nNothing is another than before.");
    }
}
