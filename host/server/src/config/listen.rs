//! The address of a listener: an IP address and a port, or a host name of this machine and a port.

use std::net::{SocketAddr, ToSocketAddrs as _};

use serde::de::Error as _;
use serde::{Deserialize as _, Deserializer};

/// Reads `192.0.2.7:8443`, `[::1]:8443` or `localhost:8443`. A name is resolved once, when the file is read.
pub(super) fn address<'de, D: Deserializer<'de>>(deserializer: D) -> Result<SocketAddr, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse(&text).map_err(D::Error::custom)
}

fn parse(text: &str) -> Result<SocketAddr, String> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    let wrong =
        |why: &str| format!("{text:?} is no address to listen on: {why}; write \"0.0.0.0:8443\" or \"localhost:8443\"");
    let Some((host, port)) = text.rsplit_once(':') else { return Err(wrong("the port is missing")) };
    if port.parse::<u16>().is_err() {
        return Err(wrong("the port is a number from 0 to 65535"));
    }
    if host.is_empty() {
        return Err(wrong("the address is missing"));
    }
    let found = text.to_socket_addrs().map_err(|error| wrong(&format!("{host} cannot be looked up ({error})")))?;
    // The lowest address, so that the result does not depend on the resolver's order.
    found.min().ok_or_else(|| wrong(&format!("{host} has no address")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_names_of_this_machine_are_taken() {
        assert_eq!(parse("[::1]:8443").unwrap(), "[::1]:8443".parse().unwrap());
        let named = parse("localhost:8443").unwrap();
        assert!(named.ip().is_loopback() && named.port() == 8443, "{named}");
    }

    #[test]
    fn what_is_no_address_is_told_with_an_example() {
        for (text, why) in [
            ("30", "the port is missing"),
            ("localhost:https", "the port is a number"),
            (":8443", "the address is missing"),
        ] {
            let refused = parse(text).expect_err(text);
            assert!(refused.contains(why) && refused.contains("\"localhost:8443\""), "{refused}");
        }
    }
}
