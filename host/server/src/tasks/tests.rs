use std::sync::atomic::{AtomicUsize, Ordering};

use landfall_domain::clock::{ManualClock, Timestamp};
use tokio::sync::mpsc;

use super::*;

const NEVER: Duration = Duration::from_secs(1 << 30);
const BEGIN: Timestamp = Timestamp::from_millis(1_000_000);

fn tasks() -> (Tasks, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::at(BEGIN));
    (Tasks::new(Arc::clone(&clock) as _), clock)
}

fn status(tasks: &Tasks) -> TaskStatus {
    tasks.statuses().into_iter().next().unwrap()
}

/// Waits until a status fulfils the condition.
async fn until(tasks: &Tasks, so: impl Fn(&TaskStatus) -> bool) -> TaskStatus {
    loop {
        let status = status(tasks);
        if so(&status) {
            return status;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_run_is_kept_with_its_time_and_result() {
    let (tasks, clock) = tasks();
    let turned = Arc::clone(&clock);
    tasks.register(Plan::every("it", NEVER), move || {
        turned.advance(Duration::from_millis(250));
        async { Ok("3 were read".to_owned()) }
    });
    let seen = until(&tasks, |status| status.good_runs == 1).await;
    let ended = BEGIN.plus(Duration::from_millis(250));
    assert_eq!(
        seen,
        TaskStatus {
            name: "it",
            period: Some(NEVER),
            is_running: false,
            good_runs: 1,
            failed_runs: 0,
            last_started: Some(BEGIN),
            last_success: Some(ended),
            last_duration: Some(Duration::from_millis(250)),
            last_result: Some(Ok("3 were read".to_owned())),
        }
    );
}

#[tokio::test]
async fn a_failure_or_a_panic_is_a_failed_run_and_no_end() {
    let (tasks, _) = tasks();
    let runs = AtomicUsize::new(0);
    tasks.register(Plan::every("it", NEVER), move || {
        let run = runs.fetch_add(1, Ordering::SeqCst);
        async move {
            assert!(run != 1, "a panic of this test");
            if run == 0 { Err("the disk is full".to_owned()) } else { Ok(String::new()) }
        }
    });
    let failed = until(&tasks, |status| status.failed_runs == 1).await;
    assert_eq!(failed.last_result, Some(Err("the disk is full".to_owned())));
    assert!(tasks.activate("it") && !tasks.activate("another"));
    let panicked = until(&tasks, |status| status.failed_runs == 2).await;
    assert!(panicked.last_result.unwrap().unwrap_err().contains("panic"));
    tasks.activate("it");
    let good = until(&tasks, |status| status.good_runs == 1).await;
    assert_eq!((good.failed_runs, good.last_success), (2, Some(BEGIN)));
}

#[tokio::test]
async fn what_is_activated_during_a_run_runs_once_more() {
    let (tasks, _) = tasks();
    let trigger = Trigger::default();
    // Activated before the task exists: it is not lost.
    trigger.activate();
    let (begun, mut begins) = mpsc::unbounded_channel();
    let (go_on, held) = mpsc::unbounded_channel::<()>();
    let held = Arc::new(tokio::sync::Mutex::new(held));
    tasks.register(Plan::when_activated("it").activated_by(&trigger), move || {
        let (begun, held) = (begun.clone(), Arc::clone(&held));
        async move {
            begun.send(()).unwrap();
            held.lock().await.recv().await;
            Ok(String::new())
        }
    });
    begins.recv().await.unwrap();
    for _ in 0..5 {
        trigger.activate();
    }
    assert!(status(&tasks).is_running);
    go_on.send(()).unwrap();
    begins.recv().await.unwrap();
    go_on.send(()).unwrap();
    let seen = until(&tasks, |status| status.good_runs == 2).await;
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
    assert_eq!(status(&tasks), seen, "five activations are one run");
}

#[tokio::test]
async fn a_task_runs_again_after_its_period_and_after_a_failure() {
    let (tasks, _) = tasks();
    tasks.register(Plan::every("period", Duration::from_millis(1)), || async { Ok(String::new()) });
    until(&tasks, |status| status.good_runs > 3).await;
    let (tasks, _) = self::tasks();
    let runs = AtomicUsize::new(0);
    tasks.register(Plan::at_start("failing").again_after_failure(Duration::from_millis(1)), move || {
        let run = runs.fetch_add(1, Ordering::SeqCst);
        async move { if run < 3 { Err(format!("{run}")) } else { Ok(String::new()) } }
    });
    let seen = until(&tasks, |status| status.good_runs == 1).await;
    assert_eq!(seen.failed_runs, 3);
}

#[tokio::test]
async fn what_serves_stops_first_and_the_others_last_to_first() {
    let (tasks, _) = tasks();
    let (ended, mut ends) = mpsc::unbounded_channel();
    for name in ["first", "second"] {
        let says = Says(name, ended.clone());
        let body = move || {
            let says = says.clone();
            async move {
                let _at_the_end = says;
                std::future::pending().await
            }
        };
        tasks.register(Plan::at_start(name).cut_when_stopped(), body);
    }
    let says = Says("listener", ended.clone());
    tasks.serve("listener", NEVER, move |mut stopping| async move {
        let _at_the_end = says;
        let _ = stopping.wait_for(|stop| *stop).await;
    });
    while !tasks.statuses().iter().all(|status| status.is_running) {
        tokio::task::yield_now().await;
    }
    // Values captured by the bodies also report their names when the driver drops them; each counts once, after its
    // run has ended.
    tasks.stop().await;
    let mut order: Vec<&str> = Vec::new();
    while let Ok(name) = ends.try_recv() {
        if !order.contains(&name) {
            order.push(name);
        }
    }
    assert_eq!(order, ["listener", "second", "first"]);
    assert!(tasks.statuses().iter().all(|status| !status.is_running));
}

#[tokio::test]
async fn what_serves_and_ends_by_itself_breaks_the_server() {
    let (tasks, _) = tasks();
    tasks.serve("listener", Duration::ZERO, |_| async { panic!("a panic of this test") });
    assert_eq!(tasks.broken().await, "listener");
    assert!(status(&tasks).last_result.unwrap().is_err());
    let (tasks, _) = self::tasks();
    tasks.serve("listener", NEVER, |mut stopping| async move {
        let _ = stopping.wait_for(|stop| *stop).await;
    });
    tasks.stop().await;
    assert_eq!(*tasks.broken.borrow(), None, "a stop is no such end");
}

#[tokio::test]
async fn what_is_let_go_ends_by_itself() {
    let (tasks, _) = tasks();
    let (ended, mut ends) = mpsc::unbounded_channel();
    let says = Says("listener", ended);
    tasks.serve("listener", NEVER, move |mut stopping| async move {
        let _at_the_end = says;
        let _ = stopping.wait_for(|stop| *stop).await;
    });
    tasks.detach();
    assert_eq!(ends.recv().await, Some("listener"));
    assert_eq!(*tasks.broken.borrow(), None);
}

#[tokio::test]
async fn two_tasks_of_one_name_are_one() {
    let (tasks, _) = tasks();
    for _ in 0..2 {
        tasks.register(Plan::every("it", NEVER), || async { Ok(String::new()) });
    }
    assert_eq!(tasks.statuses().len(), 1);
}

/// Reports a name when it is dropped.
#[derive(Clone)]
struct Says(&'static str, mpsc::UnboundedSender<&'static str>);

impl Drop for Says {
    fn drop(&mut self) {
        let _ = self.1.send(self.0);
    }
}
