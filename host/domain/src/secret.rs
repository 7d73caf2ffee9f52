//! Secrets: texts that are wiped from memory when they are no longer needed, and that nothing prints by accident.
//!
//! Neither type has `Debug`, `Display` or `Serialize`. A secret gets into a log or an answer only where code calls
//! `expose`.

pub mod address;
pub mod sealing;
pub mod symmetric_key;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

use crate::names::Digest;

/// A secret text.
#[derive(Clone)]
pub struct SecretText(Zeroizing<String>);

impl SecretText {
    /// Takes ownership of a text. Copies that were made before are not wiped.
    pub fn new(text: String) -> Self {
        Self(Zeroizing::new(text))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A bearer token of the management API: `lf_` and 43 base64url characters (RFC 4648, section 5) of 256 random bits.
/// Scanners for leaked secrets recognise the prefix.
#[derive(Clone)]
pub struct Token(SecretText);

/// The text is not a token. The error does not repeat the text, which may be most of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a token is \"lf_\" and 43 letters, digits, dashes or underscores")]
pub struct TokenError;

impl Token {
    /// The token made of 32 random bytes.
    pub fn generate(random: [u8; 32]) -> Self {
        let random = Zeroizing::new(random);
        let body = Zeroizing::new(URL_SAFE_NO_PAD.encode(random.as_slice()));
        Self(SecretText::new(format!("{PREFIX}{}", body.as_str())))
    }

    /// Parses a token. White space around it is ignored.
    ///
    /// # Errors
    ///
    /// When the text does not have the form of a token.
    pub fn parse(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        let body = text.strip_prefix(PREFIX).ok_or(TokenError)?;
        let decoded = Zeroizing::new(URL_SAFE_NO_PAD.decode(body).map_err(|_| TokenError)?);
        if decoded.len() != 32 {
            return Err(TokenError);
        }
        Ok(Self(SecretText::new(text.to_owned())))
    }

    /// The text itself.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The SHA-256 of the token's text, which is stored instead of the token. The token is random, so no slower hash
    /// is needed.
    pub fn digest(&self) -> Digest {
        Digest::of(self.expose().as_bytes())
    }
}

const PREFIX: &str = "lf_";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_as_it_was_made() {
        let token = Token::generate([7; 32]);
        assert_eq!(token.expose().len(), 46);
        let read = Token::parse(&format!(" {}\n", token.expose())).unwrap();
        assert_eq!((read.expose(), read.digest()), (token.expose(), token.digest()));
        assert_ne!(Token::generate([8; 32]).digest(), token.digest());
    }

    #[test]
    fn what_is_almost_a_token_is_none() {
        let good = Token::generate([0xff; 32]).expose().to_owned();
        let short = good.get(..45).unwrap().to_owned();
        for bad in
            ["", "lf_", "lf_abc", &short, &format!("{good}A"), &good.replace('_', "/"), &good.replace("lf", "lg")]
        {
            assert!(Token::parse(bad).is_err(), "{bad} was taken");
        }
    }
}
