//! AES-CTS-HMAC-SHA1-96 (RFC 3961 and 3962), decryption only.

use aws_lc_rs::cipher::{AES_128, AES_256, DecryptingKey, DecryptionContext, EncryptingKey, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::error::Unspecified;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;
use zeroize::Zeroizing;

const BLOCK: usize = 16;
/// The length of a checksum in bytes.
pub(super) const MAC: usize = 12;

/// The purpose of an encryption or a checksum (RFC 4120, 7.5.1).
#[derive(Clone, Copy)]
pub(super) enum Usage {
    /// The encrypted part of a ticket.
    Ticket = 2,
    /// The authenticator of an AP-REQ.
    Authenticator = 11,
    /// A signature of a PAC (MS-PAC, 2.8.1).
    Pac = 17,
}

/// A key of encryption type 17 or 18.
pub(super) struct AesKey(Zeroizing<Vec<u8>>);

impl AesKey {
    /// `None` unless the type is an AES type and the length is its length.
    pub(super) fn new(etype: i32, key: &[u8]) -> Option<Self> {
        (key_length(etype) == Some(key.len())).then(|| Self(Zeroizing::new(key.to_vec())))
    }

    /// Decrypts. Returns the plaintext without the confounder, if the checksum is correct.
    pub(super) fn decrypt(&self, usage: Usage, cipher: &[u8]) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let (body, mac) =
            cipher.len().checked_sub(MAC).and_then(|at| cipher.split_at_checked(at)).ok_or(Unspecified)?;
        let plain = Zeroizing::new(cts_decrypt(&self.derive(usage, 0xaa)?, body)?);
        verify_slices_are_equal(&self.mac(usage, 0x55, &plain)?, mac)?;
        plain.get(BLOCK..).map(|text| Zeroizing::new(text.to_vec())).ok_or(Unspecified)
    }

    /// Verifies the checksum of a text (RFC 3961, 5.3).
    pub(super) fn verify(&self, usage: Usage, text: &[u8], checksum: &[u8]) -> Result<(), Unspecified> {
        verify_slices_are_equal(&self.mac(usage, 0x99, text)?, checksum)
    }

    /// The type of the checksums that this key makes (RFC 3962, 7).
    pub(super) fn checksum_type(&self) -> u32 {
        if self.0.len() == 16 { 15 } else { 16 }
    }

    fn mac(&self, usage: Usage, kind: u8, text: &[u8]) -> Result<[u8; MAC], Unspecified> {
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &self.derive(usage, kind)?);
        hmac::sign(&key, text).as_ref().first_chunk().copied().ok_or(Unspecified)
    }

    /// `DK(key, usage | kind)`: encrypts the folded constant repeatedly until there are enough bytes for a key.
    fn derive(&self, usage: Usage, kind: u8) -> Result<Zeroizing<Vec<u8>>, Unspecified> {
        let key = EncryptingKey::ecb(unbound(&self.0)?)?;
        let mut block = Zeroizing::new(fold([0, 0, 0, usage as u8, kind]));
        let mut derived = Zeroizing::new(Vec::with_capacity(self.0.len()));
        while derived.len() < self.0.len() {
            key.encrypt(block.as_mut_slice())?;
            derived.extend_from_slice(block.as_slice());
        }
        Ok(derived)
    }
}

/// The key length of an AES encryption type. `None` for other types.
pub(super) fn key_length(etype: i32) -> Option<usize> {
    match etype {
        17 => Some(16),
        18 => Some(32),
        _ => None,
    }
}

fn unbound(key: &[u8]) -> Result<UnboundCipherKey, Unspecified> {
    UnboundCipherKey::new(if key.len() == 16 { &AES_128 } else { &AES_256 }, key)
}

/// CBC with a zero initial vector and ciphertext stealing: the last two blocks are swapped, and the last one is cut
/// short.
fn cts_decrypt(key: &[u8], cipher: &[u8]) -> Result<Vec<u8>, Unspecified> {
    // The parts: all but the last two blocks; the last whole block; the rest of the last one (1 to 16 bytes, or
    // nothing).
    let tail = match cipher.len() {
        0..BLOCK => return Err(Unspecified),
        BLOCK => 0,
        length => match length % BLOCK {
            0 => BLOCK,
            part => part,
        },
    };
    let (whole, last) = cipher.len().checked_sub(tail).and_then(|at| cipher.split_at_checked(at)).ok_or(Unspecified)?;
    let mut chained = whole.to_vec();
    let mut stolen = Vec::new();
    if tail > 0 {
        let at = whole.len().checked_sub(BLOCK).ok_or(Unspecified)?;
        let mut block = whole.get(at..).ok_or(Unspecified)?.to_vec();
        DecryptingKey::ecb(unbound(key)?)?.decrypt(&mut block, DecryptionContext::None)?;
        chained.truncate(at);
        chained.extend_from_slice(last);
        chained.extend_from_slice(block.get(tail..).ok_or(Unspecified)?);
        stolen.extend(block.iter().zip(last).map(|(ours, theirs)| ours ^ theirs));
    }
    let start = DecryptionContext::Iv128(FixedLength::from([0; BLOCK]));
    DecryptingKey::cbc(unbound(key)?)?.decrypt(&mut chained, start)?;
    chained.append(&mut stolen);
    Ok(chained)
}

