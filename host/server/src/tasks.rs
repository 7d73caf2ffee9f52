//! Background tasks, and the driver that runs them.
//!
//! A server does work that no request asks for: it fetches revocation lists, refreshes the keys of issuers, serves its
//! listeners. Each of these is a **task**: a name, a [`Plan`] that says when it runs, and a body that does one run and
//! reports its result. The driver runs the tasks, and records the start, duration and result of the last run for `GET
//! /api/v1/status`, `landfall status` and `/metrics`. So an operator sees a failing task without reading logs. The
//! idea is from Oxide's Nexus (`nexus/src/app/background`).
//!
//! **One run does all pending work.** A run compares the current state with the desired state and does what is
//! missing. It takes no arguments and keeps no queue. So it does not matter how often it runs, whether a run was
//! skipped, or what was done before a crash: the next run does the rest.
//!
//! **When it runs.** After its period, counted from the end of the previous run; when its [`Trigger`] is activated;
//! and, after a failure, after the retry pause of its plan. A trigger that is activated during a run causes another
//! run after it, because the run may have read the old state already. Runs of one task never overlap. Several
//! activations before a run count as one.
//!
//! **Servers** ([`Tasks::serve`]) are another kind of task: their only run lasts as long as the process. When such a
//! task ends before it is told to, the process cannot do its work any more, and [`Tasks::broken`] reports it.
//!
//! **A run that fails or panics is a failed run**, and the task goes on. A failure is logged when it differs from the
//! previous one, and again every hour; recovery is logged once.
//!
//! **Time.** Pauses use tokio's timers. Start times and durations use the clock that all parts of the server share.
//!
//! **Shutdown.** [`Tasks::stop`] first tells all servers to stop at the same time, so that their drain times do not
//! add up. Then it stops the other tasks one by one, in the reverse order of registration, because a task may rely on
//! earlier ones. A current run gets the patience of its plan to finish, and is then cut at an await.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use landfall_domain::clock::Clock;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

pub use self::plan::{Plan, Trigger};
use self::status::Record;
pub use self::status::{Ran, TaskStatus};

mod plan;
mod status;
#[cfg(test)]
mod tests;

/// The driver of all tasks of a server.
pub struct Tasks {
    clock: Arc<dyn Clock>,
    all: Mutex<Vec<Task>>,
    broken: watch::Sender<Option<&'static str>>,
}

struct Task {
    record: Arc<Record>,
    trigger: Trigger,
    /// `None` once the task was told to stop.
    life: Option<Life>,
}

struct Life {
    stop: watch::Sender<bool>,
    handle: JoinHandle<()>,
    serves: bool,
    patience: Duration,
}

