//! CSV: RFC 4180 with column names in the first line, and the variants that spreadsheets write.
//!
//! A spreadsheet separates fields with a semicolon where the comma is the decimal sign, or with a tab; other tools use
//! a vertical bar. Spreadsheets also write empty rows and columns beside the filled ones. An empty field, row or column
//! says nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, ErrorKind};

use csv::{ByteRecord, ReaderBuilder};
use landfall_domain::did_you_mean::nearest;
use landfall_domain::registry::Evidence;
use landfall_domain::registry::evidence::EVIDENCE;

use super::csv_source::{CsvSource, Progress, line_ends};
use super::parser::Stop;
use super::row::{Draft, NOT_UTF8, RowLimits, add_evidence, add_fact, check_fact_name, members, unknown};

/// The rows of a CSV file.
pub(super) struct CsvRows {
    reader: csv::Reader<CsvSource>,
    progress: Progress,
    columns: Vec<Column>,
    record: ByteRecord,
}

/// What a column contains.
enum Column {
    RegistrationId,
    Evidence(&'static str),
    Fact(String),
    /// A column without a name, whose fields must be empty.
    Unnamed,
}

/// The line of a row, with what it was parsed to or why it was refused.
type RowRead<T> = (u64, Result<T, String>);

impl CsvRows {
    /// Reads the names of the columns.
    pub(super) fn begin(source: Box<dyn BufRead>, limits: &RowLimits) -> Result<Self, Stop> {
        let (source, separator) = CsvSource::begin(source, limits)?;
        let progress = source.progress();
        let mut reader =
            ReaderBuilder::new().has_headers(false).flexible(true).delimiter(separator).from_reader(source);
        let mut record = ByteRecord::new();
        let there = reader.read_byte_record(&mut record).map_err(|error| stop(&progress, error))?;
        if let Some(line) = progress.never_closed_at_end() {
            return Err(never_closed(line));
        }
        if !there {
            let empty =
                "the file is empty; a CSV file begins with the names of its columns, `registrationId` among them";
            return Err(Stop::Because(empty.to_owned()));
        }
        let columns = columns(&record, limits)?;
        progress.row_ends(reader.position().byte(), &record);
        Ok(Self { reader, progress, columns, record })
    }

