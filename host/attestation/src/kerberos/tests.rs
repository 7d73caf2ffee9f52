//! Tokens that curl sent with tickets of a Samba domain controller (`ad.sh token`), and modified copies of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::crypto::{AesKey, Usage};
use super::flaw::KerberosFlaw::{
    ClientMismatch, ClockSkew, Expired, ForeignRealm, Integrity, Malformed, NotYetValid, Unsupported,
};
use super::messages::{ApReq, TicketPart};
use super::*;

const NOW: i64 = 1_795_486_123;
const SKEW: i64 = 300;
const KEYTAB: &[u8] = include_bytes!("../../../../tests/vectors/kerberos/http.keytab");
const TOKEN: &str = include_str!("../../../../tests/vectors/kerberos/dev-1.token");

fn keytab() -> Keytab {
    Keytab::parse(KEYTAB).unwrap()
}

fn base64(text: &str) -> Vec<u8> {
    STANDARD.decode(text.trim()).unwrap()
}

fn at(now: i64) -> Result<Accepted, KerberosFlaw> {
    accept(&base64(TOKEN), &keytab(), now, SKEW)
}

fn replace(haystack: &mut [u8], from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let at = haystack.windows(from.len()).rposition(|window| window == from).unwrap();
    haystack[at..at + to.len()].copy_from_slice(to);
}

/// The real token, with the decrypted ticket and authenticator changed in place, as somebody with the keys could do.
fn forged(change_ticket: impl Fn(&mut [u8]), change_authenticator: impl Fn(&mut [u8])) -> Vec<u8> {
    let (mut token, keytab) = (base64(TOKEN), keytab());
    let original = token.clone();
    let request = ApReq::read(spnego::ap_req(&original).unwrap()).unwrap();
    let key = keytab.keys("HTTP/localhost", "FLEET.TEST", 18, None).unwrap()[0];
    let mut plain = key.decrypt(Usage::Ticket, request.ticket.cipher).unwrap();
    let ticket = TicketPart::read(&plain).unwrap();
    change_ticket(&mut plain);
    replace(&mut token, request.ticket.cipher, &key.encrypt(Usage::Ticket, &plain));
    let key = AesKey::new(ticket.etype, &ticket.session_key).unwrap();
    let mut plain = key.decrypt(Usage::Authenticator, request.authenticator.cipher).unwrap();
    change_authenticator(&mut plain);
    replace(&mut token, request.authenticator.cipher, &key.encrypt(Usage::Authenticator, &plain));
    token
}

/// The SID of the account with this number, in the domain of the tokens.
fn sid(number: u32) -> Vec<u8> {
    let domain: [u32; 5] = [21, 0xb69d_3af7, 0x9ce7_b54d, 0xfa95_15e7, number];
    [1, 5, 0, 0, 0, 0, 0, 5].into_iter().chain(domain.into_iter().flat_map(u32::to_le_bytes)).collect()
}

fn refused(token: &[u8]) -> KerberosFlaw {
    accept(token, &keytab(), NOW, SKEW).unwrap_err()
}

#[test]
fn curl_is_accepted() {
    let client = at(NOW).unwrap();
    assert_eq!((client.principal.as_str(), client.realm.as_str()), ("dev-1", "FLEET.TEST"));
    assert_eq!(client.sid, sid(0x44e));
    assert!((NOW + 1..=NOW + SKEW + 2).contains(&client.replay_until));
    assert_eq!(at(NOW + 1), Ok(client), "a replay has the same identity");
}

#[test]
fn other_clients_and_ciphers() {
    let computer =
        accept(&base64(include_str!("../../../../tests/vectors/kerberos/computer.token")), &keytab(), NOW, SKEW)
            .unwrap();
    assert_eq!((computer.principal.as_str(), computer.sid), ("dev-2$", sid(0x456)));
    assert_ne!(computer.replay_id, at(NOW).unwrap().replay_id);
    let aes128 = Keytab::parse(include_bytes!("../../../../tests/vectors/kerberos/aes128.keytab")).unwrap();
    let token = base64(include_str!("../../../../tests/vectors/kerberos/aes128.token"));
    assert_eq!(accept(&token, &aes128, NOW, SKEW).unwrap().principal, "dev-1");
    assert!(matches!(refused(&token), KerberosFlaw::Service { .. }));
    let rc4 = refused(&base64(include_str!("../../../../tests/vectors/kerberos/rc4.token")));
    assert_eq!(rc4, KerberosFlaw::TicketEncryption(23));
    assert!(rc4.to_string().starts_with("the ticket is encrypted with RC4 (encryption type 23): set msDS-"));
}

