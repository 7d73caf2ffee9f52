//! How a device proves its identity: bytes in, verified facts out.
//!
//! A mechanism turns what a connection presented into facts on which other crates decide, and says whether a
//! credential meets the demands of an enrollment. It reads no file, opens no connection and keeps no state outside
//! memory. It knows neither enrollments nor manufacturing records, only [`landfall_domain`]. Input is limited in size
//! before it is read, because all of it comes from a stranger.
//!
//! | module | proves by |
//! | --- | --- |
//! | [`x509`] | a client certificate: chains, pins, revocation (RFC 5280) |
//! | [`tpm`] | a TPM 2.0's endorsement key and a challenge |
//! | [`symmetric_key`] | a shared access signature |
//! | [`bearer`] | a token of an identity provider (RFC 7519) |
//! | [`kerberos`] | a ticket of a directory (RFC 4120) |
//! | [`password`] | a username and a password (RFC 7617) |
//!
//! A token proves nothing until its signature has been verified with a key:
//!
//! ```
//! use landfall_attestation::symmetric_key::{SasToken, SymmetricKey};
//!
//! let key = SymmetricKey::parse("MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")?;
//! let token = SasToken::parse(
//!     "SharedAccessSignature sr=0ne00000001/registrations/ok-1&sig=M4Jphg4Atnj6QoCPfaTsneVZpAOor7cMaH45MLoIRnY%3D&se=1795408236",
//! )?;
//! assert!(token.is_signed_by(&key));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

pub mod bearer;
pub mod kerberos;
pub mod password;
pub mod symmetric_key;
pub mod tpm;
pub mod x509;
