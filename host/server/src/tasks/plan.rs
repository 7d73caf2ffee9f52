//! When a task runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

/// When a task runs, and how long its last run may take during shutdown.
#[derive(Clone, Debug)]
pub struct Plan {
    pub(super) name: &'static str,
    pub(super) every: Option<Duration>,
    pub(super) after_failure: Option<Duration>,
    pub(super) trigger: Trigger,
    pub(super) waits_first: bool,
    pub(super) patience: Duration,
}

impl Plan {
    /// Runs at once, and again after this period.
    #[must_use]
    pub fn every(name: &'static str, period: Duration) -> Self {
        Self { every: Some(period), waits_first: false, ..Self::when_activated(name) }
    }

    /// Runs at once, and then when it is triggered.
    #[must_use]
    pub fn at_start(name: &'static str) -> Self {
        Self { waits_first: false, ..Self::when_activated(name) }
    }

    /// Runs only when it is triggered.
    #[must_use]
    pub fn when_activated(name: &'static str) -> Self {
        let trigger = Trigger::default();
        Self { name, every: None, after_failure: None, trigger, waits_first: true, patience: PATIENCE }
    }

    /// Uses an existing trigger.
    #[must_use]
    pub fn activated_by(self, trigger: &Trigger) -> Self {
        Self { trigger: trigger.clone(), ..self }
    }

    /// Runs again after this pause when a run failed.
    #[must_use]
    pub fn again_after_failure(self, pause: Duration) -> Self {
        Self { after_failure: Some(pause), ..self }
    }

    /// A current run is cut at once at shutdown: for tasks that only read, or that start over anyway.
    #[must_use]
    pub fn cut_when_stopped(self) -> Self {
        Self { patience: Duration::ZERO, ..self }
    }
}

/// Triggers a task. It can be created and activated before the task exists.
#[derive(Clone, Debug, Default)]
pub struct Trigger(Arc<Notify>);

impl Trigger {
    /// Makes the task run, or run once more after the current run.
    pub fn activate(&self) {
        self.0.notify_one();
    }

    pub(super) async fn activated(&self) {
        self.0.notified().await;
    }
}

/// How long a run may take to finish during shutdown.
const PATIENCE: Duration = Duration::from_secs(10);
