//! Registrations that are under way.
//!
//! A device registers, gets an operation id, and asks for the result later. A lost connection, a second request and a
//! poll must all meet the same operation. This module keeps that operation, and nothing that must not be lost:
//! decisions are in the store. An operation may be unknown here because the process was restarted, or because it made
//! room for others. Then it begins again under the same id when the device asks for it. An operation id carries a code
//! that only this installation can make, so that such ids can be told from invented ones.
//!
//! The newest registration says what counts. If a device says something new while it waits, it is decided at once,
//! under a new operation id, so that a poll after a restart finds what was said last. If a decision is being made, the
//! new registration is decided after it.
//!
//! Two limits bound this: `max_operations`, and the bytes that waiting operations keep of what their devices said. If
//! either is reached, the oldest operations that only wait for their device make room. If none of them waits, a new
//! device is told to come back. When a device whose operation made room polls, what it said is read from the ledger, as
//! after a restart.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::hmac;
use landfall_attestation::x509::request::CertificateRequest;
use landfall_domain::clock::Timestamp;
use landfall_domain::json::JsonText;
use landfall_domain::names::{Digest, IdScope, OperationId, RegistrationId, TrackingId};
use landfall_domain::registration::{Outcome, Registration};
use landfall_domain::text::hex;
use tokio::sync::watch;

pub(in crate::provisioning) use self::waiting::Wait;
pub use self::waiting::WaitingDevice;
use crate::provisioning::refusal::Cause;
use crate::provisioning::registration_job::RegistrationJob;

mod waiting;

/// The device and the key that an operation belongs to. Two keys that claim one id at the same time have an operation
/// each; the store decides which of them gets the id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Claimant {
    pub scope: IdScope,
    pub id: RegistrationId,
    /// The key that was proven.
    pub key: Digest,
}

/// How far an operation has come.
#[derive(Clone, Debug)]
pub(crate) enum Progress {
    /// It is being worked on.
    Running,
    /// The policy could not decide, or asked for more time. The first poll after that time tries again.
    Waiting(Arc<Wait>),
    /// It is on disk.
    Finished(Arc<Registration>),
    /// The device was refused after it had been admitted: another key registered the id first.
    Refused(Arc<Cause>),
    /// The store failed; the device may ask again.
    Failed,
}

impl Progress {
    /// The word for this progress in metrics.
    pub(in crate::provisioning) fn word(&self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting(_) => "waits",
            Self::Finished(registration) => match registration.outcome {
                Outcome::Assigned(_) => "assigned",
                Outcome::Failed { .. } => "failed",
            },
            Self::Refused(_) => "refused",
            Self::Failed => "error",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub id: OperationId,
    progress: watch::Sender<Progress>,
    said: Arc<Mutex<Statement>>,
    /// The number of the operation. It counts up, so a smaller number is an older operation.
    number: u64,
}

/// An operation, and the registration that follows it: the device has said something new meanwhile.
struct Held {
    operation: Operation,
    next: Option<Box<RegistrationJob>>,
    /// While the operation waits: how many bytes of what the device said are kept for it.
    waiting_bytes: usize,
}

/// The operations that are held, and the sum of the bytes that the waiting ones keep.
#[derive(Default)]
struct Running {
    held: HashMap<Claimant, Held>,
    waiting_bytes: usize,
}

/// What an operation's id says about its beginning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Begun {
    /// The request that began it.
    pub request: TrackingId,
    pub at: Timestamp,
    /// What kind of statement the device made then. A poll repeats nothing, and no decision may be made as if the
    /// device had said nothing.
    pub kind: StatementKind,
}

/// What a device says when it registers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Statement {
    pub payload: Option<JsonText>,
    /// Its request for a certificate.
    pub csr: Option<Arc<CertificateRequest>>,
}

/// What a statement contains. The operation's id tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatementKind {
    Nothing,
    /// A payload, which the ledger keeps.
    Payload,
    /// A request for a certificate, which is not kept.
    Csr,
}

