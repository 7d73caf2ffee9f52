//! Tokens that are signed here, and every reason for a refusal.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use proptest::prelude::*;
use serde_json::json;

use super::*;

mod wycheproof;

struct Issuer {
    pair: EcdsaKeyPair,
    keys: Vec<IssuerKey>,
}

impl Issuer {
    fn new(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let point = pair.public_key().as_ref();
        let (x, y) = (URL_SAFE_NO_PAD.encode(&point[1..33]), URL_SAFE_NO_PAD.encode(&point[33..]));
        let jwk = json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "kid": kid, "use": "sig", "alg": "ES256" });
        let keys = vec![IssuerKey::of(&serde_json::from_value(jwk).unwrap()).unwrap()];
        Self { pair, keys }
    }

    fn sign(&self, head: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let text = format!("{}.{}", part(head), part(claims));
        let signature = self.pair.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
        format!("Bearer {text}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn rules() -> TokenRules {
    TokenRules {
        issuer: "https://id.example".to_owned(),
        audiences: vec!["urn:landfall".to_owned()],
        registration_id_claim: "device.id".to_owned(),
        required_claims: [("role".to_owned(), json!("device"))].into(),
        algorithms: Vec::new(),
        token_type: None,
        max_lifetime_minutes: None,
        ca_certificate: None,
        public_hosts_only: false,
    }
}

fn claims() -> Value {
    json!({
        "iss": "https://id.example", "aud": ["a", "urn:landfall"], "exp": 2000, "nbf": 1000, "sub": "s1",
        "role": "device", "device": { "id": "pump-1" }, "roles": ["a"], "n": 7,
    })
}

fn head() -> Value {
    json!({ "alg": "ES256", "kid": "k1", "typ": "at+jwt" })
}

#[test]
fn a_good_token_proves_its_device_and_what_the_issuer_says_of_it() {
    let issuer = Issuer::new("k1");
    let token = BearerToken::parse(&issuer.sign(&head(), &claims())).unwrap();
    let verified =
        token.signed_by(&issuer.keys).unwrap().verify(&rules(), Timestamp::from_millis(1_500_000), 0).unwrap();
    assert_eq!((verified.subject.as_str(), verified.registration_id.as_str()), ("s1", "pump-1"));
    assert!(verified.claims.contains(&("n".to_owned(), "7".to_owned())));
    assert!(token.names_one_of(&issuer.keys) && !token.names_one_of(&Issuer::new("k2").keys));
    assert!(!format!("{token:?}").contains("pump-1"));
}

#[test]
fn each_flaw_is_told_by_itself() {
    let issuer = Issuer::new("k1");
    let verdict = |change: &dyn Fn(&mut Value), now: u64, skew: u64| {
        let mut claims = claims();
        change(&mut claims);
        let token = BearerToken::parse(&issuer.sign(&head(), &claims)).unwrap();
        token.signed_by(&issuer.keys).unwrap().verify(&rules(), Timestamp::from_millis(now * 1000), skew).map(drop)
    };
    let with = |name: &'static str, value: Value| move |claims: &mut Value| claims[name] = value.clone();
    let without = |name: &'static str| move |claims: &mut Value| drop(claims.as_object_mut().unwrap().remove(name));
    let at = |seconds: u64| Timestamp::from_millis(seconds * 1000);
    assert_eq!(verdict(&|_| {}, 1500, 0), Ok(()));
    assert_eq!(verdict(&|_| {}, 2000, 0), Err(BearerFlaw::Expired(at(2000))));
    assert_eq!(verdict(&|_| {}, 2059, 60), Ok(()));
    assert_eq!(verdict(&|_| {}, 999, 0), Err(BearerFlaw::NotYet(at(1000))));
    assert_eq!(verdict(&|_| {}, 999, 60), Ok(()));
    assert_eq!(verdict(&without("exp"), 1500, 0), Err(BearerFlaw::NoExpiry));
    assert_eq!(verdict(&with("exp", json!("2000")), 1500, 0), Err(BearerFlaw::NoExpiry));
    assert_eq!(verdict(&with("exp", json!(-1)), 1500, 0), Err(BearerFlaw::NoExpiry));
    for unreadable in [json!("1000"), json!(null), json!(-1), json!(1_000_000_000_000_000_u64)] {
        assert_eq!(verdict(&with("nbf", unreadable), 1500, 0), Err(BearerFlaw::Claim("nbf".to_owned())));
    }
    assert_eq!(verdict(&without("nbf"), 1500, 0), Ok(()));
    assert_eq!(verdict(&with("aud", json!("urn:other")), 1500, 0), Err(BearerFlaw::Audience));
    assert_eq!(verdict(&without("aud"), 1500, 0), Err(BearerFlaw::Audience));
    assert_eq!(verdict(&with("iss", json!("https://id.example/")), 1500, 0), Err(BearerFlaw::OtherIssuer));
    assert_eq!(verdict(&without("sub"), 1500, 0), Err(BearerFlaw::NoSubject));
    assert_eq!(verdict(&with("role", json!("factory")), 1500, 0), Err(BearerFlaw::Claim("role".to_owned())));
    assert_eq!(verdict(&with("device", json!({})), 1500, 0), Err(BearerFlaw::NoRegistrationId("device.id".to_owned())));
}

#[test]
fn a_key_of_the_same_name_that_has_not_signed_proves_nothing() {
    let (issuer, other) = (Issuer::new("k1"), Issuer::new("k1"));
    let token = BearerToken::parse(&issuer.sign(&head(), &claims())).unwrap();
    assert!(token.signed_by(&other.keys).is_none());
}

#[test]
fn what_could_be_signed_by_anybody_is_no_token() {
    let issuer = Issuer::new("k1");
    for (head, flaw) in [
        (json!({ "alg": "none" }), BearerFlaw::Algorithm),
        (json!({ "alg": "HS256" }), BearerFlaw::Algorithm),
        (json!({ "alg": "ES256K" }), BearerFlaw::Algorithm),
        (json!({}), BearerFlaw::Algorithm),
        (json!({ "alg": "ES256", "crit": ["exp"] }), BearerFlaw::Critical),
    ] {
        assert_eq!(BearerToken::parse(&issuer.sign(&head, &claims())).err(), Some(flaw), "{head}");
    }
    // Whoever can put a key into the header can sign with that key.
    for member in ["jwk", "jku", "x5c", "x5u"] {
        let mut head = head();
        head[member] = json!("https://thief.example/keys");
        assert_eq!(BearerToken::parse(&issuer.sign(&head, &claims())).err(), Some(BearerFlaw::KeyInside), "{member}");
    }
}

#[test]
fn what_an_enrollment_demands_of_kind_algorithm_and_length_of_life_is_looked_at() {
    let issuer = Issuer::new("k1");
    let verdict = |change: &dyn Fn(&mut TokenRules), head: &Value, iat: Option<Value>| {
        let (mut rules, mut claims) = (rules(), claims());
        change(&mut rules);
        if let Some(iat) = iat {
            claims["iat"] = iat;
        }
        let token = BearerToken::parse(&issuer.sign(head, &claims)).unwrap();
        token.signed_by(&issuer.keys).unwrap().verify(&rules, Timestamp::from_millis(1_500_000), 0).map(drop)
    };
    let only = |algorithm: TokenAlgorithm| move |rules: &mut TokenRules| rules.algorithms = vec![algorithm];
    assert_eq!(verdict(&only(TokenAlgorithm::ES256), &head(), None), Ok(()));
    assert_eq!(verdict(&only(TokenAlgorithm::RS256), &head(), None), Err(BearerFlaw::OtherAlgorithm("ES256")));
    let typed = |rules: &mut TokenRules| rules.token_type = Some("at+jwt".to_owned());
    assert_eq!(verdict(&typed, &head(), None), Ok(()));
    let long = json!({ "alg": "ES256", "kid": "k1", "typ": "application/AT+JWT" });
    assert_eq!(verdict(&typed, &long, None), Ok(()));
    for other in [json!({ "alg": "ES256", "typ": "JWT" }), json!({ "alg": "ES256" })] {
        assert_eq!(verdict(&typed, &other, None), Err(BearerFlaw::OtherType("at+jwt".to_owned())), "an identity token");
    }
    let short = |rules: &mut TokenRules| rules.max_lifetime_minutes = Some(10);
    assert_eq!(verdict(&short, &head(), Some(json!(1400))), Ok(()));
    assert_eq!(verdict(&short, &head(), Some(json!(1399))), Err(BearerFlaw::TooLongLived(601, 600)));
    for unreadable in [None, Some(json!("1400")), Some(json!(null))] {
        assert_eq!(verdict(&short, &head(), unreadable), Err(BearerFlaw::Claim("iat".to_owned())));
    }
    let future = Timestamp::from_millis(1_501_000);
    assert_eq!(verdict(&|_| {}, &head(), Some(json!(1501))), Err(BearerFlaw::FromTheFuture(future)));
}

#[test]
fn a_token_that_says_a_thing_twice_is_none() {
    let issuer = Issuer::new("k1");
    let good = issuer.sign(&head(), &claims());
    let twice = format!("{},\"sub\":\"s2\"}}", claims().to_string().trim_end_matches('}').to_owned() + "}");
    let twice = URL_SAFE_NO_PAD.encode(twice);
    let parts: Vec<&str> = good.split('.').collect();
    let token = format!("{}.{twice}.{}", parts[0], parts[2]);
    assert_eq!(BearerToken::parse(&token).err(), Some(BearerFlaw::Form));
}

#[test]
fn keys_that_do_not_sign_or_are_secrets_are_none() {
    let key = |value: Value| serde_json::from_value::<Jwk>(value).ok().and_then(|jwk| IssuerKey::of(&jwk)).is_some();
    assert!(!key(json!({ "kty": "oct", "k": "AAAA" })), "a secret would let anybody sign who can read the keys");
    let (x, y) = (URL_SAFE_NO_PAD.encode([1; 32]), URL_SAFE_NO_PAD.encode([2; 32]));
    assert!(!key(json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "use": "enc" })));
    assert!(!key(json!({ "kty": "EC", "crv": "P-256", "x": x, "y": y, "alg": "ECDH-ES" })));
}

proptest! {
    #[test]
    fn any_header_is_a_token_or_has_a_flaw(text in ".{0,200}", parts in "[A-Za-z0-9_.-]{0,200}") {
        let _ = BearerToken::parse(&text);
        let _ = BearerToken::parse(&format!("Bearer {parts}"));
    }
}
