//! Moments as people write them.

use std::str::FromStr;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::clock::Timestamp;

/// A text that is no moment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no moment since 1970; write one like 2026-01-31T12:00:00Z (RFC 3339)")]
pub struct MomentError(String);

/// RFC 3339, with any offset; what is finer than a millisecond is cut off.
impl FromStr for Timestamp {
    type Err = MomentError;

    fn from_str(text: &str) -> Result<Self, MomentError> {
        let moment = OffsetDateTime::parse(text, &Rfc3339).ok();
        let millis = moment.and_then(|moment| u64::try_from(moment.unix_timestamp_nanos().div_euclid(1_000_000)).ok());
        millis.map(Self::from_millis).ok_or_else(|| MomentError(text.chars().take(LONGEST_SHOWN).collect()))
    }
}

/// Characters of a text that is wrong that are shown.
const LONGEST_SHOWN: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_in_any_offset_and_as_it_is_shown() {
        for (text, millis) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01T00:00:01.5Z", 1_500),
            ("1970-01-01T02:00:00+02:00", 0),
            ("2026-01-31T12:00:00.1239999Z", 1_769_860_800_123),
        ] {
            let read: Timestamp = text.parse().unwrap();
            assert_eq!(read.as_millis(), millis, "{text}");
            assert_eq!(read.to_string().parse(), Ok(read));
        }
        for bad in ["", "now", "2026-01-31", "2026-01-31T12:00:00", "1969-12-31T23:59:59Z", "2026-13-01T00:00:00Z"] {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad}");
        }
    }
}