impl Statement {
    /// The number of bytes that are kept of it.
    fn bytes(&self) -> usize {
        let payload = self.payload.as_ref().map_or(0, |payload| payload.as_str().len());
        payload.saturating_add(self.csr.as_ref().map_or(0, |csr| csr.bytes()))
    }

    /// What the statement contains.
    pub(crate) fn kind(&self) -> StatementKind {
        match self {
            Self { csr: Some(_), .. } => StatementKind::Csr,
            Self { payload: Some(_), .. } => StatementKind::Payload,
            Self { payload: None, csr: None } => StatementKind::Nothing,
        }
    }
}

impl StatementKind {
    const ALL: [Self; 3] = [Self::Nothing, Self::Payload, Self::Csr];

    fn mark(self) -> &'static str {
        match self {
            Self::Nothing => "",
            Self::Payload => "\0payload",
            Self::Csr => "\0csr",
        }
    }
}

/// What a request asks of an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RequestKind {
    /// A registration: what the device says in this request counts.
    Register,
    /// A poll: what the device said when it registered counts.
    Poll,
}

impl Operation {
    /// How far the operation has come.
    pub(crate) fn progress(&self) -> Progress {
        self.progress.borrow().clone()
    }

    /// What the device said when it registered.
    pub(crate) fn said(&self) -> Statement {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces what the device said, in a registration that continues the operation under a new id.
    fn says(&mut self, id: OperationId, said: Statement) {
        self.id = id;
        *self.said.lock().unwrap_or_else(PoisonError::into_inner) = said;
    }

    /// Waits until the operation is no longer running, for at most `at_most`. Answers how far it has come then.
    pub(crate) async fn settled(&self, at_most: Duration) -> Progress {
        let mut watcher = self.progress.subscribe();
        let settled = watcher.wait_for(|progress| !matches!(progress, Progress::Running));
        match tokio::time::timeout(at_most, settled).await {
            Ok(Ok(progress)) => progress.clone(),
            Ok(Err(_)) | Err(_) => self.progress(),
        }
    }
}

/// The state of the operation that a request meets.
pub(crate) enum BeginResult {
    /// Nobody works on the operation: the caller does, and then reports how far it has come.
    Mine(Operation),
    /// Another request works on it, or it waits.
    Theirs(Operation),
    /// Another request works on what the device said before. What it says now comes next, with [`Operations::follow`].
    Behind,
    /// There is no room for another operation.
    Full,
}

/// The registrations that are under way.
pub(crate) struct Operations {
    running: Mutex<Running>,
    next: AtomicU64,
    key: hmac::Key,
    max_operations: usize,
    max_waiting_bytes: usize,
}

impl Operations {
    /// Holds no operation yet. `key` makes the operation ids of this installation. At most `max_operations` are held,
    /// and the waiting ones keep at most `max_waiting_bytes` of what devices said.
    pub(crate) fn new(key: &[u8; 32], max_operations: usize, max_waiting_bytes: usize) -> Self {
        Self {
            running: Mutex::default(),
            next: AtomicU64::new(0),
            key: hmac::Key::new(hmac::HMAC_SHA256, key),
            max_operations,
            max_waiting_bytes,
        }
    }

    /// The id of the operation that a request begins: `4.CODE.REQUEST`, in the format of DPS's ids. The code depends on
    /// the kind of what the device said.
    pub(crate) fn new_id(
        &self,
        scope: &IdScope,
        id: &RegistrationId,
        request: TrackingId,
        kind: StatementKind,
    ) -> OperationId {
        OperationId::of_parts(&self.code(scope, id, &request.to_string(), kind), request)
    }

    /// How the operation began. `None` if its id was not made by this installation for this device.
    pub(crate) fn begun(&self, operation: &OperationId, scope: &IdScope, id: &RegistrationId) -> Option<Begun> {
        let (code, nonce) = operation.as_str().strip_prefix("4.")?.split_once('.')?;
        let kind = StatementKind::ALL.into_iter().find(|kind| code == self.code(scope, id, nonce, *kind))?;
        let request: TrackingId = nonce.parse().ok()?;
        Some(Begun { request, at: request.made_at(), kind })
    }

