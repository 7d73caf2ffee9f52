//! nameConstraints (RFC 5280, 4.2.1.10): the names for which an authority may issue certificates.
//!
//! They apply to the subject and the alternative names of every certificate below, except self-issued intermediates.
//! Directory names, host names, mail addresses, network addresses and URIs are compared. A name of any other kind
//! under a constraint of the same kind is refused, as the section demands of implementations that cannot compare it.

use x509_parser::asn1_rs::{Any, Class, FromDer as _, Tag};
use x509_parser::extensions::GeneralName;

use super::distinguished::Name;

/// A general name, as certificates use it in alternative names and in constraints.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum General {
    Host(String),
    Mail(String),
    Uri(String),
    Address(Vec<u8>),
    Directory(Name),
    /// A kind that is not compared here, identified by its tag.
    Other(u32),
}

/// The names of one certificate to which constraints apply.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Names {
    pub(super) subject: Name,
    pub(super) alternative: Vec<General>,
    /// emailAddress attributes of the subject. Constraints on mail addresses apply to them if no alternative name is a
    /// mail address.
    pub(super) subject_mails: Vec<String>,
}

/// The constraints of one authority.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Constraints {
    permitted: Vec<General>,
    excluded: Vec<General>,
}

/// Why a certificate's names are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Violation {
    /// The constraints do not allow this name.
    Name(String),
    /// There are too many names and constraints to compare them all.
    TooMany,
}

impl General {
    pub(super) fn of(name: &GeneralName<'_>) -> Self {
        match name {
            GeneralName::DNSName(host) => Self::Host(host.to_ascii_lowercase()),
            GeneralName::RFC822Name(mail) => Self::Mail((*mail).to_owned()),
            GeneralName::URI(uri) => Self::Uri((*uri).to_owned()),
            GeneralName::IPAddress(octets) => Self::Address(octets.to_vec()),
            GeneralName::DirectoryName(name) => Self::Directory(Name::of(name)),
            GeneralName::OtherName(..) => Self::Other(0),
            GeneralName::X400Address(_) => Self::Other(3),
            GeneralName::EDIPartyName(_) => Self::Other(5),
            GeneralName::RegisteredID(_) => Self::Other(8),
            GeneralName::Invalid(tag, _) => Self::Other(tag.0),
        }
    }

    fn kind(&self) -> u32 {
        match self {
            Self::Mail(_) => 1,
            Self::Host(_) => 2,
            Self::Directory(_) => 4,
            Self::Uri(_) => 6,
            Self::Address(_) => 7,
            Self::Other(tag) => *tag,
        }
    }

    fn text(&self) -> String {
        match self {
            Self::Host(text) | Self::Mail(text) | Self::Uri(text) => format!("{text:?}"),
            Self::Address(octets) => match (<[u8; 4]>::try_from(&**octets), <[u8; 16]>::try_from(&**octets)) {
                (Ok(v4), _) => std::net::Ipv4Addr::from(v4).to_string(),
                (_, Ok(v6)) => std::net::Ipv6Addr::from(v6).to_string(),
                _ => "an address of a wrong length".to_owned(),
            },
            Self::Directory(_) => "a directory name".to_owned(),
            Self::Other(tag) => format!("an alternative name of kind {tag}"),
        }
    }
}