#[test]
fn without_spnego_too() {
    let token = base64(TOKEN);
    let start = token.windows(2).enumerate().filter(|(_, w)| *w == [0x60, 0x82]).map(|(at, _)| at).nth(1).unwrap();
    assert_eq!(accept(&token[start..], &keytab(), NOW, SKEW), at(NOW));
}

#[test]
fn clocks() {
    let client = at(NOW).unwrap();
    let sent = client.replay_until - SKEW - 1;
    assert!(at(sent - SKEW).is_ok() && at(sent + SKEW).is_ok());
    assert_eq!(at(sent + SKEW + 1), Err(ClockSkew { seconds: -301, allowed: SKEW }));
    assert!(client.replay_until == sent + SKEW + 1);
    assert!(matches!(at(NOW + 11 * 3600), Err(Expired(_))));
    assert!(matches!(at(NOW - 86_400), Err(NotYetValid(_))));
    assert!(at(i64::MAX).is_err() && at(i64::MIN).is_err());
}

#[test]
fn a_wrong_key() {
    let mut altered = KEYTAB.to_vec();
    let first_key = altered.windows(4).position(|window| window == [0, 18, 0, 32]).unwrap() + 4;
    altered[first_key] ^= 1;
    let keytab = Keytab::parse(&altered).unwrap();
    assert_eq!(accept(&base64(TOKEN), &keytab, NOW, SKEW), Err(Integrity("ticket")));
}

#[test]
fn cut_off() {
    let token = base64(TOKEN);
    assert!((0..token.len()).all(|length| accept(&token[..length], &keytab(), NOW, SKEW).is_err()));
    let mut longer = token;
    longer.push(0);
    assert!(matches!(refused(&longer), Malformed(_)));
}

/// A token with a changed bit is refused, or the bit has no effect. It never gives another identity.
#[test]
fn altered() {
    let (token, honest) = (base64(TOKEN), at(NOW).unwrap());
    let mut harmless = 0;
    for byte in 0..token.len() {
        for bit in 0..8 {
            let mut altered = token.clone();
            altered[byte] ^= 1 << bit;
            if let Ok(client) = accept(&altered, &keytab(), NOW, SKEW) {
                harmless += 1;
                assert_eq!(client, honest);
            }
        }
    }
    // The options and the case of the service's name are outside of any encryption.
    assert!(harmless < 64 + 16, "{harmless}");
}

#[test]
fn forgeries() {
    let same = |_: &mut [u8]| {};
    assert_eq!(accept(&forged(same, same), &keytab(), NOW, SKEW).unwrap().principal, "dev-1");
    let other = |plain: &mut [u8]| replace(plain, b"dev-1", b"dev-9");
    assert!(matches!(refused(&forged(same, other)), ClientMismatch { .. }));
    assert_eq!(accept(&forged(other, other), &keytab(), NOW, SKEW).unwrap().principal, "dev-9");
    let slash = |plain: &mut [u8]| replace(plain, b"dev-1", b"de/-1");
    assert_eq!(refused(&forged(slash, slash)), KerberosFlaw::Name("de/-1".into()));
    // The realm of the client stands before its name. In the ticket it occurs once more, in the authorisation data.
    let realm = |plain: &mut [u8]| {
        let end = plain.windows(5).position(|window| window == b"dev-1").unwrap();
        replace(&mut plain[..end], b"FLEET.TEST", b"OTHER.TEST");
    };
    assert!(matches!(refused(&forged(realm, realm)), ForeignRealm { .. }));
    let checksum = |plain: &mut [u8]| replace(plain, &[2, 3, 0, 0x80, 3], &[2, 3, 0, 0x80, 4]);
    assert!(matches!(refused(&forged(same, checksum)), Malformed(_)));
    let session = |plain: &mut [u8]| replace(plain, &[0xa0, 3, 2, 1, 18, 0xa1], &[0xa0, 3, 2, 1, 23, 0xa1]);
    assert_eq!(refused(&forged(session, same)), KerberosFlaw::SessionEncryption(23));
    let mut relabelled = base64(TOKEN);
    replace(&mut relabelled, &[0xa0, 3, 2, 1, 18, 0xa2], &[0xa0, 3, 2, 1, 23, 0xa2]);
    assert_eq!(refused(&relabelled), KerberosFlaw::SessionEncryption(23));
    let postdated = |plain: &mut [u8]| {
        let flags = plain.windows(5).position(|window| window == [0xa0, 7, 3, 5, 0]).unwrap() + 5;
        plain[flags] |= 1;
    };
    assert!(matches!(refused(&forged(postdated, same)), Unsupported(_)));
    // The field for the renewal time is turned into addresses.
    let addresses = |plain: &mut [u8]| replace(plain, &[0xa8, 0x11, 0x18, 0x0f], &[0xa9, 0x11, 0x18, 0x0f]);
    assert_eq!(refused(&forged(addresses, same)), Unsupported("a ticket bound to addresses"));
    let mut unwanted = base64(TOKEN);
    replace(&mut unwanted, &[3, 5, 0, 0x20, 0, 0, 0], &[3, 5, 0, 0x60, 0, 0, 0]);
    assert_eq!(refused(&unwanted), Unsupported("user-to-user authentication"));
}