    /// Finds the claimant's operation, or begins a new one.
    pub(crate) fn begin(
        &self,
        claimant: &Claimant,
        new_id: OperationId,
        now: Instant,
        asked: RequestKind,
        said: &Statement,
    ) -> BeginResult {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let Running { held: all, waiting_bytes } = &mut *running;
        if let Some(held) = all.get_mut(claimant) {
            let operation = &mut held.operation;
            let says_more = asked == RequestKind::Register && operation.said() != *said;
            let due = match operation.progress() {
                Progress::Running if says_more => return BeginResult::Behind,
                Progress::Running => false,
                Progress::Waiting(wait) => says_more || wait.until <= now,
                // Operations in these states are no longer held; see [`Operations::conclude`].
                Progress::Finished(_) | Progress::Refused(_) | Progress::Failed => true,
            };
            if !due {
                return BeginResult::Theirs(operation.clone());
            }
            if says_more {
                operation.says(new_id, said.clone());
            }
            operation.progress.send_replace(Progress::Running);
            *waiting_bytes = waiting_bytes.saturating_sub(std::mem::take(&mut held.waiting_bytes));
            return BeginResult::Mine(operation.clone());
        }
        if running.held.len() >= self.max_operations && !running.make_room() {
            return BeginResult::Full;
        }
        let said = Arc::new(Mutex::new(said.clone()));
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let operation = Operation { id: new_id, progress: watch::Sender::new(Progress::Running), said, number };
        let held = Held { operation: operation.clone(), next: None, waiting_bytes: 0 };
        running.held.insert(claimant.clone(), held);
        BeginResult::Mine(operation)
    }

    /// Has a registration follow the one that is being worked on. It replaces another one that was to follow. Gives it
    /// back if nothing is being worked on any more.
    pub(in crate::provisioning) fn follow(
        &self,
        claimant: &Claimant,
        work: Box<RegistrationJob>,
    ) -> Result<Operation, Box<RegistrationJob>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        match running.held.get_mut(claimant) {
            Some(held) if matches!(held.operation.progress(), Progress::Running) => {
                held.operation.says(work.operation.clone(), work.request.said());
                held.next = Some(work);
                Ok(held.operation.clone())
            }
            Some(_) | None => Err(work),
        }
    }

    /// Whether the claimant has an operation, or there is room for a new one.
    pub(crate) fn has_room(&self, claimant: &Claimant) -> bool {
        let running = &self.running.lock().unwrap_or_else(PoisonError::into_inner).held;
        let waits = |held: &Held| !matches!(held.operation.progress(), Progress::Running);
        running.len() < self.max_operations || running.contains_key(claimant) || running.values().any(waits)
    }

    /// The claimant's operation, if it is held.
    pub(crate) fn find(&self, claimant: &Claimant) -> Option<Operation> {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.held.get(claimant).map(|held| held.operation.clone())
    }

    /// Records how far an operation of the caller has come. An operation that waits stays held, so that a poll finds
    /// when to try again. Any other operation is dropped in the same moment, because its result is in the store or it
    /// begins anew: a request in between could otherwise take it up again and lose it. Answers the registration that
    /// follows, if there is one; the caller then goes on with that.
    #[must_use]
    pub(in crate::provisioning) fn conclude(
        &self,
        claimant: &Claimant,
        operation: &Operation,
        progress: Progress,
    ) -> Option<Box<RegistrationJob>> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(next) = running.held.get_mut(claimant).and_then(|held| held.next.take()) {
            return Some(next);
        }
        let waits = matches!(progress, Progress::Waiting(_));
        operation.progress.send_replace(progress);
        if waits {
            running.has_begun_to_wait(claimant, self.max_waiting_bytes);
        } else {
            running.held.remove(claimant);
        }
        None
    }

    /// The number of operations that are being worked on.
    pub(crate) fn running(&self) -> usize {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.held.values().filter(|held| !held.waits()).count()
    }

    /// The code of an operation id. 64 bits are enough: who guesses one only begins a registration of its own, which it
    /// may do anyway.
    fn code(&self, scope: &IdScope, id: &RegistrationId, nonce: &str, kind: StatementKind) -> String {
        let text = format!("operation\0{scope}\0{}\0{nonce}{}", id.key(), kind.mark());
        hex(hmac::sign(&self.key, text.as_bytes()).as_ref().get(..8).unwrap_or_default())
    }
}

