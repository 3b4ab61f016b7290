//! Secrets: in headers they are named and never there; in bodies they are bound once, with the intent.

use std::{sync::Arc, time::Duration};

use saga_config::{diagnostic::Source, saga::Saga};
use serde_json::json;

use super::{
    super::Machine,
    build::{BEGIN, ID, shared, started},
    hand::kind,
    world::reply,
};
use crate::{
    saga::{
        entry::{Direction, Entry, FrozenRequest, HeaderPart, What, Which},
        turn::{Answer, Effect, Event, SendEffect, Turn, Upstreams},
    },
    time::Timestamp,
};

/// What the secret is at the moment.
struct Vault(Option<&'static str>);

impl Upstreams for Vault {
    fn max_execution(&self, _: Option<&str>) -> Duration {
        Duration::from_secs(1)
    }

    fn idempotency_window(&self, _: Option<&str>) -> Option<Duration> {
        None
    }

    fn origins(&self, _: Option<&str>) -> Vec<String> {
        Vec::new()
    }

    fn secret(&self, name: &str) -> Option<String> {
        self.0.filter(|_| name == "visa_token").map(str::to_owned)
    }
}

const SAGA: &str = r#"
saga: visa
version: 1
trigger: {start: POST /sagas/visa}
sensitive: true
steps:
  - id: apply
    call: visa POST /applications
    headers: {x-key: "k=${secret('visa_token')}", x-attempt: "${step.attempt}"}
    body: {token: "${'<' + secret('visa_token') + '>'}"}
    retry: {max: 3}
    compensate: {call: visa DELETE /applications, headers: {x-key: "${secret('visa_token')}"}, effect: idempotent}
"#;

fn begin(vault: &Vault) -> (Machine, Vec<Entry>, Turn) {
    let saga = Saga::load(&Source::new("visa.yaml", SAGA), None).unwrap().saga;
    let definition = shared(saga);
    let (mut machine, first) = Machine::start(ID, Arc::clone(&definition), started(&definition), BEGIN);
    let turn = machine.on(Event::Taken, BEGIN, vault);
    let journal = std::iter::once(first).chain(turn.entries.iter().cloned()).collect();
    (machine, journal, turn)
}

fn sent(turn: &Turn) -> &SendEffect {
    match turn.effects.as_slice() {
        [Effect::Send(send)] => send,
        other => panic!("{other:?}"),
    }
}

fn later(seconds: u64) -> Timestamp {
    BEGIN.plus(Duration::from_secs(seconds))
}

fn bound(turn: &Turn) -> Option<&FrozenRequest> {
    turn.entries.iter().find_map(|entry| match &entry.what {
        What::Sending { request, .. } => request.as_ref(),
        _ => None,
    })
}

#[test]
fn a_body_is_bound_to_its_secrets_once_and_headers_only_name_theirs() {
    let (mut machine, mut journal, turn) = begin(&Vault(Some("first")));
    let request = sent(&turn).request.clone();
    assert_eq!(request.body.as_deref(), Some(r#"{"token":"<first>"}"#));
    let token = HeaderPart::Secret("visa_token".parse().unwrap());
    let parts = vec![HeaderPart::Text("k=".to_owned()), token];
    assert_eq!(request.secret_headers, [("x-key".to_owned(), parts)]);
    assert_eq!(bound(&turn), Some(&request), "with the intent");
    let of = Which { step: "apply".parse().unwrap(), direction: Direction::Forward, generation: 1 };
    // The secret is another when the same is sent again, by this driver or the next one.
    let vault = Vault(Some("rotated"));
    let unknown = Event::Answered { of: of.clone(), answer: Answer::Unknown { reason: "lost".to_owned() } };
    let turn = machine.on(unknown, later(1), &vault);
    journal.extend(turn.entries.iter().cloned());
    let turn = machine.on(Event::Tick, later(60), &vault);
    assert_eq!((&sent(&turn).request, bound(&turn)), (&request, None));
    journal.extend(turn.entries.iter().cloned());
    let mut machine = Machine::replay(ID, Arc::clone(&machine.definition), &journal).unwrap();
    let turn = machine.on(Event::Taken, later(120), &vault);
    assert_eq!((&sent(&turn).request, bound(&turn)), (&request, None));
    let answer = Answer::Replied(reply(201, json!({}), true));
    let turn = machine.on(Event::Answered { of, answer }, later(121), &vault);
    assert_eq!(turn.entries.iter().map(|entry| kind(&entry.what)).collect::<Vec<_>>(), ["done", "ended"]);
}

#[test]
fn without_its_secret_a_body_is_not_made_and_nothing_is_sent() {
    let (machine, _, turn) = begin(&Vault(None));
    assert!(turn.effects.is_empty(), "{turn:?}");
    let reason = turn.entries.iter().find_map(|entry| match &entry.what {
        What::Refused { reason, .. } => Some(reason.clone()),
        _ => None,
    });
    assert_eq!(reason.unwrap(), "the request cannot be made: the body: there is no secret `visa_token` now");
    assert!(!format!("{:?}", machine.view()).contains("first"));
}

#[test]
fn what_is_shown_of_a_saga_has_no_secret_in_it() {
    let (machine, journal, turn) = begin(&Vault(Some("hunter2")));
    let with_body: Vec<bool> = journal.iter().map(|entry| serde_json::to_string(entry).unwrap().contains("hunter2")).collect();
    assert_eq!(with_body, [false, true], "the body is in the intent, which the store seals");
    let view = serde_json::to_string(&machine.view()).unwrap();
    assert!(!view.contains("hunter2") && !format!("{:?}", turn.then).contains("hunter2"), "{view}");
}
