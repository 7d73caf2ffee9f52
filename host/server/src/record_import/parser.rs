//! Parses bytes to batches of records, on a thread that may block.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, BufRead, Read as _};

use landfall_domain::clock::Timestamp;
use landfall_domain::names::{ManufacturerId, RegistrationId};
use landfall_domain::registry::ManufacturingRecord;
use tokio::sync::mpsc;

use super::csv_rows::CsvRows;
use super::pieces::Source;
use super::report::ImportProblem;
use super::row::RowLimits;
use super::{Format, ImportError, json_lines, kind};

/// How a file is read.
pub(super) struct Parser {
    pub(super) limits: RowLimits,
    pub(super) max_rows: u64,
    pub(super) batch_rows: usize,
    pub(super) manufacturer: ManufacturerId,
    pub(super) prefixes: Vec<String>,
    pub(super) format: Format,
    pub(super) now: Timestamp,
}

/// A batch of rows.
#[derive(Debug, Default)]
pub(super) struct Batch {
    /// The number of rows that were read, refused ones included.
    pub(super) seen: u64,
    /// The accepted rows.
    pub(super) rows: Vec<Parsed>,
    pub(super) problems: Vec<ImportProblem>,
    /// Why nothing after these rows was read.
    pub(super) stopped: Option<String>,
}

/// A row that was accepted.
#[derive(Clone, Debug)]
pub(super) struct Parsed {
    pub(super) line: u64,
    pub(super) record: ManufacturingRecord,
}

impl Parser {
    /// Reads until the file ends or the receiver of batches is gone.
    pub(super) fn run(&self, source: Source, batches: &mpsc::Sender<Batch>) -> Result<(), ImportError> {
        let max_bytes = source.max_bytes();
        let mut out =
            Out { parser: self, batches, batch: Batch::default(), named: HashMap::new(), seen: 0, wanted: true };
        let ended = kind::of_text(source.reader()).and_then(|source| match self.format {
            Format::JsonLines => self.json_lines(source, &mut out),
            Format::Csv => self.csv(source, &mut out),
        });
        out.batch.stopped = match ended {
            Ok(()) => None,
            Err(Stop::TooLarge) => return Err(ImportError::TooLarge { max_bytes }),
            Err(Stop::Because(reason)) => Some(reason),
        };
        out.flush();
        Ok(())
    }

    /// Checks that the import may name this device.
    fn may_name(&self, record: ManufacturingRecord) -> Result<ManufacturingRecord, String> {
        let key = record.registration_id.key();
        if self.prefixes.is_empty() || self.prefixes.iter().any(|prefix| key.starts_with(&prefix.to_ascii_lowercase()))
        {
            return Ok(record);
        }
        let allowed = self.prefixes.join(", ");
        Err(format!("{}: the token imports only ids that begin with {allowed}", record.registration_id))
    }

    fn json_lines(&self, mut source: Box<dyn BufRead>, out: &mut Out<'_>) -> Result<(), Stop> {
        let mut line = Vec::with_capacity(self.limits.row_bytes.saturating_add(2));
        let mut number = 0;
        while out.wanted() {
            number += 1;
            let whole = read_line(&mut source, self.limits.row_bytes, &mut line)?;
            let Some(whole) = whole else { break };
            let text = line.strip_prefix(BYTE_ORDER_MARK.as_slice()).filter(|_| number == 1).unwrap_or(&line);
            if text.trim_ascii().is_empty() && whole {
                continue;
            }
            out.room()?;
            let row = if whole {
                json_lines::draft(text, &self.limits, |draft| draft.record(&self.manufacturer, self.now))
            } else {
                Err(format!("it has more than {} bytes", self.limits.row_bytes))
            };
            out.row(number, row);
        }
        Ok(())
    }

    fn csv(&self, source: Box<dyn BufRead>, out: &mut Out<'_>) -> Result<(), Stop> {
        let mut rows = CsvRows::begin(source, &self.limits)?;
        while out.wanted() {
            let next = rows.next(&self.limits, |draft| draft.record(&self.manufacturer, self.now));
            let Some(next) = next else { break };
            let (line, row) = next?;
            out.room()?;
            out.row(line, row);
        }
        Ok(())
    }
}