impl Held {
    fn waits(&self) -> bool {
        !matches!(self.operation.progress(), Progress::Running)
    }
}

impl Running {
    /// Drops the oldest operations that only wait for their devices; they begin again when the devices poll. It drops a
    /// fraction of them at once, so that not every new device has to search all of them.
    fn make_room(&mut self) -> bool {
        let waiting = self.held.values().filter(|held| held.waits());
        let mut waiting: Vec<u64> = waiting.map(|held| held.operation.number).collect();
        let dropped = waiting.len().div_ceil(DROPPED_AT_ONCE);
        let Some(last) = dropped.checked_sub(1) else { return false };
        let (_, last, _) = waiting.select_nth_unstable(last);
        let (last, waiting_bytes) = (*last, &mut self.waiting_bytes);
        self.held.retain(|_, held| {
            let stays = held.operation.number > last || !held.waits();
            if !stays {
                *waiting_bytes = waiting_bytes.saturating_sub(held.waiting_bytes);
            }
            stays
        });
        true
    }

    /// Counts the bytes that an operation keeps while it waits. If they are too many in all, the oldest operations make
    /// room.
    fn has_begun_to_wait(&mut self, claimant: &Claimant, most: usize) {
        if let Some(held) = self.held.get_mut(claimant) {
            let bytes = held.operation.said().bytes();
            let before = std::mem::replace(&mut held.waiting_bytes, bytes);
            self.waiting_bytes = self.waiting_bytes.saturating_sub(before).saturating_add(bytes);
        }
        while self.waiting_bytes > most && self.make_room() {}
    }
}

/// One in this many of the waiting operations is dropped at once.
const DROPPED_AT_ONCE: usize = 16;

#[cfg(test)]
mod tests {
    use landfall_domain::clock::{Clock as _, SystemClock};

    use super::*;

    fn claimant(id: &str) -> Claimant {
        Claimant { scope: "s1".parse().unwrap(), id: id.parse().unwrap(), key: Digest::of(b"k") }
    }

    fn begin(operations: &Operations, id: &str, now: Instant) -> BeginResult {
        let who = claimant(id);
        let new = operations.new_id(
            &who.scope,
            &who.id,
            TrackingId::new(Timestamp::from_millis(0), [7; 10]),
            StatementKind::Nothing,
        );
        operations.begin(&who, new, now, RequestKind::Register, &Statement::default())
    }

    fn wait(operations: &Operations, id: &str, operation: &Operation, until: Instant) {
        let (again_at, decision) = (Timestamp::from_millis(9), TrackingId::new(Timestamp::from_millis(5), [7; 10]));
        let wait = Wait { until, again_at, decision, kind: "no-hub", detail: "no hub".to_owned() };
        assert!(operations.conclude(&claimant(id), operation, Progress::Waiting(Arc::new(wait))).is_none());
    }

    #[test]
    fn two_requests_meet_the_same_operation() {
        let (operations, now) = (Operations::new(&[1; 32], 10, 1_000), SystemClock.instant());
        let BeginResult::Mine(first) = begin(&operations, "a", now) else { panic!("not mine") };
        let BeginResult::Theirs(second) = begin(&operations, "A", now) else { panic!("not theirs") };
        assert_eq!(first.id, second.id);
    }

    #[test]
    fn a_waiting_operation_is_taken_up_again_when_its_time_has_come() {
        let (operations, now) = (Operations::new(&[1; 32], 10, 1_000), SystemClock.instant());
        let later = now + Duration::from_millis(50);
        let BeginResult::Mine(first) = begin(&operations, "a", now) else { panic!("not mine") };
        wait(&operations, "a", &first, later);
        assert!(matches!(begin(&operations, "a", now + Duration::from_millis(49)), BeginResult::Theirs(_)));
        assert!(matches!(begin(&operations, "a", later), BeginResult::Mine(_)));
        assert!(matches!(begin(&operations, "a", later), BeginResult::Theirs(_)));
    }