impl Constraints {
    /// Parses the value of the extension. `None` if it is malformed, or if other parsers would read it differently.
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        let mut out = Self::default();
        let mut rest = whole(value)?;
        let mut last = None;
        while !rest.is_empty() {
            let (after, trees) = Any::from_der(rest).ok()?;
            let tag = trees.tag().0;
            if trees.class() != Class::ContextSpecific || last.is_some_and(|last| last >= tag) {
                return None;
            }
            let list = match tag {
                0 => &mut out.permitted,
                1 => &mut out.excluded,
                _ => return None,
            };
            subtrees(trees.data, list)?;
            last = Some(tag);
            rest = after;
        }
        // An empty sequence is not allowed.
        last.map(|_| out)
    }

    /// Whether the authority may issue for a certificate's names. Each comparison is subtracted from `left`.
    pub(super) fn allow(&self, names: &Names, left: &mut usize) -> Result<(), Violation> {
        let mails = names.subject_mails.iter().map(|mail| General::Mail(mail.clone()));
        let has_mail = names.alternative.iter().any(|name| matches!(name, General::Mail(_)));
        let mails: Vec<General> = mails.filter(|_| !has_mail).collect();
        let subject = (!names.subject.is_empty()).then(|| General::Directory(names.subject.clone()));
        let all = names.alternative.iter().chain(&mails).chain(&subject);
        let comparisons = all.clone().count().saturating_mul(self.permitted.len() + self.excluded.len());
        *left = left.checked_sub(comparisons).ok_or(Violation::TooMany)?;
        let allowed = |name: &General| {
            let mut permitted = self.permitted.iter().filter(|base| base.kind() == name.kind()).peekable();
            let stands_in_one = permitted.peek().is_none() || permitted.any(|base| holds(base, name, false));
            let mut excluded = self.excluded.iter().filter(|base| base.kind() == name.kind());
            stands_in_one && !excluded.any(|base| holds(base, name, true))
        };
        match all.clone().find(|name| !allowed(name)) {
            None => Ok(()),
            Some(General::Directory(name)) if *name == names.subject => Err(Violation::Name("its subject".to_owned())),
            Some(name) => Err(Violation::Name(name.text())),
        }
    }
}

/// Whether a name is within a subtree of its kind. If that cannot be decided, the result is `unsure`: in doubt, a name
/// counts as excluded and as not permitted.
fn holds(top: &General, name: &General, unsure: bool) -> bool {
    match (top, name) {
        (General::Directory(top), General::Directory(name)) => name.is_within(top),
        (General::Host(top), General::Host(name)) => host_holds(top, name, unsure).unwrap_or(unsure),
        (General::Mail(top), General::Mail(name)) => mail_holds(top, name).unwrap_or(unsure),
        (General::Uri(top), General::Uri(name)) => uri_holds(top, name).unwrap_or(unsure),
        (General::Address(top), General::Address(name)) => address_holds(top, name).unwrap_or(unsure),
        _ => unsure,
    }
}

/// A host name is within a subtree if it is made by adding labels on the left. A wildcard stands for the names below
/// it, and an exclusion may contain some of these. `None` if it is not a host name.
fn host_holds(top: &str, name: &str, excluding: bool) -> Option<bool> {
    let plain = |host: &str| {
        let known = |label: &str| label.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
        host.split('.').all(|label| !label.is_empty() && known(label))
    };
    let (top, name) = (top.trim_end_matches('.'), name.strip_suffix('.').unwrap_or(name));
    let (parent, wildcard) = name.strip_prefix("*.").map_or((name, false), |parent| (parent, true));
    if !plain(parent) {
        return None;
    }
    let below = |name: &str, top: &str| {
        top.is_empty() || name == top || name.strip_suffix(top).is_some_and(|left| left.ends_with('.'))
    };
    Some(below(parent, top) || (wildcard && excluding && below(top, parent)))
}

/// The constraint is one mailbox, all mailboxes of a host, or (with a leading period) all hosts of a domain. Quoted
/// mailboxes have a more complex syntax and are not compared.
fn mail_holds(top: &str, name: &str) -> Option<bool> {
    let (local, host) = name.split_once('@').filter(|(local, host)| !local.is_empty() && !host.is_empty())?;
    if host.contains('@') || local.contains('"') {
        return None;
    }
    Some(match top.rsplit_once('@') {
        Some((mailbox, of)) => mailbox == local && of.eq_ignore_ascii_case(host),
        None => domain_holds(top, host),
    })
}

/// The constraint is a host or, with a leading period, all hosts of a domain.
fn domain_holds(top: &str, host: &str) -> bool {
    let (top, host) = (top.to_ascii_lowercase(), host.to_ascii_lowercase());
    match top.strip_prefix('.') {
        Some(_) => host.len() > top.len() && host.ends_with(&top),
        None => host == top,
    }
}

/// URIs are compared by host. `None` if a URI has no host, or an address in its place.
fn uri_holds(top: &str, name: &str) -> Option<bool> {
    let uri: http::Uri = name.parse().ok()?;
    let host = uri.host().filter(|host| !host.is_empty() && !host.starts_with('['))?;
    host.parse::<std::net::Ipv4Addr>().is_err().then(|| domain_holds(top, host))
}

