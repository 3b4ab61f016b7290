//! A simulation's report, for people.

use std::{fmt::Write as _, time::Duration};

use serde_json::Value;

use crate::{
    saga::simulate::{CaseReport, Checked, Counterexample, Ending, Kind, Outcome, Participant, Report, Row, Verdict},
    store::journal::SagaState,
};

/// The widest answer of a caller, in characters.
const WIDEST_ANSWER: usize = 44;
/// The widest list of undone steps, in characters: it goes on in the next line.
const WIDEST_UNDONE: usize = 40;
/// The longest story that is told of a counterexample, in lines.
const LONGEST_STORY: usize = 60;

/// The whole report.
pub(super) fn report(report: &Report, colour: bool) -> String {
    let mut text = format!("{}, version {}\n", report.saga, report.version);
    text.push_str(&services(&report.services));
    for case in &report.cases {
        text.push('\n');
        text.push_str(&heading(case));
        text.push_str(&table(case, colour));
        for note in &case.notes {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "note: {note}");
        }
    }
    text.push('\n');
    text.push_str(&verdict(&report.verdict, report, colour));
    text
}

fn services(services: &[Participant]) -> String {
    let mut text = String::new();
    for (kind, words) in [
        (0, "keys are remembered by a Refrain beside"),
        (1, "keys of what was done are remembered by"),
        (2, "no keys are remembered by"),
    ] {
        let is = |service: &&Participant| match service.kind.is {
            Kind::Refrain => kind == 0,
            Kind::Remembers(_) => kind == 1,
            Kind::Ledger => kind == 2,
        };
        let said = |service: &Participant| {
            let name = service.upstream.as_deref().unwrap_or("the local service");
            if service.is_configured || service.upstream.is_none() { name.to_owned() } else { format!("{name} (assumed)") }
        };
        let named: Vec<String> = services.iter().filter(is).map(said).collect();
        if !named.is_empty() {
            let _ = writeln!(text, "{words}: {}", named.join(", "));
        }
    }
    text
}

fn heading(case: &CaseReport) -> String {
    let mut text = String::new();
    if !case.name.is_empty() {
        let _ = writeln!(text, "case: {}", case.name);
    }
    if !case.made_up.is_empty() {
        let _ = writeln!(text, "made up: {} (`test.cases` in the file says otherwise)", case.made_up.join(", "));
    }
    for wrong in &case.unexpected {
        let _ = writeln!(text, "NOT AS EXPECTED: {wrong}");
    }
    text
}

/// A line of the table: its cells, and the colour of the state.
struct Line {
    cells: [String; 6],
    paint: &'static str,
}

fn table(case: &CaseReport, colour: bool) -> String {
    let heads = ["STEP", "WHAT BECOMES OF IT", "THE SAGA IS", "UNDONE, IN ORDER", "THE CALLER GETS", "AFTER"];
    let mut lines = vec![Line { cells: heads.map(str::to_owned), paint: "1" }];
    let mut rest = case.rows.as_slice();
    // Every round takes at least one row.
    while let Some(first) = rest.first() {
        let same = |row: &&Row| row.step == first.step && row.undo == first.undo;
        let (rows, others) = rest.split_at(rest.iter().take_while(same).count().max(1));
        lines.push(Line { cells: Default::default(), paint: "" });
        step(rows, &mut lines);
        rest = others;
    }
    laid_out(&lines, colour) + "(what is left blank is as in the line above)\n"
}

