//! The rules that every answer of a policy must obey. Each rule has a sentence that is built from the numbers that are
//! checked.
//!
//! Plugin authors read the sentence in the message for an invalid answer, and in `docs/policies/limits.md`.

use serde::{Deserialize, Serialize};

use crate::text::one_line;

/// A rule that an answer broke.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error, Serialize, Deserialize, utoipa::ToSchema)]
#[error("{rule}: {}; the rule: {}", one_line(detail), rule.says())]
#[schema(as = VerdictViolation)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// What in the answer breaks the rule.
    pub detail: String,
}

/// The rules for every answer. Their names are stable: alarms and records contain them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
#[schema(as = VerdictRule)]
pub enum Rule {
    /// The chosen hub is among the candidates.
    HubShown,
    /// Alternates are among the candidates, distinct, and not the chosen hub.
    Alternates,
    /// A device id is one that a hub takes: 1 to 128 characters of a known set.
    DeviceId,
    /// A deferral is from 1 second to 1 day.
    RetryAfter,
    /// At most 16 reasons; codes are 1 to 64 characters of `[a-z0-9-]`, details at most 1,024 bytes.
    Reasons,
    /// At most 8 groups; names are 1 to 64 characters of `[A-Za-z0-9._-]` and inner spaces, and not `.` or `..`.
    GroupPath,
    /// At most 64 tags of at most 8 KiB together, each named once.
    Tags,
    /// Keys of tags and desired properties are those of a twin: 1 to 64 characters, no `.`, `$`, space or control
    /// character, at any depth.
    TwinKey,
    /// JSON text is JSON.
    Json,
    /// Arrays and objects are nested at most 10 deep.
    JsonDepth,
    /// Desired properties are a JSON object of at most 32 KiB.
    Desired,
    /// A reply is at most 16 KiB.
    Reply,
}

impl Rule {
    /// The rule's stable name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HubShown => "hub-shown",
            Self::Alternates => "alternates",
            Self::DeviceId => "device-id",
            Self::RetryAfter => "retry-after",
            Self::Reasons => "reasons",
            Self::GroupPath => "group-path",
            Self::Tags => "tags",
            Self::TwinKey => "twin-key",
            Self::Json => "json",
            Self::JsonDepth => "json-depth",
            Self::Desired => "desired",
            Self::Reply => "reply",
        }
    }

    /// A violation of this rule.
    pub fn broken(self, detail: impl Into<String>) -> Violation {
        Violation { rule: self, detail: detail.into() }
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Rule {
    /// All rules of the verdict gate.
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

    /// What the rule demands, as a sentence.
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

/// Maximum number of reasons in one answer.
pub const MAX_REASONS: usize = 16;
/// Maximum number of characters in a reason's code.
pub const MAX_CODE_CHARS: usize = 64;
/// Maximum number of bytes in a reason's detail.
pub const MAX_DETAIL_BYTES: usize = 1024;
/// Maximum nesting of arrays and objects.
pub const MAX_DEPTH: usize = 10;
/// Maximum number of characters in a key of a twin.
pub const MAX_KEY_CHARS: usize = 64;
/// Maximum number of groups in a path.
pub const MAX_PATH_DEPTH: usize = 8;
/// Maximum number of characters in a group's name.
pub const MAX_SEGMENT_CHARS: usize = 64;
/// Maximum number of tags of one device.
pub const MAX_TAGS: usize = 64;
/// Maximum size of all tags in bytes: the limit of a hub.
pub const MAX_TAGS_BYTES: usize = 8 << 10;
/// Maximum size of the desired properties in bytes: the limit of a hub.
pub const MAX_DESIRED_BYTES: usize = 32 << 10;
/// Maximum size in bytes of the reply that the device gets.
pub const MAX_REPLY_BYTES: usize = 16 << 10;
/// One second. Shorter delays would make a busy loop of TLS handshakes.
pub const MIN_RETRY_AFTER_MS: u32 = 1_000;
/// One day. With a longer delay, nobody would remember that the device waits.
pub const MAX_RETRY_AFTER_MS: u32 = 24 * 60 * 60 * 1_000;

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
