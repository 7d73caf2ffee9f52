//! The messages of Kerberos (RFC 4120), as far as a service reads them.

use zeroize::Zeroizing;

use super::der::{
    BIT_STRING, Der, GENERAL_STRING, GENERALIZED_TIME, INTEGER, OCTET_STRING, SEQUENCE, application, context, flags,
    integer, text, unix_time,
};
use super::flaw::KerberosFlaw::{self, Malformed};

/// A principal's name, without its realm.
#[derive(PartialEq, Eq)]
pub(super) struct Name(Vec<String>);

impl Name {
    /// The components, joined with `/`.
    pub(super) fn joined(&self) -> String {
        self.0.join("/")
    }

    /// Whether the name can be written in one way only and is not anonymous.
    pub(super) fn is_plain(&self) -> bool {
        let odd =
            |part: &String| part.is_empty() || part.chars().any(|c| matches!(c, '/' | '@' | '\\') || c.is_control());
        !self.0.iter().any(odd) && self.0.first().is_some_and(|first| first != "WELLKNOWN")
    }

    fn read(fields: &mut Der<'_>, number: u8) -> Result<Self, KerberosFlaw> {
        let mut name = Der(fields.field(number, SEQUENCE)?);
        name.field(0, INTEGER)?; // The type of the name is a hint only.
        let mut parts = Der(name.field(1, SEQUENCE)?);
        let mut names = Vec::new();
        while let Some(part) = parts.optional(GENERAL_STRING)? {
            names.push(text(part)?);
        }
        parts.end()?;
        Ok(Self(names))
    }
}

/// A ciphertext, with the encryption type and the version of its key.
pub(super) struct Encrypted<'a> {
    pub(super) etype: i32,
    pub(super) version: Option<u32>,
    pub(super) cipher: &'a [u8],
}

impl<'a> Encrypted<'a> {
    fn read(fields: &mut Der<'a>, number: u8) -> Result<Self, KerberosFlaw> {
        let mut data = Der(fields.field(number, SEQUENCE)?);
        let etype = etype(data.field(0, INTEGER)?)?;
        // Some implementations write the version as a signed number. The low 32 bits are the version.
        let version = data.optional_field(1, INTEGER)?.map(integer).transpose()?;
        let version = version.map(|version| u32::try_from(version & 0xffff_ffff).unwrap_or_default());
        Ok(Self { etype, version, cipher: data.field(2, OCTET_STRING)? })
    }
}

/// An AP-REQ, with the unencrypted part of the ticket.
pub(super) struct ApReq<'a> {
    pub(super) options: u32,
    pub(super) realm: String,
    pub(super) service: Name,
    pub(super) ticket: Encrypted<'a>,
    pub(super) authenticator: Encrypted<'a>,
}

impl<'a> ApReq<'a> {
    /// The client wants the ticket to be decrypted with a session key (user to user).
    pub(super) const USE_SESSION_KEY: u32 = 1 << 30;

    pub(super) fn read(message: &'a [u8]) -> Result<Self, KerberosFlaw> {
        let mut fields = outermost(message, 14)?;
        version(&mut fields, 0)?;
        if integer(fields.field(1, INTEGER)?)? != 14 {
            return Err(Malformed("not an AP-REQ"));
        }
        let options = flags(fields.field(2, BIT_STRING)?)?;
        let mut ticket = outermost(fields.read(context(3))?, 1)?;
        version(&mut ticket, 0)?;
        let realm = text(ticket.field(1, GENERAL_STRING)?)?;
        let service = Name::read(&mut ticket, 2)?;
        let encrypted = Encrypted::read(&mut ticket, 3)?;
        Ok(Self { options, realm, service, ticket: encrypted, authenticator: Encrypted::read(&mut fields, 4)? })
    }
}

/// The decrypted part of a ticket.
pub(super) struct TicketPart {
    pub(super) flags: u32,
    pub(super) etype: i32,
    pub(super) session_key: Zeroizing<Vec<u8>>,
    pub(super) realm: String,
    pub(super) client: Name,
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) address_bound: bool,
    /// The list in `AuthorizationData`.
    pub(super) authorization: Vec<u8>,
}

