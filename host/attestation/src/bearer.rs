//! Tokens of an identity provider: JSON Web Tokens (RFC 7519) that an issuer signed for a device.
//!
//! A token is only as good as the key that signed it. So a token may not say where its key is: the keys come from what
//! the issuer publishes, and the token at most names one by its `kid`. Only algorithms of key pairs, from a list, are
//! accepted: a token that is not signed, or is "signed" with a shared secret, is refused (RFC 8725, 3.1 and 3.2).
//! Issuer and audience must be exactly the texts of the enrollment (3.8 and 3.9), and the token must have an expiry.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use landfall_domain::clock::Timestamp;
pub use landfall_domain::enrollment::{TokenAlgorithm, TokenRules};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

mod kept;
mod object;

pub use kept::{KeptKeys, NamedIssuer};

/// A token that has not been verified. It is a credential, so nothing prints it.
#[derive(Clone)]
pub struct BearerToken {
    text: Zeroizing<String>,
    algorithm: TokenAlgorithm,
    kid: Option<String>,
    issuer: String,
    token_type: Option<String>,
    claims: Map<String, Value>,
}

/// What a verified token proves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified {
    /// The subject, as the issuer states it.
    pub subject: String,
    /// The value of the claim that holds the registration id.
    pub registration_id: String,
    /// The claims, as texts: those that are texts, numbers, booleans or lists. Of those that are not longer than
    /// [`MAX_CLAIM_BYTES`], the first [`MOST_CLAIMS`] by name are kept. Claims whose names are reserved for other
    /// mechanisms, such as a directory, are left out.
    pub claims: Vec<(String, String)>,
}

/// A public key of an issuer.
pub struct IssuerKey {
    kid: Option<String>,
    algorithm: Option<TokenAlgorithm>,
    key: DecodingKey,
}

/// Why a token is refused. The messages do not repeat the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BearerFlaw {
    /// The token is longer than any real token.
    #[error("the token has more than {MAX_BYTES} bytes")]
    TooLong,
    /// The header has another scheme, or there are several headers.
    #[error("the Authorization header does not begin with Bearer and one space")]
    Scheme,
    /// The text is not a signed JSON Web Token in compact form.
    #[error("the token is no signed JSON Web Token")]
    Form,
    /// The algorithm is not one of the accepted ones.
    #[error("the token is not signed with one of ES256, ES384, RS256, RS384, RS512, PS256, PS384, PS512 and EdDSA")]
    Algorithm,
    /// The token brings its own key along.
    #[error("the token brings a key along, or says where one is (jwk, jku, x5c, x5u); keys are the issuer's alone")]
    KeyInside,
    /// The enrollment does not accept this algorithm.
    #[error("the token is signed with {0}, which the enrollment does not take (algorithms)")]
    OtherAlgorithm(&'static str),
    /// The token is of another type than the enrollment demands.
    #[error("the token is not of the type {0:?} (typ), which the enrollment demands")]
    OtherType(String),
    /// The token says that it was issued in the future.
    #[error("the token says that it was issued at {0}, which is to come; is the issuer's clock right?")]
    FromTheFuture(Timestamp),
    /// The token's lifetime is longer than the enrollment allows.
    #[error("the token is good for {0} s, and the enrollment takes at most {1} s (maxLifetimeMinutes)")]
    TooLongLived(u64, u64),
    /// The token has critical header parameters, which are not understood here.
    #[error("the token demands extensions that are not understood (crit)")]
    Critical,
    /// The token does not name its issuer.
    #[error("the token does not say who has issued it (iss, an address of at most {MAX_ISSUER_BYTES} bytes)")]
    NoIssuer,
    /// Another issuer than the enrollment's issued the token.
    #[error("the token was issued by another issuer than the enrollment's (iss)")]
    OtherIssuer,
    /// The token names no audience, or none of the enrollment's.
    #[error("the token is not for one of the enrollment's audiences (aud)")]
    Audience,
    /// The token has no expiry.
    #[error("the token does not say when it expires (exp)")]
    NoExpiry,
    /// The token has expired.
    #[error("the token expired at {0}; is the device's clock right?")]
    Expired(Timestamp),
    /// The token is not valid yet.
    #[error("the token is not good before {0}; is the device's clock right?")]
    NotYet(Timestamp),
    /// The token has no subject.
    #[error("the token does not say whom it is about (sub)")]
    NoSubject,
    /// The claim that should hold the registration id is missing, or is not a text.
    #[error("the token has no text in the claim {0}, which is to be the registration id")]
    NoRegistrationId(String),
    /// A claim does not have the value that it must have.
    #[error("the claim {0} is not what the enrollment demands")]
    Claim(String),
}

