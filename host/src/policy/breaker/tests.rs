use proptest::prelude::*;

use super::*;

const LIMITS: BreakerLimits = BreakerLimits {
    failures: 3,
    window: Duration::from_secs(10),
    least_calls: 8,
    success_percent: 50,
    open: Duration::from_secs(1),
    open_most: Duration::from_secs(16),
};

fn at(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

fn tell(machine: &mut Machine, ending: Ending, now: Duration) -> Option<Reason> {
    let pass = machine.admit(now).unwrap();
    machine.tell(pass, ending, now, || 0)
}

/// Draws nothing but zeros.
struct Zeros;

impl Entropy for Zeros {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
    }
}

/// Opens a machine at a moment.
fn opened(at: Duration) -> Machine {
    let mut machine = Machine::new(LIMITS);
    assert_eq!(tell(&mut machine, Ending::Broke, at), None);
    assert_eq!(tell(&mut machine, Ending::Broke, at), None);
    assert_eq!(tell(&mut machine, Ending::Broke, at), Some(Reason::InARow));
    machine
}

#[test]
fn a_row_of_failures_opens_it_and_an_answer_in_between_does_not_let_it_come_to_that() {
    let mut machine = Machine::new(LIMITS);
    for ending in [Ending::Broke, Ending::Broke, Ending::Answered, Ending::Broke, Ending::NotItsDoing, Ending::Broke] {
        assert_eq!(tell(&mut machine, ending, at(1)), None);
    }
    assert_eq!(tell(&mut machine, Ending::Broke, at(1)), Some(Reason::InARow));
    assert_eq!(machine.admit(at(2)).unwrap_err().reason, Reason::InARow);
}

#[test]
fn half_of_the_calls_broken_opens_it_though_no_row_does_once_there_are_enough() {
    let mut machine = Machine::new(LIMITS);
    let mut told = Vec::new();
    for call in 0..9_u64 {
        let ending = if call % 3 == 2 { Ending::Answered } else { Ending::Broke };
        told.push(tell(&mut machine, ending, at(call * 100)));
        if told.last() != Some(&None) {
            break;
        }
    }
    assert_eq!(told.len(), 8, "the eighth call is the first that counts");
    assert_eq!(told.last(), Some(&Some(Reason::Share)));
}

#[test]
fn what_is_older_than_the_window_does_not_count() {
    let mut machine = Machine::new(LIMITS);
    for call in 0..4 {
        tell(&mut machine, Ending::Answered, at(call));
        tell(&mut machine, Ending::Broke, at(call));
    }
    let later = at(11_000);
    for _ in 0..3 {
        assert_eq!(tell(&mut machine, Ending::Broke, later), None, "of four calls");
        assert_eq!(tell(&mut machine, Ending::Answered, later), None);
    }
}

#[test]
fn one_probe_decides_and_the_others_wait_for_it() {
    let mut machine = opened(at(0));
    assert_eq!(machine.admit(at(499)), Err(Shut { reason: Reason::InARow, left: at(1) }));
    let probe = machine.admit(at(500)).unwrap();
    assert!(machine.admit(at(501)).is_err(), "the probe is on its way");
    assert_eq!(machine.tell(probe, Ending::Broke, at(502), || u64::MAX), Some(Reason::InARow));
    let left = machine.admit(at(503)).unwrap_err().left;
    assert_eq!(left, at(1_999), "twice as long, and the most that can be drawn");
    let probe = machine.admit(at(3_000)).unwrap();
    assert_eq!(machine.tell(probe, Ending::Answered, at(3_001), || 0), None);
    assert_eq!(machine.state(at(3_001)), State::Closed);
}

#[test]
fn recovery_begins_with_an_empty_window() {
    let mut machine = opened(at(0));
    let probe = machine.admit(at(600)).unwrap();
    machine.tell(probe, Ending::Answered, at(600), || 0);
    for _ in 0..3 {
        assert_eq!(tell(&mut machine, Ending::Broke, at(700)), None);
        assert_eq!(tell(&mut machine, Ending::Answered, at(700)), None);
    }
}

#[test]
fn one_that_opens_again_at_once_is_open_longer_and_one_that_was_well_for_long_is_not() {
    let reopened = |after: u64| {
        let mut machine = opened(at(0));
        let probe = machine.admit(at(600)).unwrap();
        machine.tell(probe, Ending::Answered, at(600), || 0);
        for _ in 0..3 {
            tell(&mut machine, Ending::Broke, at(600 + after));
        }
        machine.admit(at(600 + after)).unwrap_err().left
    };
    assert_eq!((reopened(100), reopened(20_000)), (at(1_000), at(500)));
}

