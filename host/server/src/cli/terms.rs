//! What individual enrollments and groups have in common: what becomes of their devices.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use http::header::{HeaderMap, HeaderValue, IF_MATCH, IF_NONE_MATCH};
use landfall_domain::names::{Digest, HubName, IssuerName, ManufacturerId, PluginName};
use serde::de::IgnoredAny;
use serde_json::{Map, Value, json};

use super::CliError;
use crate::client::management::{Changed, ManagementClient};

/// The terms as words of the command line.
#[derive(Debug, Args)]
pub(super) struct TermsArgs {
    /// The plugin that chooses the hub; `NAME@DIGEST` keeps to one revision of it. The https:// address of an
    /// allocation function in its place asks that function, for the hub and for the initial twin.
    #[arg(long, value_name = "PLUGIN", default_value = "weighted")]
    allocation: String,
    /// Its settings: JSON, @FILE or a file's name.
    #[arg(long, value_name = "JSON|FILE", default_value = "{}")]
    settings: String,
    /// The plugin that chooses when the first has no opinion, with its settings; by default weighted, where another plugin
    /// chooses first.
    #[arg(long, value_name = "PLUGIN[=JSON|FILE]", conflicts_with = "no_fallback")]
    fallback: Option<String>,
    /// No plugin chooses when the first has no opinion: its devices wait.
    #[arg(long)]
    no_fallback: bool,
    /// A plugin that says where devices belong, with its settings; can be given several times, and they run in order.
    #[arg(long, value_name = "PLUGIN[=JSON|FILE]")]
    grouping: Vec<String>,
    /// A hub that devices may get; can be given several times. Without it, every linked hub.
    #[arg(long = "hub", value_name = "NAME")]
    hubs: Vec<HubName>,
    /// Whether a manufacturing record is demanded. `optional` drops the second factor; it is for migrations.
    #[arg(long, value_name = "HOW", default_value = "required")]
    manufacturing: ManufacturingName,
    /// A manufacturer whose records admit devices; can be given several times. Without it, every manufacturer.
    #[arg(long = "manufacturer", value_name = "ID")]
    manufacturers: Vec<ManufacturerId>,
    /// Whether a device may come back with another key.
    #[arg(long, value_name = "HOW", default_value = "refuse")]
    key_change: KeyChangeName,
    /// Take a device's expired certificate when it comes back with the key that it registered with.
    #[arg(long)]
    take_expired: bool,
    /// Who issues the certificates that devices ask for: a name of [issuing] in the server's landfall.toml that is
    /// for the id scope.
    #[arg(long, value_name = "NAME")]
    certificate_issuer: Option<IssuerName>,
    /// Leave a device on its hub when it registers again.
    #[arg(long)]
    keep_hub: bool,
    /// Set a device's twin back when it comes to another hub, in place of moving its data.
    #[arg(long)]
    reset_data: bool,
    /// Where twins start: {"tags": {...}, "desired": {...}} as JSON, @FILE or a file's name. It counts for a device that is
    /// new to its hub, and for one whose data is reset.
    #[arg(long, value_name = "JSON|FILE")]
    initial_twin: Option<String>,
    /// Refuse its devices, and hide any other enrollment that would take them.
    #[arg(long)]
    disabled: bool,
}

