//! Changes of how devices prove themselves, member by member. What is not given stays as it is.

use serde_json::{Map, Value};

use super::{CliError, Common};

/// A mechanism by which devices prove themselves: its place in an enrollment as the API shows it, and its name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Way {
    outer: &'static str,
    inner: Option<&'static str>,
    called: &'static str,
    /// The options that select it.
    begun_by: &'static str,
}

/// Certificates below uploaded authorities.
pub(super) const AUTHORITIES: Way = Way::of_certificates("authorities", "certificates of an authority", "--ca");
/// Certificates below intermediates.
pub(super) const INTERMEDIATES: Way =
    Way::of_certificates("intermediates", "certificates of an intermediate", "--intermediate");
/// Certificates that are pinned.
pub(super) const PINS: Way = Way::of_certificates("certificates", "a pinned certificate", "--certificate");
pub(super) const KEYS: Way = Way::of("symmetricKey", "symmetric keys", "--symmetric-key");
/// TPMs of certain makers.
pub(super) const MAKERS: Way = Way::of("tpm", "TPMs", "--tpm-maker");
pub(super) const CHIP: Way = Way::of("tpm", "a TPM", "--endorsement-key");
/// Accounts of a directory.
pub(super) const DIRECTORY: Way = Way::of("directory", "accounts of a directory", "--directory with --directory-group");
/// Tokens of an identity provider.
pub(super) const TOKEN: Way = Way::of("token", "tokens of an issuer", "--token-issuer with --token-audience");
/// A username and a password.
pub(super) const PASSWORD: Way = Way::of("password", "a password", "--password-file");

impl Way {
    const fn of(outer: &'static str, called: &'static str, begun_by: &'static str) -> Self {
        Self { outer, inner: None, called, begun_by }
    }

    const fn of_certificates(inner: &'static str, called: &'static str, begun_by: &'static str) -> Self {
        Self { outer: "x509", inner: Some(inner), called, begun_by }
    }

    fn stands_in(&self, body: &Map<String, Value>) -> bool {
        let outer = body.get(self.outer).filter(|value| !value.is_null());
        outer.is_some_and(|outer| self.inner.is_none_or(|inner| outer.get(inner).is_some()))
    }
}

/// The change of one member.
struct Edit {
    way: &'static Way,
    member: &'static str,
    /// `None` removes the member.
    becomes: Option<Value>,
}

/// All changes of how devices prove themselves.
#[derive(Default)]
pub(super) struct Edits {
    edits: Vec<Edit>,
    /// The mechanisms that an option can select, and for which one was given.
    begun: Vec<&'static Way>,
}

impl Edits {
    /// Sets a member, if its option was given.
    pub(super) fn set(&mut self, way: &'static Way, member: &'static str, becomes: Option<Value>) {
        if becomes.is_some() {
            self.edits.push(Edit { way, member, becomes });
        }
    }

    /// Sets the member that a mechanism cannot do without.
    pub(super) fn begin(&mut self, way: &'static Way, member: &'static str, becomes: Option<Value>) {
        if becomes.is_some() {
            self.begun.push(way);
        }
        self.set(way, member, becomes);
    }

    /// Selects a mechanism that needs no member.
    pub(super) fn begin_bare(&mut self, way: &'static Way, is_said: bool) {
        if is_said {
            self.begun.push(way);
        }
    }

    /// Removes a member, if that was asked for.
    pub(super) fn remove(&mut self, way: &'static Way, member: &'static str, is_said: bool) {
        if is_said {
            self.edits.push(Edit { way, member, becomes: None });
        }
    }

    /// Whether any change was given.
    pub(super) fn say_something(&self) -> bool {
        !self.edits.is_empty() || !self.begun.is_empty()
    }

