//! The subset of DER that Kerberos and SPNEGO need: a cursor over tag, length and value.

use time::{Date, Month, PrimitiveDateTime, Time};

use super::flaw::KerberosFlaw::{self, Malformed};

pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OCTET_STRING: u8 = 0x04;
pub(super) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(super) const GENERALIZED_TIME: u8 = 0x18;
pub(super) const GENERAL_STRING: u8 = 0x1b;
pub(super) const SEQUENCE: u8 = 0x30;

/// The tag `[number]`, explicit. Numbers up to 30 only; Kerberos uses none above.
pub(super) const fn context(number: u8) -> u8 {
    0xa0 | number
}

/// The tag `[APPLICATION number]`.
pub(super) const fn application(number: u8) -> u8 {
    0x60 | number
}

/// The bytes that are still to be read.
#[derive(Clone, Copy)]
pub(super) struct Der<'a>(pub(super) &'a [u8]);

impl<'a> Der<'a> {
    /// The contents of the next value, which must have this tag.
    pub(super) fn read(&mut self, tag: u8) -> Result<&'a [u8], KerberosFlaw> {
        self.optional(tag)?.ok_or(Malformed("another field was expected"))
    }

    /// A cursor over the contents of the next value, which must have this tag.
    pub(super) fn enter(&mut self, tag: u8) -> Result<Self, KerberosFlaw> {
        self.read(tag).map(Self)
    }

    /// The contents of the next value if it has this tag.
    pub(super) fn optional(&mut self, tag: u8) -> Result<Option<&'a [u8]>, KerberosFlaw> {
        let Some((found, rest)) = self.0.split_first() else { return Ok(None) };
        if *found != tag {
            return Ok(None);
        }
        let (length, rest) = length(rest)?;
        let (value, rest) = rest.split_at_checked(length).ok_or(Malformed("cut off"))?;
        self.0 = rest;
        Ok(Some(value))
    }

    /// `[number] EXPLICIT` of exactly one value with this tag.
    pub(super) fn field(&mut self, number: u8, tag: u8) -> Result<&'a [u8], KerberosFlaw> {
        let mut inner = self.enter(context(number))?;
        let value = inner.read(tag)?;
        inner.end()?;
        Ok(value)
    }

    /// Like [`Der::field`], for a field that may be absent.
    pub(super) fn optional_field(&mut self, number: u8, tag: u8) -> Result<Option<&'a [u8]>, KerberosFlaw> {
        let Some(value) = self.optional(context(number))? else { return Ok(None) };
        let mut inner = Self(value);
        let value = inner.read(tag)?;
        inner.end()?;
        Ok(Some(value))
    }

    /// Checks that nothing follows.
    pub(super) fn end(self) -> Result<(), KerberosFlaw> {
        if self.0.is_empty() { Ok(()) } else { Err(Malformed("unexpected bytes after a value")) }
    }
}

fn length(bytes: &[u8]) -> Result<(usize, &[u8]), KerberosFlaw> {
    let (first, rest) = bytes.split_first().ok_or(Malformed("cut off"))?;
    match first {
        0..=0x7f => Ok((usize::from(*first), rest)),
        // A length of three bytes allows 16 MiB: more than any header holds.
        0x81..=0x83 => {
            let (bytes, rest) = rest.split_at_checked(usize::from(first & 0x7f)).ok_or(Malformed("cut off"))?;
            Ok((bytes.iter().fold(0, |length, byte| (length << 8) | usize::from(*byte)), rest))
        }
        _ => Err(Malformed("a length in a form that is not allowed")),
    }
}

/// The contents of an INTEGER, if it fits in 64 bits.
pub(super) fn integer(bytes: &[u8]) -> Result<i64, KerberosFlaw> {
    match bytes {
        [] => Err(Malformed("an empty number")),
        [first, ..] if bytes.len() <= 8 => {
            let sign = if first & 0x80 == 0 { 0 } else { -1 };
            Ok(bytes.iter().fold(sign, |value, byte| (value << 8) | i64::from(*byte)))
        }
        _ => Err(Malformed("a number that is too large")),
    }
}

/// The first 32 bits of a BIT STRING. Kerberos' bit 0 is the highest bit.
pub(super) fn flags(bytes: &[u8]) -> Result<u32, KerberosFlaw> {
    let (_, bits) = bytes.split_first().ok_or(Malformed("empty flags"))?;
    Ok(bits.iter().chain(&[0; 4]).take(4).fold(0, |flags, byte| (flags << 8) | u32::from(*byte)))
}

/// A KerberosString. Active Directory writes UTF-8 into it.
pub(super) fn text(bytes: &[u8]) -> Result<String, KerberosFlaw> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed("a name that is not UTF-8"))
}

/// A KerberosTime, `20261124015801Z`, in Unix seconds.
pub(super) fn unix_time(bytes: &[u8]) -> Result<i64, KerberosFlaw> {
    let flaw = Malformed("not a time");
    let (digits, zone) = bytes.split_at_checked(14).ok_or_else(|| flaw.clone())?;
    if zone != b"Z" || !digits.iter().all(u8::is_ascii_digit) {
        return Err(flaw);
    }
    let mut pairs =
        digits.chunks_exact(2).map(|pair| pair.iter().fold(0_u8, |n, d| n.wrapping_mul(10).wrapping_add(d & 0x0f)));
    let mut next = || pairs.next().unwrap_or_default();
    let year = i32::from(next()).saturating_mul(100).saturating_add(i32::from(next()));
    Month::try_from(next())
        .and_then(|month| Date::from_calendar_date(year, month, next()))
        .and_then(|date| Ok(PrimitiveDateTime::new(date, Time::from_hms(next(), next(), next())?)))
        .map(|moment| moment.assume_utc().unix_timestamp())
        .map_err(|_| flaw)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_times() {
        assert_eq!(integer(&[0xff, 0x7b]), Ok(-133));
        assert_eq!(integer(&[0, 0xff, 0xff, 0xff, 0xff]), Ok(0xffff_ffff));
        assert!(integer(&[]).is_err() && integer(&[1; 9]).is_err());
        assert_eq!(unix_time(b"19700101000000Z"), Ok(0));
        assert_eq!(unix_time(b"20261124020009Z"), Ok(1_795_485_609));
        for bad in [&b"20261324020009Z"[..], b"20261124020009", b"2026112402000+Z", b"20261124020009.0Z", b""] {
            assert!(unix_time(bad).is_err());
        }
        assert_eq!(flags(&[0, 0x20]), Ok(0x2000_0000));
    }

    #[test]
    fn lengths() {
        assert_eq!(Der(&[4, 0x81, 1, 9]).read(OCTET_STRING), Ok(&[9][..]));
        for bad in [
            &[4][..],
            &[4, 2, 1],
            &[4, 0x80, 0, 0],
            &[4, 0x84, 0, 0, 0, 1, 9],
            &[4, 0x82, 1],
            &[4, 0x83, 255, 255, 255],
        ] {
            assert!(Der(bad).read(OCTET_STRING).is_err());
        }
    }
}