/// A client can make a controller put data into a ticket, but that data is not signed. So data that names another
/// account, or none, is refused.
#[test]
fn whose_account_it_is() {
    let same = |_: &mut [u8]| {};
    let sid_of = |plain: &[u8], number| plain.windows(28).rposition(|window| window == sid(number)).unwrap();
    let other = |plain: &mut [u8]| {
        let at = sid_of(plain, 0x44e);
        plain[at + 24] = 0x56;
    };
    assert_eq!(refused(&forged(other, same)), Integrity("PAC"));
    let signature = |plain: &mut [u8]| *plain.iter_mut().rev().nth(55).unwrap() ^= 1;
    assert_eq!(refused(&forged(signature, same)), Integrity("PAC"));
    // The types of both lists, and the bytes that precede a list of either kind.
    let container = |plain: &mut [u8]| replace(plain, &[0xa0, 3, 2, 1, 1, 0xa1], &[0xa0, 3, 2, 1, 4, 0xa1]);
    assert_eq!(refused(&forged(container, same)), KerberosFlaw::NoSid("no PAC"));
    let inner = |plain: &mut [u8]| replace(plain, &[0xa0, 4, 2, 2, 0, 0x80], &[0xa0, 4, 2, 2, 0, 0x81]);
    assert_eq!(refused(&forged(inner, same)), KerberosFlaw::NoSid("no PAC"));
    let list = |plain: &mut [u8]| {
        let at = plain.windows(2).rposition(|window| window == [0xaa, 0x82]).unwrap();
        plain[at] = 0xab;
    };
    assert_eq!(refused(&forged(list, same)), KerberosFlaw::NoSid("no PAC"));
    // The number of a buffer is changed: no buffer with the account, no buffer with the signature, and two buffers of
    // a kind.
    let kind = |from: u8, to: u8| {
        move |plain: &mut [u8]| {
            let pac = plain.windows(8).position(|window| window == [7, 0, 0, 0, 0, 0, 0, 0]).unwrap() + 8;
            let at = (0..7).map(|number| pac + 16 * number).find(|at| plain[*at] == from).unwrap();
            plain[at] = to;
        }
    };
    assert_eq!(refused(&forged(kind(6, 66), same)), Malformed("a PAC that is not signed"));
    assert_eq!(refused(&forged(kind(1, 12), same)), Malformed("a PAC with two parts of a kind"));
    assert_eq!(refused(&forged(kind(12, 66), same)), Integrity("PAC"), "the list of buffers is signed");
}

/// Changes every bit inside the encryption and encrypts again: nothing may panic, and no other account may be
/// accepted.
#[test]
fn altered_inside() {
    for byte in 0..390 {
        for bit in 0..8 {
            let flip = |plain: &mut [u8]| {
                if let Some(at) = plain.get_mut(byte) {
                    *at ^= 1 << bit
                }
            };
            for token in [forged(flip, |_| {}), forged(|_| {}, flip)] {
                let accepted = accept(&token, &keytab(), NOW, SKEW);
                assert!(accepted.is_err() || accepted.is_ok_and(|client| client.sid == sid(0x44e)));
            }
        }
    }
}
