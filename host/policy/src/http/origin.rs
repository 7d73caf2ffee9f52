//! The origins to which a policy may send requests.
//!
//! | written | allows | does not allow |
//! | --- | --- | --- |
//! | `https://fn.example` | `https://fn.example/any/path` | another port, `http`, `https://a.fn.example` |
//! | `https://fn.example:8443` | that port only | port 443 |
//! | `https://*.example` | `https://a.example` | `https://example`, `https://a.b.example` |
//! | `https://[2001:db8::1]`, `https://192.0.2.1` | that address | names that resolve to it |
//!
//! A star stands for one whole label, and only for the first: `https://*`, `https://a*.example` and
//! `https://a.*.example` are errors. A path, a query or a user is an error too, because a grant is for a server, not
//! for a page. Host names are compared in lower case; names that are not ASCII are written as they are on the wire
//! (`xn--`).

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use http::Uri;
use landfall_net::outside::{HTTPS, bare};

/// An origin, or the origins of all names with one more label.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    host: Host,
    port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Name(String),
    /// Any name with exactly one more label before this name.
    Below(String),
    Address(IpAddr),
}

/// A text that is not a valid origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no origin: {reason}; write https://HOST, https://HOST:PORT or https://*.HOST")]
pub struct OriginError {
    text: String,
    reason: &'static str,
}

impl Origin {
    /// Whether a request to this address is allowed.
    pub fn holds(&self, uri: &Uri) -> bool {
        let Some(host) = uri.host() else { return false };
        let user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        let port = uri.port_u16().unwrap_or(HTTPS);
        uri.scheme_str() == Some("https") && !user && port == self.port && self.host.holds(&host.to_ascii_lowercase())
    }
}

impl Host {
    fn holds(&self, host: &str) -> bool {
        match self {
            Self::Name(name) => name == host,
            Self::Below(name) => host.split_once('.').is_some_and(|(label, rest)| !label.is_empty() && rest == name),
            Self::Address(address) => bare(host).parse() == Ok(*address),
        }
    }

    fn parse(text: &str) -> Result<Self, &'static str> {
        if let Ok(address) = bare(text).parse() {
            return Ok(Self::Address(address));
        }
        let (name, below) = match text.strip_prefix("*.") {
            Some(name) => (name, true),
            None => (text, false),
        };
        if name.contains('*') {
            return Err("a star stands for the whole first label, and a name must follow it");
        }
        let label = |label: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
            !label.is_empty() && label.len() <= 63 && label.bytes().all(plain)
        };
        if name.len() > 253 || !name.split('.').all(label) {
            return Err("the host is not a name");
        }
        let name = name.to_ascii_lowercase();
        Ok(if below { Self::Below(name) } else { Self::Name(name) })
    }
}

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let wrong = |reason| OriginError { text: text.to_owned(), reason };
        let rest = text.strip_prefix("https://").ok_or_else(|| wrong("it does not begin with https://"))?;
        if rest.contains(['/', '?', '#', '@', '\\']) {
            return Err(wrong("it has more than a host and a port"));
        }
        let port_follows = rest.rfind(':').filter(|at| !rest.get(*at..).is_some_and(|tail| tail.contains(']')));
        let (host, port) = match port_follows.and_then(|at| rest.split_at_checked(at)) {
            Some((host, port)) => {
                let port = port.trim_start_matches(':');
                let digits = port.bytes().all(|byte| byte.is_ascii_digit());
                let port = port.parse().ok().filter(|port| digits && *port > 0);
                (host, port.ok_or_else(|| wrong("the port is no number from 1 to 65535"))?)
            }
            None => (rest, HTTPS),
        };
        Ok(Self { host: Host::parse(host).map_err(wrong)?, port })
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("https://")?;
        match &self.host {
            Host::Name(name) => f.write_str(name)?,
            Host::Below(name) => write!(f, "*.{name}")?,
            Host::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            Host::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        if self.port == HTTPS { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

/// The origin of an address, for messages.
pub(super) fn shown(uri: &Uri) -> String {
    let host = uri.host().unwrap_or_default();
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{host}{port}", uri.scheme_str().unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_origin_holds_what_the_table_says() {
        for (origin, held, refused) in [
            (
                "https://fn.example",
                &["https://fn.example/a?b", "https://FN.example:443/"][..],
                &["http://fn.example/", "https://fn.example:8443/", "https://a.fn.example/", "https://u@fn.example/"][..],
            ),
            ("https://fn.example:8443", &["https://fn.example:8443/"], &["https://fn.example/"]),
            (
                "https://*.example",
                &["https://a.example/"],
                &["https://example/", "https://a.b.example/", "https://a.example.evil/"],
            ),
            ("https://[2001:db8::1]", &["https://[2001:db8:0::1]/"], &["https://[2001:db8::2]/"]),
            ("https://192.0.2.1", &["https://192.0.2.1/"], &["https://192.0.2.10/"]),
        ] {
            let origin: Origin = origin.parse().unwrap();
            for uri in held {
                assert!(origin.holds(&uri.parse().unwrap()), "{origin} and {uri}");
            }
            for uri in refused {
                assert!(!origin.holds(&uri.parse().unwrap()), "{origin} and {uri}");
            }
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for text in [
            "",
            "*",
            "fn.example",
            "http://fn.example",
            "https://",
            "https://*",
            "https://*.",
            "https://a*.example",
            "https://a.*.example",
            "https://*.*.example",
            "https://fn.example/",
            "https://u@fn.example",
            "https://fn.example:0",
            "https://fn.example:+1",
            "https://fn.example:",
            "https://fn..example",
            "https://[::1",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_parsed_or_refused_and_what_is_shown_is_read_again(text in "(https://)?[-*.:@\\[\\]/a-c0-9]{0,20}") {
            if let Ok(origin) = text.parse::<Origin>() {
                prop_assert_eq!(origin.to_string().parse::<Origin>(), Ok(origin));
            }
        }
    }
}