impl BearerToken {
    /// Parses the value of an `Authorization` header.
    ///
    /// # Errors
    ///
    /// A [`BearerFlaw`] of the token's form.
    pub fn parse(header: &str) -> Result<Self, BearerFlaw> {
        if header.len() > MAX_BYTES {
            return Err(BearerFlaw::TooLong);
        }
        let (scheme, text) = header.split_once(' ').ok_or(BearerFlaw::Scheme)?;
        if !scheme.eq_ignore_ascii_case("Bearer") {
            return Err(BearerFlaw::Scheme);
        }
        let [head, claims, _signature] =
            text.split('.').collect::<Vec<_>>().try_into().map_err(|_| BearerFlaw::Form)?;
        let Head { algorithm, kid, token_type } = read_head(head)?;
        let claims: Map<String, Value> = decoded(claims)?;
        let issuer = claims.get("iss").and_then(Value::as_str).filter(|said| said.len() <= MAX_ISSUER_BYTES);
        let issuer = issuer.ok_or(BearerFlaw::NoIssuer)?.to_owned();
        Ok(Self { text: Zeroizing::new(text.to_owned()), algorithm, kid, token_type, issuer, claims })
    }

    /// The issuer that the token names. This is not verified yet.
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Media types are compared without case, and `application/` may be left out (RFC 7515, 4.1.9).
    fn is_of_type(&self, wanted: &str) -> bool {
        let plain = |text: &str| {
            let text = text.to_ascii_lowercase();
            text.strip_prefix("application/").map(ToOwned::to_owned).unwrap_or(text)
        };
        self.token_type.as_deref().is_some_and(|said| plain(said) == plain(wanted))
    }

    /// Whether the token names one of these keys. If it does not, the issuer may have published a new key that signed
    /// it.
    pub fn names_one_of(&self, keys: &[IssuerKey]) -> bool {
        self.kid.is_some()
            && keys.iter().any(|key| key.kid == self.kid && key.fits(self.algorithm, self.kid.as_deref()))
    }

    /// The token, if one of these keys signed it. At most `MOST_TRIED` keys are tried: a token without a `kid` must
    /// not cost the work of all keys.
    pub fn signed_by(&self, keys: &[IssuerKey]) -> Option<SignedToken<'_>> {
        let mut fitting = keys.iter().filter(|key| key.fits(self.algorithm, self.kid.as_deref())).take(MOST_TRIED);
        fitting.any(|key| key.has_signed(self.algorithm, &self.text)).then_some(SignedToken(self))
    }
}

/// A token whose signature by a key of its issuer was verified.
#[derive(Clone, Copy, Debug)]
pub struct SignedToken<'a>(&'a BearerToken);

impl SignedToken<'_> {
    /// What the token proves, if it meets the rules.
    ///
    /// # Errors
    ///
    /// The first [`BearerFlaw`].
    pub fn verify(&self, rules: &TokenRules, now: Timestamp, skew_seconds: u64) -> Result<Verified, BearerFlaw> {
        let token = self.0;
        if !rules.algorithms.is_empty() && !rules.algorithms.contains(&token.algorithm) {
            return Err(BearerFlaw::OtherAlgorithm(token.algorithm.as_str()));
        }
        if let Some(wanted) = &rules.token_type
            && !token.is_of_type(wanted)
        {
            return Err(BearerFlaw::OtherType(wanted.clone()));
        }
        judge(&token.claims, rules, now, skew_seconds)
    }
}

/// Prints neither the token nor what it says about the device.
impl fmt::Debug for BearerToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BearerToken").field("issuer", &self.issuer).finish_non_exhaustive()
    }
}

