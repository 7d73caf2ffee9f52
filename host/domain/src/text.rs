//! Helpers for writing text that the whole crate shares.

use std::fmt::Write as _;

/// A text from a stranger, made safe for use within one of our sentences. Line ends, other control characters and
/// characters that change the direction of text become spaces, so that nothing in it looks like a line that we wrote.
/// Records keep the original text.
pub fn one_line(text: &str) -> String {
    let steers = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.chars().map(|c| if steers(c) { ' ' } else { c }).collect()
}

/// Bytes as lower-case hexadecimal digits, two for each.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a `String` cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_written_with_two_digits_each() {
        assert_eq!(hex(&[]), "");
        assert_eq!(hex(&[0, 0x0f, 0xff]), "000fff");
    }

    #[test]
    fn what_steers_text_becomes_a_space() {
        assert_eq!(one_line("a\nb\u{202e}c\u{1b}[2J"), "a b c [2J");
    }
}
