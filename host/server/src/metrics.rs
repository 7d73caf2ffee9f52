//! The metrics of this process, as OpenMetrics text for Prometheus: `GET /metrics` on the management listener.
//!
//! There are two rules. **A series never belongs to a device**: labels are words of this program (a result, a cause, a
//! kind of failure) or names that an operator gave (an id scope, a plugin, a revision), and a plugin's series end with
//! the plugin. **Nothing is counted twice**: what a part of the program knows anyway (connections, images, breakers,
//! the pool) is read here when the metrics are requested, and is not stored again.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use landfall_domain::clock::Timestamp;
use landfall_policy::breaker::{Reason, State};
use landfall_policy::watch::OfRevision;
use landfall_policy::watch::meter::{Interface, Meter};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, text};
use prometheus_client::registry::Registry;

use self::series::{Labels, Series};
use crate::identity_providers::IssuerState;
use crate::listener::Counts;
use crate::provisioning::Provisioning;
use crate::tasks::TaskStatus;
use crate::telemetry;

mod series;

/// All metrics as text.
///
/// # Errors
///
/// Never happens: a string accepts everything that is written.
pub fn text(provisioning: &Arc<Provisioning>) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Scrape(Arc::clone(provisioning))));
    let mut out = String::new();
    text::encode(&mut out, &registry)?;
    Ok(out)
}

/// The media type of [`text()`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

struct Scrape(Arc<Provisioning>);

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Scrape")
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder) -> fmt::Result {
        let mut series = Series(encoder);
        self.of_devices(&mut series)?;
        self.of_hubs(&mut series)?;
        self.of_others(&mut series)?;
        self.of_the_host(&mut series)?;
        of_tasks(&mut series, &self.0.service().tasks().statuses())?;
        let watches = self.0.service().watches().revisions();
        of_calls(&mut series, &watches)?;
        self.of_revisions(&mut series, &watches)
    }
}

impl Scrape {
    fn of_devices(&self, series: &mut Series<'_>) -> fmt::Result {
        let metrics = &self.0.service().counters();
        series.family(
            "landfall_registrations",
            "Registrations that ended, by what came of them",
            &metrics.registrations,
        )?;
        series.family("landfall_refusals", "Requests that were turned away, by cause", &metrics.refusals)?;
        series.family("landfall_throttled", "Requests that came too soon, by what is measured", &metrics.throttled)?;
        let what = "Rows of imports that name devices which another manufacturer has";
        series.counter("landfall_import_rows_of_others", what, [(Labels::new(), metrics.claims.get())])?;
        let under_way = self.0.desk().registrations_under_way();
        series.gauge("landfall_registrations_under_way", "Registrations that are being decided", one(under_way))?;
        let listeners = metrics.listeners.get().map(Vec::as_slice).unwrap_or_default();
        let of = |read: fn(&Counts) -> Vec<(&'static str, u64)>| {
            let rows = listeners.iter().flat_map(move |(listener, counts)| {
                let row = |(result, count)| (labels(&[("listener", *listener), ("result", result)]), count);
                read(counts).into_iter().map(row).collect::<Vec<_>>()
            });
            rows.collect::<Vec<_>>()
        };
        let connections = of(|counts| {
            let made_room = counts.made_room.load(Ordering::Relaxed);
            let (accepted, shed) = (counts.accepted.load(Ordering::Relaxed), counts.shed.load(Ordering::Relaxed));
            vec![("accepted", accepted), ("shed", shed), ("made-room", made_room)]
        });
        let handshakes = of(|counts| {
            let failed = counts.failed_handshakes.load(Ordering::Relaxed);
            let slow = counts.slow_handshakes.load(Ordering::Relaxed);
            vec![("done", counts.handshakes.load(Ordering::Relaxed)), ("failed", failed), ("too-slow", slow)]
        });
        if let Some(certificate) = metrics.certificate.get() {
            let left = certificate.expires_at().since(self.0.service().ambient().now()).as_secs();
            let what = "Time until the server's certificate expires";
            series.gauge(
                "landfall_certificate_expires_in_seconds",
                what,
                one(usize::try_from(left).unwrap_or(usize::MAX)),
            )?;
        }
        series.family(
            "landfall_certificate_reads",
            "How often the server was told to read its certificate again, by what came of it",
            &metrics.certificate_reads,
        )?;
        series.counter(
            "landfall_connections",
            "Connections: taken, closed at once, and closed to make room for another",
            connections,
        )?;
        series.counter("landfall_tls_handshakes", "TLS handshakes that ended", handshakes)
    }

