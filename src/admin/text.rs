//! Metrics as Prometheus reads them.
//!
//! Holds always: a name stays what it is, for dashboards and alarms rest on it;
//! what has never happened to a route is not listed, so that ten thousand routes
//! are no hundred thousand lines; the rest stands there with 0 from the start, as
//! far as its words are known, so that its first time is an increase.

use std::fmt;
use std::time::SystemTime;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, NoLabelSet, prometheus_text};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use super::facts::Facts;
use crate::metrics::{AccountCounts, Metrics, RouteCounts, Spread};

/// The type of what [`write`] writes.
pub(super) const CONTENT_TYPE: &str = prometheus_text::CONTENT_TYPE;

#[derive(Debug)]
enum Value {
    Count(u64),
    Gauge(f64),
    Seconds(f64),
    Spread(Spread),
}

/// All series of one name.
#[derive(Debug)]
struct Family {
    /// Without `_total`, which a counter is given.
    name: &'static str,
    help: &'static str,
    kind: MetricType,
    series: Vec<(Vec<(&'static str, String)>, Value)>,
}

#[derive(Debug, Default)]
struct Families(Vec<Family>);

impl Collector for Families {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in &self.0 {
            let mut metric =
                encoder.encode_descriptor(family.name, family.help, None, family.kind)?;
            for (labels, value) in &family.series {
                let mut one = metric.encode_family(labels)?;
                match value {
                    Value::Count(count) => one.encode_counter::<NoLabelSet, _, u64>(count, None)?,
                    Value::Seconds(all) => one.encode_counter::<NoLabelSet, _, u64>(all, None)?,
                    Value::Gauge(gauge) => one.encode_gauge(gauge)?,
                    Value::Spread(spread) => one.encode_histogram::<NoLabelSet>(
                        spread.seconds(),
                        spread.count(),
                        &spread.buckets(),
                        None,
                    )?,
                }
            }
        }
        Ok(())
    }
}

impl Families {
    fn counters(
        &mut self,
        name: &'static str,
        help: &'static str,
        series: impl IntoIterator<Item = (Vec<(&'static str, String)>, u64)>,
    ) {
        let series = series.into_iter();
        self.0.push(Family {
            name,
            help,
            kind: MetricType::Counter,
            series: series
                .map(|(labels, count)| (labels, Value::Count(count)))
                .collect(),
        });
    }

    fn gauges(
        &mut self,
        name: &'static str,
        help: &'static str,
        series: impl IntoIterator<Item = (Vec<(&'static str, String)>, f64)>,
    ) {
        let series = series.into_iter();
        self.0.push(Family {
            name,
            help,
            kind: MetricType::Gauge,
            series: series
                .map(|(labels, gauge)| (labels, Value::Gauge(gauge)))
                .collect(),
        });
    }

    fn gauge(&mut self, name: &'static str, help: &'static str, gauge: f64) {
        self.gauges(name, help, [(Vec::new(), gauge)]);
    }

    fn spreads(
        &mut self,
        name: &'static str,
        help: &'static str,
        series: impl IntoIterator<Item = (Vec<(&'static str, String)>, Spread)>,
    ) {
        let series = series.into_iter();
        self.0.push(Family {
            name,
            help,
            kind: MetricType::Histogram,
            series: series
                .map(|(labels, spread)| (labels, Value::Spread(spread)))
                .collect(),
        });
    }
}

fn flag(yes: bool) -> f64 {
    f64::from(u8::from(yes))
}

fn seconds(at: SystemTime) -> f64 {
    let since = at.duration_since(SystemTime::UNIX_EPOCH);
    since.unwrap_or_default().as_secs_f64()
}

#[expect(
    clippy::cast_precision_loss,
    reason = "Prometheus knows floating-point numbers alone"
)]
fn float(number: u64) -> f64 {
    number as f64
}

/// All metrics, as text.
pub(super) fn write(metrics: &Metrics, facts: &Facts) -> String {
    let mut families = Families::default();
    let version = vec![("version", env!("CARGO_PKG_VERSION").to_owned())];
    families.gauges(
        "wxgate_build_info",
        "The version that runs; always 1",
        [(version, 1.0)],
    );
    requests(&mut families, metrics);
    accounts(&mut families, metrics);
    wechat(&mut families, metrics);
    apps(&mut families, metrics, facts);
    state(&mut families, metrics, facts);
    process(&mut families, facts);
    let mut registry = Registry::default();
    registry.register_collector(Box::new(families));
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = prometheus_text::encode(&mut text, &registry);
    text
}

fn requests(families: &mut Families, metrics: &Metrics) {
    let routes: Vec<_> = metrics.all_routes();
    let by_way = |route: &RouteCounts| {
        let (label, ways) = (route.label.clone(), route.ways().collect::<Vec<_>>());
        ways.into_iter().map(move |(way, count)| {
            let labels = vec![("route", label.clone()), ("decision", way.to_owned())];
            (labels, count)
        })
    };
    let happened = |(_, count): &(_, u64)| *count > 0;
    families.counters(
        "wxgate_requests",
        "Requests by route and by the way they took",
        routes
            .iter()
            .flat_map(|route| by_way(route))
            .filter(happened),
    );
    let by_class = |route: &RouteCounts| {
        let classes: Vec<_> = route.classes().collect();
        let label = route.label.clone();
        classes.into_iter().map(move |(class, count)| {
            let labels = vec![("route", label.clone()), ("class", class.to_owned())];
            (labels, count)
        })
    };
    families.counters(
        "wxgate_responses",
        "Answers by route and class; none where the client was gone before",
        routes
            .iter()
            .flat_map(|route| by_class(route))
            .filter(happened),
    );
    families.counters(
        "wxgate_refusals",
        "Requests that were refused, by reason",
        (metrics.refusals.read().into_iter())
            .map(|(reason, count)| (vec![("reason", reason.to_owned())], count)),
    );
    families.spreads(
        "wxgate_request_duration_seconds",
        "Time for a whole request, but for WebSockets and streams of events",
        (metrics.durations()).map(|(way, spread)| (vec![("decision", way.to_owned())], spread)),
    );
}

fn accounts(families: &mut Families, metrics: &Metrics) {
    let accounts = metrics.accounts();
    let by_word = |name: &str,
                   label: &'static str,
                   words: &[&'static str],
                   counted: Vec<(&'static str, u64)>| {
        let zeros: Vec<_> = (words.iter())
            .filter(|word| counted.iter().all(|(known, _)| known != *word))
            .map(|word| (*word, 0))
            .collect();
        let name = name.to_owned();
        counted.into_iter().chain(zeros).map(move |(word, count)| {
            let labels = vec![("account", name.clone()), (label, word.to_owned())];
            (labels, count)
        })
    };
    let logins = |(name, counts): &(String, std::sync::Arc<AccountCounts>)| {
        let words = [AccountCounts::STARTED, AccountCounts::OK];
        by_word(name, "outcome", &words, counts.logins.read())
    };
    families.counters(
        "wxgate_logins",
        "Logins that started, ended well (ok), or ended otherwise, by why",
        accounts.iter().flat_map(logins),
    );
    let account = |name: &String| vec![("account", name.clone())];
    families.counters(
        "wxgate_login_loops_stopped",
        "Logins that went round and were stopped",
        (accounts.iter()).map(|(name, counts)| (account(name), counts.loops.get())),
    );
    families.counters(
        "wxgate_callback_duplicates",
        "Callbacks that came more than once and were answered alike",
        (accounts.iter()).map(|(name, counts)| (account(name), counts.duplicates.get())),
    );
    let sessions = |(name, counts): &(String, std::sync::Arc<AccountCounts>)| {
        by_word(name, "event", &["opened"], counts.sessions.read())
    };
    families.counters(
        "wxgate_sessions",
        "What happened to sessions",
        accounts.iter().flat_map(sessions),
    );
    families.gauges(
        "wxgate_wechat_circuit_open",
        "Whether logins are held back, for the account's quota at WeChat is used up",
        (accounts.iter()).map(|(name, counts)| (account(name), flag(counts.circuit_is_open()))),
    );
}

fn wechat(families: &mut Families, metrics: &Metrics) {
    families.spreads(
        "wxgate_wechat_request_duration_seconds",
        "Time for a call of WeChat's api",
        (metrics.answered())
            .map(|(call, spread)| (vec![("call", call.as_str().to_owned())], spread)),
    );
    let mut errors = Vec::new();
    for (name, counts) in metrics.accounts() {
        for ((call, errcode), count) in counts.errors.read() {
            let labels = vec![
                ("account", name.clone()),
                ("call", call.as_str().to_owned()),
                ("errcode", errcode),
            ];
            errors.push((labels, count));
        }
    }
    families.counters(
        "wxgate_wechat_errors",
        "Calls of WeChat's api that gave nothing, by WeChat's number or by what happened",
        errors,
    );
}

fn apps(families: &mut Families, metrics: &Metrics, facts: &Facts) {
    let upstream = |name: &String| ("upstream", name.clone());
    families.spreads(
        "wxgate_upstream_response_seconds",
        "Time until the header of an app's answer",
        (metrics.apps().iter()).map(|app| (vec![upstream(&app.label)], app.spread())),
    );
    families.counters(
        "wxgate_upstream_errors",
        "Attempts at which an app gave no answer, by kind",
        facts.apps.iter().flat_map(|app| {
            app.errors.iter().map(|(kind, count)| {
                let kind = ("kind", kind.as_str().to_owned());
                (vec![upstream(&app.upstream), kind], *count)
            })
        }),
    );
    families.counters(
        "wxgate_upstream_retries",
        "Attempts that followed a failed one",
        (facts.apps.iter()).map(|app| (vec![upstream(&app.upstream)], app.retries)),
    );
    let peers = || {
        facts.apps.iter().flat_map(|app| {
            app.peers.iter().map(|peer| {
                let labels = vec![upstream(&app.upstream), ("peer", peer.peer.clone())];
                (labels, peer)
            })
        })
    };
    families.gauges(
        "wxgate_upstream_up",
        "Whether a peer of an app is asked",
        peers().map(|(labels, peer)| (labels, flag(peer.up))),
    );
    families.counters(
        "wxgate_upstream_ejections",
        "How often a peer of an app was taken out",
        peers().map(|(labels, peer)| (labels, peer.ejections)),
    );
}

fn state(families: &mut Families, metrics: &Metrics, facts: &Facts) {
    families.gauge(
        "wxgate_requests_in_flight",
        "Requests on their way",
        float(facts.in_flight as u64),
    );
    families.gauge(
        "wxgate_connections",
        "Visitors' connections that are open",
        float(facts.connections as u64),
    );
    let reason = |word: &str| vec![("reason", word.to_owned())];
    families.counters(
        "wxgate_connections_refused",
        "Connections that were refused, by limit",
        [
            (reason("full"), facts.refused_full),
            (reason("full_for_address"), facts.refused_full_for_address),
        ],
    );
    families.gauge(
        "wxgate_store_up",
        "Whether the store answers",
        flag(facts.store.is_ok()),
    );
    families.counters(
        "wxgate_store_errors",
        "How often the store did not answer, by operation",
        (facts.store_errors.iter())
            .map(|(operation, count)| (vec![("operation", (*operation).to_owned())], *count)),
    );
    families.gauge(
        "wxgate_revocations_known",
        "Whether it is known which sessions have ended; nobody is let in before",
        flag(facts.revocations_known),
    );
    families.gauges(
        "wxgate_certificate_expiry_timestamp_seconds",
        "Until when a certificate holds",
        (facts.certificates.iter())
            .map(|(hosts, until)| (vec![("hosts", hosts.clone())], seconds(*until))),
    );
    let reloads = &facts.reloads;
    let result = |word: &str| vec![("result", word.to_owned())];
    families.counters(
        "wxgate_config_reloads",
        "Changes of gateway.toml, by what became of them",
        [
            (result("applied"), reloads.applied),
            (result("refused"), reloads.refused),
        ],
    );
    families.gauge(
        "wxgate_config_last_reload_successful",
        "Whether gateway.toml as it was last read is served",
        flag(reloads.mistake.is_none()),
    );
    families.gauge(
        "wxgate_config_last_reload_success_timestamp_seconds",
        "When gateway.toml was last read and served",
        seconds(reloads.applied_at.unwrap_or(metrics.started)),
    );
    families.gauge(
        "wxgate_config_restart_needed",
        "Whether settings were changed that wait for a restart",
        flag(!reloads.wait_for_restart.is_empty()),
    );
    families.gauge(
        "wxgate_draining",
        "Whether the gateway is being stopped",
        flag(facts.draining),
    );
}

fn process(families: &mut Families, facts: &Facts) {
    let usage = &facts.usage;
    families.0.push(Family {
        name: "process_cpu_seconds",
        help: "Time that processors worked",
        kind: MetricType::Counter,
        series: (usage.cpu.iter())
            .map(|cpu| (Vec::new(), Value::Seconds(cpu.as_secs_f64())))
            .collect(),
    });
    for (name, help, number) in [
        (
            "process_resident_memory_bytes",
            "Memory in use",
            usage.resident,
        ),
        (
            "process_virtual_memory_bytes",
            "Addresses in use",
            usage.virtual_memory,
        ),
        ("process_open_fds", "Open files", usage.open_files),
        (
            "process_max_fds",
            "How many files may be open",
            usage.max_files,
        ),
    ] {
        let series = number.map(|number| (Vec::new(), float(number)));
        families.gauges(name, help, series);
    }
    let started = usage.started.map(|at| (Vec::new(), seconds(at)));
    families.gauges(
        "process_start_time_seconds",
        "When the process began",
        started,
    );
}
