use landfall_domain::clock::{Clock, SystemClock};

use super::*;

const US: Duration = Duration::from_micros(1);

fn payers(scope: &str, plugins: &[u64]) -> Payers {
    Payers::new(scope.parse().unwrap(), plugins.iter().copied().map(Payer))
}

/// A queue whose visits are identified by their payers, with a clock of its own.
struct Field {
    line: Line<&'static str>,
    now: Instant,
}

impl Field {
    fn new(kind: Kind, threads: usize, limit: usize) -> Self {
        Self { line: Line::new(kind, threads, limit), now: SystemClock.instant() }
    }

    fn join(&mut self, who: &'static str, payers: Payers) -> Joined<&'static str> {
        self.line.join(payers, who)
    }

    fn begin(&mut self) -> Option<(&'static str, Begun)> {
        self.line.begin(self.now)
    }

    /// Runs visits until the cost of each kind is known.
    fn known(&mut self, who: &Payers, cost: Duration) {
        for _ in 0..64 {
            assert_eq!(self.join("known", who.clone()), Joined::Waits);
            let (_, begun) = self.begin().unwrap();
            self.line.end(&begun, cost, &[]);
        }
        self.now += LATELY;
    }
}

/// Runs a queue in which both payers always have a visit waiting. Returns what each has cost.
fn shared(field: &mut Field, a: (&Payers, Duration), b: (&Payers, Duration)) -> (Duration, Duration) {
    let mut spent = (Duration::ZERO, Duration::ZERO);
    for _ in 0..4 {
        field.join("a", a.0.clone());
        field.join("b", b.0.clone());
    }
    for _ in 0..4000 {
        let (who, begun) = field.begin().unwrap();
        let (of, cost, sum) = if who == "a" { (a.0, a.1, &mut spent.0) } else { (b.0, b.1, &mut spent.1) };
        field.line.end(&begun, cost, &[]);
        *sum += cost;
        field.join(who, of.clone());
    }
    spent
}

#[test]
fn a_plugin_gets_its_share_of_the_time_and_not_of_the_calls() {
    let mut field = Field::new(Kind::Decides, 1, 100);
    let (heavy, light) = (payers("s", &[1]), payers("s", &[2]));
    let (of_heavy, of_light) = shared(&mut field, (&heavy, 10_000 * US), (&light, 50 * US));
    let ratio = of_heavy.as_secs_f64() / of_light.as_secs_f64();
    assert!((0.5..2.0).contains(&ratio), "{of_heavy:?} and {of_light:?}");
}

#[test]
fn a_scope_with_many_plugins_gets_no_more_than_one_with_one() {
    let mut field = Field::new(Kind::Decides, 1, 100);
    let one = payers("one", &[1]);
    let many: Vec<Payers> = (10..20).map(|plugin| payers("many", &[plugin])).collect();
    let mut begun = (0, 0);
    field.join("one", one.clone());
    field.join("one", one.clone());
    for of in &many {
        field.join("many", of.clone());
    }
    for _ in 0..2000 {
        let (who, visit) = field.begin().unwrap();
        field.line.end(&visit, 100 * US, &[]);
        let of = if who == "one" { one.clone() } else { (*visit.payers).clone() };
        *if who == "one" { &mut begun.0 } else { &mut begun.1 } += 1;
        field.join(who, of);
    }
    let (one, many) = begun;
    assert!((900..1100).contains(&one), "{one} of one scope, {many} of the other");
}

#[test]
fn a_visit_stands_in_the_line_of_its_dearest_plugin_and_each_plugin_pays_for_its_own_calls() {
    let mut field = Field::new(Kind::Decides, 1, 100);
    let (both, cheap) = (payers("s", &[1, 2]), payers("s", &[1]));
    for _ in 0..50 {
        field.join("both", both.clone());
        let (_, begun) = field.begin().unwrap();
        field.line.end(&begun, 5_010 * US, &[(Payer(1), 10 * US), (Payer(2), 5_000 * US)]);
    }
    field.join("both", both);
    field.join("cheap", cheap);
    assert_eq!(field.begin().unwrap().0, "cheap", "what the other plugin cost is not its debt");
}

#[test]
fn who_was_away_comes_back_without_a_credit() {
    let mut field = Field::new(Kind::Decides, 1, 100);
    let (busy, away) = (payers("s", &[1]), payers("s", &[2]));
    field.known(&away, 100 * US);
    for _ in 0..500 {
        field.join("busy", busy.clone());
        let (_, begun) = field.begin().unwrap();
        field.line.end(&begun, 1_000 * US, &[]);
    }
    let (of_busy, of_away) = shared(&mut field, (&busy, 1_000 * US), (&away, 1_000 * US));
    assert!(of_away < of_busy * 2, "{of_busy:?} and {of_away:?}");
}

#[test]
fn long_calls_leave_a_thread_while_there_are_quick_ones_and_take_all_when_there_are_none() {
    let mut field = Field::new(Kind::Decides, 2, 100);
    let (long, quick) = (payers("s", &[1]), payers("s", &[2]));
    field.known(&long, 10_000 * US);
    field.known(&quick, 50 * US);
    for _ in 0..4 {
        field.join("long", long.clone());
    }
    let first = [field.begin().unwrap(), field.begin().unwrap()];
    assert_eq!((first[0].0, first[1].0), ("long", "long"), "nobody else is there");
    field.join("quick", quick.clone());
    for (_, begun) in first {
        field.line.end(&begun, 10_000 * US, &[]);
    }
    let (who, begun) = field.begin().unwrap();
    assert_eq!(who, "quick", "its turn is at the end of one call");
    field.line.end(&begun, 50 * US, &[]);
    assert_eq!(field.begin().unwrap().0, "long");
    assert!(field.begin().is_none(), "the other thread is kept free");
    field.join("quick", quick);
    assert_eq!(field.begin().unwrap().0, "quick");
    field.now += LATELY;
    assert_eq!(field.begin().map(|(who, _)| who), Some("long"), "nobody needed it for a while");
}

#[test]
fn calls_that_wait_for_services_always_leave_room_for_other_plugins_and_scopes() {
    let mut field = Field::new(Kind::Waits, 32, 1000);
    let begun = |field: &mut Field| std::iter::from_fn(|| field.begin()).count();
    for _ in 0..100 {
        field.join("slow", payers("s", &[1]));
    }
    assert_eq!(begun(&mut field), 16);
    field.join("other", payers("s", &[2]));
    assert_eq!(field.begin().unwrap().0, "other");
    for _ in 0..100 {
        for plugin in 3..40 {
            field.join("crowd", payers("s", &[plugin]));
        }
    }
    begun(&mut field);
    field.join("another", payers("t", &[50]));
    assert_eq!(field.begin().unwrap().0, "another", "a scope with many plugins does not hold all threads");
}

#[test]
fn who_has_most_in_a_full_line_makes_room() {
    let mut field = Field::new(Kind::Decides, 1, 4);
    let (greedy, modest, elsewhere) = (payers("s", &[1]), payers("s", &[2]), payers("t", &[3]));
    for who in ["1", "2", "3", "4"] {
        assert_eq!(field.join(who, greedy.clone()), Joined::Waits);
    }
    assert_eq!(field.join("5", greedy.clone()), Joined::Full("5"));
    assert_eq!(field.join("modest", modest), Joined::InPlaceOf("4"));
    assert_eq!(field.join("elsewhere", elsewhere), Joined::InPlaceOf("3"));
    assert_eq!(field.join("6", greedy), Joined::Full("6"));
    assert_eq!((field.line.waiting(), field.line.in_flight()), (4, 4));
}

#[test]
fn accounts_that_nobody_uses_are_let_go() {
    let mut field = Field::new(Kind::Decides, 1, 10);
    for plugin in 0..20_000 {
        field.join("one", payers("s", &[plugin]));
        let (_, begun) = field.begin().unwrap();
        field.line.end(&begun, US, &[]);
    }
    assert!(field.line.plugins.len() <= MOST_ACCOUNTS + 1);
}

#[test]
fn a_plugin_that_only_computes_does_not_tie_those_together_that_wait_beside_it() {
    let with_nine = |plugin| Payers::of("s".parse().unwrap(), [(Payer(plugin), true), (Payer(9), false)]);
    let mut field = Field::new(Kind::Waits, 32, 1000);
    for _ in 0..100 {
        field.join("slow", with_nine(1));
    }
    assert_eq!(std::iter::from_fn(|| field.begin()).count(), 16);
    field.join("other", with_nine(2));
    assert_eq!(field.begin().map(|(who, _)| who), Some("other"));
}

#[test]
fn a_plugin_that_is_asked_in_many_ways_makes_room_for_one_that_is_asked_in_one() {
    let mut field = Field::new(Kind::Decides, 1, 100);
    for other in 10..20 {
        for _ in 0..9 {
            field.join("one", payers("s", &[1, other]));
        }
    }
    for _ in 0..10 {
        field.join("other", payers("s", &[2]));
    }
    for _ in 0..30 {
        assert_eq!(field.join("other", payers("s", &[2])), Joined::InPlaceOf("one"));
    }
    assert!(matches!(field.join("one", payers("s", &[1, 10])), Joined::Full(_)), "it still has more");

    // Plugins that both ask do not count.
    let mut field = Field::new(Kind::Waits, 1, 20);
    for _ in 0..20 {
        field.join("one", payers("s", &[1, 9]));
    }
    assert_eq!(field.join("other", payers("s", &[2, 9])), Joined::InPlaceOf("one"));
    assert!(matches!(field.join("one", payers("s", &[1, 9])), Joined::Full(_)));
}

#[test]
fn a_plugin_gathers_no_credit_beside_a_dearer_one() {
    let mut field = Field::new(Kind::Decides, 1, 1000);
    let (both, alone, third) = (payers("s", &[1, 2]), payers("s", &[1]), payers("s", &[3]));
    // The visits of both always wait, so that the account of the cheap plugin is never idle.
    field.join("both", both.clone());
    for _ in 0..200 {
        field.join("both", both.clone());
        let (_, begun) = field.begin().unwrap();
        field.line.end(&begun, 5_010 * US, &[(Payer(1), 10 * US), (Payer(2), 5_000 * US)]);
    }
    let (of_alone, of_third) = shared(&mut field, (&alone, 1_000 * US), (&third, 1_000 * US));
    assert!(of_alone < of_third + 100_000 * US, "{of_alone:?} and {of_third:?}");
}
