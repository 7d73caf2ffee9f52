//! Prints the results of a command: tables and sentences for people, or JSON for programs.
//!
//! Many of the printed texts come from devices, manufacturers and plugins. Control characters are removed from them, so
//! that no text of a stranger can move the cursor or change the colours of an operator's terminal.

use std::io::Write as _;

use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets};
use serde_json::Value;

use super::CliError;
use crate::client::management::Page;

/// The output of a command.
#[derive(Clone, Copy, Debug)]
pub struct Output {
    json: bool,
}

/// A column of a list: its heading, and the JSON pointer (RFC 6901) to its value.
pub(super) type Column = (&'static str, &'static str);

impl Output {
    /// An output for people, or as JSON.
    pub fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether the output is JSON for programs.
    pub fn is_json(self) -> bool {
        self.json
    }

    /// Prints a line, for people only.
    ///
    /// # Errors
    ///
    /// If standard output cannot be written.
    pub fn say(self, text: impl AsRef<str>) -> Result<(), CliError> {
        if self.json { Ok(()) } else { print(&cleaned_lines(text.as_ref())) }
    }

    /// Prints what to do next for people. It goes to standard error, so that standard output has only the result.
    pub(super) fn hint(self, text: &str) {
        if !self.json {
            let _ = writeln!(std::io::stderr().lock(), "{}", cleaned_lines(text));
        }
    }

    /// Prints a line unchanged.
    ///
    /// # Errors
    ///
    /// As [`Output::say`].
    pub(super) fn line(self, text: std::fmt::Arguments<'_>) -> Result<(), CliError> {
        print(&text.to_string())
    }

    /// Prints a value, for programs only.
    ///
    /// # Errors
    ///
    /// As [`Output::say`].
    pub fn value(self, value: &Value) -> Result<(), CliError> {
        if self.json { print(&inert(&format!("{value:#}"))) } else { Ok(()) }
    }

    /// Prints what was done: a sentence for people, the API's answer for programs.
    pub(super) fn done(self, text: impl AsRef<str>, answer: &Value) -> Result<(), CliError> {
        self.say(text)?;
        // A deletion has no answer; programs get an empty object.
        self.value(if answer.is_null() { &EMPTY } else { answer })
    }

    /// Prints one thing with all its members.
    pub(super) fn details(self, value: &Value) -> Result<(), CliError> {
        if self.json {
            return self.value(value);
        }
        let mut text = String::new();
        write_members(value, 0, &mut text);
        print(text.trim_end())
    }

    /// Prints a list, or the text `nothing` if it is empty.
    pub(super) fn list(self, page: &Page, columns: &[Column], nothing: &str) -> Result<(), CliError> {
        if self.json {
            return self.value(&serde_json::json!({ "items": page.items, "more": page.more }));
        }
        if page.items.is_empty() {
            return self.say(if page.more { MORE } else { nothing });
        }
        let headings: Vec<&str> = columns.iter().map(|(heading, _)| *heading).collect();
        let row = |item: &Value| columns.iter().map(|(_, at)| cell(item.pointer(at))).collect::<Vec<_>>();
        self.table(&headings, page.items.iter().map(row))?;
        if page.more {
            self.say(MORE)?;
        }
        Ok(())
    }

    /// Prints a table, for people only.
    ///
    /// # Errors
    ///
    /// As [`Output::say`].
    pub fn table(self, headings: &[&str], rows: impl Iterator<Item = Vec<Cell>>) -> Result<(), CliError> {
        let mut table = Table::new();
        table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(headings.iter().map(|heading| Cell::new(heading.to_uppercase())).collect::<Vec<_>>());
        for row in rows {
            table.add_row(row);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        self.say(table.trim_fmt())
    }
}

/// A value in one line, as people read it.
pub(super) fn text(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => "-".to_owned(),
        Some(Value::String(text)) => cleaned(text),
        Some(Value::Bool(true)) => "yes".to_owned(),
        Some(Value::Bool(false)) => "no".to_owned(),
        Some(Value::Number(number)) => number.to_string(),
        Some(Value::Array(items)) if items.is_empty() => "-".to_owned(),
        Some(Value::Array(items)) => items.iter().map(|item| text(Some(item))).collect::<Vec<_>>().join(", "),
        Some(Value::Object(members)) => {
            let member = |(key, value): (&String, &Value)| format!("{}={}", cleaned(key), text(Some(value)));
            members.iter().map(member).collect::<Vec<_>>().join(" ")
        }
    }
}

