//! A moment on the command line: written out, or as how long ago it is.

use std::time::Duration;

use landfall_domain::clock::Timestamp;

/// A moment, which may depend on when it is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Moment {
    At(Timestamp),
    /// So long before now.
    Ago(Duration),
}

impl Moment {
    /// Which moment it is.
    pub(super) fn at(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(moment) => moment,
            Self::Ago(span) => {
                let millis = u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
                Timestamp::from_millis(now.as_millis().saturating_sub(millis))
            }
        }
    }
}

/// Reads RFC 3339, or a number and its unit: `90s`, `15m`, `2h`, `7d`.
pub(super) fn parse(text: &str) -> Result<Moment, String> {
    let seconds = match text.bytes().last() {
        Some(b's') => 1_u64,
        Some(b'm') => 60,
        Some(b'h') => 3_600,
        Some(b'd') => 86_400,
        _ => {
            let moment = text.parse().map(Moment::At);
            return moment.map_err(|_| format!("{text:?} is neither like 2026-01-31T12:00:00Z (RFC 3339) nor like 2h"));
        }
    };
    let number = text.get(..text.len().saturating_sub(1)).unwrap_or_default();
    let plain = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    let span = number.parse::<u64>().ok().filter(|_| plain).and_then(|number| number.checked_mul(seconds));
    let span = span.ok_or_else(|| format!("{text:?} is no time; write a number and s, m, h or d, such as 2h"))?;
    Ok(Moment::Ago(Duration::from_secs(span)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_written_out_or_some_time_ago() {
        let now = Timestamp::from_millis(1_000_000_000);
        for (text, millis) in [
            ("90s", 999_910_000),
            ("15m", 999_100_000),
            ("2h", 992_800_000),
            ("7d", 395_200_000),
            ("0s", 1_000_000_000),
            ("99999d", 0),
            ("1970-01-01T00:00:05Z", 5_000),
        ] {
            assert_eq!(parse(text).unwrap().at(now).as_millis(), millis, "{text}");
        }
        for bad in ["", "s", "2", "-2h", "2 h", "2w", "1.5h", "99999999999999999999d", "yesterday"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