    /// How full the hubs are, and how many devices wait for one.
    fn of_hubs(&self, series: &mut Series<'_>) -> fmt::Result {
        let catalogue = self.0.service().catalogue().now();
        let (mut assigned, mut capacity) = (Vec::new(), Vec::new());
        for scope in catalogue.scopes() {
            for linked in scope.hubs.iter() {
                let of = labels(&[("scope", scope.scope.as_str()), ("hub", linked.hub.name.as_str())]);
                assigned.push((of.clone(), signed(linked.assigned())));
                capacity.push((of, signed(linked.hub.capacity)));
            }
        }
        series.gauge("landfall_hub_assigned", "Devices that are assigned to a hub", assigned)?;
        series.gauge("landfall_hub_capacity", "How many devices a hub takes", capacity)?;
        let waiting = self.0.desk().waiting_counts();
        let rows = waiting
            .map(|((scope, reason), count)| (labels(&[("scope", scope.as_str()), ("reason", reason)]), signed(count)));
        series.gauge(
            "landfall_devices_waiting",
            "Devices that were admitted and wait for a hub, by what holds them up",
            rows,
        )
    }

    /// The metrics of the outside services on which admission relies.
    fn of_others(&self, series: &mut Series<'_>) -> fmt::Result {
        let states = self.0.service().outside().identity_providers().states();
        let named = |state: &IssuerState| labels(&[("issuer", &state.issuer)]);
        let ages = states.iter().filter_map(|state| Some((named(state), signed(state.keys_age?.as_secs()))));
        series.gauge("landfall_issuer_keys_age_seconds", "Since when an issuer's keys were not read again", ages)?;
        let troubles = states.iter().map(|state| (named(state), i64::from(state.in_trouble)));
        series.gauge(
            "landfall_issuer_in_trouble",
            "Whether an issuer of tokens did not answer the last time",
            troubles,
        )?;
        series.gauge(
            "landfall_revocation_lists_in_trouble",
            "Revocation lists that could not be fetched the last time",
            one(self.0.service().outside().lists().troubles()),
        )
    }

    fn of_the_host(&self, series: &mut Series<'_>) -> fmt::Result {
        let what = "Lines of the log that could not be written, or not fast enough";
        series.counter("landfall_log_lines_lost", what, [(Labels::new(), telemetry::lost())])?;
        let policies = &self.0.service().policies();
        series.gauge(
            "landfall_policy_calls_in_flight",
            "Visits to the policies' threads that wait or run",
            one(policies.in_flight()),
        )?;
        series.gauge(
            "landfall_policy_pooled",
            "Whether instances come from the pool",
            one(usize::from(policies.pooled())),
        )?;
        let seen = &self.0.service().seen();
        series.gauge(
            "landfall_clock_behind_seconds",
            "How far the clock is behind the latest time that was seen here",
            one(usize::try_from(seen.behind(self.0.service().ambient().now()).as_secs()).unwrap_or(usize::MAX)),
        )?;
        series.gauge(
            "landfall_database_put_back",
            "How often an older database was found at a start than was served before",
            one(usize::try_from(seen.put_back()).unwrap_or(usize::MAX)),
        )?;
        let Some(pool) = policies.pool() else { return Ok(()) };
        series.gauge("landfall_policy_pool_instances", "Component instances in use", one(pool.instances))?;
        series.gauge("landfall_policy_pool_memories", "Linear memories in use", one(pool.memories))?;
        series.gauge(
            "landfall_policy_pool_warm_memories",
            "Linear memories that wait for the image that they had",
            one(pool.warm_memories),
        )?;
        series.gauge(
            "landfall_policy_pool_resident_bytes",
            "Bytes that unused memories and tables keep",
            one(pool.resident_bytes),
        )
    }

    /// The metrics that exist once for each revision.
    fn of_revisions(&self, series: &mut Series<'_>, watches: &[OfRevision]) -> fmt::Result {
        let states = watches.iter().map(|watch| (named(watch), breaker(watch.state)));
        series.gauge(
            "landfall_policy_breaker_state",
            "0 closed, 1 probation, 2 open: its calls are skipped",
            states,
        )?;
        let openings = watches.iter().flat_map(|watch| {
            [Reason::InARow, Reason::Share].map(|reason| {
                let labels = with(named(watch), "reason", reason.as_str());
                (labels, watch.meters.openings(reason).get())
            })
        });
        series.counter("landfall_policy_breaker_openings", "Times that the breaker opened", openings)?;
        let tallies: HashMap<_, _> = self.0.service().images().tallies();
        let of =
            |watch: &OfRevision| watch.of.as_ref().and_then(|(_, of)| tallies.get(of)).copied().unwrap_or_default();
        let images = watches.iter().flat_map(|watch| {
            let tally = of(watch);
            [("baked", tally.baked), ("each-call", tally.configured_each_call)]
                .map(|(configured, count)| (with(named(watch), "configured", configured), signed(count)))
        });
        series.gauge("landfall_policy_images", "Images that are ready, by how they come by their settings", images)?;
        let ages = watches.iter().map(|watch| (named(watch), signed(of(watch).oldest.as_secs())));
        series.gauge("landfall_policy_image_age_seconds", "Since when its oldest image is there", ages)
    }
}