/// The text, with a space in the place of every control character, line ends included.
pub(super) fn cleaned(text: &str) -> String {
    text.chars().map(|c| if is_unsafe(c) { ' ' } else { c }).collect()
}

/// The text, with its line ends but without any other control character.
pub(super) fn cleaned_lines(text: &str) -> String {
    text.chars().map(|c| if c != '\n' && is_unsafe(c) { ' ' } else { c }).collect()
}

/// A cell of a table. Numbers are aligned to the right.
pub(super) fn cell(value: Option<&Value>) -> Cell {
    let cell = Cell::new(text(value));
    if value.is_some_and(Value::is_number) { cell.set_alignment(CellAlignment::Right) } else { cell }
}

fn write_members(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(members) => {
            let widest = members.keys().map(|key| key.chars().count()).max().unwrap_or_default();
            for (key, value) in members.iter().filter(|(_, value)| !value.is_null()) {
                let key = cleaned(key);
                if is_nested(value) {
                    out.push_str(&format!("{indent}{key}:\n"));
                    write_members(value, depth + 1, out);
                } else {
                    out.push_str(&format!("{indent}{key:widest$}  {}\n", text(Some(value))));
                }
            }
        }
        Value::Array(items) => {
            for (at, item) in items.iter().enumerate() {
                if is_nested(item) {
                    out.push_str(&format!("{indent}{}.\n", at + 1));
                    write_members(item, depth + 1, out);
                } else {
                    out.push_str(&format!("{indent}{}\n", text(Some(item))));
                }
            }
        }
        plain => out.push_str(&format!("{indent}{}\n", text(Some(plain)))),
    }
}

fn is_nested(value: &Value) -> bool {
    match value {
        Value::Object(members) => !members.is_empty(),
        Value::Array(items) => items.iter().any(|item| item.is_object() || item.is_array()),
        _ => false,
    }
}

/// JSON without characters that control a terminal. Serde escapes only the first 32 characters. The others can occur
/// only in strings.
fn inert(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && is_unsafe(c) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
    }
    out
}

/// Control characters, and characters that change the direction of text.
fn is_unsafe(c: char) -> bool {
    c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(CliError::Output)
}

/// Prints a line if somebody still reads. If nobody does (`landfall demo | head`), a command that measures or shows
/// something continues to its end, so that it cleans up after itself.
macro_rules! say {
    ($($words:tt)*) => { $crate::cli::output::say_to_whoever_reads(format_args!($($words)*)) };
}
pub(super) use say;

pub(super) fn say_to_whoever_reads(text: std::fmt::Arguments<'_>) {
    let _ = writeln!(std::io::stdout().lock(), "{text}");
}

/// The note under a list that was cut, so that it is never taken for a complete one.
const MORE: &str = "(there are more; --limit N shows more of them)";

static EMPTY: std::sync::LazyLock<Value> = std::sync::LazyLock::new(|| Value::Object(serde_json::Map::new()));

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_strangers_write_cannot_steer_the_terminal() {
        assert_eq!(text(Some(&json!("a\u{1b}[31mb\nc\u{202e}d"))), "a [31mb c d");
        assert_eq!(cleaned_lines("a\nb\rc\u{9b}"), "a\nb c ");
    }

    #[test]
    fn json_steers_no_terminal_either_and_means_the_same() {
        let value = json!({ "a\u{9b}": "\u{1b}[31m\u{7f}\u{202e}\u{2066}\n" });
        let text = inert(&format!("{value:#}"));
        assert!(!text.chars().any(|c| c != '\n' && is_unsafe(c)), "{text:?}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), value);
    }

    #[test]
    fn one_thing_is_shown_with_all_that_it_has() {
        let value = json!({ "name": "h", "labels": { "region": "eu" }, "none": null, "list": ["a", "b"], "on": true });
        let mut out = String::new();
        write_members(&value, 0, &mut out);
        assert_eq!(out, "labels:\n  region  eu\nlist    a, b\nname    h\non      yes\n");
    }
}
