use std::sync::Arc;

use landfall_domain::clock::Entropy;
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

/// Reports the end of a call of a device that was never seen before.
fn tell(machine: &mut Machine, ending: Ending, now: Duration) -> Option<Reason> {
    tell_of(machine, &another(), ending, now)
}

fn tell_of(machine: &mut Machine, device: &str, ending: Ending, now: Duration) -> Option<Reason> {
    let pass = machine.admit(device, now).unwrap();
    machine.tell(pass, device, ending, now, || 0)
}

fn another() -> String {
    static DEVICES: std::sync::atomic::AtomicU64 = std::sync::atomic::AtomicU64::new(0);
    format!("device-{}", DEVICES.fetch_add(1, Ordering::Relaxed))
}

fn shut(skip: Skip) -> Shut {
    let Skip::Open(shut) = skip else { panic!("{skip:?}") };
    shut
}

/// A source of randomness that gives only zeros.
struct Zeros;

impl Entropy for Zeros {
    fn fill(&self, out: &mut [u8]) {
        out.fill(0);
    }
}

/// A machine that opened at a moment.
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
    assert_eq!(shut(machine.admit("d", at(2)).unwrap_err()).reason, Reason::InARow);
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
fn probes_go_one_at_a_time_and_one_that_answers_closes_it() {
    let mut machine = opened(at(0));
    assert_eq!(machine.admit("d", at(499)), Err(Skip::Open(Shut { reason: Reason::InARow, left: at(1) })));
    let probe = machine.admit("d", at(500)).unwrap();
    assert!(machine.admit("d", at(501)).is_err(), "the probe is on its way");
    assert_eq!(machine.tell(probe, "d", Ending::Broke, at(502), || u64::MAX), None, "one device may be the fault");
    assert_eq!(machine.state(at(502)), State::Probation(Reason::InARow));
    assert_eq!(tell(&mut machine, Ending::NotItsDoing, at(502)), None);
    assert_eq!(tell(&mut machine, Ending::Broke, at(502)), None);
    let probe = machine.admit("e", at(502)).unwrap();
    assert_eq!(machine.tell(probe, "e", Ending::Broke, at(502), || u64::MAX), Some(Reason::InARow));
    let left = shut(machine.admit("d", at(503)).unwrap_err()).left;
    assert_eq!(left, at(1_999), "twice as long, and the most that can be drawn");
    let probe = machine.admit("d", at(3_000)).unwrap();
    assert_eq!(machine.tell(probe, "d", Ending::Answered, at(3_001), || 0), None);
    assert_eq!(machine.state(at(3_001)), State::Closed);
}

#[test]
fn recovery_begins_with_an_empty_window() {
    let mut machine = opened(at(0));
    let probe = machine.admit("d", at(600)).unwrap();
    machine.tell(probe, "d", Ending::Answered, at(600), || 0);
    for _ in 0..3 {
        assert_eq!(tell(&mut machine, Ending::Broke, at(700)), None);
        assert_eq!(tell(&mut machine, Ending::Answered, at(700)), None);
    }
}

#[test]
fn one_that_opens_again_at_once_is_open_longer_and_one_that_was_well_for_long_is_not() {
    let reopened = |after: u64| {
        let mut machine = opened(at(0));
        let probe = machine.admit("d", at(600)).unwrap();
        machine.tell(probe, "d", Ending::Answered, at(600), || 0);
        for _ in 0..3 {
            tell(&mut machine, Ending::Broke, at(600 + after));
        }
        shut(machine.admit("d", at(600 + after)).unwrap_err()).left
    };
    assert_eq!((reopened(100), reopened(20_000)), (at(1_000), at(500)));
}

#[test]
fn a_probe_that_is_never_heard_of_makes_room_for_another_and_changes_nothing_when_it_is() {
    let mut machine = opened(at(0));
    let lost = machine.admit("d", at(600)).unwrap();
    assert!(machine.admit("d", at(10_000)).is_err());
    let next = machine.admit("d", at(60_000)).unwrap();
    assert_ne!(lost, next);
    assert_eq!(machine.tell(lost, "d", Ending::Answered, at(60_001), || 0), None);
    assert!(matches!(machine.state(at(60_001)), State::Probation(_)));
}

#[test]
fn a_call_from_before_it_opened_changes_nothing() {
    let mut machine = Machine::new(LIMITS);
    let late = machine.admit("d", at(0)).unwrap();
    for _ in 0..3 {
        tell(&mut machine, Ending::Broke, at(1));
    }
    assert_eq!(machine.tell(late, "d", Ending::Answered, at(2), || 0), None);
    assert!(machine.admit("d", at(2)).is_err());
}

#[test]
fn devices_that_break_it_stop_no_other_however_often_they_come() {
    let mut machine = Machine::new(LIMITS);
    let poison: Vec<_> = (0..2).map(|number| format!("poison-{number}")).collect();
    let mut tried = 0;
    for moment in 0..2_400 {
        let now = at(moment * 50);
        for device in &poison {
            if let Ok(pass) = machine.admit(device, now) {
                tried += 1;
                assert_eq!(machine.tell(pass, device, Ending::Broke, now, || 0), None);
            }
        }
        if moment % 10 == 0 {
            assert_eq!(tell(&mut machine, Ending::Answered, now), None, "a good device is asked at once");
        }
    }
    assert!(tried < 2 * 16, "{tried} calls of two devices in two minutes");
}