impl IssuerKey {
    /// The key of a JSON Web Key (RFC 7517). `None` if the key is not for signatures, or fits none of the accepted
    /// algorithms.
    pub fn of(jwk: &Jwk) -> Option<Self> {
        if matches!(&jwk.common.public_key_use, Some(usage) if *usage != PublicKeyUse::Signature) {
            return None;
        }
        if matches!(&jwk.common.key_operations, Some(uses) if !uses.contains(&KeyOperations::Verify)) {
            return None;
        }
        let named = match jwk.common.key_algorithm {
            None => None,
            Some(named) => Some(named.to_string().parse().ok()?),
        };
        // The library looks only at the point, whatever curve the key names. So the curve is checked here.
        let of_curve = match &jwk.algorithm {
            AlgorithmParameters::EllipticCurve(key) => match key.curve {
                EllipticCurve::P256 => Some(TokenAlgorithm::ES256),
                EllipticCurve::P384 => Some(TokenAlgorithm::ES384),
                _ => return None,
            },
            AlgorithmParameters::OctetKeyPair(key) => match key.curve {
                EllipticCurve::Ed25519 => Some(TokenAlgorithm::EdDSA),
                _ => return None,
            },
            AlgorithmParameters::RSA(_) => None,
            // Shared secrets, and kinds that are not known.
            _ => return None,
        };
        if of_curve.is_some_and(|of_curve| named.is_some_and(|named| named != of_curve)) {
            return None;
        }
        let algorithm = of_curve.or(named);
        let key = DecodingKey::from_jwk(jwk).ok()?;
        TokenAlgorithm::ALL.iter().any(|known| key.family().algorithms().contains(&of_library(*known))).then_some(())?;
        Some(Self { kid: jwk.common.key_id.clone(), algorithm, key })
    }

    /// Whether this key could have made a signature with this algorithm, and its `kid` does not contradict.
    fn fits(&self, algorithm: TokenAlgorithm, kid: Option<&str>) -> bool {
        let named = kid.is_none() || self.kid.is_none() || kid == self.kid.as_deref();
        let meant = self.algorithm.is_none_or(|own| own == algorithm);
        named && meant && self.key.family().algorithms().contains(&of_library(algorithm))
    }

    /// Whether this key signed a token in compact form. The key must fit.
    fn has_signed(&self, algorithm: TokenAlgorithm, text: &str) -> bool {
        let Some((message, signature)) = text.rsplit_once('.') else { return false };
        jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.key, of_library(algorithm)).unwrap_or(false)
    }
}

impl fmt::Debug for IssuerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("IssuerKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

fn judge(
    claims: &Map<String, Value>,
    rules: &TokenRules,
    now: Timestamp,
    skew_seconds: u64,
) -> Result<Verified, BearerFlaw> {
    if claims.get("iss").and_then(Value::as_str) != Some(rules.issuer.as_str()) {
        return Err(BearerFlaw::OtherIssuer);
    }
    let is_ours = |value: &Value| value.as_str().is_some_and(|said| rules.audiences.iter().any(|ours| ours == said));
    let ours = match claims.get("aud") {
        Some(Value::Array(said)) => said.iter().any(is_ours),
        Some(said) => is_ours(said),
        None => false,
    };
    if !ours {
        return Err(BearerFlaw::Audience);
    }
    let seconds = |key: &str| claims.get(key).and_then(Value::as_f64).filter(|at| (0.0..1e12).contains(at));
    let at = |seconds: f64| {
        Timestamp::from_millis(std::time::Duration::from_secs_f64(seconds).as_secs().saturating_mul(1000))
    };
    let skew = std::time::Duration::from_secs(skew_seconds);
    let expires = at(seconds("exp").ok_or(BearerFlaw::NoExpiry)?);
    if expires.plus(skew) <= now {
        return Err(BearerFlaw::Expired(expires));
    }
    if claims.contains_key("nbf") {
        // A claim that cannot be read is an error; it is not treated as missing.
        let begins = at(seconds("nbf").ok_or_else(|| BearerFlaw::Claim("nbf".to_owned()))?);
        if begins > now.plus(skew) {
            return Err(BearerFlaw::NotYet(begins));
        }
    }
    let issued = match claims.get("iat") {
        Some(_) => Some(at(seconds("iat").ok_or_else(|| BearerFlaw::Claim("iat".to_owned()))?)),
        None => None,
    };
    if let Some(issued) = issued.filter(|issued| *issued > now.plus(skew)) {
        return Err(BearerFlaw::FromTheFuture(issued));
    }
    if let Some(most) = rules.max_lifetime_minutes {
        let issued = issued.ok_or_else(|| BearerFlaw::Claim("iat".to_owned()))?;
        let (lasts, most) = (expires.since(issued).as_secs(), most.saturating_mul(60));
        if lasts > most {
            return Err(BearerFlaw::TooLongLived(lasts, most));
        }
    }
    for (name, wanted) in &rules.required_claims {
        if claim(claims, name) != Some(wanted) {
            return Err(BearerFlaw::Claim(name.clone()));
        }
    }
    let subject = claims.get("sub").and_then(Value::as_str).filter(|said| !said.is_empty());
    let id = claim(claims, &rules.registration_id_claim).and_then(Value::as_str);
    let missing = || BearerFlaw::NoRegistrationId(rules.registration_id_claim.clone());
    Ok(Verified {
        subject: subject.ok_or(BearerFlaw::NoSubject)?.to_owned(),
        registration_id: id.ok_or_else(missing)?.to_owned(),
        claims: claims_for_policies(claims),
    })
}

/// The claims that a policy is told, sorted by name.
fn claims_for_policies(claims: &Map<String, Value>) -> Vec<(String, String)> {
    let of_token = claims.iter().filter(|(key, _)| !RESERVED_CLAIMS.iter().any(|prefix| key.starts_with(prefix)));
    let mut told: Vec<_> = of_token.filter_map(|(key, value)| Some((key.clone(), plain(value)?))).collect();
    told.sort();
    told.truncate(MOST_CLAIMS);
    told
}

/// A claim by its name, or by a path of names with dots between them. A claim whose own name contains dots takes
/// precedence: namespaced claims have addresses as names.
fn claim<'a>(claims: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    if let Some(value) = claims.get(name) {
        return Some(value);
    }
    let (first, rest) = name.split_once('.')?;
    claim(claims.get(first)?.as_object()?, rest)
}

