//! The privilege attribute certificate of a ticket (MS-PAC). It is read for the SID of the account.
//!
//! A ticket contains an account name, and whoever may rename accounts can get a ticket with any name. The PAC contains
//! the account's SID, which is never given to another account. A client may ask a controller to put data of its own
//! into a ticket, beside the PAC. So the PAC's signature with the service's key is verified too; only the controller
//! and the service have that key.

use super::crypto::{AesKey, MAC, Usage};
use super::der::{Der, INTEGER, OCTET_STRING, SEQUENCE, integer};
use super::flaw::KerberosFlaw::{self, Integrity, Malformed, NoSid};

/// The SID of the account, from the authorisation data of a ticket that was encrypted with `key`.
pub(super) fn account_sid(authorization: &[u8], key: &AesKey) -> Result<Vec<u8>, KerberosFlaw> {
    let mut pacs = Vec::new();
    let mut outer = Der(authorization);
    while let Some((kind, data)) = element(&mut outer)? {
        // The controller puts the PAC into a container of elements that a service may ignore. Deeper containers are
        // not searched.
        if kind == IF_RELEVANT {
            let mut whole = Der(data);
            let mut inner = whole.enter(SEQUENCE)?;
            whole.end()?;
            while let Some((kind, data)) = element(&mut inner)? {
                pacs.extend((kind == WIN2K_PAC).then_some(data));
            }
        }
    }
    match pacs.as_slice() {
        [] => Err(NoSid("no PAC")),
        [pac] => {
            let pac = Pac::read(pac)?;
            pac.check(key)?;
            pac.sid().map(<[u8]>::to_vec)
        }
        _ => Err(Malformed("a ticket with two PACs")),
    }
}

/// Reads the next element of `AuthorizationData` (RFC 4120, 5.2.6).
fn element<'a>(list: &mut Der<'a>) -> Result<Option<(i64, &'a [u8])>, KerberosFlaw> {
    if list.0.is_empty() {
        return Ok(None);
    }
    let mut element = list.enter(SEQUENCE)?;
    let kind = integer(element.field(0, INTEGER)?)?;
    let data = element.field(1, OCTET_STRING)?;
    element.end()?;
    Ok(Some((kind, data)))
}

/// A `PACTYPE` (2.3): a list of buffers, each of its own kind, and the buffers somewhere behind it.
struct Pac<'a> {
    bytes: &'a [u8],
    account: Option<&'a [u8]>,
    by_server: (usize, &'a [u8]),
    by_controller: (usize, &'a [u8]),
}

impl<'a> Pac<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, KerberosFlaw> {
        const CUT: KerberosFlaw = Malformed("a PAC that is cut off");
        if u32_at(bytes, 4) != Some(0) {
            return Err(Malformed("a PAC of an unknown version"));
        }
        let count = u32_at(bytes, 0).and_then(|count| usize::try_from(count).ok()).filter(|count| *count <= MOST);
        let mut found: Vec<(u32, usize, &[u8])> = Vec::new();
        for number in 0..count.ok_or(Malformed("a PAC of too many parts"))? {
            let at = number.saturating_mul(16).saturating_add(8);
            let header = bytes.get(at..).and_then(<[u8]>::first_chunk::<16>).ok_or(CUT)?;
            let [a, b, c, d, e, f, g, h, offset @ ..] = header;
            let (kind, length) = (u32::from_le_bytes([*a, *b, *c, *d]), u32::from_le_bytes([*e, *f, *g, *h]));
            let (start, length) = (usize::try_from(u64::from_le_bytes(*offset)), usize::try_from(length));
            let (Ok(start), Ok(length)) = (start, length) else { return Err(CUT) };
            let part = bytes.get(start..).and_then(|rest| rest.get(..length)).ok_or(CUT)?;
            if found.iter().any(|(other, ..)| *other == kind) {
                return Err(Malformed("a PAC with two parts of a kind"));
            }
            found.push((kind, start, part));
        }
        let part = |kind| found.iter().find(|(of, ..)| *of == kind).map(|(_, start, part)| (*start, *part));
        let signature = |kind| part(kind).ok_or(Malformed("a PAC that is not signed"));
        let account = part(UPN_DNS_INFO).map(|(_, part)| part);
        Ok(Self { bytes, account, by_server: signature(SERVER)?, by_controller: signature(CONTROLLER)? })
    }

    /// Verifies the server signature (2.8.1). It covers the whole PAC, with zeros in place of the server's and the
    /// controller's signatures.
    fn check(&self, key: &AesKey) -> Result<(), KerberosFlaw> {
        let mut signed = self.bytes.to_vec();
        for (start, part) in [self.by_server, self.by_controller] {
            let at = start.saturating_add(SIGNATURE_TYPE);
            let length = u32_at(part, 0).and_then(signature_length);
            let ends = at.saturating_add(length.ok_or(Malformed("a PAC with a signature of an unknown type"))?);
            if ends > start.saturating_add(part.len()) {
                return Err(Malformed("a PAC that is cut off"));
            }
            signed.get_mut(at..ends).ok_or(Malformed("a PAC that is cut off"))?.fill(0);
        }
        let (_, signature) = self.by_server;
        if u32_at(signature, 0) != Some(key.checksum_type()) {
            return Err(Malformed("a PAC signed with a key of another type than its ticket"));
        }
        let theirs = signature.get(SIGNATURE_TYPE..).and_then(|rest| rest.get(..MAC)).unwrap_or_default();
        key.verify(Usage::Pac, &signed, theirs).map_err(|_| Integrity("PAC"))
    }

    /// The SID in `UPN_DNS_INFO` (2.10), where controllers have put it since November 2021.
    fn sid(&self) -> Result<&'a [u8], KerberosFlaw> {
        let account = self.account.ok_or(NoSid("a PAC without UPN_DNS_INFO"))?;
        if u32_at(account, 8).is_none_or(|flags| flags & EXTENDED == 0) {
            return Err(NoSid("a PAC of a controller that was not updated since 2021"));
        }
        let (length, start) = (u16_at(account, 16), u16_at(account, 18));
        let sid = start.zip(length).and_then(|(start, length)| account.get(start..)?.get(..length));
        // Revision 1, the number of subauthorities, the authority, and that many subauthorities (MS-DTYP, 2.4.2.2).
        let whole = |sid: &&[u8]| match sid {
            [1, count @ 1..=15, ..] => sid.len() == usize::from(*count).saturating_mul(4).saturating_add(8),
            _ => false,
        };
        sid.filter(whole).ok_or(Malformed("a PAC whose SID is none"))
    }
}

