//! Whether a certificate was signed by a key: for finding the enrollment, before any path is built, and for proofs.

use super::certificate::{Certificate, Key};

/// Whether the certificate's signature is that key's, by an algorithm that is accepted here. One signature is checked.
pub(super) fn signed_by(certificate: &Certificate, key: &Key) -> bool {
    let signature = &certificate.signature;
    verifies(key, &signature.algorithm, &signature.tbs, &signature.value)
}

/// Whether a signature by this algorithm (the content of its AlgorithmIdentifier) is that key's, and is accepted here.
pub(super) fn verifies(key: &Key, algorithm_id: &[u8], signed: &[u8], value: &[u8]) -> bool {
    webpki::ALL_VERIFICATION_ALGS.iter().any(|algorithm| {
        algorithm.signature_alg_id().as_ref() == algorithm_id
            && algorithm.public_key_alg_id().as_ref() == key.algorithm
            && algorithm.verify_signature(&key.bits, signed, value).is_ok()
    })
}

/// Whether signatures by the certificate's algorithm are accepted at all.
pub(super) fn accepted(certificate: &Certificate) -> bool {
    let algorithm = &certificate.signature.algorithm;
    webpki::ALL_VERIFICATION_ALGS.iter().any(|known| known.signature_alg_id().as_ref() == *algorithm)
}
