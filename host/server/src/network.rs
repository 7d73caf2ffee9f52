//! Which addresses belong to one network. A limit on strangers must not count one stranger with many addresses as many
//! strangers.

use std::net::IpAddr;

/// The network that one machine, or one link of a customer, has for certain: an IPv4 address or an IPv6 /64.
pub(crate) fn of(source: IpAddr) -> IpAddr {
    match source.to_canonical() {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
    }
}

/// [`of`] as a number. Those who wait take turns by it.
pub(crate) fn turn(source: IpAddr) -> u128 {
    match of(source) {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The network of one customer of a provider, as a number: an IPv4 /24 or an IPv6 /56. It is used for places that are
/// taken before anything is proven.
pub(crate) fn neighbourhood(source: IpAddr) -> u128 {
    match source.to_canonical() {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits() >> 8,
        IpAddr::V6(v6) => v6.to_bits() >> 72 << 72 | 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_of_one_slash_56_are_one_neighbourhood() {
        let of = |text: &str| neighbourhood(text.parse().unwrap());
        assert_eq!(of("2001:db8:0:aa01::1"), of("2001:db8:0:aaff::9"));
        assert_ne!(of("2001:db8:0:aa01::1"), of("2001:db8:0:ab01::1"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.77"));
        assert_ne!(of("192.0.2.1"), of("192.0.3.1"));
    }

    #[test]
    fn an_address_of_version_4_is_itself_however_it_is_written() {
        let of = |text: &str| of(text.parse().unwrap());
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(turn("2001:db8::1".parse().unwrap()), turn("2001:db8:0:1::1".parse().unwrap()));
    }
}
