//! The open connections, in total and by network, and which of them is closed when there is no place left.
//!
//! Holding a place costs nothing, so holding places alone must not shut others out. When a network or the listener has
//! no place left, the oldest connection is closed for a new one, if it has not authenticated within some seconds. An
//! authenticated connection keeps its place, and so does a recent one, which may be about to authenticate.

use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::network;

/// The open connections.
#[derive(Debug)]
pub(super) struct Crowd {
    seats: Mutex<Seats>,
    max: usize,
    max_per_network: usize,
}

#[derive(Debug, Default)]
struct Seats {
    /// The next sequence number; the smallest number is the oldest connection.
    next: u64,
    taken: HashMap<u64, Seat>,
    networks: HashMap<u128, Network>,
    unproven: BTreeSet<u64>,
}

#[derive(Debug)]
struct Seat {
    network: u128,
    since: Instant,
    /// Closes the connection; `None` once it has authenticated.
    make_room: Option<oneshot::Sender<()>>,
}

#[derive(Debug, Default)]
struct Network {
    taken: usize,
    unproven: BTreeSet<u64>,
}

/// A place of a connection; dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place {
    standing: Standing,
    made_room: oneshot::Receiver<()>,
    /// Whether another connection was closed for this one.
    pub(super) at_anothers_cost: bool,
}

/// The standing of a connection: whether it has authenticated yet.
#[derive(Clone, Debug, Default)]
pub struct Standing(Option<Arc<Seated>>);

#[derive(Debug)]
struct Seated {
    crowd: Arc<Crowd>,
    number: u64,
    network: u128,
    proven: AtomicBool,
}

impl Crowd {
    pub(super) fn new(max: usize, max_per_network: usize) -> Self {
        Self { seats: Mutex::default(), max, max_per_network }
    }

    /// Takes a place: a free one, or that of the oldest connection that has not authenticated within some seconds.
    pub(super) fn enter(self: &Arc<Self>, peer: IpAddr, now: Instant) -> Option<Place> {
        let network = network::neighbourhood(peer);
        let mut seats = self.seats();
        let here = seats.networks.get(&network);
        let makes_room = if here.is_some_and(|here| here.taken >= self.max_per_network) {
            Some(seats.had_its_time(here.and_then(|here| here.unproven.first().copied()), now)?)
        } else if seats.taken.len() >= self.max {
            Some(seats.had_its_time(seats.unproven.first().copied(), now)?)
        } else {
            None
        };
        if let Some(number) = makes_room
            && let Some(Seat { make_room: Some(make_room), .. }) = seats.give_back(number)
        {
            // It may have ended by itself in this moment.
            let _ = make_room.send(());
        }
        let (make_room, made_room) = oneshot::channel();
        let number = seats.take(network, now, make_room);
        drop(seats);
        let seated = Seated { crowd: Arc::clone(self), number, network, proven: AtomicBool::new(false) };
        Some(Place { standing: Standing(Some(Arc::new(seated))), made_room, at_anothers_cost: makes_room.is_some() })
    }

    fn seats(&self) -> MutexGuard<'_, Seats> {
        self.seats.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seats {
    /// The oldest unauthenticated connection, if its grace period is over.
    fn had_its_time(&self, oldest: Option<u64>, now: Instant) -> Option<u64> {
        oldest.filter(|oldest| {
            self.taken.get(oldest).is_some_and(|seat| now.saturating_duration_since(seat.since) >= GRACE)
        })
    }

    fn take(&mut self, network: u128, since: Instant, make_room: oneshot::Sender<()>) -> u64 {
        let number = self.next;
        self.next = self.next.wrapping_add(1);
        self.taken.insert(number, Seat { network, since, make_room: Some(make_room) });
        self.unproven.insert(number);
        let here = self.networks.entry(network).or_default();
        here.taken += 1;
        here.unproven.insert(number);
        number
    }

    fn proven(&mut self, number: u64) {
        let Some(seat) = self.taken.get_mut(&number) else { return };
        seat.make_room = None;
        self.unproven.remove(&number);
        if let Some(here) = self.networks.get_mut(&seat.network) {
            here.unproven.remove(&number);
        }
    }

    /// Frees a seat and returns it, unless it was freed before.
    fn give_back(&mut self, number: u64) -> Option<Seat> {
        let seat = self.taken.remove(&number)?;
        self.unproven.remove(&number);
        if let Some(here) = self.networks.get_mut(&seat.network) {
            here.unproven.remove(&number);
            here.taken = here.taken.saturating_sub(1);
            if here.taken == 0 {
                self.networks.remove(&seat.network);
            }
        }
        Some(seat)
    }
}

impl Place {
    /// The standing of the connection that holds the place.
    pub(super) fn standing(&self) -> Standing {
        self.standing.clone()
    }

    /// Completes when the place was given to another connection; never for an authenticated connection or one without
    /// a place.
    pub(super) async fn is_anothers(place: Option<&mut Self>) {
        if let Some(place) = place
            && (&mut place.made_room).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Standing(Some(seated)) = &self.standing {
            seated.crowd.seats().give_back(seated.number);
        }
    }
}

impl Standing {
    /// Records that the connection has authenticated: it is no longer closed to make room.
    pub fn has_proven(&self) {
        if let Some(seated) = &self.0
            && !seated.proven.swap(true, Ordering::Relaxed)
        {
            seated.crowd.seats().proven(seated.number);
        }
    }

