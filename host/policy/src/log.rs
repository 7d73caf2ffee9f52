//! The log lines of one call: limited, kept with the decision, and never part of the outcome.
//!
//! Lines come from the `log` import and from WASI's standard output and error. Lines beyond the budget are counted and
//! dropped, so a policy that logs without end costs only its own fuel. A panic is recorded separately, because
//! otherwise the line that its author needs could be one of those that are dropped.

pub(crate) use landfall_domain::decision::log::{Log, LogLevel, LogLine, LogSource};

use super::budget::Budget;

/// A panic of the guest, as its panic hook reported it before the trap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct PanicNote {
    pub(super) message: String,
    pub(super) file: String,
    pub(super) line: u32,
}

/// Collects the lines of one call.
pub(super) struct Recorder {
    log: Log,
    lowest: LogLevel,
    lines_left: usize,
    bytes_left: usize,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
    panic: Option<PanicNote>,
}

impl Recorder {
    pub(super) fn new(budget: &Budget) -> Self {
        Self {
            log: Log::default(),
            lowest: budget.log_level,
            lines_left: budget.log_lines,
            bytes_left: budget.log_bytes,
            stdout: Vec::new(),
            stderr: Vec::new(),
            panic: None,
        }
    }

    /// Whether lines with this level are kept.
    pub(super) fn keeps(&self, level: LogLevel) -> bool {
        level >= self.lowest
    }

    /// Keeps a line if its level and the budget allow.
    pub(super) fn line(&mut self, line: LogLine) {
        if !self.keeps(line.level) {
            return;
        }
        if line.level == LogLevel::Error && line.source == LogSource::Log {
            self.panic = panic_in_fields(&line).or(self.panic.take());
        }
        let fields: usize = line.fields.iter().map(|field| field.key.len() + field.value.len()).sum();
        let bytes = line.message.len() + fields;
        if self.lines_left == 0 || bytes > self.bytes_left {
            self.log.dropped = self.log.dropped.saturating_add(1);
            return;
        }
        self.lines_left -= 1;
        self.bytes_left -= bytes;
        self.log.lines.push(line);
    }

    /// Adds bytes that were written to standard output or error.
    pub(super) fn write(&mut self, source: LogSource, bytes: &[u8]) {
        let mut rest = bytes;
        while let Some(end) = rest.iter().position(|byte| *byte == b'\n') {
            let (line, after) = rest.split_at(end);
            self.buffer(source, line);
            self.end_of_line(source);
            rest = after.get(1..).unwrap_or_default();
        }
        self.buffer(source, rest);
    }

    /// The log, and the panic if there was one.
    pub(super) fn finish(mut self) -> (Log, Option<PanicNote>) {
        self.end_of_line(LogSource::Stdout);
        self.end_of_line(LogSource::Stderr);
        let Self { log, panic, .. } = self;
        let panic = panic.or_else(|| panic_in_stderr(&log));
        (log, panic)
    }

    fn buffer(&mut self, source: LogSource, bytes: &[u8]) {
        let buffer = self.buffer_of(source);
        let room = MAX_STREAM_LINE_BYTES.saturating_sub(buffer.len());
        buffer.extend_from_slice(bytes.get(..room).unwrap_or(bytes));
    }

    fn end_of_line(&mut self, source: LogSource) {
        let bytes = std::mem::take(self.buffer_of(source));
        if bytes.is_empty() {
            return;
        }
        let level = if source == LogSource::Stderr { LogLevel::Warn } else { LogLevel::Info };
        let message = String::from_utf8_lossy(&bytes).into_owned();
        self.line(LogLine { source, level, message, fields: Vec::new() });
    }

    fn buffer_of(&mut self, source: LogSource) -> &mut Vec<u8> {
        if source == LogSource::Stderr { &mut self.stderr } else { &mut self.stdout }
    }
}

/// The SDK's panic hook logs the error `panicked at FILE:LINE:COLUMN: MESSAGE`, with the fields `file` and `line`.
fn panic_in_fields(line: &LogLine) -> Option<PanicNote> {
    let field = |key| line.fields.iter().find(|field| field.key == key).map(|field| field.value.as_str());
    let (file, number) = (field("file")?, field("line")?);
    let rest = line.message.strip_prefix("panicked at ")?.strip_prefix(file)?.strip_prefix(':')?;
    let (_column, message) = rest.strip_prefix(number)?.strip_prefix(':')?.split_once(": ")?;
    Some(PanicNote { message: clipped(message), file: clipped(file), line: number.parse().ok()? })
}

