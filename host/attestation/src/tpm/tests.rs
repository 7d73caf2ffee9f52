//! Public areas of every kind, and invalid bytes. Whether a TPM can open a wrapped key is tested with a TPM, in the
//! behaviour tests.

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use landfall_domain::clock::Ambient;
use proptest::prelude::*;

use super::*;
use crate::symmetric_key::{SasToken, SymmetricKey};

/// The storage primary template: RSA-2048, SHA-256, AES-128.
fn rsa(attributes: u32, modulus: &[u8]) -> Vec<u8> {
    let mut area = vec![0, 1, 0, 0x0b];
    area.extend(attributes.to_be_bytes());
    area.extend([0, 0, 0, 6, 0, 128, 0, 0x43, 0, 0x10, 8, 0, 0, 0, 0, 0]);
    area.extend(reader::sized(modulus));
    reader::sized(&area)
}

pub(super) fn storage_key() -> Vec<u8> {
    storage_key_of(0xc1)
}

/// A storage key whose modulus consists of this byte only.
pub(super) fn storage_key_of(byte: u8) -> Vec<u8> {
    rsa(STORAGE, &[byte; 256])
}

/// A token that is signed with a key.
pub(super) fn token(key: &SymmetricKey) -> SasToken {
    let signed = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key.expose()), b"r\n5");
    SasToken::parse(&format!("SharedAccessSignature sr=r&se=5&sig={}", STANDARD.encode(signed))).unwrap()
}

const STORAGE: u32 = 0x0003_0472;

#[test]
fn a_storage_key_is_read_and_named() {
    let area = PublicArea::parse(&rsa(STORAGE, &[0xc1; 256])).unwrap();
    assert_eq!(area.name().len(), 34);
    assert_eq!(&area.name()[..2], [0, 0x0b]);
}

#[test]
fn a_key_that_could_come_from_elsewhere_is_refused() {
    for cleared in [1_u32 << 1, 1 << 4, 1 << 5, 1 << 16, 1 << 17] {
        let area = rsa(STORAGE & !cleared, &[0xc1; 256]);
        assert_eq!(PublicArea::parse(&area), Err(PublicError::Attributes(STORAGE & !cleared)));
    }
    assert!(PublicArea::parse(&rsa(STORAGE | 1 << 18, &[0xc1; 256])).is_err(), "it signs");
}

#[test]
fn what_is_not_whole_is_refused_wherever_it_is_cut_off() {
    let good = rsa(STORAGE, &[0xc1; 256]);
    for end in 0..good.len() {
        assert_eq!(PublicArea::parse(&good[..end]), Err(PublicError::Short), "{end}");
    }
    assert_eq!(PublicArea::parse(&[&good[..], &[0]].concat()), Err(PublicError::Long));
    assert_eq!(PublicArea::parse(&rsa(STORAGE, &[0x41; 256])), Err(PublicError::Rsa), "2047 bits");
    assert_eq!(PublicArea::parse(&rsa(STORAGE, &[0xc1; 255])), Err(PublicError::Rsa));
}

#[test]
fn nothing_is_wrapped_for_a_point_that_is_on_no_curve() {
    let mut area = vec![0, 0x23, 0, 0x0b];
    area.extend(STORAGE.to_be_bytes());
    area.extend([0, 0, 0, 6, 0, 128, 0, 0x43, 0, 0x10, 0, 3, 0, 0x10]);
    area.extend(reader::sized(&[1; 32]));
    area.extend(reader::sized(&[2; 32]));
    let area = PublicArea::parse(&reader::sized(&area)).unwrap();
    assert_eq!(make_credential(&area, b"name", b"secret", &Ambient::system()), Err(WrapError::Key));
}

proptest! {
    #[test]
    fn any_bytes_are_a_public_area_or_none(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        let _ = PublicArea::parse(&bytes);
    }

    #[test]
    fn a_changed_public_area_never_panics(at in 0_usize..280, to in any::<u8>()) {
        let mut bytes = rsa(STORAGE, &[0xc1; 256]);
        bytes[at] = to;
        if let Ok(area) = PublicArea::parse(&bytes) {
            prop_assert_eq!(area.as_bytes(), bytes);
            let _ = make_credential(&area, b"name", b"secret", &Ambient::system());
        }
    }
}