fn plain(value: &Value) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        Value::Array(_) => value.to_string(),
        Value::Null | Value::Object(_) => return None,
    };
    (text.len() <= MAX_CLAIM_BYTES).then_some(text)
}

/// The part of a token's header that is used.
struct Head {
    algorithm: TokenAlgorithm,
    kid: Option<String>,
    token_type: Option<String>,
}

fn read_head(part: &str) -> Result<Head, BearerFlaw> {
    let head: Map<String, Value> = decoded(part)?;
    if head.contains_key("crit") {
        return Err(BearerFlaw::Critical);
    }
    // Whoever can put a key into the header can sign with that key.
    if ["jwk", "jku", "x5c", "x5u"].iter().any(|member| head.contains_key(*member)) {
        return Err(BearerFlaw::KeyInside);
    }
    let said = |key: &str| head.get(key).and_then(Value::as_str).map(str::to_owned);
    let algorithm = said("alg").and_then(|name| name.parse().ok());
    let kid = said("kid");
    if kid.as_ref().is_some_and(|kid| kid.len() > MAX_KID_BYTES) {
        return Err(BearerFlaw::Form);
    }
    Ok(Head { algorithm: algorithm.ok_or(BearerFlaw::Algorithm)?, kid, token_type: said("typ") })
}

fn decoded(part: &str) -> Result<Map<String, Value>, BearerFlaw> {
    let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(part).map_err(|_| BearerFlaw::Form)?);
    object::read(&bytes).ok_or(BearerFlaw::Form)
}

/// The library's name for the algorithm.
fn of_library(algorithm: TokenAlgorithm) -> Algorithm {
    match algorithm {
        TokenAlgorithm::ES256 => Algorithm::ES256,
        TokenAlgorithm::ES384 => Algorithm::ES384,
        TokenAlgorithm::RS256 => Algorithm::RS256,
        TokenAlgorithm::RS384 => Algorithm::RS384,
        TokenAlgorithm::RS512 => Algorithm::RS512,
        TokenAlgorithm::PS256 => Algorithm::PS256,
        TokenAlgorithm::PS384 => Algorithm::PS384,
        TokenAlgorithm::PS512 => Algorithm::PS512,
        TokenAlgorithm::EdDSA => Algorithm::EdDSA,
    }
}

/// Maximum length of a token. Providers put groups and roles into tokens; a longer token does not fit into a header
/// anyway.
const MAX_BYTES: usize = 16 * 1024;
/// Maximum length of a key's name (`kid`).
const MAX_KID_BYTES: usize = 256;
/// Maximum length of an issuer's address.
const MAX_ISSUER_BYTES: usize = 512;
/// Maximum number of claims that a policy is told.
pub const MOST_CLAIMS: usize = 64;
/// Maximum length of a claim that a policy is told.
pub const MAX_CLAIM_BYTES: usize = 1024;
/// The prefixes of claims that other mechanisms give to policies. An issuer may not set claims with these names.
const RESERVED_CLAIMS: [&str; 3] = ["directory.", "password.", "endorsement-key"];
/// Maximum number of keys to try. An issuer has one or two keys of a kind, during a key change.
const MOST_TRIED: usize = 8;

#[cfg(test)]
mod tests;
