//! What each rule demands, in a sentence made of the very numbers that are checked. Authors read it in the message of an
//! answer that is not acceptable, and in `docs/policies/limits.md`.

use super::json::{MAX_DEPTH, MAX_KEY_CHARS};
use super::placement::{
    MAX_DESIRED_BYTES, MAX_PATH_DEPTH, MAX_REPLY_BYTES, MAX_SEGMENT_CHARS, MAX_TAGS, MAX_TAGS_BYTES,
};
use super::selection::{MAX_RETRY_AFTER_MS, MIN_RETRY_AFTER_MS};
use super::{MAX_CODE_CHARS, MAX_DETAIL_BYTES, MAX_REASONS, Rule};

impl Rule {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::HubShown,
        Self::Alternates,
        Self::DeviceId,
        Self::RetryAfter,
        Self::Reasons,
        Self::GroupPath,
        Self::Tags,
        Self::TwinKey,
        Self::Json,
        Self::JsonDepth,
        Self::Desired,
        Self::Reply,
    ];

    /// What it demands.
    #[must_use]
    pub fn says(self) -> String {
        let kib = |bytes: usize| bytes / 1024;
        match self {
            Self::HubShown => "the hub is one of those that this call was shown, by its handle".to_owned(),
            Self::Alternates => {
                "alternates are hubs that this call was shown, each once, and not the chosen one".to_owned()
            }
            Self::DeviceId => {
                "a device id has 1 to 128 letters, digits or any of - . + % _ # * ? ! ( ) , : = @ $ '".to_owned()
            }
            Self::RetryAfter => format!("a wait is {MIN_RETRY_AFTER_MS} to {MAX_RETRY_AFTER_MS} ms: a second to a day"),
            Self::Reasons => format!(
                "at most {MAX_REASONS} reasons; a code has 1 to {MAX_CODE_CHARS} of a-z, 0-9 and `-`, a detail at most {MAX_DETAIL_BYTES} bytes"
            ),
            Self::GroupPath => format!(
                "at most {MAX_PATH_DEPTH} groups; a name has 1 to {MAX_SEGMENT_CHARS} of A-Z, a-z, 0-9, `.`, `_`, `-` and inner spaces, and is not `.` or `..`"
            ),
            Self::Tags => {
                format!("at most {MAX_TAGS} tags, each once, of {} KiB together", kib(MAX_TAGS_BYTES))
            }
            Self::TwinKey => format!(
                "a key of a twin has 1 to {MAX_KEY_CHARS} characters and no `.`, `$`, space or control character, at any depth"
            ),
            Self::Json => "tags, desired properties and replies are JSON".to_owned(),
            Self::JsonDepth => format!("arrays and objects are nested at most {MAX_DEPTH} deep"),
            Self::Desired => {
                format!("desired properties are a JSON object of at most {} KiB", kib(MAX_DESIRED_BYTES))
            }
            Self::Reply => format!("a reply has at most {} KiB", kib(MAX_REPLY_BYTES)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::names::DeviceId;

    #[test]
    fn a_message_has_the_value_and_the_rule() {
        let told = Rule::RetryAfter.broken("1 ms").to_string();
        assert_eq!(told, "retry-after: 1 ms; the rule: a wait is 1000 to 86400000 ms: a second to a day");
    }

    #[test]
    fn an_id_is_as_the_rule_says() {
        let says = Rule::DeviceId.says();
        let (_, signs) = says.split_once("any of ").unwrap();
        for sign in signs.split(' ') {
            assert!(sign.parse::<DeviceId>().is_ok(), "{sign}");
        }
        assert!("x".repeat(128).parse::<DeviceId>().is_ok() && "x".repeat(129).parse::<DeviceId>().is_err());
    }

    #[test]
    fn the_page_about_limits_has_every_rule_as_it_is_checked() {
        let page = include_str!("../../../../docs/policies/limits.md");
        for rule in Rule::ALL {
            let row = format!("| `{rule}` | {} |", rule.says());
            assert!(page.contains(&row), "docs/policies/limits.md is without\n{row}");
        }
        assert_eq!(page.matches("levels of groups").count(), 0, "the table says it");
    }
}