/// Rust's own hook writes `thread 'main' panicked at src/lib.rs:7:5:`, and the message on the next line.
fn panic_in_stderr(log: &Log) -> Option<PanicNote> {
    let mut lines = log.lines.iter().filter(|line| line.source == LogSource::Stderr).map(|line| &*line.message);
    let place = lines.find_map(|line| line.strip_prefix("thread ")?.split_once(" panicked at ").map(|(_, at)| at))?;
    let mut parts = place.trim_end_matches(':').rsplitn(3, ':');
    let (_column, line, file) = (parts.next()?, parts.next()?, parts.next()?);
    Some(PanicNote {
        message: clipped(lines.next().unwrap_or_default()),
        file: clipped(file),
        line: line.parse().ok()?,
    })
}

fn clipped(text: &str) -> String {
    text.char_indices().take_while(|(at, _)| *at < MAX_PANIC_BYTES).map(|(_, c)| c).collect()
}

/// Maximum number of bytes that are kept of one line of standard output or error.
const MAX_STREAM_LINE_BYTES: usize = 1 << 10;
/// Maximum number of bytes that are kept of a panic's message.
const MAX_PANIC_BYTES: usize = 1 << 10;

#[cfg(test)]
mod tests {
    use landfall_domain::decision::call::Label;

    use super::*;

    fn line(message: &str) -> LogLine {
        LogLine { source: LogSource::Log, level: LogLevel::Info, message: message.into(), fields: Vec::new() }
    }

    #[test]
    fn lines_over_the_budget_are_counted_and_dropped() {
        let mut recorder = Recorder::new(&Budget { log_lines: 2, log_bytes: 10, ..Budget::default() });
        for message in ["12345678901", "1234", "1234567", "123456", "1"] {
            recorder.line(line(message));
        }
        let (log, _) = recorder.finish();
        let kept: Vec<_> = log.lines.iter().map(|line| &*line.message).collect();
        assert_eq!((kept, log.dropped), (vec!["1234", "123456"], 3));
    }

    #[test]
    fn what_is_printed_becomes_lines() {
        let mut recorder = Recorder::new(&Budget::default());
        recorder.write(LogSource::Stdout, b"one\ntw");
        recorder.write(LogSource::Stderr, b"bad\xff\n");
        recorder.write(LogSource::Stdout, b"o\n\nthree");
        let (log, panic) = recorder.finish();
        let kept: Vec<_> = log.lines.iter().map(|line| (line.level, &*line.message)).collect();
        let info = LogLevel::Info;
        assert_eq!(kept, [(info, "one"), (LogLevel::Warn, "bad\u{fffd}"), (info, "two"), (info, "three")]);
        assert_eq!(panic, None);
    }

    #[test]
    fn a_panic_is_known_even_when_the_log_is_full() {
        let mut recorder = Recorder::new(&Budget { log_lines: 0, ..Budget::default() });
        let label = |key: &str, value: &str| Label { key: key.into(), value: value.into() };
        let fields = vec![label("file", "src/lib.rs"), label("line", "7")];
        recorder.line(LogLine { level: LogLevel::Error, fields, ..line("panicked at src/lib.rs:7:5: no such hub") });
        let note = PanicNote { message: "no such hub".into(), file: "src/lib.rs".into(), line: 7 };
        assert_eq!(recorder.finish().1, Some(note));
    }

    #[test]
    fn a_panic_is_read_from_standard_error() {
        let mut recorder = Recorder::new(&Budget::default());
        recorder.write(
            LogSource::Stderr,
            b"\nthread '<unnamed>' panicked at src/deep/lib.rs:12:9:\nno such hub\nnote: x\n",
        );
        let note = PanicNote { message: "no such hub".into(), file: "src/deep/lib.rs".into(), line: 12 };
        assert_eq!(recorder.finish().1, Some(note));
    }
}