    /// Whether the connection has authenticated.
    pub fn is_proven(&self) -> bool {
        self.0.as_ref().is_some_and(|seated| seated.proven.load(Ordering::Relaxed))
    }

    /// Whether more than half of the places are taken, in total or of its network. Then no connection is kept open
    /// between two requests.
    pub(super) fn is_crowded(&self) -> bool {
        self.0.as_ref().is_some_and(|seated| {
            let crowd = &seated.crowd;
            let seats = crowd.seats();
            let here = seats.networks.get(&seated.network).map_or(0, |here| here.taken);
            here > crowd.max_per_network / 2 || seats.taken.len() > crowd.max / 2
        })
    }

    /// Whether the connection got a place.
    pub(super) fn has_place(&self) -> bool {
        self.0.is_some()
    }

    /// The network of the connection; connections without a place share one value.
    pub(super) fn network(&self) -> u128 {
        self.0.as_ref().map_or(0, |seated| seated.network)
    }
}

/// How long an unauthenticated connection keeps its place. A peer that sends nothing is disconnected after
/// `limits.listener.handshake_seconds`.
const GRACE: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use landfall_domain::clock::{Clock as _, SystemClock};

    use super::*;

    fn enter(crowd: &Arc<Crowd>, ip: &str) -> Option<Place> {
        crowd.enter(ip.parse().unwrap(), SystemClock.instant())
    }

    fn enter_later(crowd: &Arc<Crowd>, ip: &str) -> Option<Place> {
        crowd.enter(ip.parse().unwrap(), SystemClock.instant() + GRACE)
    }

    fn proven(crowd: &Arc<Crowd>, ip: &str) -> Option<Place> {
        enter(crowd, ip).inspect(|place| place.standing().has_proven())
    }

    fn made_room(place: &mut Option<Place>) -> bool {
        place.as_mut().unwrap().made_room.try_recv().is_ok()
    }

    #[test]
    fn a_network_has_so_many_places_and_gets_them_back() {
        let crowd = Arc::new(Crowd::new(3, 2));
        let (first, second) = (proven(&crowd, "10.0.0.1"), proven(&crowd, "10.0.0.200"));
        assert!(first.is_some() && second.is_some());
        assert!(enter(&crowd, "10.0.0.3").is_none(), "a third of one /24");
        assert!(enter(&crowd, "::ffff:10.0.0.3").is_none(), "the same /24, mapped");
        let third = proven(&crowd, "2001:db8::1");
        assert!(third.is_some());
        assert!(enter(&crowd, "10.9.0.1").is_none(), "a fourth in all");
        drop(first);
        assert!(enter(&crowd, "10.0.0.3").is_some());
    }

    #[test]
    fn the_oldest_that_has_proven_nothing_makes_room_in_its_network() {
        let crowd = Arc::new(Crowd::new(100, 3));
        let mut elsewhere = enter(&crowd, "10.0.9.1");
        let mut admitted = proven(&crowd, "10.0.0.1");
        let (mut older, mut newer) = (enter(&crowd, "10.0.0.2"), enter(&crowd, "10.0.0.3"));
        assert!(enter(&crowd, "10.0.0.4").is_none(), "all have just come");
        let newcomer = enter_later(&crowd, "10.0.0.4");
        assert!(newcomer.as_ref().is_some_and(|place| place.at_anothers_cost));
        assert!(made_room(&mut older) && !made_room(&mut newer));
        drop(older);
        let another = enter_later(&crowd, "10.0.0.5");
        assert!(another.is_some() && made_room(&mut newer), "a place that was given up counts once");
        assert!(!made_room(&mut admitted) && !made_room(&mut elsewhere));
        newcomer.unwrap().standing().has_proven();
        another.unwrap().standing().has_proven();
    }

    #[test]
    fn the_oldest_that_has_proven_nothing_makes_room_in_a_full_listener() {
        let crowd = Arc::new(Crowd::new(3, 100));
        let mut admitted = proven(&crowd, "10.0.0.1");
        let (mut older, mut newer) = (enter(&crowd, "10.0.1.1"), enter(&crowd, "10.0.2.1"));
        let newcomer = enter_later(&crowd, "10.0.3.1");
        assert!(newcomer.is_some() && made_room(&mut older));
        assert!(!made_room(&mut newer) && !made_room(&mut admitted));
        newer.as_ref().unwrap().standing().has_proven();
        newcomer.as_ref().unwrap().standing().has_proven();
        assert!(enter_later(&crowd, "10.0.4.1").is_none(), "all have proven something");
        drop((older, newer, newcomer, admitted));
        let seats = crowd.seats();
        assert!(seats.taken.is_empty() && seats.networks.is_empty() && seats.unproven.is_empty());
    }

    #[test]
    fn it_is_crowded_when_more_than_half_of_the_places_are_taken() {
        let crowd = Arc::new(Crowd::new(100, 4));
        let places = [enter(&crowd, "10.0.0.1"), enter(&crowd, "10.0.0.2")];
        let stands = places.first().unwrap().as_ref().unwrap().standing();
        assert!(!stands.is_crowded());
        let third = enter(&crowd, "10.0.0.3");
        assert!(third.is_some() && stands.is_crowded());
    }
}
