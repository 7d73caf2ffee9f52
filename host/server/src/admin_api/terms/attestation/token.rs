//! Reads the rules for tokens of identity providers from a body.

use std::collections::BTreeMap;

use landfall_attestation::bearer::{TokenAlgorithm, TokenRules};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::admin_api::problem::Problem;

/// Tokens of an identity provider (OpenID Connect, RFC 9068).
#[derive(Clone, Debug, Deserialize, Serialize, utoipa::ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(in crate::admin_api) struct TokenBody {
    /// The issuer's URL, https://, as it writes it itself.
    pub(in crate::admin_api::terms) issuer: String,
    /// For whom tokens must be: one of these.
    pub(in crate::admin_api::terms) audiences: Vec<String>,
    /// The claim that is the registration id; `sub` when absent. Names with dots between them go into objects.
    #[serde(default = "subject")]
    pub(in crate::admin_api::terms) registration_id_claim: String,
    /// Claims that must have these values.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = Object)]
    pub(in crate::admin_api::terms) required_claims: BTreeMap<String, Value>,
    /// The algorithms with which tokens may be signed, such as `ES256`; those of key pairs when absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::admin_api::terms) algorithms: Vec<String>,
    /// What kind of token it must be (`typ`), such as `at+jwt` (RFC 9068); any when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::admin_api::terms) token_type: Option<String>,
    /// How long tokens may be good for, from `iat` to `exp`; any time when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::admin_api::terms) max_lifetime_minutes: Option<u64>,
    /// The certificate authority that the issuer is called with, PEM; the platform's when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::admin_api::terms) ca_certificate: Option<String>,
}

fn subject() -> String {
    "sub".to_owned()
}

/// The rules that a body states.
pub(super) fn token_rules(body: &TokenBody) -> Result<TokenRules, Problem> {
    let uri: Option<http::Uri> = body.issuer.parse().ok();
    if !uri.is_some_and(|uri| uri.scheme_str() == Some("https") && uri.host().is_some() && uri.query().is_none()) {
        return Err(Problem::at("/token/issuer", "an issuer is an https:// address without a query"));
    }
    if body.audiences.is_empty() || body.audiences.iter().any(String::is_empty) {
        return Err(Problem::at("/token/audiences", "name at least one: a token for anybody proves nothing here"));
    }
    if body.registration_id_claim.is_empty() {
        return Err(Problem::at("/token/registrationIdClaim", "name the claim that is the registration id"));
    }
    let algorithm = |(at, word): (usize, &String)| {
        let known = word.parse::<TokenAlgorithm>();
        known.map_err(|unknown| Problem::at(format!("/token/algorithms/{at}"), unknown.to_string()))
    };
    let algorithms = body.algorithms.iter().enumerate().map(algorithm).collect::<Result<_, _>>()?;
    if body.max_lifetime_minutes == Some(0) {
        return Err(Problem::at("/token/maxLifetimeMinutes", "it is at least 1"));
    }
    if let Some(pem) = &body.ca_certificate {
        let error = crate::client::tls::client(pem.as_bytes(), None).err();
        if let Some(error) = error {
            return Err(Problem::at("/token/caCertificate", error.to_string()));
        }
    }
    Ok(TokenRules {
        issuer: body.issuer.clone(),
        audiences: body.audiences.clone(),
        registration_id_claim: body.registration_id_claim.clone(),
        required_claims: body.required_claims.clone(),
        algorithms,
        token_type: body.token_type.clone(),
        max_lifetime_minutes: body.max_lifetime_minutes,
        ca_certificate: body.ca_certificate.clone(),
        // Set by the caller of this function.
        public_hosts_only: false,
    })
}