    #[test]
    fn devices_that_wait_are_listed_while_they_do() {
        let (operations, now) = (Operations::new(&[1; 32], 10, 1_000), SystemClock.instant());
        for id in ["a", "b", "c"] {
            let BeginResult::Mine(operation) = begin(&operations, id, now) else { panic!("not mine") };
            if id != "c" {
                wait(&operations, id, &operation, now);
            }
        }
        let (scope, elsewhere) = (claimant("a").scope, "s2".parse().unwrap());
        let ids = |devices: Vec<WaitingDevice>| {
            let mut ids: Vec<_> = devices.iter().map(|device| device.claimant.id.to_string()).collect();
            ids.sort();
            ids
        };
        assert_eq!(ids(operations.waiting(&scope)), ["a", "b"]);
        assert_eq!(operations.waiting(&elsewhere).len(), 0);
        assert_eq!(ids(operations.waiting_of(&scope, &"A".parse().unwrap())), ["a"]);
        assert!(matches!(begin(&operations, "a", now), BeginResult::Mine(_)));
        assert_eq!(ids(operations.waiting(&scope)), ["b"]);
    }

    #[test]
    fn what_has_ended_is_not_taken_up_again() {
        let (operations, now) = (Operations::new(&[1; 32], 10, 1_000), SystemClock.instant());
        let BeginResult::Mine(first) = begin(&operations, "a", now) else { panic!("not mine") };
        assert!(operations.conclude(&claimant("a"), &first, Progress::Failed).is_none());
        let BeginResult::Mine(second) = begin(&operations, "a", now) else { panic!("not mine") };
        assert!(matches!(first.progress(), Progress::Failed));
        assert!(matches!(second.progress(), Progress::Running));
        assert!(matches!(begin(&operations, "a", now), BeginResult::Theirs(_)));
    }

    #[test]
    fn a_full_table_forgets_what_waits_and_never_what_runs() {
        let (operations, now) = (Operations::new(&[1; 32], 2, 1_000), SystemClock.instant());
        let BeginResult::Mine(a) = begin(&operations, "a", now) else { panic!("not mine") };
        let BeginResult::Mine(_) = begin(&operations, "b", now) else { panic!("not mine") };
        assert!(matches!(begin(&operations, "c", now), BeginResult::Full));
        assert_eq!(["a", "c"].map(|id| operations.has_room(&claimant(id))), [true, false]);
        wait(&operations, "a", &a, now + Duration::from_millis(50));
        assert!(operations.has_room(&claimant("c")));
        assert!(matches!(begin(&operations, "c", now), BeginResult::Mine(_)));
        assert!(operations.find(&claimant("b")).is_some());
    }

    #[test]
    fn the_oldest_that_wait_make_room_and_no_others() {
        let (operations, now) = (Operations::new(&[1; 32], 20, 1_000), SystemClock.instant());
        for number in 0..20 {
            let id = format!("d{number}");
            let BeginResult::Mine(operation) = begin(&operations, &id, now) else { panic!("not mine") };
            if number != 0 {
                wait(&operations, &id, &operation, now + Duration::from_secs(9));
            }
        }
        assert!(matches!(begin(&operations, "new", now), BeginResult::Mine(_)));
        let gone: Vec<_> = (0..20).filter(|n| operations.find(&claimant(&format!("d{n}"))).is_none()).collect();
        assert_eq!(gone, [1, 2]);
    }

