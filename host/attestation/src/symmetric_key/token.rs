//! Shared access signatures, in the forms that the clients write.
//!
//! `SharedAccessSignature sr=RESOURCE&sig=SIGNATURE&se=EXPIRY&skn=registration`, where RESOURCE is
//! `SCOPE/registrations/ID`. The signature covers RESOURCE and EXPIRY exactly as they are written, so both are kept
//! that way: some clients write `/`, some `%2F`, some `%2f`.

use std::fmt;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_domain::clock::Timestamp;
use landfall_domain::names::{IdScope, RegistrationId};

use super::SymmetricKey;

/// A token that has the correct form. It proves nothing until its signature has been verified with a key.
#[derive(Clone, PartialEq, Eq)]
pub struct SasToken {
    /// The signed text: `sr` as written, a line feed, and `se` as written.
    signed_text: String,
    resource: String,
    /// Seconds since 1970-01-01 UTC.
    expires: u64,
    signature: Vec<u8>,
}

/// Why a text is not a token. The messages repeat nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFlaw {
    /// The text is longer than any token of a real client.
    #[error("the token has more than {MAX_BYTES} bytes")]
    TooLong,
    /// The scheme is missing, or is another one.
    #[error("the Authorization header does not begin with SharedAccessSignature and one space")]
    Scheme,
    /// A part has no name.
    #[error("a part of the token is not NAME=VALUE")]
    Part,
    /// A part occurs twice. Readers would not agree on which one counts.
    #[error("the token says {0} twice")]
    Repeated(&'static str),
    /// A required part is missing.
    #[error("the token does not say {0}")]
    Missing(&'static str),
    /// A percent sign is not followed by two hexadecimal digits, or the decoded bytes are not UTF-8.
    #[error("{0} is not percent-encoded text")]
    Percent(&'static str),
    /// The signature is not 32 bytes in base64.
    #[error("sig is not the base64 of an HMAC-SHA256")]
    Signature,
    /// The expiry is not a number of seconds.
    #[error("se is not a number of seconds since 1970")]
    Expiry,
    /// The token names a policy (`skn`) that devices do not have.
    #[error("skn is neither absent nor empty nor registration")]
    Policy,
}

impl SasToken {
    /// Parses the value of an `Authorization` header.
    ///
    /// # Errors
    ///
    /// The first [`TokenFlaw`].
    pub fn parse(header: &str) -> Result<Self, TokenFlaw> {
        if header.len() > MAX_BYTES {
            return Err(TokenFlaw::TooLong);
        }
        let (scheme, parts) = header.split_once(' ').ok_or(TokenFlaw::Scheme)?;
        if !scheme.eq_ignore_ascii_case("SharedAccessSignature") {
            return Err(TokenFlaw::Scheme);
        }
        let [mut resource, mut signature, mut expiry, mut policy] = [None; 4];
        for part in parts.split('&') {
            let (name, value) = part.split_once('=').ok_or(TokenFlaw::Part)?;
            let (known, slot) = match name {
                "sr" => ("sr", &mut resource),
                "sig" => ("sig", &mut signature),
                "se" => ("se", &mut expiry),
                "skn" => ("skn", &mut policy),
                _ => continue,
            };
            if slot.replace(value).is_some() {
                return Err(TokenFlaw::Repeated(known));
            }
        }
        if !matches!(policy, None | Some("" | "registration")) {
            return Err(TokenFlaw::Policy);
        }
        let written = resource.ok_or(TokenFlaw::Missing("sr"))?;
        let signature = decoded("sig", signature.ok_or(TokenFlaw::Missing("sig"))?)?;
        let expiry = expiry.ok_or(TokenFlaw::Missing("se"))?;
        let plain = !expiry.is_empty() && expiry.bytes().all(|byte| byte.is_ascii_digit());
        let signature = STANDARD.decode(signature).map_err(|_| TokenFlaw::Signature)?;
        if signature.len() != SIGNATURE_BYTES {
            return Err(TokenFlaw::Signature);
        }
        Ok(Self {
            resource: decoded("sr", written)?,
            expires: expiry.parse().ok().filter(|_| plain).ok_or(TokenFlaw::Expiry)?,
            signed_text: format!("{written}\n{expiry}"),
            signature,
        })
    }

    /// Whether the token is for this device in this id scope. Compared without case, because some clients write lower
    /// case.
    pub fn is_for(&self, scope: &IdScope, id: &RegistrationId) -> bool {
        self.resource.eq_ignore_ascii_case(&format!("{scope}/registrations/{id}"))
    }

    /// When it expires.
    pub fn expires_at(&self) -> Timestamp {
        Timestamp::from_millis(self.expires.saturating_mul(1000))
    }

    /// The text that the signature covers.
    pub fn signed_text(&self) -> &str {
        &self.signed_text
    }

    /// Whether the signature was made with this key.
    pub fn is_signed_by(&self, key: &SymmetricKey) -> bool {
        verify_slices_are_equal(key.sign(self.signed_text.as_bytes()).as_ref(), &self.signature).is_ok()
    }

    /// The signature: an HMAC-SHA256.
    pub fn signature(&self) -> &[u8] {
        &self.signature
    }
}

/// The signature is not printed: whoever has a token can use it.
impl fmt::Debug for SasToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SasToken").field("resource", &self.resource).field("expires", &self.expires).finish()
    }
}

/// Percent-decodes once. A plus sign stays a plus sign, because base64 contains plus signs.
fn decoded(name: &'static str, text: &str) -> Result<String, TokenFlaw> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let [high, low, after @ ..] = rest else { return Err(TokenFlaw::Percent(name)) };
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let (Some(high), Some(low)) = (digit(*high), digit(*low)) else { return Err(TokenFlaw::Percent(name)) };
        bytes.push(high << 4 | low);
        rest = after;
    }
    String::from_utf8(bytes).map_err(|_| TokenFlaw::Percent(name))
}

/// Maximum length. A registration id has at most 128 characters and an id scope fewer; percent-encoding makes three of
/// each.
const MAX_BYTES: usize = 2048;
const SIGNATURE_BYTES: usize = 32;
