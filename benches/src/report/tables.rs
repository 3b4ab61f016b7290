//! One suite as tables.

use std::fmt::Write as _;

use super::figures::{figure, grouped, length};
use crate::plot;
use crate::results::{Measure, Results, Row};

/// What a line is compared by, and with whom.
struct Against {
    contender: &'static str,
    measure: Measure,
    title: &'static str,
}

/// Columns of measures, in order; those that no line of a table has are left out.
const COLUMNS: [(Measure, &str); 11] = [
    (Measure::RequestsPerSecond, "requests/s"),
    (Measure::BytesPerSecond, "carried"),
    (Measure::CpuUs, "CPU per request"),
    (Measure::StoreCpuUs, "and its store's"),
    (Measure::ServiceCpuUs, "and its service's"),
    (Measure::P50Us, "p50"),
    (Measure::P99Us, "p99"),
    (Measure::StartUs, "time"),
    (Measure::RssBytes, "memory"),
    (Measure::StoreRssBytes, "and its store's"),
    (Measure::Share, "share of samples"),
];

/// All of a suite: how it was measured, its tables, and what is missing.
pub(super) fn suite(results: &Results) -> String {
    let mut out = how(results);
    match &*results.suite {
        "curves" => curves(&mut out, results),
        "flames" => flames(&mut out, results),
        _ => loads(&mut out, results),
    }
    if !results.skipped.is_empty() {
        out.push_str("\nNot measured:\n\n");
        for skipped in &results.skipped {
            let why = skipped.why.split_whitespace().collect::<Vec<_>>().join(" ");
            let why: String = why.chars().take(200).collect();
            let _written = writeln!(out, "- {}: {}", skipped.what, why.replace('<', "&lt;"));
        }
    }
    out
}

fn how(results: &Results) -> String {
    let machine = &results.machine;
    let date = time::OffsetDateTime::from_unix_timestamp(results.measured_at.cast_signed()).map(|at| at.date().to_string());
    let settings: Vec<_> = results
        .settings
        .iter()
        .filter(|(name, _)| !name.starts_with("picture"))
        .map(|(name, value)| format!("{name} {value}"))
        .collect();
    let versions: Vec<_> = results.versions.iter().map(|(name, version)| format!("{name} {version}")).collect();
    format!(
        "`{}`, on {}: {}, {} cores, {:.0} GiB, Linux {}.\nSettings: {}. Versions: {}.\n",
        results.command,
        date.unwrap_or_default(),
        machine.cpu,
        machine.cores,
        machine.memory_bytes as f64 / (1u64 << 30) as f64,
        machine.kernel,
        settings.join(", "),
        versions.join(", "),
    )
}

fn against(suite: &str) -> Option<Against> {
    let (contender, measure, title) = match suite {
        "pass" => ("haproxy", Measure::CpuUs, "CPU against haproxy"),
        "keyed" => ("idempotent-proxy", Measure::RequestsPerSecond, "rate against idempotent-proxy"),
        "sagas" => ("restate", Measure::RequestsPerSecond, "rate against restate"),
        _ => return None,
    };
    Some(Against { contender, measure, title })
}

/// A table for each load.
fn loads(out: &mut String, results: &Results) {
    for shape in shapes(results) {
        let rows: Vec<&Row> = results.rows.iter().filter(|row| row.shape == shape).collect();
        let against = against(&results.suite).filter(|against| results.row(&shape, against.contender).is_some());
        let columns: Vec<_> =
            COLUMNS.into_iter().filter(|(measure, _)| rows.iter().any(|row| row.median(*measure).is_some())).collect();
        let mut titles = vec![shape.clone()];
        titles.extend(columns.iter().map(|(_, title)| (*title).to_owned()));
        titles.extend(against.iter().map(|against| against.title.to_owned()));
        head(out, &titles);
        for row in rows {
            let mut cells = vec![bold(&row.contender)];
            cells.extend(
                columns.iter().map(|(measure, _)| row.median(*measure).map_or("–".into(), |value| figure(*measure, value))),
            );
            if let Some(against) = &against {
                let ratio = results.row(&shape, against.contender).and_then(|other| row.ratio(other, against.measure));
                cells.push(ratio.map_or("–".into(), |ratio| format!("{ratio:.2}")));
            }
            line(out, &cells);
        }
    }
}

/// A plot and a table for each curve.
fn curves(out: &mut String, results: &Results) {
    for curve in shapes(results) {
        if plot::is_drawn(&curve) {
            let _written = write!(out, "\n![{curve}](benchmarks/{})\n", plot::file(&curve));
        }
        let rows: Vec<&Row> = results.rows.iter().filter(|row| row.shape == curve).collect();
        let shown = plot::measure(&curve);
        head(
            out,
            &[
                curve.clone(),
                String::new(),
                plot::unit(shown).to_owned(),
                "p99".into(),
                "CPU per request".into(),
                "memory".into(),
            ],
        );
        for row in rows {
            let at = row.at.unwrap_or(0.0);
            let at = if curve.ends_with("body") { length(at) } else { grouped(at) };
            let cell = |measure| row.median(measure).map_or("–".into(), |value| figure(measure, value));
            let cells =
                [at, bold(&row.contender), cell(shown), cell(Measure::P99Us), cell(Measure::CpuUs), cell(Measure::RssBytes)];
            line(out, &cells);
        }
    }
}

/// A picture for each path, and its widest functions.
fn flames(out: &mut String, results: &Results) {
    for shape in shapes(results) {
        let Some(title) = shape.strip_suffix(": widest") else { continue };
        let file = results.settings.get(&format!("picture of {title}")).cloned().unwrap_or_default();
        let _written = write!(out, "\n[![{title}](benchmarks/{file})](benchmarks/{file})\n");
        head(out, &[title.to_owned(), "share of samples".to_owned()]);
        for row in results.rows.iter().filter(|row| row.shape == shape) {
            let share = row.median(Measure::Share).map_or("–".into(), |value| figure(Measure::Share, value));
            line(out, &[format!("`{}`", row.contender.replace('|', "\\|")), share]);
        }
    }
}

fn shapes(results: &Results) -> Vec<String> {
    let mut shapes: Vec<String> = Vec::new();
    for row in &results.rows {
        if !shapes.contains(&row.shape) {
            shapes.push(row.shape.clone());
        }
    }
    shapes
}

/// Refrain's lines are found at a glance.
fn bold(contender: &str) -> String {
    if contender.starts_with("refrain") { format!("**{contender}**") } else { contender.to_owned() }
}

/// A table's first two lines, with an empty one before.
pub(super) fn head(out: &mut String, titles: &[String]) {
    let _written = write!(out, "\n| {} |\n|{}\n", titles.join(" | "), "---|".repeat(titles.len()));
}

/// One line of a table.
pub(super) fn line(out: &mut String, cells: &[String]) {
    let _written = writeln!(out, "| {} |", cells.join(" | "));
}
