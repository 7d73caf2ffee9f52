//! Whether a certificate was signed by a key: for finding the enrollment, before any path is built, and for proofs.

use super::certificate::{Certificate, Key};

/// Whether the certificate's signature is that key's, by an algorithm that is accepted here. One signature is checked.
pub(super) fn signed_by(certificate: &Certificate, key: &Key) -> bool {
    let signature = &certificate.signature;
    webpki::ALL_VERIFICATION_ALGS.iter().any(|algorithm| {
        algorithm.signature_alg_id().as_ref() == signature.algorithm
            && algorithm.public_key_alg_id().as_ref() == key.algorithm
            && algorithm.verify_signature(&key.bits, &signature.tbs, &signature.value).is_ok()
    })
}

/// Whether signatures by the certificate's algorithm are accepted at all.
pub(super) fn accepted(certificate: &Certificate) -> bool {
    let algorithm = &certificate.signature.algorithm;
    webpki::ALL_VERIFICATION_ALGS.iter().any(|known| known.signature_alg_id().as_ref() == *algorithm)
}
