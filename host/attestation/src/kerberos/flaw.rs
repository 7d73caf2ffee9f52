//! The reasons why a token or a keytab is refused, as messages for the operator.

/// Why a keytab or a token is not accepted. The texts are for the log; a client is told only 401.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the names say it")]
pub enum KerberosFlaw {
    /// The file is not a keytab, or is cut off.
    #[error("the keytab is not readable: {0}")]
    Keytab(&'static str),
    /// The keytab has no AES key.
    #[error(
        "the keytab has no AES key (found only encryption types {found:?}): set msDS-SupportedEncryptionTypes of the \
         service account to 24, set its password again and export the keytab anew"
    )]
    NoAesKey {
        /// The encryption types that are in the file.
        found: Vec<i32>,
    },
    /// The keytab has keys of other services only. A client with a ticket for another service is not a device.
    #[error(
        "the keytab has no key of a web service (HTTP/…), only of {found}: export that of the name which devices call"
    )]
    NoHttpKey {
        /// The service principals that are in the file.
        found: String,
    },
    /// The keytab has keys of two realms. One directory does not have the accounts of both.
    #[error("the keytab has keys of two realms, {0} and {1}: give each a directory of its own")]
    TwoRealms(String, String),
    /// The lengths and tags in the token do not fit together.
    #[error("the token is malformed: {0}")]
    Malformed(&'static str),
    /// The client sent an NTLM message.
    #[error(
        "the client sent NTLM instead of Kerberos: it got no ticket; check that the service principal name is registered \
         and that the client uses the host name in it"
    )]
    Ntlm,
    /// The first message contains no Kerberos token.
    #[error("the client offers no Kerberos token in its first message (mechanisms {0})")]
    NotKerberos(String),
    /// The token is a later message of a negotiation that this service did not start.
    #[error("the token continues a negotiation; only a complete first token is accepted")]
    Continuation,
    /// The AP-REQ has an option that this service does not support.
    #[error("the client asks for {0}, which is not supported")]
    Unsupported(&'static str),
    /// The ticket is encrypted with an encryption type that is not accepted.
    #[error("the ticket is encrypted with {}: set msDS-SupportedEncryptionTypes of the service account to 24 (AES only)", etype_name(*.0))]
    TicketEncryption(i32),
    /// The session key has an encryption type that is not accepted.
    #[error("the session key is of type {}: the client or the domain controller must allow AES", etype_name(*.0))]
    SessionEncryption(i32),
    /// The ticket is for another service.
    #[error("the ticket is for `{asked}`; the keytab has {held}")]
    Service {
        /// The service principal in the ticket.
        asked: String,
        /// The service principals in the keytab.
        held: String,
    },
    /// The keytab has a key of the principal, but not this version.
    #[error("the ticket needs key version {ticket} ({}); the keytab has {keytab:?}: export it again, or let the client get a new ticket", etype_name(*.etype))]
    KeyVersion {
        /// The version the ticket is encrypted with.
        ticket: u32,
        /// The encryption type of the ticket.
        etype: i32,
        /// The versions in the keytab for that principal and encryption type.
        keytab: Vec<u32>,
    },
    #[error("the {0} does not fit the key: wrong key (keytab of another domain or password), or the token was altered")]
    Integrity(&'static str),
    /// The ticket is not valid yet.
    #[error("the ticket is valid only from {0} (Unix time): compare the clocks of this host and the domain controller")]
    NotYetValid(i64),
    /// The ticket has expired.
    #[error("the ticket expired at {0} (Unix time)")]
    Expired(i64),
    /// The ticket names an account but does not contain its SID.
    #[error(
        "the ticket does not say the SID of its account: {0}; let the service account have PACs (no NO_AUTH_DATA_REQUIRED \
         in its userAccountControl), and update the domain controller: Windows since November 2021 and Samba since 4.16 say it"
    )]
    NoSid(&'static str),
    /// The client's clock differs too much from the server's.
    #[error("the clock of the client is {seconds} s ahead of ours (negative: behind); {allowed} s are allowed")]
    ClockSkew {
        /// The client's time minus the server's time.
        seconds: i64,
        allowed: i64,
    },
    /// Ticket and authenticator name different clients.
    #[error("the ticket is of `{ticket}`, the authenticator of `{authenticator}`")]
    ClientMismatch {
        /// The client in the ticket.
        ticket: String,
        /// The client in the authenticator.
        authenticator: String,
    },
    /// The client belongs to another realm.
    #[error("the client is of realm `{client}`; only clients of `{service}` are accepted")]
    ForeignRealm {
        /// The client's realm.
        client: String,
        /// The service's realm.
        service: String,
    },
    /// The client's name cannot be written unambiguously, or is anonymous.
    #[error(
        "the client's name `{0}` is not accepted: empty, anonymous, or with `/`, `@`, `\\` or control characters in a part"
    )]
    Name(String),
}

/// A text from a stranger, for the log: on one line, and cut if it is long.
pub(super) fn on_one_short_line(text: &str) -> String {
    let mut told: String = text.escape_debug().take(MOST_TOLD).collect();
    if told.len() < text.len() {
        told.push('…');
    }
    told
}

const MOST_TOLD: usize = 128;

fn etype_name(etype: i32) -> String {
    let name = match etype {
        1 | 3 => "DES",
        16 => "3DES",
        17 => "AES-128",
        18 => "AES-256",
        19 | 20 => "AES with SHA-2",
        23 | 24 => "RC4",
        _ => "an unknown cipher",
    };
    format!("{name} (encryption type {etype})")
}
