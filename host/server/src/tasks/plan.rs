//! When a task runs.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;

/// When a task runs, and how long its last run may take when the server stops.
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
    /// At once, and again so long after each run.
    #[must_use]
    pub fn every(name: &'static str, period: Duration) -> Self {
        Self { every: Some(period), waits_first: false, ..Self::when_activated(name) }
    }

    /// At once, and then whenever its trigger is pulled.
    #[must_use]
    pub fn at_start(name: &'static str) -> Self {
        Self { waits_first: false, ..Self::when_activated(name) }
    }

    /// Whenever its trigger is pulled, and at no other time.
    #[must_use]
    pub fn when_activated(name: &'static str) -> Self {
        let trigger = Trigger::default();
        Self { name, every: None, after_failure: None, trigger, waits_first: true, patience: PATIENCE }
    }

    /// With a trigger that others have already.
    #[must_use]
    pub fn activated_by(self, trigger: &Trigger) -> Self {
        Self { trigger: trigger.clone(), ..self }
    }

    /// Again so long after a run that failed.
    #[must_use]
    pub fn again_after_failure(self, pause: Duration) -> Self {
        Self { after_failure: Some(pause), ..self }
    }

    /// A run under way is cut as soon as the server stops: for what only reads, or is begun again anyway.
    #[must_use]
    pub fn cut_when_stopped(self) -> Self {
        Self { patience: Duration::ZERO, ..self }
    }
}

/// Has a task run now. It can be made, and pulled, before there is the task.
#[derive(Clone, Debug, Default)]
pub struct Trigger(Arc<Notify>);

impl Trigger {
    /// Has the task run, or run once more after the run that is under way.
    pub fn activate(&self) {
        self.0.notify_one();
    }

    pub(super) async fn activated(&self) {
        self.0.notified().await;
    }
}

/// How long a run may take to end when the server stops.
const PATIENCE: Duration = Duration::from_secs(10);
