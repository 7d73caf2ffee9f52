//! Makes a call smaller, as long as some property of it stays true.
//!
//! A member that is left out of a vector has its default, so a call is made smaller by leaving parts out: half of the
//! hubs, then a quarter, then single ones; members of the device; facts and labels; halves of texts. The search begins
//! with the largest parts. It ends when nothing more can be left out, or after enough tries.

use serde_json::Value;

use super::vector::Vector;

/// The smallest call for which `still` is true. `still` is not called for `vector` itself.
pub fn smallest(vector: Vector, mut still: impl FnMut(&Vector) -> bool) -> Vector {
    let Ok(value) = serde_json::to_value(&vector) else { return vector };
    let mut search = Search { best: vector, value, left: MOST_TRIES, still: &mut still };
    loop {
        let before = search.left;
        let mut smaller = false;
        for part in PARTS {
            smaller |= search.reduce(&mut vec![Step::Member((*part).to_owned())]);
        }
        if !smaller || search.left == 0 || before == search.left {
            return search.best;
        }
    }
}

/// A step from a value to a value inside it.
#[derive(Clone, Debug)]
enum Step {
    Member(String),
    Item(usize),
}

struct Search<'a> {
    best: Vector,
    value: Value,
    left: u32,
    still: &'a mut dyn FnMut(&Vector) -> bool,
}

impl Search<'_> {
    /// Makes the value at a place smaller, outer parts first. Returns whether anything became smaller.
    fn reduce(&mut self, at: &mut Vec<Step>) -> bool {
        let mut smaller = false;
        // A part is never removed as a whole: a vector must have hubs, for example.
        if at.len() > 1 && self.without(at) {
            return true;
        }
        let Some(value) = find(&self.value, at).cloned() else { return smaller };
        match value {
            Value::Array(items) => {
                smaller |= self.chunks(at, items.len());
                let left = find(&self.value, at).and_then(Value::as_array).map_or(0, Vec::len);
                for item in (0..left).rev() {
                    at.push(Step::Item(item));
                    smaller |= self.reduce(at);
                    at.pop();
                }
            }
            Value::Object(members) => {
                for name in members.keys() {
                    at.push(Step::Member(name.clone()));
                    smaller |= self.reduce(at);
                    at.pop();
                }
            }
            Value::String(text) if may_be_shortened(at) => smaller |= self.text(at, &text),
            _ => {}
        }
        smaller
    }

    /// Removes halves, quarters and so on from a list.
    fn chunks(&mut self, at: &[Step], count: usize) -> bool {
        let (mut smaller, mut size) = (false, count / 2);
        while size >= 1 {
            let mut begin = 0;
            while let Some(items) = find(&self.value, at).and_then(Value::as_array).filter(|all| begin < all.len()) {
                let kept = items.iter().enumerate().filter(|(item, _)| *item < begin || *item >= begin + size);
                let kept: Vec<Value> = kept.map(|(_, item)| item.clone()).collect();
                if !kept.is_empty() && self.with(at, Value::Array(kept)) {
                    smaller = true;
                } else {
                    begin += size;
                }
            }
            size /= 2;
        }
        smaller
    }

    fn text(&mut self, at: &[Step], text: &str) -> bool {
        let mut text = text.to_owned();
        let mut smaller = false;
        while !text.is_empty() {
            let half: String = text.chars().take(text.chars().count() / 2).collect();
            if !self.with(at, Value::String(half.clone())) {
                break;
            }
            (text, smaller) = (half, true);
        }
        smaller
    }

    fn without(&mut self, at: &[Step]) -> bool {
        let mut tried = self.value.clone();
        let Some((last, outer)) = at.split_last() else { return false };
        match (find_mut(&mut tried, outer), last) {
            (Some(Value::Object(members)), Step::Member(name)) if members.contains_key(name) => {
                members.remove(name);
            }
            // Items of lists are removed by `chunks`.
            _ => return false,
        }
        self.keep(tried)
    }

    fn with(&mut self, at: &[Step], value: Value) -> bool {
        let mut tried = self.value.clone();
        let Some(place) = find_mut(&mut tried, at) else { return false };
        *place = value;
        self.keep(tried)
    }

    /// Keeps a smaller call, if it really is smaller and the property stays true.
    fn keep(&mut self, tried: Value) -> bool {
        if self.left == 0 {
            return false;
        }
        let Ok(vector) = serde_json::from_value::<Vector>(tried) else { return false };
        // A removed member now has its default. If it had the default before, nothing has become smaller.
        if vector == self.best || !is_possible(&vector) {
            return false;
        }
        self.left -= 1;
        if !(self.still)(&vector) {
            return false;
        }
        self.value = serde_json::to_value(&vector).unwrap_or_default();
        self.best = vector;
        true
    }
}

