//! Reading a device.
//!
//! What is known of a device comes from four sources that differ in how far they can be trusted, and the names keep
//! them apart: *facts* (the manufacturer, beforehand), *claims* (the credential, proven now), *tags* (the operator's
//! enrollment) and the *payload* (the device itself, untrusted).

use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::{Call, Device, Fault, Label, Random};

impl Device {
    /// What the manufacturer said beforehand.
    pub fn fact(&self, key: &str) -> Option<&str> {
        value(&self.facts, key)
    }

    /// What the credential itself proved now.
    pub fn claim(&self, key: &str) -> Option<&str> {
        value(&self.claims, key)
    }

    /// A fact without which the policy cannot decide. An empty one is none: it cannot name a region or a group.
    ///
    /// # Errors
    ///
    /// [`Fault::BadInput`] naming the fact, when there is none or it is empty.
    pub fn require_fact(&self, key: &str) -> Result<&str, Fault> {
        match self.fact(key) {
            None => Err(Fault::bad_input(format!("the manufacturing record has no fact `{key}`"))),
            Some("") => Err(Fault::bad_input(format!("the manufacturing record's fact `{key}` is empty"))),
            Some(value) => Ok(value),
        }
    }

    /// A claim without which the policy cannot decide.
    ///
    /// # Errors
    ///
    /// [`Fault::BadInput`] naming the claim, when there is none.
    pub fn require_claim(&self, key: &str) -> Result<&str, Fault> {
        self.claim(key).ok_or_else(|| Fault::bad_input(format!("the credential has no claim `{key}`")))
    }

    /// A top-level member of the enrollment's initial-twin tags.
    ///
    /// ```
    /// use landfall_plugin::testing;
    ///
    /// let device = testing::device("pump-1").tag("tier", "gold").build();
    /// assert_eq!(device.tag("tier"), Some("gold".into()));
    /// ```
    pub fn tag(&self, key: &str) -> Option<Value> {
        // The host made this text from a value that it had parsed.
        value(&self.tags, key).and_then(|text| serde_json::from_str(text).ok())
    }

    /// What the device says of itself, `None` when it says nothing. Untrusted: nothing proves a word of it.
    ///
    /// # Errors
    ///
    /// [`Fault::BadInput`] when it is not a `T`. A policy that can do without should treat that as `None`, for what a
    /// device sends is the device's to choose.
    pub fn payload<T: DeserializeOwned>(&self) -> Result<Option<T>, Fault> {
        let Some(text) = &self.payload else { return Ok(None) };
        match serde_json::from_str(text) {
            Ok(payload) => Ok(Some(payload)),
            Err(error) => Err(Fault::bad_input(format!("the device's payload: {error}"))),
        }
    }

    /// Whether the device was provisioned before.
    pub fn is_returning(&self) -> bool {
        self.prior.is_some()
    }
}

impl Call {
    /// A source of random numbers for this one decision. The same decision, re-run, draws the same numbers.
    pub fn random(&self) -> Random {
        Random::from_seed(self.seed)
    }
}

fn value<'a>(labels: &'a [Label], key: &str) -> Option<&'a str> {
    labels.iter().find(|label| label.key == key).map(|label| label.value.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn facts_claims_tags_and_payload_are_kept_apart() {
        let device = testing::device("d").fact("site", "a").claim("site", "b").tag("site", "c").build();
        assert_eq!(device.fact("site"), Some("a"));
        assert_eq!(device.claim("site"), Some("b"));
        assert_eq!(device.tag("site"), Some(Value::from("c")));
        assert_eq!(device.payload::<Value>(), Ok(None));
    }

    #[test]
    fn a_missing_fact_is_a_fault_that_names_it() {
        let fault = testing::device("d").build().require_fact("region").map(str::to_owned);
        assert_eq!(fault, Err(Fault::BadInput("the manufacturing record has no fact `region`".into())));
        let fault = testing::device("d").fact("region", "").build().require_fact("region").map(str::to_owned);
        assert_eq!(fault, Err(Fault::BadInput("the manufacturing record's fact `region` is empty".into())));
    }

    #[test]
    fn a_payload_of_another_shape_is_a_fault_and_not_a_panic() {
        let device = testing::device("d").payload(serde_json::json!({"model": 7})).build();
        #[derive(Debug, PartialEq, serde::Deserialize)]
        struct Said {
            model: String,
        }
        assert!(matches!(device.payload::<Said>(), Err(Fault::BadInput(_))));
    }
}
