//! Runs the unit tests of a policy with the engine that will run the policy: `landfall plugin test-runner`.
//!
//! Cargo builds a policy's tests for `wasm32-wasip2` as one program, and a runner must run it. A panic in Wasm cannot
//! be caught, so the first test that fails would end all others. So each test gets its own instance, as each decision
//! does: the program is asked for the list of its tests, and is then run once for each. Its machine code comes from
//! the cache that all tools of an author share, so that a test takes milliseconds.
//!
//! The output is that of libtest, which people and tools know. If the caller asks for a single test (as nextest does),
//! or the program does not use libtest (a documentation test), the program is run as it is called.

use std::io::{self, Write};

use landfall_domain::clock::Stopwatch;

use crate::log::{Log, LogSource};
use crate::program::{Ended, Program, Ran};

/// The exit code of libtest when a test failed.
pub const FAILED: u8 = 101;

/// One test that failed.
struct Failure {
    name: String,
    said: String,
}

/// The results of all tests.
#[derive(Default)]
struct Tally {
    passed: usize,
    ignored: usize,
    measured: usize,
    failures: Vec<Failure>,
}

/// Runs a program with libtest's arguments. `name` is the program's name for itself. Returns the exit code.
///
/// # Errors
///
/// The output cannot be written.
pub fn run(program: &Program, name: &str, arguments: &[String], out: &mut impl Write) -> io::Result<u8> {
    let has = |flag: &str| arguments.iter().any(|argument| argument == flag);
    if has("--list") || has("--exact") || has("--help") || has("-h") {
        return as_asked(program, name, arguments, out);
    }
    let listing = program.run(command(name, arguments, &["--list", "--format", "terse"]));
    let listed = lines(&listing.log, LogSource::Stdout);
    let tests: Vec<&str> = listed.iter().filter_map(|line| line.strip_suffix(": test")).collect();
    if listing.ended != Ended::Exit(0) || (tests.is_empty() && !listed.is_empty()) {
        return write_result(&listing, out);
    }
    let started = Stopwatch::system();
    let terse = has("--quiet") || has("-q");
    writeln!(out, "\nrunning {} test{}", tests.len(), if tests.len() == 1 { "" } else { "s" })?;
    let mut tally = Tally::default();
    // Listing the tests has decided which of them to run. The arguments that are passed on say only how tests are run.
    // Their output is captured here and not by libtest, because a panic would lose libtest's copy.
    let how: Vec<String> = arguments.iter().filter(|argument| HOW.contains(&argument.as_str())).cloned().collect();
    for test in tests {
        let ran = program.run(command(name, &how, &[test, "--exact", "--nocapture"]));
        let verdict = tally.count(test, &ran);
        if has("--nocapture") || has("--no-capture") {
            out.write_all(printed(&ran.log).as_bytes())?;
        }
        if terse {
            write!(out, "{}", verdict.chars().next().filter(|_| verdict != "ok").unwrap_or('.'))?;
        } else {
            writeln!(out, "test {test} ... {verdict}")?;
        }
        if has("--show-usage") {
            let (fuel, kib) = (ran.usage.fuel, ran.usage.peak_memory_bytes / 1024);
            writeln!(out, "     {fuel} fuel, {kib} KiB of memory")?;
        }
    }
    tally.tell(started.elapsed().as_secs_f64(), out)
}

impl Tally {
    fn count(&mut self, test: &str, ran: &Ran) -> &'static str {
        let outcome = lines(&ran.log, LogSource::Stdout);
        let outcome = outcome.iter().find_map(|line| line.strip_prefix("test ")?.strip_prefix(test));
        match (&ran.ended, outcome) {
            (Ended::Exit(0), Some(outcome)) if outcome.contains("... ignored") => {
                self.ignored += 1;
                "ignored"
            }
            (Ended::Exit(0), Some(outcome)) if outcome.contains("... bench") => {
                self.measured += 1;
                "bench"
            }
            (Ended::Exit(0), _) => {
                self.passed += 1;
                "ok"
            }
            (ended, _) => {
                let mut said = printed_by_test(&ran.log);
                if let Ended::Broke(failure) = ended {
                    said.push_str(&format!("{failure}\n"));
                }
                self.failures.push(Failure { name: test.to_owned(), said });
                "FAILED"
            }
        }
    }

    fn tell(&self, seconds: f64, out: &mut impl Write) -> io::Result<u8> {
        let Self { passed, ignored, measured, failures } = self;
        if !failures.is_empty() {
            writeln!(out, "\nfailures:")?;
            for Failure { name, said } in failures {
                writeln!(out, "\n---- {name} stdout ----\n{said}")?;
            }
            writeln!(out, "\nfailures:")?;
            for Failure { name, .. } in failures {
                writeln!(out, "    {name}")?;
            }
        }
        let (result, failed) = (if failures.is_empty() { "ok" } else { "FAILED" }, failures.len());
        writeln!(
            out,
            "\ntest result: {result}. {passed} passed; {failed} failed; {ignored} ignored; {measured} measured; 0 filtered out; finished in {seconds:.2}s\n"
        )?;
        Ok(if failures.is_empty() { 0 } else { FAILED })
    }
}

/// Runs the program with exactly these arguments.
fn as_asked(program: &Program, name: &str, arguments: &[String], out: &mut impl Write) -> io::Result<u8> {
    let own: Vec<String> = arguments.iter().filter(|argument| *argument != "--show-usage").cloned().collect();
    write_result(&program.run(command(name, &own, &[])), out)
}

fn write_result(ran: &Ran, out: &mut impl Write) -> io::Result<u8> {
    out.write_all(printed(&ran.log).as_bytes())?;
    match &ran.ended {
        Ended::Exit(code) => Ok(*code),
        Ended::Broke(failure) => {
            writeln!(out, "{failure}")?;
            Ok(FAILED)
        }
    }
}

fn command(name: &str, arguments: &[String], more: &[&str]) -> Vec<String> {
    let own = arguments.iter().filter(|argument| *argument != "--show-usage").cloned();
    std::iter::once(name.to_owned()).chain(own).chain(more.iter().map(|word| (*word).to_owned())).collect()
}

fn lines(log: &Log, source: LogSource) -> Vec<&str> {
    log.lines.iter().filter(|line| line.source == source).map(|line| line.message.as_str()).collect()
}

fn printed(log: &Log) -> String {
    log.lines.iter().map(|line| format!("{}\n", line.message)).collect()
}

/// The output of a test, without the lines of libtest around it.
fn printed_by_test(log: &Log) -> String {
    let by_libtest = |line: &str| {
        let frame = ["running ", "test ", "failures:", "test result:", "error: test failed"];
        frame.iter().any(|begin| line.starts_with(begin))
    };
    let own = log.lines.iter().filter(|line| line.source != LogSource::Stdout || !by_libtest(&line.message));
    own.map(|line| format!("{}\n", line.message)).collect()
}

/// Arguments of libtest that say how tests are run, and not which ones.
const HOW: &[&str] = &["--ignored", "--include-ignored"];
