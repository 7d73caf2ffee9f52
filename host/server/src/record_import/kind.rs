//! Detects files that are not text before their first row is read.

use std::io::{BufRead, Cursor, Read as _};

use super::parser::Stop;

/// Looks at the first bytes of a file. Gives back a reader of the whole file.
pub(super) fn of_text(mut source: Box<dyn BufRead>) -> Result<Box<dyn BufRead>, Stop> {
    let mut head = Vec::new();
    // The pieces of a file may be of any size.
    source.by_ref().take(HEAD).read_to_end(&mut head)?;
    match flaw(&head) {
        Some(flaw) => Err(Stop::Because(flaw.to_owned())),
        None => Ok(Box::new(Cursor::new(head).chain(source))),
    }
}

fn flaw(head: &[u8]) -> Option<&'static str> {
    match head {
        // A zero byte never occurs in such a text. Beside a character of one byte it means UTF-16.
        [0xff, 0xfe, ..] | [0xfe, 0xff, ..] | [0, ..] | [_, 0, ..] => Some(
            "the file is UTF-16 text, as Excel's \"Unicode Text\" and PowerShell's > write it; save it as UTF-8 (Excel: CSV UTF-8; \
             otherwise: iconv -f UTF-16 -t UTF-8 FILE)",
        ),
        [b'P', b'K', 3 | 5, 4 | 6, ..] => Some(
            "the file is a spreadsheet (xlsx, ods) or another zip file, and no text; save the sheet as CSV, with the character set \
             UTF-8",
        ),
        [0xd0, 0xcf, 0x11, 0xe0, ..] => {
            Some("the file is a spreadsheet (xls), and no text; save the sheet as CSV, with the character set UTF-8")
        }
        [0x1f, 0x8b, ..] => Some(
            "the file is compressed (gzip); unpack it first: gunzip -c FILE | landfall registry import - --format csv (or jsonl)",
        ),
        _ => None,
    }
}

/// The number of bytes that are enough to detect the kind of file.
const HEAD: u64 = 4;
