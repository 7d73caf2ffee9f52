//! Kerberos (RFC 4120) as Active Directory has it: `Authorization: Negotiate` with a service ticket, opened with a keytab.
//!
//! A device that is a member of a domain has a ticket for this service from its domain controller. The ticket is encrypted
//! with the service's own key, which a keytab file holds, and says who the client is; an authenticator beside it, encrypted
//! with the key that is in the ticket, says that the client has just now made it. The ticket says the account's SID too, which
//! tells it from another that was given its name. Nobody is asked: the domain controller may be away. Which groups the
//! account is in, and whether it still is one, is the directory's affair.
//!
//! One round trip: the first token must hold the Kerberos request. Encryption is AES-CTS-HMAC-SHA1-96 (RFC 3962), which is
//! what domain controllers give; RC4 and DES are refused. Whoever calls remembers [`Accepted::replay_id`] until
//! [`Accepted::replay_until`], and looks the account up by its exact name. The server proves itself by TLS, so it does not
//! answer with a token of its own.
//!
//! Written here because what there is either links C libraries, or brings half an operating system of its own, or panics on
//! two bytes; the cryptography is aws-lc's, as everywhere.

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

/// What follows `Negotiate` in an `Authorization` header: unopened, and a credential, which nothing prints.
#[derive(Clone)]
pub struct NegotiateToken(Vec<u8>);

impl NegotiateToken {
    /// Reads the value of an `Authorization` header; what is not base64 is as good as nothing, and opened as nothing is.
    pub fn parse(header: &str) -> Self {
        let text = header.split_once(' ').map_or("", |(_, text)| text.trim());
        let fits = text.len() <= MAX_TOKEN_TEXT;
        Self(STANDARD.decode(text).ok().filter(|_| fits).unwrap_or_default())
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for NegotiateToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NegotiateToken")
    }
}

/// A ticket has 48 KiB at most, as Windows comes; `limits.device.header_bytes` may let in less.
const MAX_TOKEN_TEXT: usize = 64 * 1024;

#[cfg(test)]
mod tests;
