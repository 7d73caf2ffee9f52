//! Tests of the writer, on an engine whose transactions are lists.

use std::sync::mpsc::{Receiver, Sender, channel};

use super::*;

/// An engine whose transactions are lists, and whose commits fail on request.
struct Lists {
    committed: Arc<Mutex<Vec<Vec<&'static str>>>>,
    commit: fn() -> Result<(), Failure>,
}

impl Engine for Lists {
    type Transaction<'a> = Vec<&'static str>;

    fn transact(
        &mut self,
        body: &mut dyn FnMut(&mut Vec<&'static str>) -> Result<(), StoreError>,
    ) -> Result<(), Failure> {
        let mut list = Vec::new();
        body(&mut list).map_err(Failure::Undone)?;
        (self.commit)()?;
        self.committed.lock().unwrap().push(list);
        Ok(())
    }
}

/// A job that writes its name, unless it is `bad`.
struct Name(&'static str, usize, Sender<(&'static str, Result<(), StoreError>)>);

impl Job<Lists> for Name {
    fn size(&self) -> usize {
        self.1
    }
    fn apply(&mut self, list: &mut Vec<&'static str>) -> Result<(), StoreError> {
        list.push(self.0);
        if self.0 == "bad" { Err(StoreError::Write("bad".to_owned())) } else { Ok(()) }
    }
    fn answer(self: Box<Self>) {
        self.2.send((self.0, Ok(()))).unwrap();
    }
    fn refuse(self: Box<Self>, error: StoreError) {
        self.2.send((self.0, Err(error))).unwrap();
    }
}

struct Bench {
    queue: Arc<Queue<Lists>>,
    writer: Writer<Lists>,
    committed: Arc<Mutex<Vec<Vec<&'static str>>>>,
    answers: Receiver<(&'static str, Result<(), StoreError>)>,
    sender: Sender<(&'static str, Result<(), StoreError>)>,
    fatal: Arc<Mutex<Vec<StoreError>>>,
}

impl Bench {
    fn new(commit: fn() -> Result<(), Failure>) -> Self {
        let bounds = Bounds { device_queue: 4, operator_queue: 2, bulk_queue: 2, batch_jobs: 3, batch_bytes: 100 };
        let queue = Arc::new(Queue::new(bounds, Arc::new(landfall_domain::clock::SystemClock)));
        let committed = Arc::new(Mutex::new(Vec::new()));
        let fatal = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&fatal);
        let on_fatal: OnFatal = Arc::new(move |error| told.lock().unwrap().push(error.clone()));
        let engine = Lists { committed: Arc::clone(&committed), commit };
        let writer = Writer::new(engine, Arc::clone(&queue), on_fatal);
        let (sender, answers) = channel();
        Self { queue, writer, committed, answers, sender, fatal }
    }

    fn push(&self, lane: Lane, name: &'static str, size: usize) -> Result<(), StoreError> {
        self.queue.push(lane, Box::new(Name(name, size, self.sender.clone())))
    }

    fn written(&mut self) -> Vec<Vec<&'static str>> {
        while self.writer.turn() {}
        std::mem::take(&mut self.committed.lock().unwrap())
    }
}

#[test]
fn what_waits_is_written_together_within_bounds() {
    let mut bench = Bench::new(|| Ok(()));
    for name in ["a", "b", "c", "d"] {
        bench.push(Lane::Device, name, 1).unwrap();
    }
    assert_eq!(bench.written(), [vec!["a", "b", "c"], vec!["d"]]);
    for name in ["a", "b"] {
        bench.push(Lane::Device, name, 60).unwrap();
    }
    bench.push(Lane::Device, "too large for any", 1_000).unwrap();
    assert_eq!(bench.written(), [["a"], ["b"], ["too large for any"]]);
}

#[test]
fn a_full_queue_says_so_at_once() {
    let mut bench = Bench::new(|| Ok(()));
    for _ in 0..4 {
        bench.push(Lane::Device, "a", 1).unwrap();
    }
    assert_eq!(bench.push(Lane::Device, "b", 1), Err(StoreError::Busy));
    bench.push(Lane::Bulk, "c", 1).unwrap();
    bench.push(Lane::Bulk, "c", 1).unwrap();
    assert_eq!(bench.push(Lane::Bulk, "d", 1), Err(StoreError::Busy));
    bench.written();
    bench.push(Lane::Device, "b", 1).unwrap();
}

