//! TPM 2.0: the device's key is in a chip that does not give it away.
//!
//! What is enrolled is the chip's *endorsement key*, which can decrypt and not sign. So the service wraps a fresh HMAC key
//! such that only the chip with that endorsement key can unwrap it (`TPM2_ActivateCredential`), and only into the chip
//! (`TPM2_Import` below the chip's storage root key, whose name is bound in); the device answers with a token that this
//! key has signed. What it proves: a TPM that holds this endorsement key has taken part, now. (DPS's protocol; the
//! structures are those of the TPM 2.0 Library, part 2, and the wrapping is that of part 1, sections 23 and 24.)
//!
//! The storage root key is the device's own word, so it must be one that a TPM has made and keeps: see [`PublicArea`].

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
