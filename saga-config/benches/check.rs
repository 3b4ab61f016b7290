//! How long it takes to check a shop's sagas: 100 definitions of 20 steps. `cargo bench -p saga-config --bench check`.
#![allow(clippy::disallowed_methods, reason = "it measures time")]
#![allow(clippy::print_stdout, reason = "it says how long it took")]

use std::{
    fmt::Write as _,
    sync::Arc,
    time::{Duration, Instant},
};

use saga_config::{diagnostic::Source, saga::Saga};

const DEFINITIONS: usize = 100;
const STEPS: usize = 20;
const RUNS: usize = 10;
/// "Well under a second" for all of them.
const BOUND: Duration = Duration::from_millis(500);

/// Steps as people write them: a call with a body, an output and an undo, which read what came before.
fn definition(number: usize) -> Arc<Source> {
    let mut text = format!(
        "saga: saga-{number}\nversion: 1\ntrigger: {{route: POST /orders-{number}/}}\ndeadline: 30s\ninput:\n  items: {{from: \"${{request.body.items}}\", type: list, check: \"${{size(self) > 0}}\"}}\nsteps:\n"
    );
    for step in 0..STEPS {
        let before = step.checked_sub(1).map_or_else(|| "input.items".to_owned(), |before| format!("steps.step_{before}.id"));
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "  - id: step_{step}
    call: orders POST /internal/things/
    body: {{of: \"${{{before}}}\", reference: \"${{step.key}}\", kind: thing, note: \"number {step} of ${{saga.id}}\"}}
    outcome: {{failure: \"${{response.status in [402, 409, 422]}}\"}}
    output: {{id: \"${{response.body.id}}\", amount: \"${{response.body.?amount.orValue(0)}}\"}}
    compensate:
      call: orders PATCH /internal/things/${{steps.step_{step}.id}}/
      body: {{status: cancelled}}
      effect: idempotent
"
        );
    }
    let _ = write!(text, "response:\n  completed: {{status: 201, body: {{last: \"${{steps.step_{}.id}}\"}}}}\n", STEPS - 1);
    Source::new(format!("sagas/saga-{number}.yaml"), text)
}

fn main() {
    let sources: Vec<_> = (0..DEFINITIONS).map(definition).collect();
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        let loaded = Saga::load_all(&sources, None);
        best = best.min(start.elapsed());
        assert!(
            loaded.iter().all(|loaded| loaded.as_ref().is_ok_and(|loaded| loaded.saga.steps.len() == STEPS)),
            "they are sound"
        );
    }
    println!("{DEFINITIONS} definitions of {STEPS} steps: {best:?}, the best of {RUNS} runs");
    assert!(best < BOUND, "that is more than {BOUND:?}");
}