/// The constraint is an address and a mask, 4 or 16 octets each.
fn address_holds(top: &[u8], name: &[u8]) -> Option<bool> {
    if name.len() != 4 && name.len() != 16 {
        return None;
    }
    if top.len() != name.len() * 2 {
        return Some(false);
    }
    let (network, mask) = top.split_at(name.len());
    Some(network.iter().zip(mask).zip(name).all(|((network, mask), octet)| network & mask == octet & mask))
}

/// The content of the sequence, if the bytes are exactly one sequence.
fn whole(value: &[u8]) -> Option<&[u8]> {
    let (rest, sequence) = Any::from_der(value).ok()?;
    (rest.is_empty() && sequence.tag() == Tag::Sequence && sequence.class() == Class::Universal)
        .then_some(sequence.data)
}

/// Parses the subtrees, of which there must be at least one. This profile does not use minimum and maximum, so they
/// must be absent.
fn subtrees(mut bytes: &[u8], list: &mut Vec<General>) -> Option<()> {
    if bytes.is_empty() {
        return None;
    }
    while !bytes.is_empty() {
        let (after, tree) = Any::from_der(bytes).ok()?;
        if tree.tag() != Tag::Sequence {
            return None;
        }
        let (rest, base) = GeneralName::from_der(tree.data).ok()?;
        if !rest.is_empty() || matches!(base, GeneralName::Invalid(..)) {
            return None;
        }
        let base = General::of(&base);
        is_of_its_form(&base).then_some(())?;
        list.push(base);
        bytes = after;
    }
    Some(())
}

/// Whether the base of a subtree has the form that the section demands. A host name has no leading period, and a mask
/// consists of leading one bits.
fn is_of_its_form(base: &General) -> bool {
    match base {
        General::Host(host) => !host.starts_with('.') && !host.contains('*') && host.is_ascii(),
        General::Mail(mail) => mail.is_ascii() && !mail.is_empty(),
        General::Uri(host) => host.is_ascii() && !host.is_empty(),
        General::Address(octets) if octets.len() == 8 || octets.len() == 32 => {
            let mask = octets.iter().skip(octets.len() / 2);
            let bits = mask.flat_map(|octet| (0..8).rev().map(move |bit| octet >> bit & 1));
            bits.is_sorted_by(|left, right| left >= right)
        }
        General::Address(_) => false,
        General::Directory(_) | General::Other(_) => true,
    }
}

