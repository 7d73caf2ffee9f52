//! Whether a key signed a certificate. Used to find the enrollment before any path is built, and for proofs of
//! possession.

use super::certificate::{Certificate, Key};

/// Whether this key made the certificate's signature, with an algorithm that is accepted here. One signature is
/// checked.
pub(super) fn signed_by(certificate: &Certificate, key: &Key) -> bool {
    let signature = &certificate.signature;
    verifies(key, &signature.algorithm, &signature.tbs, &signature.value)
}

/// Whether this key made a signature, with an accepted algorithm (given as the content of the AlgorithmIdentifier).
pub(super) fn verifies(key: &Key, algorithm_id: &[u8], signed: &[u8], value: &[u8]) -> bool {
    webpki::ALL_VERIFICATION_ALGS.iter().any(|algorithm| {
        algorithm.signature_alg_id().as_ref() == algorithm_id
            && algorithm.public_key_alg_id().as_ref() == key.algorithm
            && algorithm.verify_signature(&key.bits, signed, value).is_ok()
    })
}

/// Whether the certificate's signature algorithm is accepted at all.
pub(super) fn accepted(certificate: &Certificate) -> bool {
    let algorithm = &certificate.signature.algorithm;
    webpki::ALL_VERIFICATION_ALGS.iter().any(|known| known.signature_alg_id().as_ref() == *algorithm)
}
