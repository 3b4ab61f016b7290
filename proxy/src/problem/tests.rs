#![allow(clippy::unwrap_used)]

use serde_json::Value;

use super::*;
use crate::idempotency::key::KeyForm;

fn rendered(problem: Problem, dialect: Dialect) -> String {
    let response = problem.respond(dialect, Uuid::nil());
    let mut lines = vec![response.status().to_string()];
    lines.extend(response.headers().iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())));
    lines.push(String::from_utf8(response.body().to_vec()).unwrap());
    lines.join("\n")
}

fn document(problem: Problem, dialect: Dialect) -> Value {
    serde_json::from_slice(problem.into_response(dialect).body()).unwrap()
}

#[test]
fn every_problem_as_callers_see_it() {
    let all = ProblemName::ALL.map(|name| rendered(Problem::new(name, "What to know."), Dialect::Ietf));
    insta::assert_snapshot!("problems", all.join("\n\n"));
}

#[test]
fn what_idempot_js_clients_see() {
    let drafted = ProblemName::ALL.into_iter().filter(|name| name.meaning().draft_section.is_some());
    let all: Vec<_> = drafted
        .map(|name| rendered(Problem::new(name, "What to know.").key_as_sent(Some(String::new())), Dialect::IdempotJs))
        .collect();
    insta::assert_snapshot!("problems-idempot-js", all.join("\n\n"));
}

#[test]
fn stripe_clients_get_a_400_for_another_payload_and_a_409_in_flight() {
    for (name, status) in [(ProblemName::KeyReused, 400), (ProblemName::InFlight, 409)] {
        let response = Problem::new(name, "").into_response(Dialect::Stripe);
        assert_eq!(response.status().as_u16(), status);
        assert_eq!(serde_json::from_slice::<Value>(response.body()).unwrap()["status"], status);
    }
}

#[test]
fn a_problem_that_can_be_retried_says_when_so_that_retries_do_not_storm() {
    for name in ProblemName::ALL {
        let response = Problem::new(name, "").into_response(Dialect::Ietf);
        let meaning = name.meaning();
        assert_eq!(response.headers().contains_key(RETRY_AFTER), meaning.retryable, "{name}");
        assert_eq!(meaning.retryable, meaning.retry == Retry::SameKey, "{name}");
    }
    let response = Problem::new(ProblemName::InFlight, "").retry_after(7).into_response(Dialect::Ietf);
    assert_eq!(response.headers().get(RETRY_AFTER).unwrap(), "7");
}

#[test]
fn a_401_says_how_to_authenticate_and_speaks_of_an_error_only_where_there_was_a_token() {
    for name in ProblemName::ALL {
        let response = Problem::new(name, "").into_response(Dialect::Ietf);
        assert_eq!(response.headers().contains_key(WWW_AUTHENTICATE), response.status() == StatusCode::UNAUTHORIZED, "{name}");
    }
    let challenge = |name| Problem::new(name, "").into_response(Dialect::Ietf).headers()[WWW_AUTHENTICATE].clone();
    assert_eq!(challenge(ProblemName::TokenMissing), "Bearer realm=\"refrain\"");
    assert_eq!(challenge(ProblemName::TokenInvalid), "Bearer realm=\"refrain\", error=\"invalid_token\"");
}

#[test]
fn the_key_is_told_back_where_one_was_sent() {
    let problem = || Problem::new(ProblemName::KeyReused, "");
    let key = Key::from_text(r#"a "b" \"#, &KeyForm::default()).unwrap();
    assert_eq!(document(problem().key(&key), Dialect::Ietf)["idempotency_key"], r#"a "b" \"#);
    assert_eq!(document(problem(), Dialect::IdempotJs).get("idempotency_key"), None);
    let empty = || problem().key_as_sent(Some(String::new()));
    assert_eq!(document(empty(), Dialect::Ietf).get("idempotency_key"), None);
    assert_eq!(document(empty(), Dialect::IdempotJs)["idempotency_key"], "");
    assert_eq!(format!("{:?}", problem().key(&key)), "Problem(key-reused: )", "but not in logs");
}

#[test]
fn a_response_that_was_not_kept_is_named_by_its_status() {
    let problem = Problem::new(ProblemName::ResponseNotKept, "").original_status(StatusCode::CREATED);
    assert_eq!(document(problem, Dialect::Ietf)["original_status"], 201);
}

#[test]
fn every_answer_is_an_instance_of_its_own() {
    let one = document(Problem::new(ProblemName::Internal, ""), Dialect::Ietf)["instance"].clone();
    assert!(one.as_str().unwrap().starts_with("urn:uuid:"));
    assert_ne!(one, document(Problem::new(ProblemName::Internal, ""), Dialect::Ietf)["instance"]);
}

#[test]
fn names_are_read_as_they_are_written_and_are_unique() {
    for name in ProblemName::ALL {
        assert_eq!(name.as_str().parse(), Ok(name));
    }
    assert_eq!("in-flight ".parse::<ProblemName>(), Err(UnknownProblem));
}

#[test]
fn every_problem_has_a_section_in_the_docs_and_no_section_is_about_another() {
    let page = include_str!("../../../docs/problems.md");
    let sections: Vec<_> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(sections, ProblemName::ALL.map(ProblemName::as_str));
}
