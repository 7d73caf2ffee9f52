//! Writes the lines of the log in a thread of its own.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd as _;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Takes lines without waiting, and has them written. Lines for which there is no room are counted.
#[derive(Clone)]
pub(super) struct Lines(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    more: Condvar,
    done: Condvar,
}

#[derive(Default)]
struct State {
    waiting: VecDeque<Vec<u8>>,
    bytes: usize,
    /// Whether the thread is writing a line now.
    writing: bool,
    lost: u64,
    /// The number of lost lines that the log does not mention yet.
    untold: u64,
}

/// The lines of this process, once it logs.
static OF_THIS_PROCESS: OnceLock<Option<Lines>> = OnceLock::new();

impl Lines {
    /// The lines to standard error. Starts their thread if it does not run yet; `None` if no thread can be started.
    pub(super) fn of_this_process() -> Option<Self> {
        // A file handle of its own: other writers to standard error do not wait for this one.
        let standard_error = || io::stderr().as_fd().try_clone_to_owned().map(File::from);
        OF_THIS_PROCESS.get_or_init(|| standard_error().and_then(Self::to).ok()).clone()
    }

    /// The same, but starts no thread.
    pub(super) fn started() -> Option<&'static Self> {
        OF_THIS_PROCESS.get()?.as_ref()
    }

    fn to(mut out: impl Write + Send + 'static) -> io::Result<Self> {
        let lines = Self(Arc::default());
        let theirs = lines.clone();
        std::thread::Builder::new().name("log".to_owned()).spawn(move || theirs.write_to(&mut out))?;
        Ok(lines)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a line. Counts it as lost if there is no room.
    pub(super) fn take(&self, line: &[u8]) {
        let mut state = self.state();
        if state.bytes.saturating_add(line.len()) > MOST_BYTES {
            state.lose();
            return;
        }
        state.bytes += line.len();
        state.waiting.push_back(line.to_vec());
        drop(state);
        self.0.more.notify_one();
    }

    pub(super) fn lost(&self) -> u64 {
        self.state().lost
    }

    /// Waits until every line is written, or until the time is over.
    pub(super) fn wait(&self, longest: Duration) {
        let busy = |state: &mut State| state.writing || !state.waiting.is_empty();
        // The process ends in either case.
        drop(self.0.done.wait_timeout_while(self.state(), longest, busy));
    }

    fn write_to(&self, out: &mut impl Write) {
        loop {
            let line = {
                let nothing = |state: &mut State| state.waiting.is_empty();
                let state = self.0.more.wait_while(self.state(), nothing);
                let mut state = state.unwrap_or_else(PoisonError::into_inner);
                let Some(line) = state.waiting.pop_front() else { continue };
                state.bytes = state.bytes.saturating_sub(line.len());
                state.writing = true;
                line
            };
            let written = write_whole(out, &line);
            let untold = {
                let mut state = self.state();
                state.writing = false;
                match written {
                    Ok(()) => std::mem::take(&mut state.untold),
                    Err(_) => {
                        state.lose();
                        0
                    }
                }
            };
            if untold > 0 {
                tracing::warn!(
                    lines = untold,
                    "the log could not be written for a while, and these lines of it are lost"
                );
            }
            self.0.done.notify_all();
        }
    }
}

impl State {
    fn lose(&mut self) {
        self.lost = self.lost.saturating_add(1);
        self.untold = self.untold.saturating_add(1);
    }
}

/// Writes all bytes of a line. A terminal may be in non-blocking mode because of another program, and then may not
/// accept a whole line at once.
fn write_whole(out: &mut impl Write, mut line: &[u8]) -> io::Result<()> {
    while !line.is_empty() {
        match out.write(line) {
            Ok(0) => return Err(ErrorKind::WriteZero.into()),
            Ok(written) => line = line.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            Err(error) => return Err(error),
        }
    }
    out.flush()
}

/// One line that is being made: `tracing-subscriber` writes each line in one piece.
pub(super) struct Line(Lines);

impl Write for Line {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.take(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line(self.clone())
    }
}

/// The most bytes that wait: about ten thousand lines.
const MOST_BYTES: usize = 4 * 1024 * 1024;

/// The pause before another try, when a terminal accepts no more.
const PAUSE: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// A writer that accepts one line each time the test says so, or fails.
    struct Reader(mpsc::Receiver<io::Result<()>>, mpsc::Sender<Vec<u8>>);

    impl Write for Reader {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            self.0.recv().unwrap()?;
            self.1.send(line.to_vec()).unwrap();
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_reader_that_stalls_keeps_nobody_and_what_is_lost_is_counted() {
        let ((go_on, told), (sent, taken)) = (mpsc::channel(), mpsc::channel());
        let lines = Lines::to(Reader(told, sent)).unwrap();
        let line = [b'x'; 1024];
        let many = 5000_u64;
        for _ in 0..many {
            lines.make_writer().write_all(&line).unwrap();
        }
        // The thread may already have taken one line.
        let fit = u64::try_from(MOST_BYTES / line.len()).unwrap();
        assert!([many - fit, many - fit - 1].contains(&lines.lost()), "{}", lines.lost());
        let lost = lines.lost();
        for _ in 0..many - lost {
            go_on.send(Ok(())).unwrap();
            assert_eq!(taken.recv().unwrap(), line);
        }
        go_on.send(Err(ErrorKind::StorageFull.into())).unwrap();
        lines.make_writer().write_all(b"to a full disk").unwrap();
        lines.wait(Duration::from_secs(60));
        assert_eq!(lines.lost(), lost + 1);
        go_on.send(Ok(())).unwrap();
        lines.make_writer().write_all(b"and to a disk with room").unwrap();
        assert_eq!(taken.recv().unwrap(), b"and to a disk with room");
    }
}
