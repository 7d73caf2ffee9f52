//! Tests of the sealed WASI, called as a guest calls it.

use super::*;
use crate::budget::Budget;
use crate::host_view::EmptyCatalogue;

fn call(now: u64, seed: u64) -> CallState {
    CallState::new(&Budget::default(), now, seed, std::sync::Arc::new(EmptyCatalogue))
}

#[test]
fn the_wall_clock_stands_at_the_moment_of_the_call() {
    let mut state = call(1_767_225_600_123, 0);
    for _ in 0..2 {
        let now = clocks::wall_clock::Host::now(&mut state).unwrap();
        assert_eq!((now.seconds, now.nanoseconds), (1_767_225_600, 123_000_000));
    }
}

#[test]
fn a_timer_is_ready_at_once_and_moves_the_clock_to_its_moment() {
    use clocks::monotonic_clock::Host;
    let mut state = call(0, 0);
    assert_eq!(Host::now(&mut state).unwrap(), 0);
    let hour = 3_600 * 1_000_000_000;
    let timer = Host::subscribe_duration(&mut state, hour).unwrap();
    assert!(io::poll::HostPollable::ready(&mut state, timer).unwrap());
    assert_eq!(Host::now(&mut state).unwrap(), hour);
    Host::subscribe_instant(&mut state, 5).unwrap();
    assert_eq!(Host::now(&mut state).unwrap(), hour, "time never goes back");
    Host::subscribe_duration(&mut state, u64::MAX).unwrap();
    assert_eq!(Host::now(&mut state).unwrap(), u64::MAX);
}

#[test]
fn randomness_follows_from_the_seed_and_from_nothing_else() {
    let draw = |now, seed| {
        let mut state = call(now, seed);
        let bytes = random::random::Host::get_random_bytes(&mut state, 11).unwrap();
        let word = random::insecure::Host::get_insecure_random_u64(&mut state).unwrap();
        (bytes, word, random::insecure_seed::Host::insecure_seed(&mut state).unwrap())
    };
    assert_eq!(draw(1, 7), draw(2, 7));
    assert_ne!(draw(1, 7).0, draw(1, 8).0);
    assert_ne!(draw(1, 7).2, draw(1, 8).2);
    assert_eq!(draw(1, 7).0.len(), 11);
}

#[test]
fn randomness_is_given_in_small_pieces() {
    assert!(random::random::Host::get_random_bytes(&mut call(0, 0), 64 << 10).is_ok());
    assert!(random::random::Host::get_random_bytes(&mut call(0, 0), (64 << 10) + 1).is_err());
    assert!(random::random::Host::get_random_bytes(&mut call(0, 0), u64::MAX).is_err());
}

#[test]
fn there_is_no_system_around_a_policy() {
    let mut state = call(0, 0);
    assert!(cli::environment::Host::get_environment(&mut state).unwrap().is_empty());
    assert!(cli::environment::Host::get_arguments(&mut state).unwrap().is_empty());
    assert_eq!(cli::environment::Host::initial_cwd(&mut state).unwrap(), None);
    let input = cli::stdin::Host::get_stdin(&mut state).unwrap();
    assert!(matches!(io::streams::HostInputStream::read(&mut state, input, 1), Err(StreamError::Closed)));
    let preopens = filesystem::preopens::Host::get_directories(&mut state.wasi.filesystem()).unwrap();
    assert!(preopens.is_empty());
}

#[test]
fn what_is_printed_is_logged() {
    let mut state = call(0, 0);
    let out = cli::stdout::Host::get_stdout(&mut state).unwrap();
    io::streams::HostOutputStream::write(&mut state, out, b"hello\n".to_vec()).unwrap();
    let (log, _) = state.into_parts().0.finish();
    assert_eq!(log.lines.iter().map(|line| &*line.message).collect::<Vec<_>>(), ["hello"]);
}

#[test]
fn handles_that_are_still_open_are_known() {
    let mut state = call(0, 0);
    assert!(!state.holds_handles());
    let out = cli::stdout::Host::get_stdout(&mut state).unwrap();
    assert!(state.holds_handles());
    io::streams::HostOutputStream::drop(&mut state, out).unwrap();
    assert!(!state.holds_handles());
}

#[test]
fn every_call_into_the_host_is_counted_and_the_last_one_is_the_last() {
    let budget = Budget { host_calls: 2, ..Budget::default() };
    let mut state = CallState::new(&budget, 0, 0, std::sync::Arc::new(EmptyCatalogue));
    assert!(clocks::monotonic_clock::Host::now(&mut state).is_ok());
    assert!(random::random::Host::get_random_u64(&mut state).is_ok());
    let error = cli::environment::Host::get_arguments(&mut state).unwrap_err();
    assert!(error.downcast_ref::<crate::link::TooManyHostCalls>().is_some());
    assert_eq!(state.host_fuel(), 3 * budget.host_call_fuel);
}

#[test]
fn randomness_is_that_of_the_published_generator() {
    let mut random = SplitMix64(1_234_567);
    assert_eq!([random.next(), random.next()], [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]);
}
