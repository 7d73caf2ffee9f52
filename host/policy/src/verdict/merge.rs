//! Merges the answers of several grouping plugins.
//!
//! The plugins run in the order in which the enrollment names them. The first path that is not empty is used, because
//! a device is in one place. Tags, desired properties and the reply are merged member by member, at any depth. If two
//! plugins give different values to one member, no order would be right: that is a conflict, which names both plugins
//! and the member. Equal values are not a conflict. The reasons are concatenated, the first few of each plugin.

use std::collections::BTreeMap;

use landfall_domain::decision::call::{Label, Placement};
use serde_json::{Map, Value};

use super::{Violation, placement};

/// Two plugins disagree, or their merged answers break a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum MergeConflict {
    /// Two plugins give different values to one member.
    #[error("the plugins {first:?} and {second:?} give two values for {pointer} of {part}")]
    TwoValues {
        /// The plugin that came first.
        first: String,
        /// The plugin that came second.
        second: String,
        /// `tags`, `desired` or `reply`.
        part: &'static str,
        /// RFC 6901 pointer to the member.
        pointer: String,
    },
    /// Each answer is valid alone, but not all together.
    #[error("the answers of the plugins {plugins} together are not acceptable: {violation}")]
    Together { plugins: String, violation: Violation },
}

/// Merges checked placements, each with its plugin's name, in order.
///
/// # Errors
///
/// A [`MergeConflict`], which names the plugins and the member about which they disagree.
pub fn merge(answers: &[(&str, Placement)]) -> Result<Placement, MergeConflict> {
    if let [(_, only)] = answers {
        return Ok(only.clone());
    }
    let desired = |placement: &Placement| placement.desired.as_deref().map(value);
    let reply = |placement: &Placement| placement.reply.as_deref().map(value);
    let joined = Placement {
        group_path: answers
            .iter()
            .map(|(_, a)| &a.group_path)
            .find(|path| !path.is_empty())
            .cloned()
            .unwrap_or_default(),
        tags: labels(join(answers, "tags", |placement| Some(tags(placement)))?),
        desired: join(answers, "desired", desired)?.map(|value| value.to_string()),
        reply: join(answers, "reply", reply)?.map(|value| value.to_string()),
        reasons: answers.iter().flat_map(|(_, answer)| answer.reasons.iter().take(REASONS_EACH)).cloned().collect(),
    };
    placement(joined).map_err(|violation| {
        let plugins: Vec<_> = answers.iter().map(|(plugin, _)| *plugin).collect();
        MergeConflict::Together { plugins: plugins.join(", "), violation }
    })
}

fn join(
    answers: &[(&str, Placement)],
    part: &'static str,
    read: impl Fn(&Placement) -> Option<Value>,
) -> Result<Option<Value>, MergeConflict> {
    let mut owners = BTreeMap::new();
    let mut joined = None;
    for (plugin, answer) in answers {
        let Some(value) = read(answer) else { continue };
        let conflict = |pointer: String, first: &str| MergeConflict::TwoValues {
            first: first.to_owned(),
            second: (*plugin).to_owned(),
            part,
            pointer: if pointer.is_empty() { "the whole".into() } else { pointer },
        };
        match &mut joined {
            None => {
                own(&mut owners, plugin, String::new(), &value);
                joined = Some(value);
            }
            Some(into) => add(into, value, String::new(), plugin, &mut owners)
                .map_err(|Disagreement { pointer, first }| conflict(pointer, first))?,
        }
    }
    Ok(joined)
}

struct Disagreement<'a> {
    pointer: String,
    first: &'a str,
}

fn add<'a>(
    into: &mut Value,
    value: Value,
    pointer: String,
    plugin: &'a str,
    owners: &mut BTreeMap<String, &'a str>,
) -> Result<(), Disagreement<'a>> {
    match (into, value) {
        (Value::Object(into), Value::Object(members)) => {
            for (key, value) in members {
                let pointer = format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1"));
                match into.get_mut(&key) {
                    Some(into) => add(into, value, pointer, plugin, owners)?,
                    None => {
                        own(owners, plugin, pointer, &value);
                        into.insert(key, value);
                    }
                }
            }
            Ok(())
        }
        (into, value) if *into == value => Ok(()),
        _ => Err(Disagreement { first: owners.get(&pointer).copied().unwrap_or_default(), pointer }),
    }
}

/// Remembers which plugin gave a value, so that a conflict can name it.
fn own<'a>(owners: &mut BTreeMap<String, &'a str>, plugin: &'a str, pointer: String, value: &Value) {
    if let Value::Object(members) = value {
        for (key, value) in members {
            own(owners, plugin, format!("{pointer}/{}", key.replace('~', "~0").replace('/', "~1")), value);
        }
    }
    owners.insert(pointer, plugin);
}