/// What must be there for a change to be made.
#[derive(Debug, Args)]
pub(super) struct PreconditionArgs {
    /// Only if there is none yet.
    #[arg(long, conflicts_with = "if_match")]
    only_new: bool,
    /// Only if it is still the one with this entity tag.
    #[arg(long, value_name = "ETAG")]
    if_match: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum ManufacturingName {
    /// A record is demanded.
    Required,
    /// No record is demanded.
    Optional,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum KeyChangeName {
    /// Another key is refused until an operator releases the device.
    Refuse,
    /// Another key is accepted.
    Allow,
}

impl TermsArgs {
    /// The terms as the API takes them, together with how the devices prove themselves.
    pub(super) fn body(&self, (mechanism, how): (&str, Value)) -> Result<Map<String, Value>, CliError> {
        let mut allocation = Map::new();
        allocation.insert("selection".to_owned(), binding(&self.allocation, Some(&self.settings))?);
        if let Some(fallback) = &self.fallback {
            allocation.insert("fallback".to_owned(), bound(fallback)?);
        } else if self.no_fallback {
            allocation.insert("fallback".to_owned(), Value::Null);
        }
        let grouping: Result<Vec<Value>, CliError> = self.grouping.iter().map(|text| bound(text)).collect();
        allocation.insert("grouping".to_owned(), grouping?.into());

        let mut body = Map::new();
        body.insert(mechanism.to_owned(), how);
        body.insert("enabled".to_owned(), (!self.disabled).into());
        body.insert("manufacturing".to_owned(), self.manufacturing.as_str().into());
        body.insert("keyChange".to_owned(), self.key_change.as_str().into());
        if self.take_expired {
            body.insert("expiredCertificates".to_owned(), "reprovision".into());
        }
        body.insert(
            "reprovision".to_owned(),
            json!({
                "updateHubAssignment": !self.keep_hub,
                "migrateDeviceData": !self.reset_data,
            }),
        );
        if let Some(issuer) = &self.certificate_issuer {
            body.insert("certificateIssuer".to_owned(), json!(issuer));
        }
        if !self.manufacturers.is_empty() {
            body.insert("manufacturers".to_owned(), json!(self.manufacturers));
        }
        if !self.hubs.is_empty() {
            body.insert("hubs".to_owned(), json!(self.hubs));
        }
        body.insert("allocation".to_owned(), allocation.into());
        if let Some(twin) = &self.initial_twin {
            body.insert("initialTwin".to_owned(), json_or_file(twin, "--initial-twin")?);
        }
        Ok(body)
    }
}

impl PreconditionArgs {
    /// Whether a precondition was given.
    fn is_said(&self) -> bool {
        self.only_new || self.if_match.is_some()
    }

    /// Writes a body under the given precondition. Without one, the body replaces the present state, and is built again
    /// if somebody else changes that state meanwhile. So the printed changes are the real ones.
    pub(super) async fn put(&self, api: &mut ManagementClient, path: &str, body: &Value) -> Result<Changed, CliError> {
        if !self.is_said() {
            return api.change(path, |_| Ok(body.clone())).await;
        }
        let before = api.get(path).await.ok();
        let answer = api.put_if(path, body, self.headers()?).await?;
        Ok(Changed { before, answer })
    }

    /// The precondition as headers (RFC 9110, section 13.1).
    fn headers(&self) -> Result<HeaderMap, CliError> {
        let mut headers = HeaderMap::new();
        if self.only_new {
            headers.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
        }
        if let Some(etag) = &self.if_match {
            let quoted = if etag.starts_with('"') { etag.clone() } else { format!("\"{etag}\"") };
            let value = HeaderValue::from_str(&quoted)
                .map_err(|_| CliError::Usage(format!("{etag:?} is not an entity tag")))?;
            headers.insert(IF_MATCH, value);
        }
        Ok(headers)
    }
}

impl ManufacturingName {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Required => "required",
            Self::Optional => "optional",
        }
    }
}

impl KeyChangeName {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Refuse => "refuse",
            Self::Allow => "allow",
        }
    }
}

/// Parses a text that is JSON, or that names a file with JSON.
pub(super) fn json_or_file(text: &str, what: &str) -> Result<Value, CliError> {
    let (text, place) = text_or_file(text, what)?;
    landfall_domain::json::value(&text).map_err(|source| CliError::Json { place, source })
}

