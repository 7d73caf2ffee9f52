//! What a rule says of a device's place.

use landfall_plugin::{Device, Fault, Hub, Placement, Pointer, Problem};
use serde_json::{Map, Value};

use crate::settings::RuleSettings;
use crate::template::Template;

/// The placement of a rule, its texts checked.
#[derive(Debug)]
pub(crate) struct Placing {
    group: Vec<Template>,
    tags: Vec<(String, Tree)>,
    desired: Option<Tree>,
    reply: Option<Tree>,
}

/// A JSON value whose texts are templates. Keys are kept as they are.
#[derive(Debug)]
enum Tree {
    Text(Template),
    Array(Vec<Self>),
    Object(Vec<(String, Self)>),
    Other(Value),
}

impl Placing {
    /// `None` when the rule says nothing about it. What is wrong is among the problems.
    pub(crate) fn parse(settings: &RuleSettings, place: &Pointer, problems: &mut Vec<Problem>) -> Option<Self> {
        let RuleSettings { group, tags, desired, reply, .. } = settings;
        if group.is_none() && tags.is_none() && desired.is_none() && reply.is_none() {
            return None;
        }
        let mut names = Vec::new();
        for (n, name) in group.iter().flatten().enumerate() {
            let place = place.key("group").index(n);
            if name.is_empty() {
                problems.push(place.problem("a group has a name"));
            }
            match Template::parse(name) {
                Ok(name) => names.push(name),
                Err(why) => problems.push(place.problem(why)),
            }
        }
        Some(Self {
            group: names,
            tags: tags.as_ref().map(|tags| members(tags, &place.key("tags"), problems)).unwrap_or_default(),
            desired: desired.as_ref().map(|it| Tree::Object(members(it, &place.key("desired"), problems))),
            reply: reply.as_ref().map(|reply| Tree::parse(reply, &place.key("reply"), problems)),
        })
    }

    /// The placement for a device.
    pub(crate) fn fill(&self, device: &Device, hub: &Hub) -> Result<Placement, Fault> {
        let path = self.group.iter().map(|name| named(name.fill(device, Some(hub))?)).collect::<Result<Vec<_>, _>>()?;
        let mut placement = Placement::at(path);
        for (key, value) in &self.tags {
            placement = placement.tag(key, value.fill(device, hub)?);
        }
        if let Some(desired) = &self.desired {
            placement = placement.desired(desired.fill(device, hub)?);
        }
        if let Some(reply) = &self.reply {
            placement = placement.reply(reply.fill(device, hub)?);
        }
        Ok(placement)
    }
}

fn named(group: String) -> Result<String, Fault> {
    if group.is_empty() {
        return Err(Fault::bad_input("a group would have no name: what its name is made of is empty for this device"));
    }
    Ok(group)
}

fn members(object: &Map<String, Value>, place: &Pointer, problems: &mut Vec<Problem>) -> Vec<(String, Tree)> {
    object.iter().map(|(key, value)| (key.clone(), Tree::parse(value, &place.key(key), problems))).collect()
}

impl Tree {
    fn parse(value: &Value, place: &Pointer, problems: &mut Vec<Problem>) -> Self {
        match value {
            Value::String(text) => match Template::parse(text) {
                Ok(text) => Self::Text(text),
                Err(why) => {
                    problems.push(place.problem(why));
                    Self::Other(Value::Null)
                }
            },
            Value::Array(items) => {
                let items = items.iter().enumerate();
                Self::Array(items.map(|(n, item)| Self::parse(item, &place.index(n), problems)).collect())
            }
            Value::Object(object) => Self::Object(members(object, place, problems)),
            other => Self::Other(other.clone()),
        }
    }

    fn fill(&self, device: &Device, hub: &Hub) -> Result<Value, Fault> {
        Ok(match self {
            Self::Text(text) => Value::String(text.fill(device, Some(hub))?),
            Self::Array(items) => items.iter().map(|item| item.fill(device, hub)).collect::<Result<_, _>>()?,
            Self::Object(members) => {
                let fill = |(key, value): &(String, Self)| Ok((key.clone(), value.fill(device, hub)?));
                Value::Object(members.iter().map(fill).collect::<Result<_, Fault>>()?)
            }
            Self::Other(value) => value.clone(),
        })
    }
}
