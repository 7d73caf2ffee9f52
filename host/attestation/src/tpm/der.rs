//! Writes an RSA key as `SubjectPublicKeyInfo` (RFC 8017, A.1.1, in RFC 5280, 4.1.2.7), the form that the
//! cryptographic library expects.

/// The `SubjectPublicKeyInfo` of a big-endian modulus, with the exponent 65537.
pub(super) fn rsa_public_key(modulus: &[u8]) -> Vec<u8> {
    let mut bits = vec![0];
    bits.extend(rsa_key(modulus));
    element(SEQUENCE, &[RSA_ENCRYPTION.to_vec(), element(BIT_STRING, &bits)].concat())
}

/// The `RSAPublicKey` of a modulus with that exponent.
pub(super) fn rsa_key(modulus: &[u8]) -> Vec<u8> {
    element(SEQUENCE, &[unsigned(modulus), unsigned(&[1, 0, 1])].concat())
}

fn unsigned(bytes: &[u8]) -> Vec<u8> {
    let mut value = if bytes.first().is_some_and(|first| first & 0x80 != 0) { vec![0] } else { Vec::new() };
    value.extend_from_slice(bytes);
    element(INTEGER, &value)
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let mut out = vec![tag];
    let length = u16::try_from(content.len()).unwrap_or(u16::MAX);
    match u8::try_from(length) {
        Ok(short) if short < 0x80 => out.push(short),
        Ok(short) => out.extend([0x81, short]),
        Err(_) => {
            out.push(0x82);
            out.extend(length.to_be_bytes());
        }
    }
    out.extend_from_slice(content);
    out
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
/// The `AlgorithmIdentifier` of rsaEncryption, with its NULL.
const RSA_ENCRYPTION: &[u8] =
    &[0x30, 0x0d, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