#[test]
fn bulk_work_waits_for_three_commits_at_most() {
    let mut bench = Bench::new(|| Ok(()));
    bench.push(Lane::Bulk, "bulk", 1_000).unwrap();
    let mut order = Vec::new();
    for _ in 0..5 {
        bench.push(Lane::Device, "device", 1).unwrap();
        bench.writer.turn();
        order.append(&mut bench.committed.lock().unwrap());
    }
    let (device, bulk) = (vec!["device"], vec!["bulk"]);
    assert_eq!(order, [device.clone(), device.clone(), device.clone(), bulk, vec!["device", "device"]]);
}

#[test]
fn one_bad_job_spoils_no_other() {
    let mut bench = Bench::new(|| Ok(()));
    for name in ["a", "bad", "b"] {
        bench.push(Lane::Device, name, 1).unwrap();
    }
    assert_eq!(bench.written(), [["a", "b"]]);
    let answers: Vec<_> = bench.answers.try_iter().collect();
    assert_eq!(answers, [("bad", Err(StoreError::Write("bad".to_owned()))), ("a", Ok(())), ("b", Ok(()))]);
    assert_eq!(*bench.fatal.lock().unwrap(), []);
}

#[test]
fn many_bad_jobs_in_one_batch_spoil_no_other_either() {
    let mut bench = Bench::new(|| Ok(()));
    bench.queue.lock().device.extend(std::iter::repeat_n("bad", FAULTS_IN_A_BATCH + 3).chain(["good"]).map(|name| {
        let job: Box<dyn Job<Lists>> = Box::new(Name(name, 1, bench.sender.clone()));
        job
    }));
    bench.writer.write(bench.queue.lock().device.drain(..).collect());
    assert_eq!(bench.written(), [["good"]]);
    assert_eq!(bench.answers.try_iter().filter(|(_, answer)| answer.is_ok()).count(), 1);
}

#[test]
fn operators_have_room_when_devices_have_none_and_go_first() {
    let mut bench = Bench::new(|| Ok(()));
    for _ in 0..4 {
        bench.push(Lane::Device, "device", 1).unwrap();
    }
    assert_eq!(bench.push(Lane::Device, "device", 1), Err(StoreError::Busy));
    bench.push(Lane::Operator, "quarantine", 1).unwrap();
    bench.push(Lane::Operator, "disable", 1).unwrap();
    assert_eq!(bench.push(Lane::Operator, "third", 1), Err(StoreError::Busy));
    let devices = vec!["device"; 3];
    assert_eq!(bench.written(), [vec!["quarantine", "disable", "device"], devices]);
}

#[test]
fn a_commit_that_failed_is_told_to_its_batch_and_ends_everything() {
    let mut bench = Bench::new(|| Err(Failure::Unknown("disk".to_owned())));
    for name in ["a", "b", "c", "later"] {
        bench.push(Lane::Device, name, 1).unwrap();
    }
    bench.push(Lane::Bulk, "bulk", 1).unwrap();
    assert_eq!(bench.written(), [[""; 0]; 0]);
    let unknown = || Err(StoreError::Outcome("disk".to_owned()));
    let closed = || Err(StoreError::Closed);
    let answers: Vec<_> = bench.answers.try_iter().collect();
    let wanted = [("a", unknown()), ("b", unknown()), ("c", unknown()), ("later", closed()), ("bulk", closed())];
    assert_eq!(answers, wanted);
    assert_eq!(*bench.fatal.lock().unwrap(), [StoreError::Outcome("disk".to_owned())]);
    assert_eq!(bench.push(Lane::Device, "d", 1), Err(StoreError::Closed));
}

#[test]
fn a_file_that_takes_no_more_leaves_nothing_behind_and_says_so() {
    let mut bench = Bench::new(|| Err(Failure::Lost("full".to_owned())));
    bench.push(Lane::Device, "a", 1).unwrap();
    bench.written();
    assert_eq!(bench.answers.try_recv(), Ok(("a", Err(StoreError::Write("full".to_owned())))));
    assert_eq!(bench.fatal.lock().unwrap().len(), 1);
}

#[test]
fn finishing_writes_what_waits_and_takes_nothing_more() {
    let bench = Bench::new(|| Ok(()));
    bench.push(Lane::Device, "a", 1).unwrap();
    bench.push(Lane::Bulk, "b", 1).unwrap();
    bench.queue.finish();
    assert_eq!(bench.push(Lane::Device, "c", 1), Err(StoreError::Closed));
    bench.writer.run();
    assert_eq!(*bench.committed.lock().unwrap(), [["a"], ["b"]]);
}
