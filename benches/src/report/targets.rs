//! The table of targets, filled in.

use super::All;
use super::figures::figure;
use super::tables::{head, line};
use crate::results::{Measure, Row};

/// What a target wants of a figure.
#[derive(Clone, Copy, Debug)]
enum Wanted {
    AtMost(f64),
    AtLeast(f64),
}

/// One target with what was measured.
struct Line {
    what: String,
    wanted: Wanted,
    unit: &'static str,
    /// The figure, and what it is made of; `None`: it was not measured.
    measured: Option<(f64, String)>,
    suite: &'static str,
}

/// All of them.
pub(super) fn table(all: &All) -> String {
    let mut lines = pass(all);
    lines.extend(keyed(all));
    lines.extend(sagas(all));
    lines.extend(footprint(all));
    lines.extend(growth(all));
    let mut out = String::new();
    head(&mut out, &["what", "target", "measured", "", "of", "again by"].map(str::to_owned));
    for row in lines {
        let (sign, target, is_met): (_, _, fn(f64, f64) -> bool) = match row.wanted {
            Wanted::AtMost(target) => ("≤", target, |value, target| value <= target),
            Wanted::AtLeast(target) => ("≥", target, |value, target| value >= target),
        };
        let command =
            all.get(row.suite).map_or_else(|| format!("`scripts/bench {}`", row.suite), |suite| format!("`{}`", suite.command));
        let (value, verdict, of) = match row.measured {
            Some((value, of)) => {
                (format!("{value:.2}{}", row.unit), if is_met(value, target) { "met" } else { "**not met**" }, of)
            }
            None => ("–".to_owned(), "not measured", String::new()),
        };
        line(&mut out, &[row.what, format!("{sign} {target}{}", row.unit), value, verdict.to_owned(), of, command]);
    }
    out.trim_start().to_owned()
}

fn row<'a>(all: &'a All, suite: &str, shape: &str, contender: &str) -> Option<&'a Row> {
    all.get(suite)?.row(shape, contender)
}

/// The ratio of one to another under a load, and both medians.
fn ratio(all: &All, suite: &str, shape: &str, one: &str, other: &str, measure: Measure) -> Option<(f64, String)> {
    let (mine, theirs) = (row(all, suite, shape, one)?, row(all, suite, shape, other)?);
    let both = [mine.median(measure)?, theirs.median(measure)?].map(|value| figure(measure, value));
    let unit = if measure == Measure::RequestsPerSecond { "/s" } else { "" };
    Some((mine.ratio(theirs, measure)?, format!("{}{unit}, {other} {}{unit}", both[0], both[1])))
}

/// Against the better of nginx and HAProxy: the ratio that is the larger one.
fn better(all: &All, shape: &str, measure: Measure) -> Option<(f64, String)> {
    let ratios = ["nginx", "haproxy"].map(|other| ratio(all, "pass", shape, "refrain", other, measure));
    ratios.into_iter().flatten().max_by(|one, other| one.0.total_cmp(&other.0))
}

fn pass(all: &All) -> Vec<Line> {
    let loads = [
        ("POST, 64", 0.85),
        ("GET, 64", 0.85),
        ("POST, 1", 0.95),
        ("GET, 1", 0.95),
        ("POST, 256", 0.95),
        ("GET, 256", 0.95),
        ("h2c POST, 64", 1.0),
    ];
    let cpu = loads.into_iter().map(|(shape, target)| Line {
        what: format!("pass-through, {shape}: CPU per request against the better of nginx and HAProxy"),
        wanted: Wanted::AtMost(target),
        unit: "",
        measured: better(all, shape, Measure::CpuUs),
        suite: "pass",
    });
    let p99 = ["POST, 64", "GET, 64"].into_iter().map(|shape| Line {
        what: format!("pass-through, {shape}: p99 against the better of nginx and HAProxy"),
        wanted: Wanted::AtMost(1.0),
        unit: "",
        measured: better(all, shape, Measure::P99Us),
        suite: "pass",
    });
    let configured = Line {
        what:
            "routes, metrics and idempotency configured, no key: CPU against bare (instructions are compared by scripts/counts)"
                .to_owned(),
        wanted: Wanted::AtMost(1.03),
        unit: "",
        measured: ratio(all, "pass", "POST, 64", "refrain, configured", "refrain", Measure::CpuUs),
        suite: "pass",
    };
    cpu.chain(p99).chain([configured]).collect()
}

