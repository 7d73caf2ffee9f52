//! TPM 2.0: the device's key is in a chip that does not reveal it.
//!
//! The enrollment names the chip's *endorsement key*, which can decrypt but not sign. So the service wraps a new HMAC
//! key such that only the chip with that endorsement key can unwrap it (`TPM2_ActivateCredential`), and only into the
//! chip (`TPM2_Import` below the chip's storage root key, whose name is bound in). The device answers with a token
//! that is signed with this HMAC key. That proves that a TPM with this endorsement key took part just now. The
//! protocol is that of DPS; the structures are those of the TPM 2.0 Library, part 2, and the wrapping is that of part
//! 1, sections 23 and 24.
//!
//! The storage root key is what the device claims, without proof. So it must be a key that a TPM has made and does not
//! let out: see [`PublicArea`].

pub mod challenge;
mod der;
mod public;
mod reader;
mod seed;
mod wrap;

pub use public::{PublicArea, PublicError};
pub use wrap::{Blob, WrapError, hmac_key_blob, make_credential};

#[cfg(test)]
mod tests;