/// Whether a server could make this call.
fn is_possible(vector: &Vector) -> bool {
    let mut names = std::collections::HashSet::new();
    !vector.hubs.is_empty()
        && vector.hubs.iter().all(|hub| hub.assigned < hub.capacity && names.insert(hub.name.as_str()))
        && vector.chosen.as_ref().is_none_or(|chosen| names.contains(chosen.as_str()))
}

/// Whether the text at a place may be shortened. Names of hubs and devices may not: they must keep their form.
fn may_be_shortened(at: &[Step]) -> bool {
    let named = |name: &str| matches!(name, "name" | "hub" | "registrationId" | "enrollmentId" | "decisionId");
    !matches!(at.last(), Some(Step::Member(name)) if named(name))
}

fn find<'a>(value: &'a Value, at: &[Step]) -> Option<&'a Value> {
    at.iter().try_fold(value, |value, step| match step {
        Step::Member(name) => value.get(name),
        Step::Item(item) => value.get(*item),
    })
}

fn find_mut<'a>(value: &'a mut Value, at: &[Step]) -> Option<&'a mut Value> {
    at.iter().try_fold(value, |value, step| match step {
        Step::Member(name) => value.get_mut(name),
        Step::Item(item) => value.get_mut(*item),
    })
}

/// The parts that are made smaller, the largest first.
const PARTS: &[&str] = &["hubs", "device", "catalogue", "http", "call"];
/// Maximum number of calls that are tried.
const MOST_TRIES: u32 = 2_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::workbench::vector::VectorFile;

    fn vector(value: Value) -> Vector {
        let text = json!({ "vectors": [value] }).to_string();
        VectorFile::parse(text.as_bytes()).unwrap().vectors.remove(0)
    }

    #[test]
    fn only_what_matters_is_left() {
        let hubs: Vec<_> = (0..45)
            .map(|n| json!({ "name": format!("h{n}.example"), "weight": 7, "labels": { "region": "x".repeat(500), "a": "b" } }))
            .collect();
        let large = vector(json!({
            "name": "large", "hubs": hubs, "expect": { "assign": {} },
            "call": { "now": 9, "seed": 8 },
            "device": { "registrationId": "pump-9", "facts": { "site": "y".repeat(300), "tier": "gold" }, "tags": { "t": [1, 2] },
                        "payload": { "deep": { "er": [1, { "bad": "z" }] } } },
            "catalogue": { "groupCounts": [{ "path": ["a"], "count": 3 }] },
        }));
        // One hub with a label that contains an x, and a payload with the member `bad`.
        let bad = |vector: &Vector| {
            let label = vector.hubs.iter().any(|hub| hub.labels.get("region").is_some_and(|text| text.contains('x')));
            label && vector.device.payload.as_ref().is_some_and(|payload| payload.to_string().contains("bad"))
        };
        let small = smallest(large, bad);
        assert_eq!(small.hubs.len(), 1);
        assert_eq!(small.hubs[0].labels, [("region".to_owned(), "x".to_owned())].into());
        assert_eq!((small.device.facts.len(), small.device.tags.len()), (0, 0));
        assert_eq!(small.device.payload, Some(json!({ "deep": { "er": [{ "bad": "" }] } })));
        let usual = vector(json!({ "name": "usual", "hubs": [{ "name": "h" }], "expect": { "assign": {} } }));
        assert_eq!((small.call, small.catalogue), (usual.call, usual.catalogue));
    }

    #[test]
    fn what_no_server_would_ask_is_not_asked() {
        let full = json!({ "name": "h.example", "capacity": 10_000_000, "assigned": 2_000_000 });
        let large = vector(json!({ "name": "n", "hubs": [full], "expect": { "assign": {} } }));
        let small = smallest(large, |vector| {
            assert!(vector.hubs.iter().all(|hub| hub.assigned < hub.capacity), "{vector:?}");
            vector.hubs.iter().any(|hub| hub.assigned > 1_500_000)
        });
        assert_eq!(small.hubs[0].capacity, 10_000_000);
    }
}
