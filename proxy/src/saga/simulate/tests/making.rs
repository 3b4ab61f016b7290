//! What is made up, and what is said where that does not do.

use serde_json::json;

use super::*;
use crate::store::journal::SagaState;

/// Around these steps.
fn saga(steps: &str, rest: &str) -> String {
    format!(
        "saga: made\nversion: 1\ntrigger: {{route: POST /made/}}\ninput:\n  trip: {{from: \"${{request.body}}\", type: map}}\nsteps:\n{steps}\n{rest}\n"
    )
}

#[test]
fn answers_have_what_outputs_bodies_conditions_and_paths_read_of_them() {
    let steps = r#"
  - id: flight
    call: flights POST /holds
    body: {to: "${input.trip.to}"}
    outcome: {failure: "${response.body.state == 'DENIED'}", success: "${response.status == 201}"}
    output: {ref: "${response.headers.location}", price: "${response.body.price}", seats: "${response.body.seats}"}
    compensate: {call: "flights DELETE ${steps.flight.ref}"}
  - id: total
    set: {amount: "${steps.flight.price * 2}", first: "${steps.flight.seats[0].row + 1}"}
  - id: pay
    call: psp POST /payments/${input.trip.account.id}
    body: {amount: "${steps.total.amount}", all: "${steps.flight.seats.map(s, s)}"}
    compensate: none
"#;
    let report = report(&saga(steps, "response: {completed: {status: 201, body: {total: \"${steps.total.amount}\"}}}"), 1);
    let base = &report.cases[0].ending;
    assert_eq!((base.state, base.status, &base.body), (SagaState::Completed, 201, &Some(json!({"total": 200}))));
    // The no is one that `outcome` takes for one.
    assert_eq!(ending(&report, "flight", false, Outcome::Refused).state, SagaState::Compensated);
    assert_eq!(ending(&report, "pay", false, Outcome::Refused).undone.len(), 1);
}

#[test]
fn a_probes_answers_are_found_by_what_its_done_says() {
    let steps = r#"
  - id: policy
    call: cover POST /policies
    in_doubt: {check: {call: "cover GET /policies?reference=${step.key}", after: 5m, done: "${size(response.body) > 0}", response: {status: 201, body: "${response.body[0]}"}}}
    output: {id: "${response.body.id}"}
    compensate: {call: "cover DELETE /policies/${steps.policy.id}"}
"#;
    let report = report(&saga(steps, ""), 1);
    assert!(report.is_good(), "{:#?}", report.verdict.leak);
    for outcome in [Outcome::UnknownApplied, Outcome::UnknownNotApplied, Outcome::UnknownLate] {
        assert_eq!(ending(&report, "policy", false, outcome).state, SagaState::Completed, "{outcome:?}");
    }
}

#[test]
fn where_nothing_that_is_made_up_does_what_is_needed_is_named() {
    let steps = r#"
  - {id: quote, call: psp GET /quote, effect: none, output: {code: "${response.body.code}"}}
  - {id: picked, set: {one: "${steps.quote.code.split('-')[7] + input.trip.letter}"}}
"#;
    let text = saga(steps, "").replace(".split('-')[7]", ".map(c, c.deep.down)[0]");
    let lacking = simulated(&text, None, 0).unwrap_err().remove(0);
    assert_eq!(lacking.step.unwrap().as_str(), "picked");
    assert!(lacking.help.contains("answers.quote.body.code") && lacking.help.contains("input.trip.letter"), "{}", lacking.help);
}

#[test]
fn a_case_says_what_it_begins_with_and_what_is_answered_and_how_it_ends() {
    let test = r#"
response: {completed: {status: 201, body: "${steps.pay.id}"}, compensated: {status: "${failure.status}"}}
test:
  cases:
    - name: rich
      input: {trip: {to: US}}
      answers:
        pay: {status: 200, body: {id: 7}, refused: {status: 402}}
      expect: {state: completed, status: 201, body: 7}
    - name: wrong
      request: {body: {to: FR}}
      expect: {state: compensated, status: 200}
  invariants:
    - name: who is refused pays nothing
      check: "${ending.fault.outcome != 'refused' || ending.effects.pay != 'kept'}"
    - check: "${ending.status == 201}"
"#;
    let steps = r#"
  - {id: pay, call: psp POST /payments, body: "${input.trip.to}", output: {id: "${response.body.id}"}, compensate: {call: psp DELETE /payments}}
"#;
    let report = report(&saga(steps, test), 1);
    assert_eq!(report.cases[0].made_up, Vec::<String>::new());
    assert_eq!(report.cases[0].unexpected, Vec::<String>::new());
    assert_eq!(report.cases[1].unexpected.len(), 2, "{:?}", report.cases[1].unexpected);
    assert_eq!(ending(&report, "pay", false, Outcome::Refused).status, 402);
    let invariants = &report.verdict.invariants;
    assert_eq!((invariants[0].name.as_str(), invariants[0].broken), ("who is refused pays nothing", 0));
    assert!(invariants[1].broken > 0);
    // The shortest ending without a 201 is that of the step that is refused.
    let shortest = invariants[1].counterexample.as_ref().unwrap();
    assert_eq!(shortest.ending.faults.len(), 1, "{shortest:#?}");
    assert!(!report.is_good());
}
