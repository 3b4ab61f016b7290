#![allow(clippy::unwrap_used)]

use std::time::Duration;

use http_body::Body as _;

use super::*;
use crate::{
    config::Secret,
    ids::SagaId,
    saga::{
        entry::{Direction, Which},
        turn::{Reads, UndoFacts},
    },
    time::Timestamp,
};

const SPAN: u64 = 0xdead_beef;
const PARENT: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

fn saga() -> CallContext {
    CallContext {
        id: SagaId::from_bytes([7; 16]),
        name: "create-order".parse().unwrap(),
        traceparent: Some(PARENT.to_owned()),
        gate: None,
    }
}

fn frozen() -> FrozenRequest {
    FrozenRequest {
        upstream: Some("billing".to_owned()),
        method: "POST".to_owned(),
        target: "/balance_transactions/?dry=no".to_owned(),
        headers: vec![("x-channel".to_owned(), "wéb".to_owned())],
        secret_headers: Vec::new(),
        body: Some(r#"{"amount":1000}"#.to_owned()),
    }
}

fn effect() -> SendEffect {
    SendEffect {
        of: Which { step: "create_payment".parse().unwrap(), direction: Direction::Forward, generation: 1 },
        key: "the-key".to_owned(),
        attempt: 2,
        request: frozen(),
        service_auth: false,
        effect: StepEffect::Once,
        resend: false,
        resolve: false,
        first_sent: None,
        undo: None,
        reads: Reads::ALL,
        timeout: Duration::from_secs(5),
    }
}

/// No credentials, and no secrets.
fn nothing() -> Credentials<'static> {
    static NONE: std::sync::LazyLock<Secrets> = std::sync::LazyLock::new(Secrets::default);
    Credentials { auth: None, secrets: &NONE }
}

fn secrets(secrets: &[(&str, &str)]) -> Secrets {
    secrets.iter().map(|(name, value)| (name.parse().unwrap(), Secret::new((*value).to_owned()))).collect()
}

/// A request with `authorization: Bearer ${secret('visa_token')}`.
fn with_secret() -> FrozenRequest {
    let parts = vec![HeaderPart::Text("Bearer ".to_owned()), HeaderPart::Secret("visa_token".parse().unwrap())];
    FrozenRequest { secret_headers: vec![("authorization".to_owned(), parts)], ..frozen() }
}

fn undo() -> SendEffect {
    let facts = UndoFacts { of: "the-key".to_owned(), knows: UndoKnows::Unknown, first_sent: Timestamp::from_unix_ms(1_700_000) };
    SendEffect { key: "the-undos-key".to_owned(), resend: true, resolve: true, undo: Some(facts), ..effect() }
}

fn shown(request: &Request<Body>) -> String {
    let mut lines: Vec<String> =
        request.headers().iter().map(|(name, value)| format!("{name}: {}", String::from_utf8_lossy(value.as_bytes()))).collect();
    lines.sort();
    let size = request.body().size_hint().exact().unwrap();
    format!("{} {}\n{}\n({size} bytes)", request.method(), request.uri(), lines.join("\n"))
}

fn sent(effect: &SendEffect, reader: Reader) -> String {
    shown(&of_send(&saga(), effect, reader, nothing(), SPAN).unwrap())
}

#[test]
fn what_a_plain_service_gets() {
    insta::assert_snapshot!(sent(&effect(), Reader::Service));
}

#[test]
fn what_a_refrain_gets() {
    insta::assert_snapshot!(sent(&effect(), Reader::Refrain));
}

#[test]
fn what_a_plain_service_gets_of_an_undo() {
    insta::assert_snapshot!(sent(&undo(), Reader::Service));
}

#[test]
fn what_a_refrain_gets_of_an_undo() {
    insta::assert_snapshot!(sent(&undo(), Reader::Refrain));
}

#[test]
fn a_refrain_that_is_asked_what_became_of_a_step_is_told_when_it_was_first_sent() {
    let asking = SendEffect { resolve: true, first_sent: Some(Timestamp::from_unix_ms(1_600_000)), ..effect() };
    let request = of_send(&saga(), &asking, Reader::Refrain, nothing(), SPAN).unwrap();
    assert_eq!(request.headers().get(SAGA_RESOLVE).unwrap(), "true");
    assert_eq!(request.headers().get(SAGA_FIRST_SENT).unwrap(), "1600000");
    let request = of_send(&saga(), &asking, Reader::Service, nothing(), SPAN).unwrap();
    assert!(!request.headers().contains_key(SAGA_FIRST_SENT));
}

#[test]
fn a_call_without_effect_carries_no_key() {
    let reading = SendEffect {
        effect: StepEffect::None,
        request: FrozenRequest { method: "GET".to_owned(), body: None, headers: Vec::new(), ..frozen() },
        ..effect()
    };
    let to_refrain = sent(&reading, Reader::Refrain);
    insta::assert_snapshot!(to_refrain);
    assert_eq!(sent(&reading, Reader::Service), to_refrain);
}

#[test]
fn a_probe_carries_no_key() {
    let request = FrozenRequest { method: "GET".to_owned(), body: None, ..frozen() };
    let check = CheckEffect { of: effect().of, request, service_auth: false, timeout: Duration::from_secs(1) };
    insta::assert_snapshot!(shown(&of_check(&saga(), &check, nothing(), SPAN).unwrap()));
}