fn keyed(all: &All) -> Vec<Line> {
    let line = |what: &str, wanted, shape: &str, one: &str, other: &str, measure| Line {
        what: what.to_owned(),
        wanted,
        unit: "",
        measured: ratio(all, "keyed", shape, one, other, measure),
        suite: "keyed",
    };
    let rate = Measure::RequestsPerSecond;
    let (first, replay) = ("first, 64", "replay, 64");
    let (redis, embedded) = ("refrain, redis", "refrain, embedded");
    let mut lines = vec![
        line("replay from Redis, rate against idempotent-proxy", Wanted::AtLeast(5.0), replay, redis, "idempotent-proxy", rate),
        line("replay from Redis, rate against idempot-js", Wanted::AtLeast(10.0), replay, redis, "idempot-js", rate),
        line(
            "first under a key on Redis, rate against idempotent-proxy",
            Wanted::AtLeast(3.5),
            first,
            redis,
            "idempotent-proxy",
            rate,
        ),
        line("first under a key on Redis, rate against idempot-js", Wanted::AtLeast(10.0), first, redis, "idempot-js", rate),
        line(
            "first under a key on Redis, CPU against our own pass-through",
            Wanted::AtMost(1.35),
            first,
            redis,
            "refrain, unprotected",
            Measure::CpuUs,
        ),
        line(
            "replay from the embedded store, rate against memory",
            Wanted::AtLeast(0.85),
            replay,
            embedded,
            "refrain, memory",
            rate,
        ),
    ];
    for callers in [1, 64, 256] {
        let (what, shape) = (
            format!("first under a key, embedded and synced, {callers} callers, rate against redb alone"),
            format!("first, {callers}"),
        );
        lines.push(line(&what, Wanted::AtLeast(0.8), &shape, embedded, "redb alone", rate));
    }
    lines
}

fn sagas(all: &All) -> Vec<Line> {
    let mut lines = Vec::new();
    let callers = [(1, "1 caller"), (32, "32 callers"), (128, "128 callers")];
    let mut add = |what: String, wanted, shape: &str, one: &str, other: &str, measure| {
        lines.push(Line { what, wanted, unit: "", measured: ratio(all, "sagas", shape, one, other, measure), suite: "sagas" });
    };
    let rate = Measure::RequestsPerSecond;
    for (store, factors) in [("refrain, redis", [5.0, 12.0, 15.0]), ("refrain, embedded", [3.0, 8.0, 10.0])] {
        for ((_, name), factor) in callers.into_iter().zip(factors) {
            let shape = format!("5 steps, {name}");
            add(
                format!("saga of {shape}, {store}: rate against Restate"),
                Wanted::AtLeast(factor),
                &shape,
                store,
                "restate",
                rate,
            );
        }
    }
    for steps in [2, 5] {
        for (_, name) in &callers[1..] {
            let shape = format!("{steps} steps, {name}");
            add(
                format!("saga of {shape}, Redis: rate against dtmrs"),
                Wanted::AtLeast(2.0),
                &shape,
                "refrain, redis",
                "dtmrs",
                rate,
            );
        }
        let shape = format!("{steps} steps, 1 caller");
        add(
            format!("saga of {shape}, Redis: p50 against dtmrs"),
            Wanted::AtMost(1.0),
            &shape,
            "refrain, redis",
            "dtmrs",
            Measure::P50Us,
        );
    }
    lines
}

fn footprint(all: &All) -> Vec<Line> {
    let median = |shape: &str, contender: &str, measure: Measure, by: f64| {
        let value = row(all, "footprint", shape, contender)?.median(measure)?;
        Some((value / by, contender.to_owned()))
    };
    let line = |what: &str, limit: f64, unit, measured| Line {
        what: what.to_owned(),
        wanted: Wanted::AtMost(limit),
        unit,
        measured,
        suite: "footprint",
    };
    let embedded = "refrain, embedded";
    vec![
        line("memory, idle", 12.0, " MB", median("idle", embedded, Measure::RssBytes, 1e6)),
        line("memory, 10,000 idle connections", 150.0, " MB", median("10000 idle connections", embedded, Measure::RssBytes, 1e6)),
        line("start to ready, empty embedded store", 50.0, " ms", median("start to ready", embedded, Measure::StartUs, 1e3)),
    ]
}

fn growth(all: &All) -> Vec<Line> {
    let mut lines = Vec::new();
    let ends = |curve: &str, contender: &str| {
        let of = |row: &&Row| row.shape == curve && row.contender == contender;
        let results = all.get("curves")?;
        let (first, last) = (results.rows.iter().find(of)?, results.rows.iter().rfind(of)?);
        (first.at != last.at).then_some((first, last))
    };
    for (curve, contenders) in [
        ("stored keys, first", &["refrain, memory", "refrain, redis", "refrain, embedded"][..]),
        ("stored keys, replay", &["refrain, memory", "refrain, redis", "refrain, embedded"][..]),
        ("parked sagas, first", &["refrain, redis", "refrain, embedded"][..]),
    ] {
        for contender in contenders {
            let measured = ends(curve, contender).and_then(|(first, last)| {
                let of = format!("at {} against {}", last.at.unwrap_or(0.0), first.at.unwrap_or(0.0));
                Some((last.median(Measure::RequestsPerSecond)? / first.median(Measure::RequestsPerSecond)?, of))
            });
            let what = format!("{curve}, {contender}: rate when it is full against empty");
            lines.push(Line { what, wanted: Wanted::AtLeast(0.9), unit: "", measured, suite: "curves" });
        }
    }
    let parked = ends("parked sagas, first", "refrain, redis").and_then(|(first, last)| {
        let grown = last.median(Measure::RssBytes)? - first.median(Measure::RssBytes)?;
        Some((grown / last.at?, format!("{} of them, Redis", last.at?)))
    });
    let what = "memory of the process for each parked saga".to_owned();
    lines.push(Line { what, wanted: Wanted::AtMost(0.0), unit: " bytes", measured: parked, suite: "curves" });
    lines
}