fn tags(placement: &Placement) -> Value {
    Value::Object(placement.tags.iter().map(|tag| (tag.key.clone(), value(&tag.value))).collect())
}

fn labels(tags: Option<Value>) -> Vec<Label> {
    let Some(Value::Object(tags)) = tags else {
        return Vec::new();
    };
    let label = |(key, value): (String, Value)| Label { key, value: value.to_string() };
    let tags: Map<_, _> = tags;
    tags.into_iter().map(label).collect()
}

/// The gate has parsed this text before, so it always parses here.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or(Value::Null)
}

/// Maximum number of reasons that are kept of each plugin if there are several plugins, so that the total stays within
/// the limit.
const REASONS_EACH: usize = 4;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn desired(value: &Value) -> Placement {
        Placement { desired: Some(value.to_string()), ..Placement::default() }
    }

    #[test]
    fn the_first_path_wins() {
        let path = |names: &[&str]| Placement {
            group_path: names.iter().map(|&name| name.into()).collect(),
            ..Placement::default()
        };
        let joined = merge(&[("a", path(&[])), ("b", path(&["x"])), ("c", path(&["y"]))]).unwrap();
        assert_eq!(joined.group_path, ["x"]);
    }

    #[test]
    fn members_are_merged_at_any_depth() {
        let one = desired(&serde_json::json!({"a": {"x": 1, "same": [1]}, "only": true}));
        let two = desired(&serde_json::json!({"a": {"y": 2, "same": [1]}}));
        let joined = merge(&[("one", one), ("two", two)]).unwrap();
        let value: Value = serde_json::from_str(&joined.desired.unwrap()).unwrap();
        assert_eq!(value, serde_json::json!({"a": {"x": 1, "y": 2, "same": [1]}, "only": true}));
    }

    #[test]
    fn two_values_for_one_member_name_the_plugins_and_the_member() {
        let answers = [
            ("zero", desired(&serde_json::json!({"z": 0}))),
            ("one", desired(&serde_json::json!({"a": {"b/c": 1}}))),
            ("two", desired(&serde_json::json!({"a": {"b/c": 2}}))),
        ];
        let conflict = merge(&answers).unwrap_err();
        assert_eq!(conflict.to_string(), r#"the plugins "one" and "two" give two values for /a/b~1c of desired"#);
    }

    #[test]
    fn tags_conflict_like_desired_properties() {
        let tagged = |value: &str| Placement {
            tags: vec![Label { key: "site".into(), value: value.into() }],
            ..Placement::default()
        };
        assert_eq!(merge(&[("a", tagged("1")), ("b", tagged(" 1 "))]).unwrap().tags.len(), 1);
        let conflict = merge(&[("a", tagged("1")), ("b", tagged("2"))]).unwrap_err();
        assert!(matches!(conflict, MergeConflict::TwoValues { part: "tags", pointer, .. } if pointer == "/site"));
    }

    #[test]
    fn answers_that_are_too_much_together_are_refused() {
        let many = |from: usize| Placement {
            tags: (from..from + 40).map(|n| Label { key: format!("t{n}"), value: "1".into() }).collect(),
            ..Placement::default()
        };
        let conflict = merge(&[("a", many(0)), ("b", many(40))]).unwrap_err();
        assert!(matches!(conflict, MergeConflict::Together { .. }), "{conflict}");
    }

    fn objects() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![any::<bool>().prop_map(Value::from), (0_u8..3).prop_map(Value::from)];
        leaf.prop_recursive(3, 12, 3, |inner| {
            proptest::collection::btree_map("[abc]", inner, 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect()))
        })
        .prop_filter("an object", Value::is_object)
    }

    proptest! {
        #[test]
        fn the_order_of_the_plugins_does_not_change_what_is_merged(a in objects(), b in objects()) {
            let forth = merge(&[("a", desired(&a)), ("b", desired(&b))]);
            let back = merge(&[("b", desired(&b)), ("a", desired(&a))]);
            match (forth, back) {
                (Ok(forth), Ok(back)) => {
                    let value = |placement: Placement| value(&placement.desired.unwrap());
                    prop_assert_eq!(value(forth), value(back));
                }
                (Err(_), Err(_)) => {}
                (forth, back) => prop_assert!(false, "{forth:?} and {back:?}"),
            }
        }

        #[test]
        fn merging_an_answer_with_itself_changes_nothing(a in objects()) {
            let joined = merge(&[("a", desired(&a)), ("b", desired(&a))]).unwrap();
            prop_assert_eq!(value(&joined.desired.unwrap()), a);
        }
    }
}
