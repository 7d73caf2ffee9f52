//! Allocation functions that an enrollment names by address, as in DPS.
//!
//! Such a function stands for a plugin with the settings `{"url": ADDRESS}`. The plugin is the one that
//! `policy.function_plugin` names in `landfall.toml`; by default, it is the shipped `webhook`.

use landfall_domain::enrollment::PolicyBinding;
use landfall_domain::json::JsonText;
use serde_json::{Map, Value, json};

/// Whether the name of a plugin is the address of a function.
pub(super) fn is_address(named: &str) -> bool {
    named.starts_with("https://")
}

/// The settings of the plugin that calls the function at an address.
pub(super) fn settings_of(url: &str) -> JsonText {
    JsonText::of(&json!({ "url": url }))
}

/// The address of the function that a binding stands for, if the binding has no other settings.
pub(super) fn address_of(binding: &PolicyBinding, serves: &str) -> Option<String> {
    let settings: Map<String, Value> = serde_json::from_str(binding.settings.as_str()).ok()?;
    let alone = binding.plugin.as_str() == serves && binding.revision.is_none() && settings.len() == 1;
    settings.get("url").filter(|_| alone)?.as_str().map(ToOwned::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_plugin_can_serve_functions() {
        let binding = |plugin: &str, settings| PolicyBinding {
            plugin: plugin.parse().unwrap(),
            revision: None,
            settings: JsonText::of(&settings),
        };
        let (url, own) = ("https://fn.example/allocate", "our-functions");
        let named = PolicyBinding { settings: settings_of(url), ..binding("our-functions", json!({})) };
        assert_eq!(address_of(&named, own).as_deref(), Some(url));
        assert_eq!(address_of(&named, "webhook"), None, "another plugin serves them");
        let more = binding("our-functions", json!({ "url": url, "api-version": "1" }));
        assert_eq!(address_of(&more, own), None, "it says more than an address");
    }
}
