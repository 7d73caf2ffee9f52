//! Decides whether a token is accepted (RFC 4120, 3.2.3).

use landfall_domain::names::Digest;

use super::crypto::{AesKey, Usage, key_length};
use super::flaw::KerberosFlaw::{
    self, ClientMismatch, ClockSkew, Expired, ForeignRealm, Integrity, Malformed, NotYetValid, Unsupported,
};
use super::flaw::on_one_short_line;
use super::keytab::Keytab;
use super::messages::{ApReq, Authenticator, TicketPart};
use super::{pac, spnego};

/// A client that has proved its identity.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accepted {
    /// The client's name without realm: `dev-1`, or `dev-2$` for a computer account. In Active Directory it is the
    /// `sAMAccountName`; look it up exactly, never with a `$` added or left out.
    pub principal: String,
    /// The client's realm, which is the service's own.
    pub realm: String,
    /// The SID of the client's account, as it is in the directory (`objectSid`).
    pub sid: Vec<u8>,
    /// The same value for the same authenticator only, however it is wrapped. A second occurrence is a replay.
    pub replay_id: Digest,
    /// The time (Unix) from which on the authenticator is too old to be accepted, so that `replay_id` can be
    /// forgotten.
    pub replay_until: i64,
}

/// Checks the token of `Authorization: Negotiate` (already decoded from base64).
///
/// Everything is checked except replay: the caller must refuse an [`Accepted::replay_id`] that it has seen before.
pub fn accept(token: &[u8], keytab: &Keytab, now_unix: i64, skew_secs: i64) -> Result<Accepted, KerberosFlaw> {
    let request = ApReq::read(spnego::ap_req(token)?)?;
    if request.options & ApReq::USE_SESSION_KEY != 0 {
        return Err(Unsupported("user-to-user authentication"));
    }
    let (ticket, sid) = open_ticket(&request, keytab)?;
    let authenticator = open_authenticator(&request, &ticket)?;
    if ticket.realm != authenticator.realm || ticket.client != authenticator.client {
        return Err(ClientMismatch {
            ticket: on_one_short_line(&format!("{}@{}", ticket.client.joined(), ticket.realm)),
            authenticator: on_one_short_line(&format!("{}@{}", authenticator.client.joined(), authenticator.realm)),
        });
    }
    if ticket.realm != request.realm {
        return Err(ForeignRealm { client: on_one_short_line(&ticket.realm), service: request.realm });
    }
    if !ticket.client.is_plain() {
        return Err(KerberosFlaw::Name(on_one_short_line(&ticket.client.joined())));
    }
    if !authenticator.of_gss {
        return Err(Malformed("the authenticator has no GSS-API checksum"));
    }
    check_times(&ticket, &authenticator, now_unix, skew_secs)?;
    Ok(Accepted {
        principal: ticket.client.joined(),
        realm: ticket.realm,
        sid,
        replay_id: Digest::of(request.authenticator.cipher),
        replay_until: authenticator.time.saturating_add(skew_secs).saturating_add(1),
    })
}

/// Decrypts the ticket. Returns it with the SID of its account.
fn open_ticket(request: &ApReq<'_>, keytab: &Keytab) -> Result<(TicketPart, Vec<u8>), KerberosFlaw> {
    let sealed = &request.ticket;
    if key_length(sealed.etype).is_none() {
        return Err(KerberosFlaw::TicketEncryption(sealed.etype));
    }
    let keys = keytab.keys(&request.service.joined(), &request.realm, sealed.etype, sealed.version)?;
    let opened = keys.iter().find_map(|key| Some((key, key.decrypt(Usage::Ticket, sealed.cipher).ok()?)));
    let (key, plain) = opened.ok_or(Integrity("ticket"))?;
    let ticket = TicketPart::read(&plain)?;
    if ticket.flags & TicketPart::INVALID != 0 {
        return Err(Unsupported("the use of a postdated ticket that was not validated"));
    }
    if ticket.address_bound {
        return Err(Unsupported("a ticket bound to addresses"));
    }
    let sid = pac::account_sid(&ticket.authorization, key)?;
    Ok((ticket, sid))
}

fn open_authenticator(request: &ApReq<'_>, ticket: &TicketPart) -> Result<Authenticator, KerberosFlaw> {
    let sealed = &request.authenticator;
    let key = AesKey::new(ticket.etype, &ticket.session_key).ok_or(KerberosFlaw::SessionEncryption(ticket.etype))?;
    if sealed.etype != ticket.etype {
        return Err(KerberosFlaw::SessionEncryption(sealed.etype));
    }
    let plain = key.decrypt(Usage::Authenticator, sealed.cipher).map_err(|_| Integrity("authenticator"))?;
    Authenticator::read(&plain)
}

fn check_times(ticket: &TicketPart, authenticator: &Authenticator, now: i64, skew: i64) -> Result<(), KerberosFlaw> {
    if ticket.start > now.saturating_add(skew) {
        return Err(NotYetValid(ticket.start));
    }
    if ticket.end < now.saturating_sub(skew) {
        return Err(Expired(ticket.end));
    }
    let seconds = authenticator.time.saturating_sub(now);
    if seconds.saturating_abs() > skew { Err(ClockSkew { seconds, allowed: skew }) } else { Ok(()) }
}