/// A text that is JSON, or the content of a file with JSON, and a name for it in errors. `@FILE` is always a file. A
/// text that begins like an object or a list, or is JSON in another way, never is.
pub(super) fn text_or_file(text: &str, what: &str) -> Result<(String, String), CliError> {
    let is_json = || text.trim_start().starts_with(['{', '[']) || serde_json::from_str::<IgnoredAny>(text).is_ok();
    let file = match text.strip_prefix('@') {
        Some(file) => file,
        None if is_json() => return Ok((text.to_owned(), what.to_owned())),
        None => text,
    };
    let path = PathBuf::from(file);
    let read = std::fs::read_to_string(&path);
    Ok((read.map_err(|source| CliError::Read { path, source })?, file.to_owned()))
}

/// Parses `PLUGIN`, or `PLUGIN=` and its settings.
pub(super) fn bound(text: &str) -> Result<Value, CliError> {
    // An address may contain `=`, and takes no settings.
    if text.starts_with("https://") {
        return binding(text, None);
    }
    match text.split_once('=') {
        Some((plugin, settings)) => binding(plugin, Some(settings)),
        None => binding(text, None),
    }
}

pub(super) fn binding(plugin: &str, settings: Option<&str>) -> Result<Value, CliError> {
    if plugin.starts_with("https://") {
        // The default settings of the command line count as none. Other settings are sent, and the server refuses them.
        let settings = settings.map(|text| json_or_file(text, "the settings of the function")).transpose()?;
        return Ok(json!({ "plugin": plugin, "settings": settings.unwrap_or_else(|| json!({})) }));
    }
    let (name, revision) = match plugin.split_once('@') {
        Some((name, digest)) => (name, Some(digest.parse::<Digest>()?)),
        None => (plugin, None),
    };
    let name: PluginName = name.parse()?;
    let settings = match settings {
        Some(settings) => json_or_file(settings, &format!("the settings of {name}"))?,
        None => json!({}),
    };
    let mut binding = json!({ "plugin": name, "settings": settings });
    if let (Some(revision), Some(members)) = (revision, binding.as_object_mut()) {
        members.insert("revision".to_owned(), json!(revision));
    }
    Ok(binding)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plugin_is_bound_with_its_settings() {
        let digest = Digest::of(b"x");
        assert_eq!(bound("table").unwrap(), json!({ "plugin": "table", "settings": {} }));
        assert_eq!(bound(r#"table={"a": "b=c"}"#).unwrap(), json!({ "plugin": "table", "settings": { "a": "b=c" } }));
        let exact = json!({ "plugin": "table", "settings": {}, "revision": digest.to_string() });
        assert_eq!(bound(&format!("table@{digest}")).unwrap(), exact);
    }

    #[test]
    fn settings_come_from_a_file() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "[1]").unwrap();
        let text = format!("@{}", file.path().display());
        for text in [text.as_str(), text.trim_start_matches('@'), "[1]", " [ 1 ] "] {
            assert_eq!(json_or_file(text, "x").unwrap(), json!([1]), "{text}");
        }
        assert_eq!(json_or_file("17", "x").unwrap(), json!(17));
        std::fs::write(file.path(), "{").unwrap();
        let error = json_or_file(&text, "x").unwrap_err().to_string();
        assert!(error.contains("is not JSON") && error.starts_with(&file.path().display().to_string()), "{error}");
        assert!(json_or_file("{", "--settings").unwrap_err().to_string().starts_with("--settings is not JSON"));
        assert!(
            json_or_file("no-such-file.json", "x").unwrap_err().to_string().contains("cannot read no-such-file.json")
        );
        assert!(json_or_file("@/no/such/file", "x").unwrap_err().to_string().contains("cannot read /no/such/file"));
    }

    #[test]
    fn an_entity_tag_is_quoted_once() {
        for etag in ["abc", "\"abc\""] {
            let args = PreconditionArgs { only_new: false, if_match: Some(etag.to_owned()) };
            assert_eq!(args.headers().unwrap().get(IF_MATCH).unwrap(), "\"abc\"");
        }
    }
}