#[test]
fn a_definition_sets_neither_which_call_it_is_nor_how_it_is_framed() {
    let hostile = [
        "idempotency-key",
        "X-Idempotency-Key",
        "Saga-Step-Key",
        "saga-id",
        "saga-signature",
        "saga-anything",
        "traceparent",
        "tracestate",
        "host",
        "content-length",
        "transfer-encoding",
        "connection",
        "upgrade",
        "te",
        "expect",
    ];
    let headers = hostile.iter().map(|name| ((*name).to_owned(), "evil".to_owned())).collect();
    let request = FrozenRequest { headers, ..frozen() };
    for reader in [Reader::Service, Reader::Refrain] {
        let of = |request: FrozenRequest| sent(&SendEffect { request, ..effect() }, reader);
        assert_eq!(of(request.clone()), of(FrozenRequest { headers: Vec::new(), ..frozen() }));
    }
}

#[test]
fn a_definition_says_what_its_body_is_and_what_it_takes() {
    let own = [("Content-Type", "application/merge-patch+json"), ("accept", "text/plain"), ("user-agent", "shop")];
    let headers = own.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let request = of_send(
        &saga(),
        &SendEffect { request: FrozenRequest { headers, ..frozen() }, ..effect() },
        Reader::Service,
        nothing(),
        1,
    );
    let request = request.unwrap();
    for (name, value) in own {
        assert_eq!(request.headers().get_all(name).iter().collect::<Vec<_>>(), [value]);
    }
}

#[test]
fn the_upstreams_own_credentials_replace_others_and_are_hidden_from_debug() {
    let auth = ServiceAuth { authorization: Secret::new("Bearer secret".to_owned()) };
    let headers = vec![("authorization".to_owned(), "Bearer other".to_owned())];
    let effect = SendEffect { request: FrozenRequest { headers, ..frozen() }, ..effect() };
    let request = of_send(&saga(), &effect, Reader::Service, Credentials { auth: Some(&auth), ..nothing() }, SPAN).unwrap();
    assert_eq!(request.headers().get_all(AUTHORIZATION).iter().collect::<Vec<_>>(), ["Bearer secret"]);
    assert!(!format!("{request:?}").contains("secret"));
}

#[test]
fn what_cannot_be_sent_is_said_without_its_content() {
    let of = |request: FrozenRequest| {
        of_send(&saga(), &SendEffect { request, ..effect() }, Reader::Service, nothing(), SPAN)
            .map(|_| ())
            .unwrap_err()
            .to_string()
    };
    let header = |name: &str, value: &str| FrozenRequest { headers: vec![(name.to_owned(), value.to_owned())], ..frozen() };
    assert_eq!(of(FrozenRequest { method: "P OST".to_owned(), ..frozen() }), "its method is none");
    for target in ["", "orders", "http://elsewhere/", "/a b", "//\u{7f}"] {
        assert_eq!(
            of(FrozenRequest { target: target.to_owned(), ..frozen() }),
            "its target is not a path and a query",
            "{target}"
        );
    }
    assert_eq!(of(header("x-evil", "a\r\nb: c")), "its header `x-evil` cannot be sent");
    assert_eq!(of(header("x evil", "a")), "its header `x evil` cannot be sent");
}

#[test]
fn a_call_is_a_child_of_its_starters_trace() {
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    assert_eq!(child_of(PARENT, 0x1f), Some(format!("00-{trace}-000000000000001f-01")));
    assert_eq!(child_of(PARENT, 0), Some(format!("00-{trace}-0000000000000001-01")), "no span has the id 0");
    assert_eq!(child_of(&format!("cc-{trace}-00f067aa0ba902b7-01-more"), 1), Some(format!("00-{trace}-0000000000000001-01")));
    for none in [
        String::new(),
        format!("ff-{trace}-00f067aa0ba902b7-01"),
        format!("00-{}-00f067aa0ba902b7-01", "0".repeat(32)),
        format!("00-{trace}-0000000000000000-01"),
        format!("00-{}-00f067aa0ba902b7-01", trace.to_uppercase()),
        format!("00-{trace}-00f067aa0ba902b7-01-more"),
        format!("00-{trace}-00f067aa0ba902b7"),
        format!("0-{trace}-00f067aa0ba902b7-01"),
    ] {
        assert_eq!(child_of(&none, 1), None, "{none}");
    }
}

#[test]
fn a_secret_is_put_into_its_header_as_it_is_when_the_request_is_sent_and_is_never_shown() {
    let effect = SendEffect { request: with_secret(), ..effect() };
    for token in ["hunter2", "rotated"] {
        let secrets = secrets(&[("visa_token", token)]);
        let request = of_send(&saga(), &effect, Reader::Service, Credentials { secrets: &secrets, ..nothing() }, SPAN).unwrap();
        let authorization = &request.headers()[AUTHORIZATION];
        assert_eq!(authorization, format!("Bearer {token}").as_str());
        assert!(authorization.is_sensitive());
        assert!(!format!("{request:?}{secrets:?}{effect:?}").contains(token));
        let check =
            CheckEffect { of: effect.of.clone(), request: with_secret(), service_auth: false, timeout: Duration::from_secs(1) };
        let probe = of_check(&saga(), &check, Credentials { secrets: &secrets, ..nothing() }, SPAN).unwrap();
        assert_eq!(probe.headers()[AUTHORIZATION], format!("Bearer {token}").as_str());
    }
}

#[test]
fn a_secret_that_is_not_there_or_is_no_header_leaves_nothing_to_send() {
    let effect = SendEffect { request: with_secret(), ..effect() };
    for (known, why) in [
        (secrets(&[("other", "x")]), "the secret `visa_token` is not there"),
        (secrets(&[("visa_token", "two\nlines")]), "the secret `visa_token` cannot stand in a header"),
    ] {
        let made = of_send(&saga(), &effect, Reader::Service, Credentials { secrets: &known, ..nothing() }, SPAN);
        assert_eq!(made.map(|_| ()).unwrap_err().to_string(), why);
    }
}
