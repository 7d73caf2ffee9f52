//! How the devices of an enrollment prove themselves, in one or two words for a list.

use serde_json::Value;

use super::output::{Output, text};
use crate::client::management::Page;

/// The items as a list shows them. For people, each item gets a `proof`.
pub(super) fn with_proof(out: Output, page: Page) -> Page {
    let with = |mut item: Value| {
        let proof = proof_of(&item);
        if let Some(members) = item.as_object_mut() {
            members.insert("proof".to_owned(), proof.into());
        }
        item
    };
    // Programs get the server's answer unchanged.
    if out.is_json() { page } else { Page { items: page.items.into_iter().map(with).collect(), ..page } }
}

fn proof_of(item: &Value) -> String {
    let at = |pointer: &str| item.pointer(pointer).map(|value| text(Some(value)));
    let kinds = [
        ("/x509/authorities/primary", "CA"),
        ("/x509/intermediates", "intermediate CA"),
        ("/x509/certificates", "certificate"),
        ("/symmetricKey", "symmetric key"),
        ("/tpm/roots", "TPM maker"),
        ("/tpm", "TPM"),
        ("/token/issuer", "token of"),
        ("/directory/name", "accounts of"),
        ("/password", "password"),
    ];
    let found = kinds.into_iter().find(|(pointer, _)| item.pointer(pointer).is_some_and(|value| !value.is_null()));
    match found {
        Some((pointer @ ("/x509/authorities/primary" | "/token/issuer" | "/directory/name"), word)) => {
            format!("{word} {}", at(pointer).unwrap_or_default())
        }
        Some((_, word)) => word.to_owned(),
        None => "-".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_list_says_how_devices_prove_themselves() {
        for (item, proof) in [
            (json!({ "x509": { "authorities": { "primary": "factory" } } }), "CA factory"),
            (json!({ "x509": { "certificates": { "primary": {} } } }), "certificate"),
            (json!({ "tpm": { "roots": [] } }), "TPM maker"),
            (json!({ "tpm": { "endorsementKey": "" }, "x509": null }), "TPM"),
            (json!({ "token": { "issuer": "https://id.example" } }), "token of https://id.example"),
            (json!({}), "-"),
        ] {
            assert_eq!(proof_of(&item), proof);
        }
    }
}