/// The metrics of the tasks.
fn of_tasks(series: &mut Series<'_>, tasks: &[TaskStatus]) -> fmt::Result {
    let runs = tasks.iter().flat_map(|task| {
        [("good", task.good_runs), ("failed", task.failed_runs)]
            .map(|(result, runs)| (labels(&[("task", task.name), ("result", result)]), runs))
    });
    series.counter("landfall_task_runs", "Runs of tasks that ended, by what came of them", runs)?;
    let at = |moment: fn(&TaskStatus) -> Option<Timestamp>| {
        let row = move |task: &TaskStatus| Some((labels(&[("task", task.name)]), signed(moment(task)?.as_secs())));
        tasks.iter().filter_map(row).collect::<Vec<_>>()
    };
    let what = "When the newest run of a task began, in seconds since 1970";
    series.gauge("landfall_task_last_run_timestamp_seconds", what, at(|task| task.last_started))?;
    let what = "When the newest run of a task that went well ended, in seconds since 1970";
    series.gauge("landfall_task_last_success_timestamp_seconds", what, at(|task| task.last_success))
}

/// The metrics of each revision and interface.
fn of_calls(series: &mut Series<'_>, watches: &[OfRevision]) -> fmt::Result {
    let meters: Vec<(Labels, &Meter)> = watches
        .iter()
        .flat_map(|watch| Interface::ALL.map(|interface| (watch, interface)))
        .filter_map(|(watch, interface)| {
            Some((with(named(watch), "interface", interface.as_str()), watch.meters.of(interface)?))
        })
        .collect();
    let outcomes = meters.iter().flat_map(|(labels, meter)| {
        meter.outcomes().into_iter().map(|(outcome, count)| (with(labels.clone(), "outcome", outcome), count))
    });
    series.counter("landfall_policy_outcomes", "Calls that answered, by answer", outcomes)?;
    let failures = meters.iter().flat_map(|(labels, meter)| {
        meter.failures().into_iter().map(|(kind, count)| (with(labels.clone(), "kind", kind), count))
    });
    series.counter("landfall_policy_failures", "Calls that gave no answer, by kind", failures)?;
    let dropped = meters.iter().map(|(labels, meter)| (labels.clone(), meter.log_lines_dropped.get()));
    series.counter("landfall_policy_log_lines_dropped", "Log lines over the budget", dropped)?;
    for (name, help, histogram) in HISTOGRAMS {
        series.histogram(name, help, meters.iter().map(|(labels, meter)| (labels, histogram(meter))))?;
    }
    Ok(())
}

/// A histogram's name, its help text, and how it is read.
type Reading = (&'static str, &'static str, fn(&Meter) -> &prometheus_client::metrics::histogram::Histogram);

const HISTOGRAMS: [Reading; 6] = [
    ("landfall_policy_queue_microseconds", "Wait for a worker", |meter| &meter.queue),
    ("landfall_policy_instantiate_microseconds", "Making the instance", |meter| &meter.instantiate),
    ("landfall_policy_guest_microseconds", "In the policy, handing over included", |meter| &meter.guest),
    ("landfall_policy_commit_microseconds", "The transaction that wrote what was decided", |meter| &meter.commit),
    ("landfall_policy_fuel", "Units of fuel of a call", |meter| &meter.fuel),
    ("landfall_policy_peak_memory_bytes", "The largest linear memory of a call", |meter| &meter.memory),
];

/// The labels of a revision.
fn named(watch: &OfRevision) -> Labels {
    let other = || "other".to_owned();
    let (plugin, revision) = match &watch.of {
        Some((plugin, revision)) => (plugin.to_string(), revision.short()),
        None => (other(), other()),
    };
    vec![("scope", watch.scope.to_string()), ("plugin", plugin), ("revision", revision)]
}

fn with(mut labels: Labels, name: &'static str, value: &str) -> Labels {
    labels.push((name, value.to_owned()));
    labels
}

fn labels(pairs: &[(&'static str, &str)]) -> Labels {
    pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
}

fn breaker(state: State) -> i64 {
    match state {
        State::Closed => 0,
        State::Probation(_) => 1,
        State::Open(_) => 2,
    }
}

fn one(value: usize) -> [(Labels, i64); 1] {
    [(Labels::new(), i64::try_from(value).unwrap_or(i64::MAX))]
}

fn signed(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}
