//! What the server says is wrong.

use std::fmt;

use landfall_domain::text::one_line;
use serde::Deserialize;

use crate::client::Answer;

/// A problem document (RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Problem {
    /// The status, again.
    pub status: u16,
    /// What kind of problem it is.
    pub title: String,
    /// What is wrong this time, and what to do.
    pub detail: String,
    /// The parameter of the query that is missing or wrong. The command line's option for it has its name.
    pub parameter: Option<String>,
    /// The parts of the request that are wrong.
    pub errors: Vec<ProblemPart>,
}

/// A part of a request that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ProblemPart {
    /// Where: a JSON pointer (RFC 6901) into the request's body.
    pub pointer: String,
    /// Where, in a file of lines: the line, from 1.
    pub line: Option<u64>,
    /// What is wrong there.
    #[serde(alias = "reason")]
    pub message: String,
}

impl std::error::Error for Problem {}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, title, detail, parameter, errors } = self;
        if let Some(parameter) = parameter {
            write!(f, "--{parameter}: ")?;
        }
        match (title.is_empty(), detail.is_empty()) {
            // What is wrong is told below; where a program finds it is nothing to a person.
            (_, false) => match detail.split_once("; `errors` says where") {
                Some((first, _)) if !errors.is_empty() && first == BODY => f.write_str("this cannot be taken:")?,
                Some((first, _)) if !errors.is_empty() => write!(f, "{first}:")?,
                _ => f.write_str(detail)?,
            },
            (false, true) => f.write_str(title)?,
            (true, true) => write!(f, "the server answered {status}")?,
        }
        for ProblemPart { pointer, line, message } in errors {
            // What a policy says of its settings is told here too.
            let (pointer, message) = (one_line(pointer), one_line(message));
            match line {
                Some(line) => write!(f, "\n  line {line}: {message}")?,
                None if pointer.is_empty() => write!(f, "\n  {message}")?,
                None => write!(f, "\n  {pointer}: {message}")?,
            }
        }
        Ok(())
    }
}

/// What the server says is wrong; when it is not a problem document, what can be said of it.
pub(super) fn problem(answer: &Answer) -> Problem {
    let read = answer.json::<Problem>().ok().filter(|_| answer.says_json());
    let mut problem = read.unwrap_or_else(|| {
        let text = String::from_utf8_lossy(&answer.bytes);
        let start: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
        let gap = if start.is_empty() { "" } else { ": " };
        Problem { detail: format!("the server answered {}{gap}{start}", answer.status), ..Problem::default() }
    });
    problem.status = answer.status.as_u16();
    problem
}

/// How a problem begins that is told by its parts.
const BODY: &str = "what the body says cannot be taken";
