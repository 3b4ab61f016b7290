//! Expressions that break the parser or the interpreter that stands behind ours: chains and nests of every kind, small and large.
//!
//! Each of them used to end the process (a stack that overflows is no panic), or kept it busy for ever. They are refused, or have a
//! value, optimised or not: the stack that is needed differs by an order of magnitude. So each batch runs in a process of its own,
//! whose end is looked at, on a thread with the stack of an ordinary worker.

use std::{process::Command, sync::mpsc, thread, time::Duration};

use saga_config::{
    diagnostic::Source,
    expr::{Bindings, Expression, Names, limits},
    saga::Saga,
};
use serde_json::json;

/// What a worker of the runtime has.
const WORKER_STACK_BYTES: usize = 2 * 1024 * 1024;
/// How often each pattern is repeated.
const SIZES: [usize; 12] = [2, 8, 20, 24, 25, 48, 49, 90, 200, 1_000, 10_000, 60_000];
/// How long all of them may take: seconds on an idle machine.
const LONGEST: Duration = Duration::from_secs(300);
/// The variable that tells the child which patterns it runs.
const CHILD: &str = "REFRAIN_TEST_HOSTILE";

/// A pattern, and how it is written `count` times.
type Pattern = (&'static str, fn(usize) -> String);

fn nested(open: &str, middle: &str, close: &str, count: usize) -> String {
    format!("{}{middle}{}", open.repeat(count), close.repeat(count))
}

fn chain(item: &str, operator: &str, count: usize) -> String {
    vec![item; count].join(operator)
}

const PATTERNS: [Pattern; 34] = [
    ("sums", |count| chain("1", "+", count)),
    ("differences", |count| chain("n", " - ", count)),
    ("products", |count| chain("n", "*", count)),
    ("texts", |count| chain("'a'", "+", count)),
    ("comparisons", |count| chain("n", "==", count)),
    ("ors", |count| chain("b", "||", count)),
    ("ands", |count| chain("b", " && ", count)),
    ("ors and ands", |count| chain("b || b && b", "||", count)),
    ("memberships", |count| chain("n", " in ", count)),
    ("conditionals to the right", |count| format!("{}1", "b ? 1 : ".repeat(count))),
    ("conditionals in the middle", |count| nested("b ? ", "1", " : 2", count)),
    ("conditionals in brackets", |count| nested("(b ? ", "1", " : 2)", count)),
    ("parentheses", |count| nested("(", "1", ")", count)),
    ("parentheses that stay open", |count| "(".repeat(count)),
    ("lists", |count| nested("[", "1", "]", count)),
    ("lists that stay open", |count| "[".repeat(count)),
    ("maps", |count| nested("{'a': ", "1", "}", count)),
    ("maps as keys", |count| nested("{", "1", ": 1}", count)),
    ("maps that stay open", |count| "{1:".repeat(count)),
    ("nots", |count| nested("!", "b", "", count)),
    ("nots in brackets", |count| nested("!(", "b", ")", count)),
    ("minuses", |count| nested("- ", "n", "", count)),
    ("members", |count| format!("m{}", ".a".repeat(count))),
    ("optional members", |count| format!("m{}.orValue(1)", ".?a".repeat(count))),
    ("items", |count| format!("m{}", "[0]".repeat(count))),
    ("items of items", |count| nested("m[", "0", "]", count)),
    ("calls", |count| nested("size([", "1", "])", count)),
    ("methods", |count| format!("'a'{}", ".trim()".repeat(count))),
    ("loops in loops", |count| nested("[1, 2].map(x, ", "1", ")", count)),
    ("loops after loops", |count| format!("[1]{}", ".map(x, x)".repeat(count))),
    ("loops over loops", |count| nested("[1].filter(x, b).all(y, ", "true", ")", count)),
    ("optional maps", |count| nested("m.?a.optMap(x, ", "1", ")", count)),
    ("presences", |count| chain("has(m.a)", " || ", count)),
    ("texts that stay open", |count| format!("{}'", "'a' + ".repeat(count))),
];

/// Compiles and, where that is possible, evaluates; then the same through a file of a saga.
fn survive(pattern: &str, source: &str) {
    let names = Names::new(&["n", "b", "m"]);
    let (n, b, m) = (json!(1), json!(true), json!({"a": {"a": 1}}));
    let bindings = Bindings::new().with("n", &n).with("b", &b).with("m", &m);
    match Expression::compile(source, &names) {
        Ok(expression) => {
            let _ = expression.eval(&bindings);
            assert!(source.len() <= limits::SOURCE_BYTES, "{pattern}: taken, with {} bytes", source.len());
        }
        Err(error) => assert!(!error.message.is_empty(), "{pattern}"),
    }
    let quoted = serde_json::to_string(&format!("${{{source}}}")).unwrap_or_default();
    let file = format!("saga: s\nversion: 1\ntrigger: {{route: POST /s/}}\nsteps:\n  - {{id: a, set: {{x: {quoted}}}}}\n");
    match Saga::load(&Source::new("hostile.yaml", file), None) {
        Ok(_) => assert!(source.len() <= limits::SOURCE_BYTES, "{pattern}: taken, with {} bytes", source.len()),
        Err(found) => assert!(!found.is_empty(), "{pattern}"),
    }
}

#[test]
fn chains_and_nests_of_any_size_are_refused_or_have_a_value() {
    if std::env::var_os(CHILD).is_some() {
        return run_as_child();
    }
    let itself = std::env::current_exe().expect("this test is a program");
    let output = Command::new(itself)
        .args(["--exact", "chains_and_nests_of_any_size_are_refused_or_have_a_value", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("it can be run");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\n{}", output.status, String::from_utf8_lossy(&output.stdout));
}

fn run_as_child() {
    let (done, end) = mpsc::channel();
    let work = move || {
        for (pattern, written) in PATTERNS {
            // The last line says at which one the process ended.
            eprintln!("{pattern}");
            SIZES.iter().for_each(|count| survive(pattern, &written(*count)));
        }
        // Whoever waits for it is there.
        let _ = done.send(());
    };
    thread::Builder::new().stack_size(WORKER_STACK_BYTES).spawn(work).expect("there is a thread");
    // A worker that panics drops its end: that is no end in time either.
    end.recv_timeout(LONGEST).expect("every pattern is done with in time");
}
