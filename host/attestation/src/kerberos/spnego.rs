//! The wrappers of a `Negotiate` token: SPNEGO (RFC 4178) and the GSS-API frame of Kerberos (RFC 4121, 4.1).

use super::der::{Der, OBJECT_IDENTIFIER, OCTET_STRING, SEQUENCE, application, context};
use super::flaw::KerberosFlaw::{self, Continuation, Malformed, NotKerberos, Ntlm, Unsupported};

const SPNEGO: &[u8] = &[0x2b, 0x06, 0x01, 0x05, 0x05, 0x02];
const KERBEROS: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x12, 0x01, 0x02, 0x02];
/// The mechanism id that Windows 2000 wrote by mistake, and that every Windows still offers first.
const KERBEROS_OF_WINDOWS: &[u8] = &[0x2a, 0x86, 0x48, 0x82, 0xf7, 0x12, 0x01, 0x02, 0x02];
const NTLM: &[u8] = &[0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0x37, 0x02, 0x02, 0x0a];
/// How many of the mechanisms that a client offers are named in the log.
const MOST_NAMED: usize = 8;

/// The AP-REQ in a token: in SPNEGO's first message, or in a Kerberos token without SPNEGO.
pub(super) fn ap_req(token: &[u8]) -> Result<&[u8], KerberosFlaw> {
    if token.starts_with(b"NTLMSSP\0") {
        return Err(Ntlm);
    }
    if token.first() == Some(&context(1)) {
        return Err(Continuation);
    }
    let (mechanism, body) = frame(token)?;
    if mechanism == SPNEGO { mechanism_token(body).and_then(kerberos_message) } else { kerberos_message(token) }
}

/// Reads `[APPLICATION 0]`, which begins with the mechanism (RFC 2743, 3.1).
fn frame(token: &[u8]) -> Result<(&[u8], &[u8]), KerberosFlaw> {
    let mut outer = Der(token);
    let mut inner = outer.enter(application(0))?;
    outer.end()?;
    Ok((inner.read(OBJECT_IDENTIFIER)?, inner.0))
}

/// The token for the first mechanism of a NegTokenInit. That mechanism must be Kerberos.
fn mechanism_token(body: &[u8]) -> Result<&[u8], KerberosFlaw> {
    let mut init = Der(body).enter(context(0))?.enter(SEQUENCE)?;
    let mut offered = Der(init.field(0, SEQUENCE)?);
    let mut mechanisms = Vec::new();
    while let Some(mechanism) = offered.optional(OBJECT_IDENTIFIER)? {
        mechanisms.push(mechanism);
    }
    offered.end()?;
    // Request flags. The standard says that they are to be ignored.
    init.optional(context(1))?;
    let token = init.optional_field(2, OCTET_STRING)?;
    match (mechanisms.first(), token) {
        (Some(first), Some(token)) if is_kerberos(first) => Ok(token),
        (Some(&NTLM), _) => Err(Ntlm),
        _ => {
            let offered: Vec<String> = mechanisms.iter().take(MOST_NAMED).map(|mechanism| dotted(mechanism)).collect();
            Err(NotKerberos(offered.join(", ")))
        }
    }
}

fn kerberos_message(token: &[u8]) -> Result<&[u8], KerberosFlaw> {
    if token.starts_with(b"NTLMSSP\0") {
        return Err(Ntlm);
    }
    let (mechanism, body) = frame(token)?;
    if !is_kerberos(mechanism) {
        return Err(NotKerberos(dotted(mechanism)));
    }
    match body.split_first_chunk() {
        Some(([1, 0], message)) => Ok(message),
        Some(([3, 0], _)) => Err(Malformed("the client sent a Kerberos error in place of a ticket")),
        Some(([4, 0] | [5, 1], _)) => Err(Unsupported("another kind of Kerberos token than AP-REQ")),
        _ => Err(Malformed("not an AP-REQ")),
    }
}

fn is_kerberos(mechanism: &[u8]) -> bool {
    mechanism == KERBEROS || mechanism == KERBEROS_OF_WINDOWS
}

/// An object identifier as text for the log. Invalid bytes are shown as far as they can be read.
fn dotted(identifier: &[u8]) -> String {
    let mut arcs = Vec::new();
    let mut arc = 0_u64;
    for byte in identifier.iter().take(32) {
        arc = (arc << 7) | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            match (arcs.is_empty(), arc) {
                (true, ..40) => arcs.extend([0, arc]),
                (true, 40..80) => arcs.extend([1, arc.saturating_sub(40)]),
                (true, _) => arcs.extend([2, arc.saturating_sub(80)]),
                _ => arcs.push(arc),
            }
            arc = 0;
        }
    }
    arcs.iter().map(u64::to_string).collect::<Vec<_>>().join(".")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_kerberos_is_named() {
        assert_eq!(dotted(KERBEROS), "1.2.840.113554.1.2.2");
        assert_eq!(ap_req(b"NTLMSSP\0\x01\0\0\0"), Err(Ntlm));
        assert_eq!(ap_req(&[0xa1, 0]), Err(Continuation));
        // SPNEGO that offers NTLM alone, and one that offers NEGOEX first.
        let ntlm = b"\x60\x1c\x06\x06\x2b\x06\x01\x05\x05\x02\xa0\x12\x30\x10\xa0\x0e\x30\x0c\x06\x0a\x2b\x06\x01\x04\x01\x82\x37\x02\x02\x0a";
        assert_eq!(ap_req(ntlm), Err(Ntlm));
        let mut negoex = ntlm.to_vec();
        *negoex.last_mut().unwrap() = 0x1e;
        assert_eq!(ap_req(&negoex), Err(NotKerberos("1.3.6.1.4.1.311.2.2.30".into())));
    }
}
