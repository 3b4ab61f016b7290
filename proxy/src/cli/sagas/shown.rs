//! Sagas as text, for people.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::time::{Timestamp, http_date};

/// A page of sagas.
pub(super) fn page(page: &Value) -> String {
    let mut text = String::new();
    for saga in page["sagas"].as_array().into_iter().flatten() {
        let paused = if saga["paused"] == true { " paused" } else { "" };
        let (id, state, changed) = (word(&saga["id"]), word(&saga["state"]), time(&saga["updated_unix_ms"]));
        line(&mut text, format_args!("{id}  {state:<12}{paused}  {changed}  {} v{}", word(&saga["saga"]), saga["version"]));
    }
    if text.is_empty() {
        line(&mut text, format_args!("none"));
    }
    if let Value::String(next) = &page["next"] {
        line(&mut text, format_args!("more: --before {next}"));
    }
    text
}

/// One saga.
pub(super) fn saga(saga: &Value) -> String {
    let mut text = String::new();
    let paused = if saga["paused"] == true { ", paused" } else { "" };
    line(&mut text, format_args!("{} v{}  {}{paused}", word(&saga["saga"]), saga["version"], word(&saga["state"])));
    line(&mut text, format_args!("id          {}", word(&saga["id"])));
    line(&mut text, format_args!("definition  {}", word(&saga["definition"])));
    line(&mut text, format_args!("began       {}", time(&saga["created_unix_ms"])));
    line(&mut text, format_args!("changed     {}", time(&saga["updated_unix_ms"])));
    if !saga["due_unix_ms"].is_null() {
        line(&mut text, format_args!("due         {}", time(&saga["due_unix_ms"])));
    }
    for (name, label) in [("reason", "reason     "), ("unreadable", "unreadable ")] {
        if let Value::String(reason) = &saga[name] {
            line(&mut text, format_args!("{label} {reason}"));
        }
    }
    let in_doubt: Vec<_> = saga["in_doubt"].as_array().into_iter().flatten().map(word).collect();
    if !in_doubt.is_empty() {
        line(&mut text, format_args!("in doubt    {}", in_doubt.join(", ")));
    }
    line(&mut text, format_args!("\nsteps"));
    for step in saga["steps"].as_array().into_iter().flatten() {
        let undo = match word(&step["undo"]) {
            "none" => String::new(),
            undo => format!("  undo: {undo}"),
        };
        let again = if step["again_at"].is_null() { String::new() } else { format!("  again {}", time(&step["again_at"])) };
        let reason = step["reason"].as_str().map(|reason| format!("  ({reason})")).unwrap_or_default();
        let (name, state, starts) = (word(&step["step"]), word(&step["state"]), &step["starts"]);
        line(&mut text, format_args!("  {name:<24} {state:<10} {starts} starts{undo}{again}{reason}"));
    }
    line(&mut text, format_args!("\ntimeline"));
    for entry in saga["timeline"].as_array().into_iter().flatten() {
        let details = entry.as_object().map(details).unwrap_or_default();
        line(&mut text, format_args!("  {}  {:<12} {details}", time(&entry["at"]), word(&entry["entry"])));
    }
    text
}

/// All other members of an entry, on one line.
fn details(entry: &Map<String, Value>) -> String {
    let others = entry.iter().filter(|(name, _)| !matches!(name.as_str(), "at" | "entry"));
    let shown = others.map(|(name, value)| match (name.as_str(), value) {
        ("step", Value::String(step)) => step.clone(),
        ("again_at" | "deadline" | "remembered_until", at) => format!("{name}={}", time(at)),
        (name, Value::String(value)) => format!("{name}={value}"),
        (name, value) => format!("{name}={value}"),
    });
    shown.collect::<Vec<_>>().join(" ")
}

fn word(value: &Value) -> &str {
    value.as_str().unwrap_or("?")
}

fn time(unix_ms: &Value) -> String {
    let at = Timestamp::from_unix_ms(unix_ms.as_u64().unwrap_or_default());
    http_date(at).to_str().unwrap_or("?").to_owned()
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    // Writing into a text cannot fail.
    let _written = writeln!(text, "{line}");
}