/// The length of a signature of this type (2.8). The controller's signature has the type of its own key, not of the
/// service's key. The number of a read-only controller may follow; it is not part of the signature.
fn signature_length(kind: u32) -> Option<usize> {
    match kind {
        // HMAC-MD5, for RC4: -138.
        0xffff_ff76 => Some(16),
        // HMAC-SHA1-96 with AES.
        15 | 16 => Some(MAC),
        // HMAC-SHA256-128 and HMAC-SHA384-192 (RFC 8009).
        19 => Some(16),
        20 => Some(24),
        _ => None,
    }
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..)?.first_chunk().copied().map(u32::from_le_bytes)
}

fn u16_at(bytes: &[u8], at: usize) -> Option<usize> {
    bytes.get(at..)?.first_chunk().copied().map(u16::from_le_bytes).map(usize::from)
}

/// AD-IF-RELEVANT and AD-WIN2K-PAC.
const IF_RELEVANT: i64 = 1;
const WIN2K_PAC: i64 = 128;
/// Kinds of buffers in a PAC.
const SERVER: u32 = 6;
const CONTROLLER: u32 = 7;
const UPN_DNS_INFO: u32 = 12;
/// The flag of a `UPN_DNS_INFO` that also contains an account name and a SID.
const EXTENDED: u32 = 2;
/// The length of the signature type, which precedes a signature.
const SIGNATURE_TYPE: usize = 4;
/// Maximum number of buffers. Fewer than twenty kinds exist.
const MOST: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// A PAC with only its signatures, signed with a service's key of type 18, beside a controller's signature of that
    /// type.
    fn signed(key: &AesKey, controllers: u32, length: usize, behind: &[u8]) -> Vec<u8> {
        let server = [16_u32.to_le_bytes().as_slice(), &[0; MAC]].concat();
        let controller = [controllers.to_le_bytes().as_slice(), &vec![0; length], behind].concat();
        let mut pac = [2_u32.to_le_bytes(), 0_u32.to_le_bytes()].concat();
        let mut offset = 8 + 2 * 16;
        for (kind, part) in [(SERVER, &server), (CONTROLLER, &controller)] {
            pac.extend(kind.to_le_bytes());
            pac.extend(u32::try_from(part.len()).unwrap().to_le_bytes());
            pac.extend(u64::try_from(offset).unwrap().to_le_bytes());
            offset += part.len();
        }
        let at = pac.len() + SIGNATURE_TYPE;
        pac.extend(server.iter().chain(&controller));
        let signature = key.checksum(Usage::Pac, &pac);
        pac[at..at + MAC].copy_from_slice(&signature);
        // The controller has signed the service's signature.
        let theirs = at + MAC + SIGNATURE_TYPE;
        pac[theirs..theirs + length].fill(7);
        pac
    }

    #[test]
    fn a_controller_signs_with_a_key_of_whatever_type_it_has() {
        let key = AesKey::new(18, &[1; 32]).unwrap();
        for (kind, length) in [(0xffff_ff76, 16), (15, 12), (16, 12), (19, 16), (20, 24)] {
            for behind in [&[][..], &[5, 0]] {
                let pac = signed(&key, kind, length, behind);
                assert_eq!(Pac::read(&pac).unwrap().check(&key), Ok(()), "{kind:#x}, {} behind it", behind.len());
                let mut altered = pac;
                let last = altered.len() - 1;
                altered[last] ^= 1;
                let checked = Pac::read(&altered).unwrap().check(&key);
                let expected = if behind.is_empty() { Ok(()) } else { Err(Integrity("PAC")) };
                assert_eq!(checked, expected, "the controller's signature is not signed, and what stands behind it is");
            }
        }
        let unknown = signed(&key, 99, 12, &[]);
        assert!(matches!(Pac::read(&unknown).unwrap().check(&key), Err(Malformed(_))));
    }
}
