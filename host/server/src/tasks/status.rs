//! The status of a task: its last run and the result.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use landfall_domain::clock::{Clock, Stopwatch, Timestamp};

/// The result of a run: a sentence that says what was done, or why it failed.
pub type Ran = Result<String, String>;

/// The status of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskStatus {
    /// Its name: one word, such as `revocation-lists`.
    pub name: &'static str,
    /// The period; `None` for a task that runs only when triggered, or is a server.
    pub period: Option<Duration>,
    /// Whether a run is under way.
    pub is_running: bool,
    /// The number of successful runs.
    pub good_runs: u64,
    /// The number of runs that failed or panicked.
    pub failed_runs: u64,
    /// When the latest run began.
    pub last_started: Option<Timestamp>,
    /// When the latest successful run ended.
    pub last_success: Option<Timestamp>,
    /// The duration of the latest finished run.
    pub last_duration: Option<Duration>,
    /// The result of the latest finished run.
    pub last_result: Option<Ran>,
}

/// Records the status of a task, and logs changes of it.
pub(super) struct Record {
    clock: Arc<dyn Clock>,
    state: Mutex<State>,
}

struct State {
    status: TaskStatus,
    running: Option<Stopwatch>,
    /// The time since the current failure was last logged.
    said: Option<Stopwatch>,
}

impl Record {
    pub(super) fn new(name: &'static str, period: Option<Duration>, clock: Arc<dyn Clock>) -> Self {
        let status = TaskStatus {
            name,
            period,
            is_running: false,
            good_runs: 0,
            failed_runs: 0,
            last_started: None,
            last_success: None,
            last_duration: None,
            last_result: None,
        };
        Self { clock, state: Mutex::new(State { status, running: None, said: None }) }
    }

    pub(super) fn name(&self) -> &'static str {
        self.lock().status.name
    }

    pub(super) fn status(&self) -> TaskStatus {
        self.lock().status.clone()
    }

    /// Records the start of a run.
    pub(super) fn begins(&self) {
        let mut state = self.lock();
        state.running = Some(Stopwatch::start(&self.clock));
        (state.status.is_running, state.status.last_started) = (true, Some(self.clock.now()));
    }

    /// Records the end of a run. A failure caused by shutdown is not logged.
    pub(super) fn ends(&self, ran: Ran, is_last: bool) {
        let mut state = self.lock();
        if !is_last {
            state.tell(&ran, &self.clock);
        }
        let took = state.running.take().map(|stopwatch| stopwatch.elapsed());
        let status = &mut state.status;
        match &ran {
            Ok(_) => (status.good_runs, status.last_success) = (status.good_runs + 1, Some(self.clock.now())),
            Err(_) => status.failed_runs += 1,
        }
        (status.is_running, status.last_duration, status.last_result) = (false, took, Some(ran));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // A panic could only leave a status of which a part is older.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn tell(&mut self, ran: &Ran, clock: &Arc<dyn Clock>) {
        let (task, before) = (self.status.name, self.status.last_result.as_ref());
        match ran {
            Err(error) => {
                let is_known = before == Some(ran) && self.said.as_ref().is_some_and(|ago| ago.elapsed() < REMINDED);
                if !is_known {
                    tracing::error!(task, error, failed_runs = self.status.failed_runs + 1, "a task failed");
                    self.said = Some(Stopwatch::start(clock));
                }
            }
            Ok(done) => {
                if before.is_some_and(Result::is_err) {
                    tracing::info!(task, done, "a task that failed is well again");
                }
                self.said = None;
            }
        }
    }
}

/// The interval after which a continuing failure is logged again.
const REMINDED: Duration = Duration::from_secs(3600);
