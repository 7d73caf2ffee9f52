//! The `Prefer` header (RFC 7240). Only `wait=N` is honoured: the device prefers to wait up to N seconds for the final
//! result, instead of polling.

use std::time::Duration;

use http::HeaderMap;

/// How long the client is willing to wait, if it says so. An invalid preference is ignored, as the RFC requires
/// (section 2).
pub(super) fn wait(headers: &HeaderMap) -> Option<Duration> {
    headers
        .get_all("prefer")
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|preference| preference.split(';').next()?.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("wait"))
        .and_then(|(_, seconds)| seconds.trim().trim_matches('"').parse().ok())
        .map(Duration::from_secs)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(value: &'static str) -> Option<u64> {
        let mut headers = HeaderMap::new();
        headers.insert("prefer", http::HeaderValue::from_static(value));
        wait(&headers).map(|d| d.as_secs())
    }

    #[test]
    fn the_wait_preference_is_found_among_others() {
        assert_eq!(parsed("wait=10"), Some(10));
        assert_eq!(parsed("respond-async, Wait = \"7\"; x=y"), Some(7));
    }

    #[test]
    fn what_is_no_number_of_seconds_is_ignored() {
        for odd in ["wait", "wait=", "wait=-1", "wait=1.5", "await=3", "wait=99999999999999999999"] {
            assert_eq!(parsed(odd), None, "{odd}");
        }
    }
}
