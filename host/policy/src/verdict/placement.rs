//! The gate for grouping.

use std::collections::HashSet;

use landfall_domain::decision::call::{Label, Placement};
use landfall_domain::decision::verdict::{
    MAX_DESIRED_BYTES, MAX_PATH_DEPTH, MAX_REPLY_BYTES, MAX_SEGMENT_CHARS, MAX_TAGS, MAX_TAGS_BYTES,
};

use super::json::{parse, twin_key, twin_keys};
use super::{Rule, Violation, quoted, reasons};

/// Checks a placement. Returns it if it obeys every rule.
pub(crate) fn placement(placement: Placement) -> Result<Placement, Violation> {
    let Placement { group_path, tags, desired, reply, reasons: why } = &placement;
    path(group_path)?;
    tagged(tags)?;
    if let Some(text) = desired {
        let value = parse(text, Rule::Desired, MAX_DESIRED_BYTES, "the desired properties")?;
        if !value.is_object() {
            return Err(Rule::Desired.broken("the desired properties are not a JSON object"));
        }
        twin_keys(&value)?;
    }
    if let Some(text) = reply {
        parse(text, Rule::Reply, MAX_REPLY_BYTES, "the reply")?;
    }
    reasons(why)?;
    Ok(placement)
}

/// Checks a path. People read its names, so they may contain spaces, but only inside. `.` and `..` are refused because
/// they have a special meaning wherever a path is shown or stored.
fn path(path: &[String]) -> Result<(), Violation> {
    if path.len() > MAX_PATH_DEPTH {
        return Err(Rule::GroupPath.broken(format!("{} groups deep; at most {MAX_PATH_DEPTH}", path.len())));
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._- ".contains(&byte);
    for segment in path {
        let good = (1..=MAX_SEGMENT_CHARS).contains(&segment.len())
            && segment.bytes().all(plain)
            && segment.trim_matches(' ').len() == segment.len()
            && !matches!(segment.as_str(), "." | "..");
        if !good {
            return Err(Rule::GroupPath.broken(quoted(segment)));
        }
    }
    Ok(())
}

fn tagged(tags: &[Label]) -> Result<(), Violation> {
    if tags.len() > MAX_TAGS {
        return Err(Rule::Tags.broken(format!("{} tags; at most {MAX_TAGS}", tags.len())));
    }
    let bytes: usize = tags.iter().map(|tag| tag.key.len() + tag.value.len()).sum();
    if bytes > MAX_TAGS_BYTES {
        return Err(Rule::Tags.broken(format!("{bytes} bytes of tags; at most {MAX_TAGS_BYTES}")));
    }
    let mut seen = HashSet::new();
    for Label { key, value } in tags {
        twin_key(key)?;
        if !seen.insert(key) {
            return Err(Rule::Tags.broken(format!("the tag {key:?} is there twice")));
        }
        twin_keys(&parse(value, Rule::Tags, MAX_TAGS_BYTES, &format!("the tag {key:?}"))?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(answer: Placement) -> Option<Rule> {
        placement(answer).err().map(|violation| violation.rule)
    }

    fn tag(key: &str, value: &str) -> Label {
        Label { key: key.into(), value: value.into() }
    }

    fn with_path(path: &[&str]) -> Placement {
        Placement { group_path: path.iter().map(|&name| name.into()).collect(), ..Placement::default() }
    }

    #[test]
    fn no_opinion_passes() {
        assert_eq!(rule(Placement::default()), None);
    }

    #[test]
    fn a_path_is_short_and_plain() {
        assert_eq!(rule(with_path(&["Line 3", "cell-4", "a.b_c"])), None);
        assert_eq!(rule(with_path(&["x"; 9])), Some(Rule::GroupPath));
        for name in ["", " a", "a ", ".", "..", "a/b", "é", "a\0", &"x".repeat(65)] {
            assert_eq!(rule(with_path(&[name])), Some(Rule::GroupPath), "{name:?}");
        }
    }

    #[test]
    fn tags_are_few_small_named_once_and_json() {
        let tags = |tags: Vec<Label>| Placement { tags, ..Placement::default() };
        assert_eq!(rule(tags(vec![tag("site", "\"a\""), tag("line", "{\"no\":3}")])), None);
        assert_eq!(rule(tags((0..65).map(|n| tag(&format!("t{n}"), "1")).collect())), Some(Rule::Tags));
        assert_eq!(rule(tags(vec![tag("a", "1"), tag("a", "1")])), Some(Rule::Tags));
        assert_eq!(rule(tags(vec![tag("a", &format!("\"{}\"", "x".repeat(8192)))])), Some(Rule::Tags));
        assert_eq!(rule(tags(vec![tag("a", "site")])), Some(Rule::Json));
        assert_eq!(rule(tags(vec![tag("a", &"[".repeat(11))])), Some(Rule::JsonDepth));
    }

    #[test]
    fn what_would_be_told_otherwise_than_it_is_kept_is_refused() {
        for text in ["1e999", r#""\ud800""#, r#"{"a":1,"a":2}"#, "123456789012345678901234567890"] {
            let tags = Placement { tags: vec![tag("a", text)], ..Placement::default() };
            assert_eq!(rule(tags), Some(Rule::Json), "{text} as a tag");
            let reply = Placement { reply: Some(text.into()), ..Placement::default() };
            assert_eq!(rule(reply), Some(Rule::Json), "{text} as a reply");
            let desired = Placement { desired: Some(format!("{{\"a\":{text}}}")), ..Placement::default() };
            assert_eq!(rule(desired), Some(Rule::Json), "{text} as a desired property");
        }
    }

    #[test]
    fn keys_are_those_of_a_twin_at_any_depth() {
        for key in ["", "a.b", "$version", "a b", "a\u{7}", &"x".repeat(65)] {
            let tags = vec![tag(key, "1")];
            assert_eq!(rule(Placement { tags, ..Placement::default() }), Some(Rule::TwinKey), "{key:?}");
            let value = serde_json::json!({ "a": [{ key: 1 }] }).to_string();
            let desired = Placement { desired: Some(value), ..Placement::default() };
            assert_eq!(rule(desired), Some(Rule::TwinKey), "{key:?}");
        }
    }

    #[test]
    fn desired_properties_are_an_object_of_bounded_size() {
        let desired = |text: &str| rule(Placement { desired: Some(text.into()), ..Placement::default() });
        assert_eq!(desired(r#"{"interval":{"s":30}}"#), None);
        assert_eq!(desired("[]"), Some(Rule::Desired));
        assert_eq!(desired("{"), Some(Rule::Json));
        assert_eq!(desired(&format!(r#"{{"a":"{}"}}"#, "x".repeat(32 << 10))), Some(Rule::Desired));
    }

    #[test]
    fn a_reply_is_json_of_bounded_size() {
        let reply = |text: &str| rule(Placement { reply: Some(text.into()), ..Placement::default() });
        assert_eq!(reply(r#"{"a.b":"$"}"#), None);
        assert_eq!(reply("hello"), Some(Rule::Json));
        assert_eq!(reply(&format!("\"{}\"", "x".repeat(16 << 10))), Some(Rule::Reply));
    }
}
