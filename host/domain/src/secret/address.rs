//! Addresses whose query is a credential.
//!
//! Cloud functions take their key in the query of their address (`?code=KEY`, `?sig=...`). So wherever an address is
//! shown, its query is masked, as DPS does. When an address comes back masked, it stands for the address that is kept.

use std::borrow::Cow;

use serde_json::Value;

/// The text that replaces a query.
const MASK: &str = "****";

/// The address with its query masked. A text that is not an address, or has no query, is returned unchanged.
pub fn masked(text: &str) -> Cow<'_, str> {
    match query_of(text) {
        Some((address, query)) if query != MASK => Cow::Owned(format!("{address}?{MASK}")),
        _ => Cow::Borrowed(text),
    }
}

/// Masks every address in the settings. Returns whether there was one.
pub fn mask_all(settings: &mut Value) -> bool {
    let mut any = false;
    each_text(settings, &mut String::new(), &mut |_, text| {
        if let Cow::Owned(shown) = masked(text) {
            *text = shown;
            any = true;
        }
    });
    any
}

/// Replaces masked queries in the settings with those of the addresses that are kept. Returns whether there were any.
///
/// # Errors
///
/// The JSON pointer of the first masked address that is not kept, or that is kept with several queries.
pub fn restore_all(settings: &mut Value, kept: &[&str]) -> Result<bool, String> {
    let (mut any, mut unknown) = (false, None);
    each_text(settings, &mut String::new(), &mut |at, text| match restored(text, kept) {
        Ok(None) => {}
        Ok(Some(whole)) => {
            whole.clone_into(text);
            any = true;
        }
        Err(NotKept) => drop(unknown.get_or_insert_with(|| at.to_owned())),
    });
    unknown.map_or(Ok(any), Err)
}

/// A masked address that matches no kept address, or several.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotKept;

/// The kept address for a masked one. `None` when the address is not masked.
///
/// # Errors
///
/// When there is not exactly one.
pub fn restored<'a>(text: &str, kept: &[&'a str]) -> Result<Option<&'a str>, NotKept> {
    let Some((address, MASK)) = query_of(text) else { return Ok(None) };
    let mut same = kept.iter().copied().filter(|kept| query_of(kept).is_some_and(|(known, _)| known == address));
    match same.next() {
        Some(first) if same.all(|other| other == first) => Ok(Some(first)),
        Some(_) | None => Err(NotKept),
    }
}

/// All addresses in the settings that have a query.
pub fn addresses(settings: &mut Value) -> Vec<String> {
    let mut found = Vec::new();
    each_text(settings, &mut String::new(), &mut |_, text| {
        if query_of(text).is_some() {
            found.push(text.clone());
        }
    });
    found
}

fn query_of(text: &str) -> Option<(&str, &str)> {
    let is_address = ["https://", "http://"].iter().any(|scheme| text.starts_with(scheme));
    text.split_once('?').filter(|(_, query)| is_address && !query.is_empty())
}

fn each_text(value: &mut Value, at: &mut String, visit: &mut impl FnMut(&str, &mut String)) {
    let whole = at.len();
    match value {
        Value::String(text) => visit(at, text),
        Value::Array(items) => {
            for (number, item) in items.iter_mut().enumerate() {
                at.push_str(&format!("/{number}"));
                each_text(item, at, visit);
                at.truncate(whole);
            }
        }
        Value::Object(members) => {
            for (name, member) in members {
                at.push('/');
                at.push_str(&name.replace('~', "~0").replace('/', "~1"));
                each_text(member, at, visit);
                at.truncate(whole);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_query_of_an_address_is_masked_wherever_it_stands() {
        let mut settings = json!({
            "url": "https://fn.example/a?code=hunter2",
            "more": [{ "at": "https://fn.example/b?sig=hunter2&x=1" }, "is it? https://fn.example/?code=no", 7],
            "plain": "https://fn.example/a",
        });
        let whole = settings.clone();
        assert!(mask_all(&mut settings));
        assert_eq!(settings["url"], "https://fn.example/a?****");
        assert_eq!(settings["more"][0]["at"], "https://fn.example/b?****");
        assert_eq!((&settings["more"][1], &settings["plain"]), (&whole["more"][1], &whole["plain"]));
        assert!(!mask_all(&mut settings.clone()), "once");
        let kept = addresses(&mut whole.clone());
        let kept: Vec<&str> = kept.iter().map(String::as_str).collect();
        assert_eq!(restore_all(&mut settings, &kept), Ok(true));
        assert_eq!(settings, whole);
        assert_eq!(restore_all(&mut settings, &kept), Ok(false));
    }

    #[test]
    fn a_masked_address_is_the_one_that_is_kept_and_no_other() {
        let kept = ["https://fn.example/a?code=1", "https://fn.example/b?code=1", "https://fn.example/b?code=2"];
        let restore = |text: &str| {
            let mut settings = json!({ "rules": [{ "a/b": text }] });
            restore_all(&mut settings, &kept).map(|_| settings["rules"][0]["a/b"].as_str().unwrap().to_owned())
        };
        assert_eq!(restore("https://fn.example/a?****"), Ok("https://fn.example/a?code=1".to_owned()));
        assert_eq!(restore("https://fn.example/a?code=3"), Ok("https://fn.example/a?code=3".to_owned()));
        for unknown in ["https://fn.example/b?****", "https://fn.example/c?****", "https://evil.example/a?****"] {
            assert_eq!(restore(unknown), Err("/rules/0/a~1b".to_owned()), "{unknown}");
        }
    }
}
