//! Which hubs a rule names.

use landfall_plugin::{Device, Fault, Hub, Pointer, Problem, rendezvous};

use crate::settings::RuleSettings;
use crate::template::Template;

/// The hubs of a rule.
#[derive(Debug)]
pub(crate) enum Target {
    /// These, in this order.
    Named(Vec<String>),
    /// Those with these labels, spread by weight.
    Labelled(Vec<(String, Template)>),
}

impl Target {
    /// `None` when the rule names no hubs, or names them wrongly, which is then among the problems.
    pub(crate) fn parse(settings: &RuleSettings, place: &Pointer, problems: &mut Vec<Problem>) -> Option<Self> {
        match (&settings.hub, &settings.hubs, &settings.hub_labels) {
            (None, None, None) => None,
            (Some(hub), None, None) => Self::named(std::slice::from_ref(hub), |_| place.key("hub"), problems),
            (None, Some(hubs), None) => Self::named(hubs, |n| place.key("hubs").index(n), problems),
            (None, None, Some(labels)) => {
                let place = place.key("hub-labels");
                if labels.is_empty() {
                    problems.push(place.problem("name at least one label"));
                }
                let parsed = labels.iter().filter_map(|(key, value)| {
                    let value = Template::parse(value).and_then(Template::without_hub);
                    let value = value.map_err(|why| problems.push(place.key(key).problem(why)));
                    Some((key.clone(), value.ok()?))
                });
                Some(Self::Labelled(parsed.collect()))
            }
            _ => {
                problems.push(place.problem("name the hubs in one way: by `hub`, by `hubs` or by `hub-labels`"));
                None
            }
        }
    }

    fn named(names: &[String], place: impl Fn(usize) -> Pointer, problems: &mut Vec<Problem>) -> Option<Self> {
        for (n, name) in names.iter().enumerate() {
            if name.trim().is_empty() {
                problems.push(place(n).problem("name a hub"));
            } else if names.iter().take(n).any(|earlier| earlier.eq_ignore_ascii_case(name)) {
                problems.push(place(n).problem(format!("`{name}` is named twice")));
            }
        }
        if names.is_empty() {
            problems.push(place(0).problem("name at least one hub"));
        }
        Some(Self::Named(names.to_vec()))
    }

    /// The hubs named that are among the candidates, best first.
    pub(crate) fn among<'a>(&self, candidates: &'a [Hub], device: &Device) -> Result<Vec<&'a Hub>, Fault> {
        match self {
            Self::Named(names) => {
                // Host names know no case (RFC 4343).
                let find = |name: &String| candidates.iter().find(|hub| hub.name.eq_ignore_ascii_case(name));
                Ok(names.iter().filter_map(find).collect())
            }
            Self::Labelled(labels) => {
                let fill = |(key, value): &(String, Template)| Ok((key.clone(), value.fill(device, None)?));
                let labels = labels.iter().map(fill).collect::<Result<Vec<_>, Fault>>()?;
                let has_all = |hub: &&Hub| labels.iter().all(|(key, value)| hub.label(key).as_ref() == Some(value));
                let labelled = candidates.iter().filter(has_all);
                let ranking = rendezvous::rank(&device.registration_id, labelled, 1 + ALTERNATES);
                Ok(ranking.into_iter().map(|ranked| ranked.hub).collect())
            }
        }
    }
}

const ALTERNATES: usize = 3;
