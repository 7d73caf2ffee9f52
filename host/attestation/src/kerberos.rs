//! Kerberos (RFC 4120) with Active Directory: `Authorization: Negotiate` with a service ticket, which a keytab
//! decrypts.
//!
//! A device that is a member of a domain has a ticket for this service from its domain controller. The ticket is
//! encrypted with the service's own key, which is in a keytab file, and names the client. It comes with an
//! authenticator, which is encrypted with the session key from the ticket and proves that the client sent the request
//! just now. The ticket also contains the account's SID, which distinguishes it from another account that got the same
//! name later. No domain controller is asked, so it may be unreachable. Whether the account still exists and which
//! groups it is in is looked up in the directory, elsewhere.
//!
//! One round trip: the first token must contain the Kerberos request. The encryption is AES-CTS-HMAC-SHA1-96 (RFC
//! 3962), which domain controllers use; RC4 and DES are refused. The caller must remember [`Accepted::replay_id`]
//! until [`Accepted::replay_until`], and must look the account up by its exact name. TLS authenticates the server, so
//! it does not answer with a token of its own.
//!
//! This is our own implementation: the existing libraries link C libraries, bring very many dependencies, or panic on
//! two bytes of input. The cryptography is aws-lc's, as everywhere.

mod accept;
mod crypto;
mod der;
mod flaw;
mod keytab;
mod messages;
mod pac;
mod spnego;

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

pub use accept::{Accepted, accept};
pub use flaw::KerberosFlaw;
pub use keytab::Keytab;

/// The token after `Negotiate` in an `Authorization` header, not decrypted. It is a credential, so nothing prints it.
#[derive(Clone)]
pub struct NegotiateToken(Vec<u8>);

impl NegotiateToken {
    /// Parses the value of an `Authorization` header. A value that is not base64 gives an empty token, which is
    /// refused later.
    pub fn parse(header: &str) -> Self {
        let text = header.split_once(' ').map_or("", |(_, text)| text.trim());
        let fits = text.len() <= MAX_TOKEN_TEXT;
        Self(STANDARD.decode(text).ok().filter(|_| fits).unwrap_or_default())
    }

    /// The bytes of the token.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for NegotiateToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NegotiateToken")
    }
}

/// Maximum length. A ticket has at most 48 KiB with Windows' defaults; `limits.device.header_bytes` may allow less.
const MAX_TOKEN_TEXT: usize = 64 * 1024;

#[cfg(test)]
mod tests;