    #[test]
    fn those_that_wait_keep_so_many_bytes_at_most_and_the_oldest_make_room() {
        let (operations, now) = (Operations::new(&[1; 32], 100, 1_000), SystemClock.instant());
        let made = Timestamp::from_millis(0);
        let said =
            Statement { payload: Some(JsonText::parse(format!("{:?}", "x".repeat(98)), 200, 9).unwrap()), csr: None };
        let begin = |id: &str| {
            let who = claimant(id);
            let new = operations.new_id(&who.scope, &who.id, TrackingId::new(made, [7; 10]), StatementKind::Payload);
            match operations.begin(&who, new, now, RequestKind::Register, &said) {
                BeginResult::Mine(operation) => operation,
                _ => panic!("not mine"),
            }
        };
        let bytes = || operations.running.lock().unwrap().waiting_bytes;
        let runs = begin("runs");
        for number in 0..10 {
            let id = format!("d{number}");
            let operation = begin(&id);
            wait(&operations, &id, &operation, now);
        }
        assert_eq!(bytes(), 1_000);
        let known = |id: &str| operations.find(&claimant(id)).is_some();
        let again = begin("d0");
        assert_eq!(bytes(), 900, "one that is worked on does not wait");
        wait(&operations, "d0", &again, now);
        let more = begin("more");
        wait(&operations, "more", &more, now);
        assert_eq!((bytes(), known("d0"), known("d1"), known("more")), (1_000, false, true, true));
        assert!(known("runs"), "what runs never makes room");
        assert!(operations.conclude(&claimant("runs"), &runs, Progress::Failed).is_none());
        assert_eq!(bytes(), 1_000);
    }

    #[test]
    fn an_operation_id_is_good_for_one_device_of_one_installation() {
        let (ours, theirs) = (Operations::new(&[1; 32], 1, 1_000), Operations::new(&[2; 32], 1, 1_000));
        let who = claimant("a");
        let now = Timestamp::from_millis(1_700_000_000_123);
        let request = TrackingId::new(now, [7; 10]);
        for kind in StatementKind::ALL {
            let id = ours.new_id(&who.scope, &who.id, request, kind);
            assert_eq!(ours.begun(&id, &who.scope, &who.id), Some(Begun { request, at: now, kind }));
            assert_eq!(theirs.begun(&id, &who.scope, &who.id), None);
            assert_eq!(ours.begun(&id, &who.scope, &claimant("b").id), None);
        }
        assert_eq!(ours.begun(&"4.x".parse().unwrap(), &who.scope, &who.id), None);
    }

    #[test]
    fn what_a_device_said_is_kept_until_it_registers_anew() {
        let operations = Operations::new(&[1; 32], 10, 1_000);
        let (who, now, made) = (claimant("a"), SystemClock.instant(), Timestamp::from_millis(0));
        let text = |text: &str| Statement { payload: Some(JsonText::parse(text, 100, 9).unwrap()), csr: None };
        let id =
            |nonce| operations.new_id(&who.scope, &who.id, TrackingId::new(made, [nonce; 10]), StatementKind::Payload);
        let begin = |nonce, asked, said: &Statement| match operations.begin(&who, id(nonce), now, asked, said) {
            BeginResult::Mine(operation) => operation,
            _ => panic!("not mine"),
        };
        let first = begin(1, RequestKind::Register, &text("1"));
        wait(&operations, "a", &first, now);
        let polled = begin(2, RequestKind::Poll, &Statement::default());
        assert_eq!((&polled.id, polled.said()), (&first.id, text("1")));
        wait(&operations, "a", &first, now);
        let second = begin(3, RequestKind::Register, &text("2"));
        assert_eq!((&second.id, second.said()), (&id(3), text("2")), "whose word its id finds after a restart");
        wait(&operations, "a", &second, now + Duration::from_secs(9));
        let third = begin(4, RequestKind::Register, &Statement::default());
        assert_eq!((&third.id, third.said()), (&id(4), Statement::default()), "before its time");
        let behind = operations.begin(&who, id(5), now, RequestKind::Register, &text("3"));
        assert!(matches!(behind, BeginResult::Behind), "while a decision is being made");
        let joined = operations.begin(&who, id(6), now, RequestKind::Register, &Statement::default());
        assert!(matches!(joined, BeginResult::Theirs(operation) if operation.id == id(4)));
    }
}