    /// Applies the changes to an enrollment. Another mechanism replaces the present one only if the options give
    /// everything that it needs, and after a confirmation at a terminal.
    pub(super) fn apply(&self, common: &Common, whose: &str, body: &mut Map<String, Value>) -> Result<(), CliError> {
        let mut said = self.edits.iter().map(|edit| edit.way).chain(self.begun.iter().copied());
        let Some(way) = said.next() else { return Ok(()) };
        if let Some(other) = said.find(|other| *other != way) {
            let text = format!("{} and {} are two ways to prove oneself; say one of them", way.called, other.called);
            return Err(CliError::Usage(text));
        }
        if !way.stands_in(body) {
            let stands = WAYS.iter().find(|stands| stands.stands_in(body)).map_or("nothing", |stands| stands.called);
            if !self.begun.contains(&way) {
                let text = format!(
                    "{whose} rests on {stands}, so nothing can be changed of {}; to rest it on those, say {} too",
                    way.called, way.begun_by
                );
                return Err(CliError::Usage(text));
            }
            common.sure(&format!("{whose} rests on {} from now on, and no longer on {stands}.", way.called))?;
            WAYS.iter().for_each(|stands| drop(body.remove(stands.outer)));
        }
        let members = match (way.inner, body.entry(way.outer).or_insert_with(|| Map::new().into())) {
            (Some(inner), Value::Object(outer)) => outer.entry(inner).or_insert_with(|| Map::new().into()),
            (_, members) => members,
        };
        let Value::Object(members) = members else { return Ok(()) };
        for Edit { member, becomes, .. } in &self.edits {
            match becomes {
                Some(value) => drop(members.insert((*member).to_owned(), value.clone())),
                None => drop(members.remove(*member)),
            }
        }
        Ok(())
    }
}

/// All mechanisms. If two have the same place, the group's comes first; the other is the same for a single device.
const WAYS: [&Way; 9] = [&AUTHORITIES, &INTERMEDIATES, &PINS, &KEYS, &MAKERS, &CHIP, &DIRECTORY, &TOKEN, &PASSWORD];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn common() -> Common {
        Common { data: "x".into(), server: None, ca_file: None, scope: None, token_file: None, json: false, yes: true }
    }

    fn applied(stands: Value, say: impl FnOnce(&mut Edits)) -> Result<Value, String> {
        let (mut edits, mut body) = (Edits::default(), stands.as_object().cloned().unwrap());
        say(&mut edits);
        edits.apply(&common(), "Group g", &mut body).map_err(|error| error.to_string())?;
        Ok(body.into())
    }

    #[test]
    fn one_member_changes_or_goes_and_the_rest_stays() {
        let stands = json!({ "x509": { "authorities": { "primary": "a", "secondary": "b" } }, "enabled": true });
        let changed = applied(stands.clone(), |edits| edits.begin(&AUTHORITIES, "primary", Some(json!("c"))));
        let wanted = json!({ "x509": { "authorities": { "primary": "c", "secondary": "b" } }, "enabled": true });
        assert_eq!(changed.unwrap(), wanted);
        let changed = applied(stands.clone(), |edits| edits.remove(&AUTHORITIES, "secondary", true));
        assert_eq!(changed.unwrap(), json!({ "x509": { "authorities": { "primary": "a" } }, "enabled": true }));
        let nothing = |edits: &mut Edits| {
            edits.set(&AUTHORITIES, "secondary", None);
            edits.remove(&AUTHORITIES, "secondary", false);
            edits.begin_bare(&KEYS, false);
            assert!(!edits.say_something());
        };
        assert_eq!(applied(stands.clone(), nothing).unwrap(), stands);
    }

    #[test]
    fn another_way_takes_a_ways_place_only_when_all_of_it_is_said() {
        let stands = json!({ "symmetricKey": {}, "enabled": true });
        let half = applied(stands.clone(), |edits| edits.set(&AUTHORITIES, "secondary", Some(json!("b"))));
        let told = half.unwrap_err();
        assert!(told.contains("Group g rests on symmetric keys") && told.contains("say --ca too"), "{told}");
        let both = applied(stands.clone(), |edits| {
            edits.begin_bare(&KEYS, true);
            edits.begin(&AUTHORITIES, "primary", Some(json!("a")));
        });
        assert!(both.unwrap_err().contains("two ways"));
        let whole = applied(stands, |edits| edits.begin(&AUTHORITIES, "primary", Some(json!("a"))));
        assert_eq!(whole.unwrap(), json!({ "x509": { "authorities": { "primary": "a" } }, "enabled": true }));
        let below = json!({ "x509": { "intermediates": { "primary": { "sha256": "x" } } } });
        let whole = applied(below, |edits| edits.begin(&AUTHORITIES, "primary", Some(json!("a"))));
        assert_eq!(whole.unwrap(), json!({ "x509": { "authorities": { "primary": "a" } } }));
    }
}
