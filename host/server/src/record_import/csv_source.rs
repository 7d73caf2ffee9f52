//! The bytes of a CSV file on their way to the CSV reader. This part finds the separator, limits the bytes of one row,
//! and knows in which line of an editor a row begins.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, BufRead, Cursor, Read};
use std::rc::Rc;

use csv::ByteRecord;

use super::parser::{BYTE_ORDER_MARK, Stop, read_line};
use super::row::RowLimits;

/// Passes on a limited number of bytes of each row. Without the limit, a quotation mark that is never closed would read
/// the whole file into memory as one row.
pub(super) struct CsvSource {
    source: Box<dyn BufRead>,
    separator: u8,
    progress: Progress,
    max: u64,
}

/// How far the file has been read. The source and the CSV reader above it share this.
#[derive(Clone)]
pub(super) struct Progress(Rc<RefCell<Lines>>);

#[derive(Default)]
struct Lines {
    /// The number of bytes that were passed on.
    given: u64,
    /// The position where the current row began.
    row_began: u64,
    /// The number of lines that ended before `row_began`.
    ended: u64,
    /// The positions after which lines end, from `row_began` on.
    ends: VecDeque<u64>,
    /// The last byte was a carriage return. It ends a line by itself, unless a line feed follows.
    after_return: bool,
    /// The place of the last byte in its field.
    place: Place,
    /// The line of the last quotation mark that opens a field.
    opened: u64,
    /// The file has ended.
    at_end: bool,
}

/// The place of a byte in a field, as the CSV reader sees it.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Place {
    /// Before the first byte of a field.
    #[default]
    Begin,
    /// In a field without quotation marks, or after the closing one.
    Plain,
    /// Inside the quotation marks.
    Quoted,
    /// After a quotation mark that either closes the field or is the first of a pair.
    MayClose,
}

impl Place {
    fn next(self, byte: u8, separator: u8) -> Self {
        match (self, byte) {
            (Self::Quoted, b'"') => Self::MayClose,
            (Self::Quoted, _) => Self::Quoted,
            (Self::Begin, b'"') | (Self::MayClose, b'"') => Self::Quoted,
            (_, b'\n' | b'\r') => Self::Begin,
            (_, byte) if byte == separator => Self::Begin,
            _ => Self::Plain,
        }
    }
}

impl CsvSource {
    /// Reads the first line to find the separator. It is the one that `sep=` names (a line that Excel writes and
    /// reads), or else a comma. If the line has no comma, it is a semicolon, a tab or a vertical bar.
    pub(super) fn begin(mut source: Box<dyn BufRead>, limits: &RowLimits) -> Result<(Self, u8), Stop> {
        let mut first = Vec::new();
        let whole = read_line(&mut source, limits.row_bytes, &mut first)?;
        if whole == Some(false) {
            return Err(Stop::Because(format!("line 1 has more than {} bytes", limits.row_bytes)));
        }
        let line = first.strip_prefix(BYTE_ORDER_MARK.as_slice()).unwrap_or(&first).to_vec();
        let progress = Progress(Rc::default());
        let (kept, separator) = match line.strip_prefix(b"sep=") {
            Some([separator @ (b',' | b';' | b'\t' | b'|')]) => {
                progress.0.borrow_mut().ended = 1;
                (Vec::new(), *separator)
            }
            Some(_) => return Err(Stop::Because("line 1: `sep=` names no separator; use , ; | or a tab".to_owned())),
            None => {
                let separator = [b',', b';', b'\t', b'|'].into_iter().find(|separator| line.contains(separator));
                (with_end(line, whole.is_some()), separator.unwrap_or(b','))
            }
        };
        let max = ahead(limits);
        Ok((Self { source: Box::new(Cursor::new(kept).chain(source)), separator, progress, max }, separator))
    }

    pub(super) fn progress(&self) -> Progress {
        self.progress.clone()
    }
}

impl Read for CsvSource {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let mut lines = self.progress.0.borrow_mut();
        // The limit counts exactly the bytes of a row, however the file is cut into pieces.
        let left = self.max.saturating_sub(lines.given.saturating_sub(lines.row_began));
        let room = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if room == 0 {
            let text = "the row is far too long; nothing after it was read";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let out = out.get_mut(..room).unwrap_or_default();
        let read = self.source.read(out)?;
        lines.at_end = read == 0;
        lines.hand_out(out.get(..read).unwrap_or_default(), self.separator);
        Ok(read)
    }
}

impl Progress {
    /// Records that a row ended at this byte. Answers the line, from 1, where it began.
    pub(super) fn row_ends(&self, at: u64, record: &ByteRecord) -> u64 {
        let mut lines = self.0.borrow_mut();
        // The CSV reader stops after the first byte of a line's end, and the end of the row is not part of its fields.
        let before = lines.ended + lines.ends.iter().take_while(|end| **end < at).count() as u64;
        let within: u64 = record.iter().map(line_ends).sum();
        lines.advance(at);
        (before + 1).saturating_sub(within)
    }

    /// The line of a quotation mark that opens a field and is never closed, as far as the file was read.
    pub(super) fn never_closed(&self) -> Option<u64> {
        let lines = self.0.borrow();
        (lines.place == Place::Quoted).then_some(lines.opened)
    }

    /// The same, at the end of the file.
    pub(super) fn never_closed_at_end(&self) -> Option<u64> {
        self.never_closed().filter(|_| self.0.borrow().at_end)
    }

    /// The line where the next row begins, or an earlier one if there are empty lines before it.
    pub(super) fn next_line(&self) -> u64 {
        self.0.borrow().ended + 1
    }
}

impl Lines {
    fn hand_out(&mut self, bytes: &[u8], separator: u8) {
        for byte in bytes {
            if self.after_return && *byte != b'\n' {
                self.ends.push_back(self.given);
            }
            if self.place == Place::Begin && *byte == b'"' {
                self.opened = self.ended + self.ends.len() as u64 + 1;
            }
            self.place = self.place.next(*byte, separator);
            self.given += 1;
            if *byte == b'\n' {
                self.ends.push_back(self.given);
            }
            self.after_return = *byte == b'\r';
        }
    }

    fn advance(&mut self, at: u64) {
        self.row_began = at;
        while self.ends.front().is_some_and(|end| *end <= at) {
            self.ends.pop_front();
            self.ended += 1;
        }
    }
}

/// The line as it was read, with its end if it had one.
fn with_end(mut line: Vec<u8>, there: bool) -> Vec<u8> {
    if there {
        line.push(b'\n');
    }
    line
}

/// The number of lines that end within a field.
pub(super) fn line_ends(field: &[u8]) -> u64 {
    let mut lines = Lines::default();
    lines.hand_out(field, b',');
    lines.ends.len() as u64 + u64::from(lines.after_return)
}

/// The limit for the bytes of one row. A row that is only too long is refused by itself; beyond this limit the file is
/// refused, as one whose row never ends. The first 64 KiB are for following rows that the CSV reader may have buffered.
fn ahead(limits: &RowLimits) -> u64 {
    u64::try_from(limits.row_bytes).unwrap_or(u64::MAX).saturating_mul(4).saturating_add(64 * 1024)
}
