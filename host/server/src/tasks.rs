//! Everything that runs by itself, and the one driver of it.
//!
//! A server does things that no request asks for: it fetches revocation lists, renews the keys of issuers, serves its
//! listeners. Each of these is a **task**: a name, a [`Plan`] that says when it runs, and a body that does one run and says
//! what came of it. The driver runs it, and keeps for `GET /api/v1/status`, `landfall status` and `/metrics` when it last
//! ran, for how long, and with what result. So a task whose work fails is seen by an operator, and not only read in a log.
//! The idea is that of Oxide's Nexus (`nexus/src/app/background`).
//!
//! **One run does all that is due.** A run looks at how things are, compares them with how they should be, and does what is
//! missing. It takes no arguments and keeps no queue. So it does not matter how often it runs, whether a run was skipped, or
//! what had been done before a crash: the next run does what is left.
//!
//! **When it runs.** After its period, counted from the end of the run before; whenever its [`Trigger`] is pulled; after a
//! failure, after the time that the plan has for that. A trigger that is pulled during a run begins another run after it:
//! what was changed may have been read already. Runs of one task never overlap. Several pulls before a run are one.
//!
//! **What serves** ([`Tasks::serve`]) is a task of another kind: its only run lasts as long as the server. When it ends before
//! it is told to, the server is none any more, and [`Tasks::broken`] says so.
//!
//! **A run that fails or panics is a failed run**, and the task goes on. A failure is said in the log when it is another one
//! than before, and again every hour; that it is over is said once.
//!
//! **Time.** A pause is waited for on tokio's timers. When a run was, and how long it took, is told by the clock that all
//! parts of the server have.
//!
//! **The end.** [`Tasks::stop`] first tells all that serves to stop, all at once, so that the times in which connections
//! drain do not add up. Then it stops the other tasks one by one, the last that was registered first: a task may rely on those
//! that were registered before it. A run under way has its plan's patience to end and is then cut, at an await.

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

/// The driver: every task of a server.
pub struct Tasks {
    clock: Arc<dyn Clock>,
    all: Mutex<Vec<Task>>,
    broken: watch::Sender<Option<&'static str>>,
}

struct Task {
    record: Arc<Record>,
    trigger: Trigger,
    /// Nothing once it was told to stop.
    life: Option<Life>,
}

struct Life {
    stop: watch::Sender<bool>,
    handle: JoinHandle<()>,
    serves: bool,
    patience: Duration,
}

impl Tasks {
    /// No task yet.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, all: Mutex::default(), broken: watch::Sender::new(None) }
    }

    /// Starts a task. Each call of the body is one run. A second task of the same name is not taken: it is a bug, and is logged.
    pub fn register<F>(&self, plan: Plan, body: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Ran> + Send + 'static,
    {
        let (name, period, trigger, patience) = (plan.name, plan.every, plan.trigger.clone(), plan.patience);
        let (record, stop, stopping) = self.record(name, period);
        let run = run(plan, Arc::clone(&record), body, stopping);
        self.add(record, trigger, (stop, patience, false), run);
    }

    /// Starts what the server cannot be without. It has so long to end by itself once it is told to stop.
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

    /// Has a task run now, if there is one of this name.
    pub fn activate(&self, name: &str) -> bool {
        let all = self.lock();
        let task = all.iter().find(|task| task.record.name() == name);
        task.inspect(|task| task.trigger.activate()).is_some()
    }

    /// How each task is, in the order in which they were registered.
    #[must_use]
    pub fn statuses(&self) -> Vec<TaskStatus> {
        self.lock().iter().map(|task| task.record.status()).collect()
    }

    /// Comes when something has ended without which the server is none, and says what. The log says why.
    pub async fn broken(&self) -> &'static str {
        let mut broken = self.broken.subscribe();
        // The sender lives as long as the driver.
        let what = broken.wait_for(Option::is_some).await.map(|what| *what);
        match what {
            Ok(Some(what)) => what,
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }

    /// Stops every task, and waits for each as long as it has patience.
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

    /// Tells every task to stop, and waits for none: for a server that is dropped.
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
        // A list is whole at every moment that a panic could leave it.
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

/// Tells a task that it is to stop.
struct Stopping(watch::Receiver<bool>);

impl Stopping {
    fn has_begun(&self) -> bool {
        *self.0.borrow()
    }

    /// Comes when it is told.
    async fn wait_for_it(&mut self) {
        // Whoever has dropped the driver wants nothing any more either.
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
        // In a task of its own, so that a panic ends nothing else. It ends with this set.
        let mut running = JoinSet::new();
        let one_run = Arc::clone(&body);
        running.spawn(async move { one_run().await });
        let ran = tokio::select! {
            ran = running.join_next() => ran,
            () = stopping.wait_for_it() => {
                let ended = tokio::time::timeout(plan.patience, running.join_next()).await;
                // Cut, if it has not ended.
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

/// Runs what serves, to its end.
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

/// How much longer than its patience a task is waited for: it tells what came of its run.
const LAST_STEP: Duration = Duration::from_secs(1);