/// All rows of one call: what comes to the same stands together, said once.
fn step(rows: &[Row], lines: &mut Vec<Line>) {
    let Some(first) = rows.first() else { return };
    let mut names = if first.undo { vec![format!("undo of {}", first.step)] } else { vec![first.step.to_string()] };
    names.extend(first.after.as_ref().map(|after| match after.outcome {
        Outcome::TurnedBack => "  after an operator's word".to_owned(),
        outcome => format!("  after {} is {}", after.step, outcome.words()),
    }));
    let mut names = names.into_iter();
    let mut groups: Vec<Vec<&Row>> = Vec::new();
    for row in rows {
        match groups.iter_mut().find(|group| is_same(&group[0].ending, &row.ending)) {
            Some(group) => group.push(row),
            None => groups.push(vec![row]),
        }
    }
    groups.sort_by_key(|group| rank(&group[0].ending));
    for group in groups {
        let ending = &group[0].ending;
        let undone = wrapped(ending);
        let undone = if undone.is_empty() && ending.state != SagaState::Completed { vec!["nothing".to_owned()] } else { undone };
        let mut answer = Some(answer(ending));
        for line in 0..group.len().max(undone.len()) {
            let row = group.get(line);
            let cells = [
                names.next().unwrap_or_default(),
                row.map(|row| row.outcome.words().to_owned()).unwrap_or_default(),
                if line == 0 { state(ending) } else { String::new() },
                undone.get(line).cloned().unwrap_or_default(),
                answer.take().unwrap_or_default(),
                row.map(|row| span(row.ending.took)).unwrap_or_default(),
            ];
            lines.push(Line { cells, paint: paint(ending) });
        }
    }
    // A step of one line has a name of two.
    lines.extend(names.map(|name| Line {
        cells: [name, String::new(), String::new(), String::new(), String::new(), String::new()],
        paint: "",
    }));
}

/// What goes well comes first.
const fn rank(ending: &Ending) -> u8 {
    match ending.state {
        _ if !ending.leaks.is_empty() => 4,
        SagaState::Completed => 0,
        SagaState::Compensated => 1,
        SagaState::Quarantined => 2,
        SagaState::Running | SagaState::Compensating => 3,
    }
}

fn is_same(one: &Ending, other: &Ending) -> bool {
    let seen = |ending: &Ending| {
        (ending.state, ending.undone.clone(), ending.status, ending.body.clone(), ending.leaks.clone(), ending.pending_first)
    };
    seen(one) == seen(other)
}

fn state(ending: &Ending) -> String {
    match (ending.state, ending.leaks.is_empty()) {
        (SagaState::Running, _) => "without an end".to_owned(),
        (state, true) => state.as_str().to_owned(),
        (state, false) => format!("{}, LEAKS", state.as_str()),
    }
}

const fn paint(ending: &Ending) -> &'static str {
    match ending.state {
        _ if !ending.leaks.is_empty() => "31",
        SagaState::Completed => "32",
        SagaState::Compensated => "33",
        SagaState::Quarantined | SagaState::Running | SagaState::Compensating => "31",
    }
}

/// The steps that were undone, in lines.
fn wrapped(ending: &Ending) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for step in ending.undone.iter().map(ToString::to_string) {
        match lines.last_mut() {
            Some(line) if line.len() + 2 + step.len() <= WIDEST_UNDONE => line.extend([", ", &step]),
            Some(line) => {
                line.push(',');
                lines.push(step);
            }
            None => lines.push(step),
        }
    }
    lines
}

/// What the caller gets, in short.
fn answer(ending: &Ending) -> String {
    let first = if ending.pending_first { "202, then " } else { "" };
    let mut text = format!("{first}{}", ending.status);
    let title = ending.body.as_ref().filter(|_| ending.is_problem).and_then(|body| body["title"].as_str());
    match (title, &ending.body) {
        (Some(title), _) => text.extend([" ", title]),
        (None, Some(body)) if *body != Value::Null => text.extend([" ", &body.to_string()]),
        _ => {}
    }
    let mut short: String = text.chars().take(WIDEST_ANSWER).collect();
    if short.len() < text.len() {
        short.pop();
        short.push('…');
    }
    if ending.answer_fault.is_some() {
        short.push_str(" (the default)");
    }
    short
}

