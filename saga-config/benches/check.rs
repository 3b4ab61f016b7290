//! How long it takes to read definitions and to prove them: what `refrain check` and a reload wait for.
//!
//! `cargo bench -p saga-config`

use std::{fmt::Write as _, sync::Arc};

use divan::Bencher;
use saga_config::{
    diagnostic::Source,
    expr::{Expression, Names, Type},
    saga::Saga,
};

fn main() {
    divan::main();
}

/// Of 20 steps: a call with its undo, with expressions in path, headers, body, output and conditions, and every fourth computes.
fn definition(number: usize) -> Arc<Source> {
    let mut text = format!(
        "saga: order-{number}\nversion: 1\ntrigger: {{route: POST /orders-{number}/}}\ninput:\n  \
         user: {{from: \"${{claims.user_id}}\", type: int}}\n  \
         items: {{from: \"${{request.body.items}}\", type: list, check: \"${{size(self) > 0}}\"}}\nsteps:\n"
    );
    for step in 0..20 {
        let before = if step == 0 { "input.user".to_owned() } else { format!("steps.s{}.id", (step - 1) / 4 * 4) };
        // Writing to a string does not fail.
        let _ = match step % 4 {
            3 => {
                writeln!(text, "  - {{id: s{step}, set: {{id: \"${{{before} + {step}}}\", count: \"${{size(input.items)}}\"}}}}")
            }
            _ => writeln!(
                text,
                "  - id: s{step}\n    \
                 call: orders POST /things/${{{before}}}/?reference=${{step.key}}\n    \
                 headers: {{x-user: \"user ${{input.user}}\"}}\n    \
                 body: {{item: \"${{input.items[0].?sku.orValue('none')}}\", of: \"${{{before}}}\", note: \"number {number}\"}}\n    \
                 outcome: {{failure: \"${{response.status in [402, 409, 422] || response.body.?state.orValue('') == 'DENIED'}}\"}}\n    \
                 output: {{id: \"${{response.body.id}}\", amount: \"${{response.body.?amount.orValue(0)}}\"}}\n    \
                 compensate: {{call: \"orders DELETE /things/${{steps.s{step}.id}}/\", effect: idempotent}}"
            ),
        };
    }
    text.push_str("response:\n  completed: {status: 201, body: {id: \"${steps.s0.id}\"}}\n");
    Source::new(format!("order-{number}.yaml"), text)
}

#[divan::bench(sample_count = 10)]
fn a_hundred_definitions_of_twenty_steps(bencher: Bencher<'_, '_>) {
    let sources: Vec<_> = (0..100).map(definition).collect();
    bencher.bench(|| {
        for source in &sources {
            let loaded = Saga::load(source, None).unwrap_or_else(|found| panic!("{found:?}"));
            assert_eq!(loaded.saga.steps.len(), 20);
        }
    });
}

#[divan::bench]
fn one_definition_of_twenty_steps(bencher: Bencher<'_, '_>) {
    let source = definition(0);
    bencher.bench(|| Saga::load(&source, None));
}

#[divan::bench(args = ["input.user", "response.status in [402, 409, 422] || response.body.?state.orValue('') == 'DENIED'"])]
fn one_expression(bencher: Bencher<'_, '_>, source: &str) {
    let names = Names::new(&["input", "response"]).with_type("response", Type::response());
    bencher.bench(|| Expression::compile(source, &names));
}