#[test]
fn a_crate_of_devices_with_one_fault_delays_the_others_for_a_moment_at_most() {
    // All of them come before any other device, which is the worst order.
    let mut machine = Machine::new(LIMITS);
    let poison: Vec<_> = (0..12).map(|number| format!("poison-{number}")).collect();
    let mut waited = 0;
    for moment in 0..600 {
        let now = at(moment * 100);
        for device in &poison {
            if let Ok(pass) = machine.admit(device, now) {
                machine.tell(pass, device, Ending::Broke, now, || 0);
            }
        }
        if moment > 0 && moment % 5 == 0 {
            let device = another();
            match machine.admit(&device, now) {
                Ok(pass) => assert_eq!(machine.tell(pass, &device, Ending::Answered, now, || 0), None),
                Err(_) => waited += 1,
            }
        }
    }
    assert!(waited < 120 / 2, "{waited} of 119 good devices waited");
    assert_eq!(machine.state(at(60_000)), State::Closed);
}

#[test]
fn a_policy_that_was_well_is_broken_when_many_devices_in_a_row_say_so() {
    let mut machine = Machine::new(LIMITS);
    for _ in 0..20 {
        tell(&mut machine, Ending::Answered, at(1));
    }
    let opened: Vec<_> = (0..12).map(|_| tell(&mut machine, Ending::Broke, at(2))).collect();
    assert_eq!(opened.iter().position(Option::is_some), Some(11), "{opened:?}");
}

#[test]
fn a_device_that_is_answered_is_no_suspect_any_more() {
    let mut machine = Machine::new(LIMITS);
    for _ in 0..2 {
        tell_of(&mut machine, "d", Ending::Broke, at(0));
    }
    assert_eq!(machine.admit("d", at(1)), Err(Skip::Device(Held { times: 2, left: at(999) })));
    assert_eq!(tell_of(&mut machine, "d", Ending::Answered, at(1_000)), None);
    assert!(machine.is_calm());
}

/// An event for a breaker: time passes, calls begin, calls end in some order.
#[derive(Clone, Copy, Debug)]
enum Event {
    Pass(u64),
    Begin(usize),
    End(usize, Ending),
}

fn event() -> impl Strategy<Value = Event> {
    let ending = prop_oneof![3 => Just(Ending::Broke), 3 => Just(Ending::Answered), 1 => Just(Ending::NotItsDoing)];
    prop_oneof![
        (0..3_000_u64).prop_map(Event::Pass),
        (0..40_usize).prop_map(Event::Begin),
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
                Event::Begin(device) => {
                    let (before, device) = (machine.state(now), format!("device-{device}"));
                    match machine.admit(&device, now) {
                        Ok(pass) if pass == Pass::ordinary() => {
                            prop_assert_eq!(before, State::Closed);
                            on_their_way.push((pass, device));
                        }
                        Ok(pass) => {
                            prop_assert!(matches!(before, State::Probation(_)));
                            let lost = probe.is_none_or(|(_, until)| until <= now);
                            prop_assert!(lost, "two probes at once");
                            probe = Some((pass, now + at(30_000)));
                            on_their_way.push((pass, device));
                        }
                        Err(Skip::Device(held)) => {
                            prop_assert!(held.times > 1 && !held.left.is_zero() && held.left <= LIMITS.open_most);
                        }
                        Err(Skip::Open(shut)) => {
                            prop_assert!(before != State::Closed);
                            prop_assert!(!shut.left.is_zero() && shut.left <= at(30_000));
                        }
                    }
                }
                Event::End(which, ending) if !on_their_way.is_empty() => {
                    let (pass, device) = on_their_way.remove(which % on_their_way.len());
                    if probe.is_some_and(|(probe, _)| probe == pass) {
                        probe = None;
                    }
                    broken = if ending == Ending::Broke { broken + 1 } else { broken };
                    let before = machine.state(now);
                    let opened = machine.tell(pass, &device, ending, now, || chances);
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
        // The breaker is never stuck: after some time a call is let through, and an answered call closes the breaker.
        now += at(30_000);
        let pass = machine.admit("d", now);
        prop_assert!(pass.is_ok());
        prop_assert_eq!(machine.tell(pass.unwrap(), "d", Ending::Answered, now, || chances), None);
        prop_assert_eq!(machine.state(now), State::Closed);
    }

    #[test]
    fn the_quick_way_counts_as_the_slow_one_does(
        steps in proptest::collection::vec(
            (0..1_500_u64, prop_oneof![Just(Ending::Answered), Just(Ending::Broke)], 0..40_u32), 0..200),
    ) {
        let ambient = Ambient { entropy: Arc::new(Zeros), ..Ambient::system() };
        let breaker = Breaker::new(LIMITS, &ambient);
        let mut machine = Machine::new(LIMITS);
        let mut now = Duration::ZERO;
        for (millis, ending, device) in steps {
            now += at(millis);
            let device = format!("device-{device}");
            let quick = breaker.lock().admit(&device, now);
            let slow = machine.admit(&device, now);
            prop_assert_eq!(quick, slow);
            let Ok(pass) = quick else { continue };
            let quick = breaker.tell_at(pass, &device, ending, now);
            prop_assert_eq!(quick, machine.tell(pass, &device, ending, now, || 0));
        }
    }
}