/// Maximum number of comparisons in one search for a path: more than an honest chain needs, and only a few
/// milliseconds.
pub(super) const MAX_COMPARISONS: usize = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> General {
        General::Host(text.to_owned())
    }

    fn mail(text: &str) -> General {
        General::Mail(text.to_owned())
    }

    fn uri(text: &str) -> General {
        General::Uri(text.to_owned())
    }

    #[test]
    fn subtrees_hold_what_the_section_says() {
        let address = |octets: &[u8]| General::Address(octets.to_vec());
        let net = address(&[10, 1, 0, 0, 255, 255, 0, 0]);
        for (top, name, expected) in [
            (host("acme.example"), host("acme.example"), true),
            (host("acme.example"), host("a.b.acme.example"), true),
            (host("acme.example"), host("notacme.example"), false),
            (host("acme.example"), host("*.acme.example"), true),
            (host(""), host("anything.example"), true),
            (mail("acme.example"), mail("a@acme.example"), true),
            (mail("acme.example"), mail("a@x.acme.example"), false),
            (mail(".acme.example"), mail("a@x.ACME.example"), true),
            (mail(".acme.example"), mail("a@acme.example"), false),
            (mail("a@acme.example"), mail("a@Acme.example"), true),
            (mail("a@acme.example"), mail("A@acme.example"), false),
            (uri("acme.example"), uri("https://acme.example/x"), true),
            (uri(".acme.example"), uri("https://x.acme.example:8443/"), true),
            (uri("acme.example"), uri("https://x.acme.example/"), false),
            (net.clone(), address(&[10, 1, 2, 3]), true),
            (net.clone(), address(&[10, 2, 2, 3]), false),
            (net, address(&[0; 16]), false),
        ] {
            assert_eq!(holds(&top, &name, false), expected, "{top:?} {name:?}");
            assert_eq!(holds(&top, &name, true), expected, "{top:?} {name:?}");
        }
    }

    #[test]
    fn in_doubt_a_name_is_excluded_and_not_permitted() {
        for (top, name) in [
            (uri("acme.example"), uri("urn:acme:7")),
            (uri("acme.example"), uri("https://10.0.0.1/")),
            (mail("acme.example"), mail("nobody")),
            (mail("acme.example"), mail("a@b@acme.example")),
            (host("acme.example"), host(".acme.example")),
            (host("acme.example"), host("a b.acme.example")),
            (General::Other(0), General::Other(0)),
        ] {
            assert!(holds(&top, &name, true) && !holds(&top, &name, false), "{top:?} {name:?}");
        }
        assert!(holds(&host("secret.acme.example"), &host("*.acme.example"), true), "the wildcard stands for it too");
        assert!(!holds(&host("secret.acme.example"), &host("*.acme.example"), false));
    }

    #[test]
    fn a_name_of_another_kind_is_not_spoken_of() {
        let names = Names { alternative: vec![host("evil.example")], ..Names::default() };
        let only = |permitted| Constraints { permitted: vec![permitted], excluded: Vec::new() };
        assert_eq!(only(mail("acme.example")).allow(&names, &mut { MAX_COMPARISONS }), Ok(()));
        assert!(matches!(only(host("acme.example")).allow(&names, &mut { MAX_COMPARISONS }), Err(Violation::Name(_))));
        let by_subject = Names { subject_mails: vec!["a@evil.example".to_owned()], ..Names::default() };
        assert!(only(mail("acme.example")).allow(&by_subject, &mut { MAX_COMPARISONS }).is_err());
        let beside = Names { alternative: vec![mail("a@acme.example")], ..by_subject };
        assert_eq!(only(mail("acme.example")).allow(&beside, &mut { MAX_COMPARISONS }), Ok(()));
    }

    #[test]
    fn thousands_of_names_are_not_compared_with_thousands() {
        let many = |number: usize| (0..number).map(|at| host(&format!("{at}.example"))).collect::<Vec<_>>();
        let constraints = Constraints { permitted: many(500), excluded: Vec::new() };
        let names = |number| Names { alternative: many(number), ..Names::default() };
        let mut left = MAX_COMPARISONS;
        assert_eq!(constraints.allow(&names(500), &mut left), Err(Violation::TooMany));
        assert_eq!(left, MAX_COMPARISONS, "none was made");
        assert_eq!(constraints.allow(&names(10), &mut left), Ok(()));
        assert_eq!(constraints.allow(&names(11), &mut left), Err(Violation::TooMany), "all of a search count together");
    }

    #[test]
    fn what_is_not_of_its_form_is_not_read() {
        let tree = |tag: u8, base: &[u8]| {
            let length = u8::try_from(base.len()).unwrap();
            let base = [&[tag, length], base].concat();
            let wrap = |tag: u8, content: &[u8]| [&[tag, u8::try_from(content.len()).unwrap()], content].concat();
            wrap(0x30, &wrap(0xa0, &wrap(0x30, &base)))
        };
        assert!(Constraints::read(&tree(0x82, b"acme.example")).is_some());
        assert!(Constraints::read(&tree(0x87, &[10, 0, 0, 0, 255, 0, 0, 0])).is_some());
        assert!(Constraints::read(&tree(0x82, b".acme.example")).is_none());
        assert!(Constraints::read(&tree(0x87, &[10, 0, 0, 0, 255, 0, 255, 0])).is_none());
        assert!(Constraints::read(&tree(0x87, &[10, 0, 0, 0])).is_none());
        assert!(Constraints::read(&[0x30, 0]).is_none());
        assert!(Constraints::read(&[0x30, 2, 0xa0, 0]).is_none());
        assert!(Constraints::read(&[&tree(0x82, b"a")[..], &[5, 0]].concat()).is_none());
    }
}