impl Tasks {
    /// A driver without tasks.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, all: Mutex::default(), broken: watch::Sender::new(None) }
    }

    /// Starts a task. Each call of the body is one run. A second task of the same name is a bug: it is logged and not
    /// started.
    pub fn register<F>(&self, plan: Plan, body: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Ran> + Send + 'static,
    {
        let (name, period, trigger, patience) = (plan.name, plan.every, plan.trigger.clone(), plan.patience);
        let (record, stop, stopping) = self.record(name, period);
        let run = run(plan, Arc::clone(&record), body, stopping);
        self.add(record, trigger, (stop, patience, false), run);
    }

    /// Starts a server task, without which the process cannot work. `patience` is its time to end after it is told to
    /// stop.
    pub fn serve<F>(
        &self,
        name: &'static str,
        patience: Duration,
        serving: impl FnOnce(watch::Receiver<bool>) -> F + Send + 'static,
    ) where
        F: Future<Output = ()> + Send + 'static,
    {
        let (record, stop, stopping) = self.record(name, None);
        let run = serve(Arc::clone(&record), serving, stopping, self.broken.clone());
        self.add(record, Trigger::default(), (stop, patience, true), run);
    }

    /// Triggers the task of this name; returns whether it exists.
    pub fn activate(&self, name: &str) -> bool {
        let all = self.lock();
        let task = all.iter().find(|task| task.record.name() == name);
        task.inspect(|task| task.trigger.activate()).is_some()
    }

    /// The statuses of all tasks, in the order of their registration.
    #[must_use]
    pub fn statuses(&self) -> Vec<TaskStatus> {
        self.lock().iter().map(|task| task.record.status()).collect()
    }

    /// Completes when a server task has ended unexpectedly, with its name. The log says why.
    pub async fn broken(&self) -> &'static str {
        let mut broken = self.broken.subscribe();
        // The sender lives as long as the driver.
        let what = broken.wait_for(Option::is_some).await.map(|what| *what);
        match what {
            Ok(Some(what)) => what,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Stops every task, and waits for each as long as its patience allows.
    pub async fn stop(&self) {
        let mut lives: Vec<_> = {
            let mut all = self.lock();
            all.iter_mut().filter_map(|task| Some((task.record.name(), task.life.take()?))).collect()
        };
        lives.reverse();
        let (serving, others): (Vec<_>, Vec<_>) = lives.into_iter().partition(|(_, life)| life.serves);
        for (_, life) in &serving {
            life.stop.send_replace(true);
        }
        for (name, life) in serving.into_iter().chain(others) {
            life.end(name).await;
        }
    }

    /// Tells every task to stop without waiting: for a server that is dropped.
    pub fn detach(&self) {
        for task in self.lock().iter_mut() {
            if let Some(life) = task.life.take() {
                life.stop.send_replace(true);
            }
        }
    }

    fn record(&self, name: &'static str, period: Option<Duration>) -> (Arc<Record>, watch::Sender<bool>, Stopping) {
        let (stop, stopping) = watch::channel(false);
        (Arc::new(Record::new(name, period, Arc::clone(&self.clock))), stop, Stopping(stopping))
    }

    fn add(
        &self,
        record: Arc<Record>,
        trigger: Trigger,
        (stop, patience, serves): (watch::Sender<bool>, Duration, bool),
        run: impl Future<Output = ()> + Send + 'static,
    ) {
        let mut all = self.lock();
        if all.iter().any(|task| task.record.name() == record.name()) {
            let task = record.name();
            return tracing::error!(task, "two tasks have one name; this is a bug in Landfall, please report it");
        }
        let life = Life { stop, handle: tokio::spawn(run), serves, patience };
        all.push(Task { record, trigger, life: Some(life) });
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Task>> {
        // The list is consistent at every point where a panic could happen.
        self.all.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Life {
    async fn end(self, task: &'static str) {
        let Self { stop, mut handle, patience, .. } = self;
        stop.send_replace(true);
        match tokio::time::timeout(patience.saturating_add(LAST_STEP), &mut handle).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(task, %error, "a task ended badly"),
            Err(_) => {
                handle.abort();
                tracing::error!(task, seconds = patience.as_secs(), "a task did not end in its time, and was cut");
            }
        }
    }
}

/// Receives the signal that a task must stop.
struct Stopping(watch::Receiver<bool>);

impl Stopping {
    fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Completes when the signal comes.
    async fn wait_for_it(&mut self) {
        // A dropped driver counts as the signal.
        let _ = self.0.wait_for(|stop| *stop).await;
    }
}

/// Runs a task until it is told to stop.
async fn run<F>(plan: Plan, record: Arc<Record>, body: impl Fn() -> F + Send + Sync + 'static, mut stopping: Stopping)
where
    F: Future<Output = Ran> + Send + 'static,
{
    let body = Arc::new(body);
    if plan.waits_first {
        tokio::select! {
            () = plan.trigger.activated() => {}
            () = stopping.wait_for_it() => return,
        }
    }
    loop {
        record.begins();
        // The body runs in a task of its own, so that a panic ends nothing else. It is cut when this set is dropped.
        let mut running = JoinSet::new();
        let one_run = Arc::clone(&body);
        running.spawn(async move { one_run().await });
        let ran = tokio::select! {
            ran = running.join_next() => ran,
            () = stopping.wait_for_it() => {
                let ended = tokio::time::timeout(plan.patience, running.join_next()).await;
                // Cuts the run if it has not ended.
                running.shutdown().await;
                ended.unwrap_or(None)
            }
        };
        let ran = match ran {
            Some(Ok(ran)) => ran,
            Some(Err(panic)) => Err(format!("{panic}; this is a bug in Landfall, please report it")),
            None => Err("it was cut when the server stopped".to_owned()),
        };
        let failed = ran.is_err();
        record.ends(ran, stopping.has_begun());
        let pause = if failed { plan.after_failure.or(plan.every) } else { plan.every };
        let pause = async {
            match pause {
                Some(pause) => tokio::time::sleep(pause).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            () = stopping.wait_for_it() => return,
            () = plan.trigger.activated() => {}
            () = pause => {}
        }
    }
}

/// Runs a server task to its end.
async fn serve<F>(
    record: Arc<Record>,
    serving: impl FnOnce(watch::Receiver<bool>) -> F + Send + 'static,
    stopping: Stopping,
    broken: watch::Sender<Option<&'static str>>,
) where
    F: Future<Output = ()> + Send + 'static,
{
    record.begins();
    let mut running = JoinSet::new();
    running.spawn(serving(stopping.0.clone()));
    let ended = running.join_next().await;
    if stopping.has_begun() {
        return record.ends(Ok("stopped".to_owned()), true);
    }
    let why = match ended {
        Some(Err(panic)) => panic.to_string(),
        Some(Ok(())) | None => "it ended by itself".to_owned(),
    };
    let what = record.name();
    tracing::error!(why, "the {what} has ended, and nothing is served without it");
    record.ends(Err(why), true);
    broken.send_replace(Some(what));
}

/// How much longer than its patience a task is waited for, so that it can record the result of its run.
const LAST_STEP: Duration = Duration::from_secs(1);