    /// Reads the next row: its line, and what it was parsed to. An error ends the file.
    pub(super) fn next<T>(
        &mut self,
        limits: &RowLimits,
        with: impl FnOnce(Draft<'_>) -> Result<T, String>,
    ) -> Option<Result<RowRead<T>, Stop>> {
        loop {
            let began = self.reader.position().byte();
            match self.reader.read_byte_record(&mut self.record) {
                Ok(false) => return None,
                Err(error) => return Some(Err(stop(&self.progress, error))),
                Ok(true) => {
                    if let Some(line) = self.progress.never_closed_at_end() {
                        return Some(Err(never_closed(line)));
                    }
                    let began = self.record.position().map_or(began, csv::Position::byte);
                    let ended = self.reader.position().byte();
                    let line = self.progress.row_ends(ended, &self.record);
                    if self.record.iter().all(<[u8]>::is_empty) {
                        continue;
                    }
                    let bytes = usize::try_from(ended - began).unwrap_or(usize::MAX);
                    let draft = if bytes > limits.row_bytes {
                        Err(format!("it has {bytes} bytes; at most {} are taken", limits.row_bytes))
                    } else {
                        self.draft(limits, with)
                    };
                    return Some(Ok((line, draft)));
                }
            }
        }
    }

    fn draft<T>(&self, limits: &RowLimits, with: impl FnOnce(Draft<'_>) -> Result<T, String>) -> Result<T, String> {
        // No value may contain a line end. A missing or surplus quotation mark makes following rows part of a field.
        if self.record.iter().any(|field| line_ends(field) > 0) {
            let text = "a field between quotation marks goes on over the end of a line; is a mark missing, or is one too many?";
            return Err(text.to_owned());
        }
        let (found, expected) = (self.record.len(), self.columns.len());
        // Fields to the right of the last column must be empty, like fields in a column without a name.
        let beyond = self.record.iter().skip(expected).any(|field| !field.is_empty());
        if found < expected || beyond {
            return Err(format!("it has {found} fields, and there are {expected} columns"));
        }
        let mut registration_id = "";
        let mut evidence = Evidence::default();
        let mut facts = BTreeMap::new();
        for (column, field) in self.columns.iter().zip(&self.record) {
            let text = std::str::from_utf8(field).map_err(|_| NOT_UTF8.to_owned())?;
            match column {
                Column::RegistrationId => registration_id = text,
                Column::Evidence(member) => add_evidence(&mut evidence, member, text)?,
                // An empty field says nothing.
                Column::Fact(_) if text.is_empty() => {}
                Column::Fact(name) => add_fact(&mut facts, name, text, limits)?,
                Column::Unnamed if text.is_empty() => {}
                Column::Unnamed => {
                    let shown: String = text.chars().take(80).collect();
                    return Err(format!("{shown:?} stands in a column without a name; name the column in line 1"));
                }
            }
        }
        with(Draft { registration_id, evidence, facts })
    }
}

fn columns(header: &ByteRecord, limits: &RowLimits) -> Result<Vec<Column>, String> {
    let mut seen = BTreeSet::new();
    let mut columns = Vec::new();
    for name in header {
        let name = std::str::from_utf8(name).map_err(|_| format!("the line of column names: {NOT_UTF8}"))?;
        if name.is_empty() {
            columns.push(Column::Unnamed);
            continue;
        }
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
    let fact = |name: &str| match check_fact_name(name, limits) {
        Ok(()) => Ok(Column::Fact(name.to_owned())),
        Err(reason) => Err(format!(
            "a column of the first line cannot be used: {reason}. Columns with a meaning of their own: {}",
            members().filter(|member| *member != "facts").collect::<Vec<_>>().join(", ")
        )),
    };
    let evidence = EVIDENCE.iter().find(|member| **member == name);
    match (name, evidence) {
        ("registrationId", _) => Ok(Column::RegistrationId),
        (_, Some(member)) => Ok(Column::Evidence(member)),
        _ => match name.strip_prefix("fact.") {
            Some(name) => fact(name),
            None if ["state", "manufacturer"].iter().any(|word| name.eq_ignore_ascii_case(word)) => Err(unknown(name)),
            // A misspelled evidence column would become a fact without notice, and the device would be admitted without
            // that evidence.
            None => match spelled_otherwise(name).or_else(|| nearest(name, members())) {
                Some(meant) => {
                    Err(format!("the column `{name}` looks like `{meant}`; if it is a fact, call it `fact.{name}`"))
                }
                None => fact(name),
            },
        },
    }
}

/// The member that a column name means in another spelling, as in a heading for people: `Registration ID`.
fn spelled_otherwise(name: &str) -> Option<&'static str> {
    let plain = |name: &str| -> String {
        name.chars().filter(char::is_ascii_alphanumeric).map(|letter| letter.to_ascii_lowercase()).collect()
    };
    let typed = plain(name);
    members().find(|member| plain(member) == typed)
}

fn never_closed(line: u64) -> Stop {
    Stop::Because(format!(
        "line {line}: the quotation mark that opens a field here is never closed, so that the rest of the file would be in \
         it; nothing of that was read"
    ))
}

fn stop(progress: &Progress, error: csv::Error) -> Stop {
    let line = progress.next_line();
    match error.into_kind() {
        csv::ErrorKind::Io(error) if error.kind() == ErrorKind::InvalidData => {
            let opened = progress
                .never_closed()
                .map(|line| format!("; the quotation mark that opens a field in line {line} seems not to be closed"));
            Stop::Because(format!("line {line}: {error}{}", opened.unwrap_or_default()))
        }
        csv::ErrorKind::Io(error) => match Stop::from(error) {
            Stop::TooLarge => Stop::TooLarge,
            Stop::Because(reason) => Stop::Because(format!("line {line}: {reason}")),
        },
        other => Stop::Because(format!("line {line}: {other:?}")),
    }
}
