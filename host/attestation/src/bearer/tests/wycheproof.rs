//! Project Wycheproof's cases for JSON Web Signatures and Keys, checked with the code that verifies tokens. Their
//! payloads are not claims, so only the header and the signature are checked. Cases in which the result differs from
//! Wycheproof's are listed in `deviations.tsv`, each with its reason, and nowhere else.

use std::collections::BTreeMap;

use jsonwebtoken::jwk::Jwk;
use serde_json::Value;

use super::super::{Head, IssuerKey, read_head};

#[test]
fn signatures_are_judged_as_wycheproof_judges_them() {
    let mut deviations: BTreeMap<String, &str> = include_str!("../../../../../tests/vectors/wycheproof/deviations.tsv")
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .map(|(case, reason)| (case.to_owned(), reason))
        .collect();
    let mut wrong = Vec::new();
    let (mut tried, mut taken) = (0, 0);
    for (file, text) in [
        ("json_web_signature", include_str!("../../../../../tests/vectors/wycheproof/json_web_signature_test.json")),
        ("json_web_key", include_str!("../../../../../tests/vectors/wycheproof/json_web_key_test.json")),
        ("json_web_crypto", include_str!("../../../../../tests/vectors/wycheproof/json_web_crypto_test.json")),
    ] {
        let cases: Value = serde_json::from_str(text).unwrap();
        for group in cases["testGroups"].as_array().unwrap() {
            let keys = keys(group.get("public").unwrap_or(&group["private"]));
            for case in group["tests"].as_array().unwrap() {
                let accepted = case["jws"].as_str().is_some_and(|jws| is_signed(jws, &keys));
                tried += 1;
                taken += usize::from(accepted);
                let name = format!("{file} {}", case["tcId"]);
                if accepted != (case["result"] == "valid") && deviations.remove(&name).is_none() {
                    wrong.push(format!("{name}\t{} {}: accepted: {accepted}", group["comment"], case["comment"]));
                }
            }
        }
    }
    assert!(tried == 510 && taken > 20, "{tried} {taken}");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(deviations.is_empty(), "no deviations any more: {deviations:?}");
}

/// The keys in a JSON Web Key, or in a set of them.
fn keys(value: &Value) -> Vec<IssuerKey> {
    let all = value.get("keys").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![value.clone()]);
    all.into_iter().filter_map(|key| IssuerKey::of(&serde_json::from_value::<Jwk>(key).ok()?)).collect()
}

fn is_signed(jws: &str, keys: &[IssuerKey]) -> bool {
    let parts: Vec<&str> = jws.split('.').collect();
    let [head, _, _] = parts.as_slice() else { return false };
    let Ok(Head { algorithm, kid, .. }) = read_head(head) else { return false };
    keys.iter().any(|key| key.fits(algorithm, kid.as_deref()) && key.has_signed(algorithm, jws))
}