#[test]
fn a_probe_that_is_never_heard_of_makes_room_for_another_and_changes_nothing_when_it_is() {
    let mut machine = opened(at(0));
    let lost = machine.admit(at(600)).unwrap();
    assert!(machine.admit(at(10_000)).is_err());
    let next = machine.admit(at(60_000)).unwrap();
    assert_ne!(lost, next);
    assert_eq!(machine.tell(lost, Ending::Answered, at(60_001), || 0), None);
    assert!(matches!(machine.state(at(60_001)), State::Probation(_)));
}

#[test]
fn a_call_from_before_it_opened_changes_nothing() {
    let mut machine = Machine::new(LIMITS);
    let late = machine.admit(at(0)).unwrap();
    for _ in 0..3 {
        tell(&mut machine, Ending::Broke, at(1));
    }
    assert_eq!(machine.tell(late, Ending::Answered, at(2), || 0), None);
    assert!(machine.admit(at(2)).is_err());
}

/// What happens to a breaker: time passes, calls begin, calls end in some order.
#[derive(Clone, Copy, Debug)]
enum Event {
    Pass(u64),
    Begin,
    End(usize, Ending),
}

fn event() -> impl Strategy<Value = Event> {
    let ending = prop_oneof![3 => Just(Ending::Broke), 3 => Just(Ending::Answered), 1 => Just(Ending::NotItsDoing)];
    prop_oneof![
        (0..3_000_u64).prop_map(Event::Pass),
        Just(Event::Begin),
        (0..4_usize, ending).prop_map(|(which, ending)| Event::End(which, ending)),
    ]
}

proptest! {
    #[test]
    fn whatever_happens_it_opens_for_a_reason_probes_one_at_a_time_and_comes_back(
        events in proptest::collection::vec(event(), 0..200),
        chances in any::<u64>(),
    ) {
        let mut machine = Machine::new(LIMITS);
        let mut now = Duration::ZERO;
        let mut on_their_way = Vec::new();
        let mut probe: Option<(Pass, Duration)> = None;
        let mut broken = 0;
        for event in events {
            match event {
                Event::Pass(millis) => now += at(millis),
                Event::Begin => {
                    let before = machine.state(now);
                    match machine.admit(now) {
                        Ok(pass) if pass == Pass::ordinary() => {
                            prop_assert_eq!(before, State::Closed);
                            on_their_way.push(pass);
                        }
                        Ok(pass) => {
                            prop_assert!(matches!(before, State::Probation(_)));
                            let lost = probe.is_none_or(|(_, until)| until <= now);
                            prop_assert!(lost, "two probes at once");
                            probe = Some((pass, now + at(30_000)));
                            on_their_way.push(pass);
                        }
                        Err(shut) => {
                            prop_assert!(before != State::Closed);
                            prop_assert!(!shut.left.is_zero() && shut.left <= at(30_000));
                        }
                    }
                }
                Event::End(which, ending) if !on_their_way.is_empty() => {
                    let pass = on_their_way.remove(which % on_their_way.len());
                    if probe.is_some_and(|(probe, _)| probe == pass) {
                        probe = None;
                    }
                    broken = if ending == Ending::Broke { broken + 1 } else { broken };
                    let before = machine.state(now);
                    let opened = machine.tell(pass, ending, now, || chances);
                    if opened.is_some() {
                        prop_assert_eq!(ending, Ending::Broke);
                        prop_assert!(broken >= LIMITS.failures || before != State::Closed);
                        let State::Open(Shut { left, .. }) = machine.state(now) else { panic!("it is not open") };
                        prop_assert!(left >= LIMITS.open / 2 && left <= LIMITS.open_most);
                        broken = 0;
                    }
                }
                Event::End(..) => {}
            }
        }
        // It is never stuck: when time has passed, a call is let through, and one that answers closes it.
        now += at(30_000);
        let pass = machine.admit(now);
        prop_assert!(pass.is_ok());
        prop_assert_eq!(machine.tell(pass.unwrap(), Ending::Answered, now, || chances), None);
        prop_assert_eq!(machine.state(now), State::Closed);
    }

    #[test]
    fn the_quick_way_counts_as_the_slow_one_does(
        steps in proptest::collection::vec((0..1_500_u64, prop_oneof![Just(Ending::Answered), Just(Ending::Broke)]), 0..200),
    ) {
        let ambient = Ambient { entropy: Arc::new(Zeros), ..Ambient::system() };
        let breaker = Breaker::new(LIMITS, &ambient);
        let mut machine = Machine::new(LIMITS);
        let mut now = Duration::ZERO;
        for (millis, ending) in steps {
            now += at(millis);
            let quick = breaker.lock().admit(now).map_err(|shut| shut.reason);
            let slow = machine.admit(now).map_err(|shut| shut.reason);
            prop_assert_eq!(quick, slow);
            let Ok(pass) = quick else { continue };
            prop_assert_eq!(breaker.tell_at(pass, ending, now), machine.tell(pass, ending, now, || 0));
        }
    }
}