/// A time in one unit, as far as it matters.
fn span(duration: Duration) -> String {
    match duration.as_secs() {
        0 => format!("{} ms", duration.as_millis()),
        seconds @ 1..=119 => format!("{seconds} s"),
        seconds @ 120..=7199 => format!("{} min", seconds / 60),
        seconds @ 7200..=172_799 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn laid_out(lines: &[Line], colour: bool) -> String {
    let width = |column: usize| lines.iter().map(|line| line.cells[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..6).map(width).collect();
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (column, (cell, width)) in line.cells.iter().zip(&widths).enumerate() {
            let padding = " ".repeat(width - cell.chars().count());
            // Times stand right.
            let (before, after) = if column == 5 { (padding.as_str(), "") } else { ("", padding.as_str()) };
            let is_painted = colour && (column == 2 || line.paint == "1") && !cell.is_empty() && !line.paint.is_empty();
            let cell = if is_painted { format!("\u{1b}[{}m{cell}\u{1b}[0m", line.paint) } else { cell.clone() };
            row.extend([before, &cell, after, "  "]);
        }
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

fn verdict(verdict: &Verdict, report: &Report, colour: bool) -> String {
    let paint = |text: &str, code: &str| if colour { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() };
    let mut text = String::new();
    let words = ["nothing goes wrong", "one thing does", "two do", "three do"];
    let counted: Vec<String> =
        verdict.endings.iter().zip(words).map(|(count, words)| format!("{} where {words}", number(*count))).collect();
    let _ = writeln!(text, "{} endings explored: {}.", number(verdict.explored()), counted.join(", "));
    let states: Vec<String> = verdict.by_state.iter().map(|(state, count)| format!("{} {state}", number(*count))).collect();
    let _ = writeln!(text, "{}.", states.join(", "));
    if verdict.is_cut {
        let _ = writeln!(text, "There are more runs than were taken: `--runs` says how many are.");
    }
    match &verdict.leak {
        None => {
            let _ = writeln!(text, "{}", paint("No ending leaves an effect neither kept nor undone.", "32"));
        }
        Some(leak) => {
            let said = format!("{} endings leave an effect neither kept nor undone.", number(verdict.leaking));
            let _ = writeln!(text, "{}", paint(&said, "31"));
            text.push_str(&counterexample(leak));
        }
    }
    for one in &verdict.invariants {
        text.push_str(&invariant(one, &paint));
    }
    if report.cases.iter().any(|case| !case.unexpected.is_empty()) {
        let _ = writeln!(text, "{}", paint("Not every case ends as it is expected to.", "31"));
    }
    text
}

fn invariant(one: &Checked, paint: &dyn Fn(&str, &str) -> String) -> String {
    match &one.counterexample {
        None => format!("{} {}\n", paint("holds ", "32"), one.name),
        Some(counterexample) => {
            let said = format!("{} {}: not in {} endings\n", paint("BROKEN", "31"), one.name, number(one.broken));
            said + &self::counterexample(counterexample)
        }
    }
}

fn counterexample(example: &Counterexample) -> String {
    let faults: Vec<String> = example.ending.faults.iter().map(crate::saga::simulate::Fault::words).collect();
    let faults = if faults.is_empty() { "nothing goes wrong".to_owned() } else { faults.join("; then ") };
    let case = if example.case.is_empty() { String::new() } else { format!(" in the case `{}`", example.case) };
    let mut text = format!("  The shortest{case}: {faults}\n");
    for (at, what) in example.story.iter().take(LONGEST_STORY) {
        let _ = writeln!(text, "  {:>12}  {what}", format!("{}.{:03} s", at / 1000, at % 1000));
    }
    if example.story.len() > LONGEST_STORY {
        let _ = writeln!(text, "  {:>12}  … and so on", "");
    }
    let _ = writeln!(text, "  {:>12}  {}", "", example.wrong);
    text
}

/// A number with its thousands apart.
pub(super) fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (nth, digit) in digits.chars().enumerate() {
        if nth > 0 && (digits.len() - nth).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