impl TicketPart {
    /// The ticket must be validated by the KDC before use.
    pub(super) const INVALID: u32 = 1 << 24;

    pub(super) fn read(plain: &[u8]) -> Result<Self, KerberosFlaw> {
        let mut fields = outermost(plain, 3)?;
        let flags = flags(fields.field(0, BIT_STRING)?)?;
        let mut key = Der(fields.field(1, SEQUENCE)?);
        let etype = etype(key.field(0, INTEGER)?)?;
        let session_key = Zeroizing::new(key.field(1, OCTET_STRING)?.to_vec());
        let realm = text(fields.field(2, GENERAL_STRING)?)?;
        let client = Name::read(&mut fields, 3)?;
        fields.field(4, SEQUENCE)?; // Realms passed through: foreign clients are refused anyway.
        let authenticated = unix_time(fields.field(5, GENERALIZED_TIME)?)?;
        let start = fields.optional_field(6, GENERALIZED_TIME)?.map(unix_time).transpose()?.unwrap_or(authenticated);
        let end = unix_time(fields.field(7, GENERALIZED_TIME)?)?;
        fields.optional_field(8, GENERALIZED_TIME)?;
        let address_bound = fields.optional(context(9))?.is_some();
        let authorization = fields.optional_field(10, SEQUENCE)?.unwrap_or_default().to_vec();
        Ok(Self { flags, etype, session_key, realm, client, start, end, address_bound, authorization })
    }
}

/// The decrypted authenticator.
pub(super) struct Authenticator {
    pub(super) realm: String,
    pub(super) client: Name,
    /// Whether its checksum is that of GSS-API (RFC 4121, 4.1.1), as in a token for a web server.
    pub(super) of_gss: bool,
    pub(super) time: i64,
}

impl Authenticator {
    pub(super) fn read(plain: &[u8]) -> Result<Self, KerberosFlaw> {
        let mut fields = outermost(plain, 2)?;
        version(&mut fields, 0)?;
        let realm = text(fields.field(1, GENERAL_STRING)?)?;
        let client = Name::read(&mut fields, 2)?;
        let of_gss = fields.optional_field(3, SEQUENCE)?.map(is_of_gss).transpose()?.unwrap_or_default();
        if !(0..=999_999).contains(&integer(fields.field(4, INTEGER)?)?) {
            return Err(Malformed("microseconds out of range"));
        }
        Ok(Self { realm, client, of_gss, time: unix_time(fields.field(5, GENERALIZED_TIME)?)? })
    }
}

/// Checks for type 0x8003 with the value: 16 as the length of the channel binding, the binding, and four bytes of
/// flags.
fn is_of_gss(checksum: &[u8]) -> Result<bool, KerberosFlaw> {
    let mut fields = Der(checksum);
    if integer(fields.field(0, INTEGER)?)? != 0x8003 {
        return Ok(false);
    }
    match fields.field(1, OCTET_STRING)?.strip_prefix(&[16, 0, 0, 0]) {
        Some(rest) if rest.len() >= 20 => Ok(true),
        _ => Err(Malformed("the GSS-API checksum is cut off")),
    }
}

/// Reads `[APPLICATION number] SEQUENCE`, with nothing after it: the AES types do not pad.
fn outermost(bytes: &[u8], number: u8) -> Result<Der<'_>, KerberosFlaw> {
    let mut message = Der(bytes);
    let mut inner = message.enter(application(number))?;
    message.end()?;
    inner.enter(SEQUENCE)
}

fn version(fields: &mut Der<'_>, number: u8) -> Result<(), KerberosFlaw> {
    if integer(fields.field(number, INTEGER)?)? == 5 { Ok(()) } else { Err(Malformed("not Kerberos 5")) }
}

fn etype(bytes: &[u8]) -> Result<i32, KerberosFlaw> {
    i32::try_from(integer(bytes)?).map_err(|_| Malformed("not an encryption type"))
}