/// Collects rows in batches.
struct Out<'a> {
    parser: &'a Parser,
    batches: &'a mpsc::Sender<Batch>,
    batch: Batch,
    /// The devices of the batch, and the lines of their rows.
    named: HashMap<RegistrationId, u64>,
    seen: u64,
    wanted: bool,
}

impl Out<'_> {
    fn wanted(&self) -> bool {
        self.wanted
    }

    fn room(&mut self) -> Result<(), Stop> {
        let max = self.parser.max_rows;
        if self.seen >= max {
            return Err(Stop::Because(format!("a file has at most {max} rows; nothing after them was read")));
        }
        self.seen += 1;
        Ok(())
    }

    fn row(&mut self, line: u64, row: Result<ManufacturingRecord, String>) {
        self.batch.seen += 1;
        let row = row.and_then(|record| self.parser.may_name(record));
        match row.and_then(|record| self.first_of_its_device(line, record)) {
            Ok(record) => self.batch.rows.push(Parsed { line, record }),
            Err(reason) => {
                self.batch.problems.push(ImportProblem { line, registration_id: None, reason, of_other: false })
            }
        }
        if self.batch.seen >= u64::try_from(self.parser.batch_rows).unwrap_or(u64::MAX) {
            self.flush();
        }
    }

    /// Refuses a second row of a device: a file must not say two things of one device. This is checked within a batch.
    /// To check the whole file, all of its devices would have to be kept in memory.
    fn first_of_its_device(&mut self, line: u64, record: ManufacturingRecord) -> Result<ManufacturingRecord, String> {
        match self.named.entry(record.registration_id.clone()) {
            Entry::Vacant(place) => {
                place.insert(line);
                Ok(record)
            }
            Entry::Occupied(first) => {
                Err(format!("{} is named in line {} already", record.registration_id, first.get()))
            }
        }
    }

    fn flush(&mut self) {
        self.named.clear();
        let batch = std::mem::take(&mut self.batch);
        if batch.seen > 0 || batch.stopped.is_some() {
            self.wanted = self.batches.blocking_send(batch).is_ok();
        }
        self.batch.rows.reserve(self.parser.batch_rows);
    }
}

/// Why no more is read.
pub(super) enum Stop {
    /// The file is larger than what may be stored on disk.
    TooLarge,
    Because(String),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::FileTooLarge => Self::TooLarge,
            _ => Self::Because(error.to_string()),
        }
    }
}

impl From<String> for Stop {
    fn from(reason: String) -> Self {
        Self::Because(reason)
    }
}

/// Reads a line without its end. Answers whether the line is complete or too long; `None` at the end of the file.
pub(super) fn read_line(source: &mut dyn BufRead, max: usize, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
    line.clear();
    let with_end = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(2);
    let read = source.take(with_end).read_until(b'\n', line)?;
    if read == 0 {
        return Ok(None);
    }
    let ended = line.pop_if(|byte| *byte == b'\n').is_some();
    line.pop_if(|byte| *byte == b'\r');
    if !ended && u64::try_from(read).unwrap_or_default() == with_end {
        skip_line(source)?;
        return Ok(Some(false));
    }
    Ok(Some(line.len() <= max))
}

fn skip_line(source: &mut dyn BufRead) -> io::Result<()> {
    loop {
        let buffer = source.fill_buf()?;
        if buffer.is_empty() {
            return Ok(());
        }
        let (length, ended) = match buffer.iter().position(|byte| *byte == b'\n') {
            Some(end) => (end + 1, true),
            None => (buffer.len(), false),
        };
        source.consume(length);
        if ended {
            return Ok(());
        }
    }
}

/// Some tools write it at the start of a file.
pub(super) const BYTE_ORDER_MARK: [u8; 3] = [0xEF, 0xBB, 0xBF];
