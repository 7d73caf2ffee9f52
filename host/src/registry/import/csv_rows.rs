//! CSV: RFC 4180, the first line naming the columns.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, Read};
use std::rc::Rc;

use csv::{ByteRecord, ReaderBuilder};

use super::parser::{BYTE_ORDER_MARK, Stop};
use super::row::{Draft, MEMBERS, RowLimits, add_evidence, add_fact, check_fact_name, unknown};
use crate::nearest::nearest;
use crate::registry::Evidence;

/// The rows of a file.
pub(super) struct CsvRows {
    reader: csv::Reader<Bounded>,
    began_at: Rc<Cell<u64>>,
    columns: Vec<Column>,
    record: ByteRecord,
}

/// What a column says.
enum Column {
    RegistrationId,
    Evidence(&'static str),
    Fact(String),
}

/// A row's line, and what was made of it or why nothing was.
type RowRead<T> = (u64, Result<T, String>);

impl CsvRows {
    /// Reads the names of the columns.
    pub(super) fn begin(source: Box<dyn BufRead>, limits: &RowLimits) -> Result<Self, Stop> {
        let began_at = Rc::new(Cell::new(0));
        let source = Bounded { source, given: 0, began_at: Rc::clone(&began_at), max: ahead(limits) };
        let mut reader = ReaderBuilder::new().has_headers(false).flexible(true).from_reader(source);
        let mut record = ByteRecord::new();
        let there = reader.read_byte_record(&mut record).map_err(|error| stop(1, error))?;
        if !there {
            return Ok(Self { reader, began_at, columns: Vec::new(), record });
        }
        let columns = columns(&record, limits)?;
        began_at.set(reader.position().byte());
        Ok(Self { reader, began_at, columns, record })
    }

    /// Reads the next row: its line, and what is made of it. An error ends the file.
    pub(super) fn next<T>(
        &mut self,
        limits: &RowLimits,
        with: impl FnOnce(Draft<'_>) -> Result<T, String>,
    ) -> Option<Result<RowRead<T>, Stop>> {
        let line = self.reader.position().line();
        let began = self.reader.position().byte();
        self.began_at.set(began);
        match self.reader.read_byte_record(&mut self.record) {
            Ok(false) => None,
            Err(error) => Some(Err(stop(line, error))),
            Ok(true) => {
                let line = self.record.position().map_or(line, csv::Position::line);
                let began = self.record.position().map_or(began, csv::Position::byte);
                let bytes = usize::try_from(self.reader.position().byte() - began).unwrap_or(usize::MAX);
                let draft = if bytes > limits.row_bytes {
                    Err(format!("it has {bytes} bytes; at most {} are taken", limits.row_bytes))
                } else {
                    self.draft(limits, with)
                };
                Some(Ok((line, draft)))
            }
        }
    }

    fn draft<T>(&self, limits: &RowLimits, with: impl FnOnce(Draft<'_>) -> Result<T, String>) -> Result<T, String> {
        let (found, expected) = (self.record.len(), self.columns.len());
        if found != expected {
            return Err(format!("it has {found} fields, and there are {expected} columns"));
        }
        let mut registration_id = "";
        let mut evidence = Evidence::default();
        let mut facts = BTreeMap::new();
        for (column, field) in self.columns.iter().zip(&self.record) {
            let text = std::str::from_utf8(field).map_err(|_| "it is not UTF-8 text".to_owned())?;
            match column {
                Column::RegistrationId => registration_id = text,
                Column::Evidence(member) => add_evidence(&mut evidence, member, text)?,
                // An empty field says nothing.
                Column::Fact(_) if text.is_empty() => {}
                Column::Fact(name) => add_fact(&mut facts, name, text, limits)?,
            }
        }
        with(Draft { registration_id, evidence, facts })
    }
}

fn columns(header: &ByteRecord, limits: &RowLimits) -> Result<Vec<Column>, String> {
    let mut seen = BTreeSet::new();
    let mut columns = Vec::new();
    for name in header {
        let name = std::str::from_utf8(name).map_err(|_| "the line of column names is not UTF-8 text".to_owned())?;
        let shown: String = name.chars().take(80).collect();
        if !seen.insert(name) {
            return Err(format!("there are two columns `{shown}`"));
        }
        columns.push(column(name, limits)?);
    }
    if !seen.contains("registrationId") {
        let names: Vec<&str> = seen.into_iter().take(8).collect();
        return Err(format!("there is no column `registrationId`; there are: {}", names.join(", ")));
    }
    Ok(columns)
}

fn column(name: &str, limits: &RowLimits) -> Result<Column, String> {
    let fact = |name: &str| check_fact_name(name, limits).map(|()| Column::Fact(name.to_owned()));
    let evidence = MEMBERS.iter().find(|member| **member == name && !["registrationId", "facts"].contains(member));
    match (name, evidence) {
        ("registrationId", _) => Ok(Column::RegistrationId),
        (_, Some(member)) => Ok(Column::Evidence(member)),
        _ => match name.strip_prefix("fact.") {
            Some(name) => fact(name),
            None if ["state", "manufacturer"].iter().any(|word| name.eq_ignore_ascii_case(word)) => Err(unknown(name)),
            // A slip of the pen in evidence would quietly become a fact, and the device would be let in without it.
            None => match nearest(name, MEMBERS) {
                Some(meant) => {
                    Err(format!("the column `{name}` looks like `{meant}`; if it is a fact, call it `fact.{name}`"))
                }
                None => fact(name),
            },
        },
    }
}

fn stop(line: u64, error: csv::Error) -> Stop {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => match Stop::from(error) {
            Stop::TooLarge => Stop::TooLarge,
            Stop::Because(reason) => Stop::Because(format!("line {line}: {reason}")),
        },
        other => Stop::Because(format!("line {line}: {other:?}")),
    }
}

/// Hands out so many bytes beyond the beginning of a row, and no more: without it, a quotation mark that is never closed
/// would take the whole file into memory as one row.
struct Bounded {
    source: Box<dyn BufRead>,
    given: u64,
    began_at: Rc<Cell<u64>>,
    max: u64,
}

impl Read for Bounded {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        // Exactly so many bytes of a row, in whatever pieces the file comes.
        let left = self.max.saturating_sub(self.given.saturating_sub(self.began_at.get()));
        let room = out.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        if room == 0 {
            let text = "the row is far too long; is a quotation mark not closed? Nothing after it was read";
            return Err(io::Error::new(io::ErrorKind::InvalidData, text));
        }
        let out = out.get_mut(..room).unwrap_or_default();
        let mut read = self.source.read(out)?;
        // The CSV reader knows a byte order mark only when it gets all of it at once, and takes one that comes alone for
        // the end of the file.
        while self.given == 0 && read > 0 && read <= BYTE_ORDER_MARK.len() {
            match self.source.read(out.get_mut(read..).unwrap_or_default())? {
                0 => break,
                more => read += more,
            }
        }
        self.given += u64::try_from(read).unwrap_or_default();
        Ok(read)
    }
}

/// A row that is merely too long is refused alone; one of more than this is a file without an end. The first 64 KiB are
/// what the reader may have buffered of the rows behind it.
fn ahead(limits: &RowLimits) -> u64 {
    u64::try_from(limits.row_bytes).unwrap_or(u64::MAX).saturating_mul(4).saturating_add(64 * 1024)
}