/// n-fold of 40 bits to 128 (RFC 3961, 5.1): sixteen copies, each turned by 13 bits more, added in ones' complement.
fn fold(constant: [u8; 5]) -> [u8; BLOCK] {
    let value = constant.iter().fold(0_u64, |value, byte| (value << 8) | u64::from(*byte));
    let copies: Vec<u8> = (0_u32..16)
        .map(|copy| copy.wrapping_mul(13) % 40)
        .map(|by| (value >> by) | (value << 40_u32.saturating_sub(by)))
        .flat_map(|turned| turned.to_be_bytes().into_iter().skip(3))
        .collect();
    let mut sum = 0_u128;
    for chunk in copies.chunks_exact(BLOCK) {
        let addend = chunk.iter().fold(0_u128, |value, byte| (value << 8) | u128::from(*byte));
        let (next, carry) = sum.overflowing_add(addend);
        sum = next.wrapping_add(u128::from(carry));
    }
    sum.to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    impl AesKey {
        /// Encrypts as a KDC or a client does, to forge tokens in tests. The texts must be longer than a block.
        pub(in crate::kerberos) fn encrypt(&self, usage: Usage, text: &[u8]) -> Vec<u8> {
            let mut plain = vec![7; BLOCK];
            plain.extend_from_slice(text);
            let mac = self.mac(usage, 0x55, &plain).unwrap();
            let length = plain.len();
            plain.resize(length.next_multiple_of(BLOCK), 0);
            let key = EncryptingKey::cbc(unbound(&self.derive(usage, 0xaa).unwrap()).unwrap()).unwrap();
            key.less_safe_encrypt(&mut plain, aws_lc_rs::cipher::EncryptionContext::Iv128([0; BLOCK].into())).unwrap();
            let last = plain.len() - BLOCK;
            plain[last - BLOCK..].rotate_left(BLOCK);
            plain.truncate(length);
            plain.extend_from_slice(&mac);
            plain
        }

        /// The checksum that [`Self::verify`] expects.
        pub(in crate::kerberos) fn checksum(&self, usage: Usage, text: &[u8]) -> [u8; MAC] {
            self.mac(usage, 0x99, text).unwrap()
        }
    }

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
        digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
    }

    /// RFC 3962, appendix B.
    #[test]
    fn ciphertext_stealing() {
        let key = b"chicken teriyaki";
        let text = b"I would like the General Gau's Chicken, please, and wonton soup.";
        for (length, cipher) in [
            (17, "c6353568f2bf8cb4d8a580362da7ff7f97"),
            (31, "fc00783e0efdb2c1d445d4c8eff7ed2297687268d6ecccc0c07b25e25ecfe5"),
            (32, "39312523a78662d5be7fcbcc98ebf5a897687268d6ecccc0c07b25e25ecfe584"),
            (47, "97687268d6ecccc0c07b25e25ecfe584b3fffd940c16a18c1b5549d2f838029e39312523a78662d5be7fcbcc98ebf5"),
            (48, "97687268d6ecccc0c07b25e25ecfe5849dad8bbb96c4cdc03bc103e1a194bbd839312523a78662d5be7fcbcc98ebf5a8"),
            (
                64,
                "97687268d6ecccc0c07b25e25ecfe58439312523a78662d5be7fcbcc98ebf5a84807efe836ee89a526730dbc2f7bc8409dad8bbb96c4cdc03bc103e1a194bbd8",
            ),
        ] {
            assert_eq!(cts_decrypt(key, &hex(cipher)).unwrap(), &text[..length]);
        }
        assert!((0..16).all(|length| cts_decrypt(key, &vec![0; length]).is_err()));
        assert!((16..70).all(|length| cts_decrypt(key, &vec![0; length]).unwrap().len() == length));
    }

    #[test]
    fn what_is_encrypted_decrypts() {
        for length in 1..70 {
            let (text, key) = (vec![3; length], AesKey::new(18, &[5; 32]).unwrap());
            let cipher = key.encrypt(Usage::Ticket, &text);
            assert_eq!(*key.decrypt(Usage::Ticket, &cipher).unwrap(), text);
            assert!(key.decrypt(Usage::Authenticator, &cipher).is_err());
        }
    }

    #[test]
    fn short_input_is_an_error() {
        let key = AesKey::new(17, &[0; 16]).unwrap();
        assert!((0..64).all(|length| key.decrypt(Usage::Ticket, &vec![0; length]).is_err()));
        assert!(AesKey::new(18, &[0; 16]).is_none() && AesKey::new(23, &[0; 16]).is_none());
    }
}
