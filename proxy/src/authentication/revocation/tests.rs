//! What is believed of a token, and for how long.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use saga_config::{
    expr::{Expression, Names},
    template::CallTarget,
};
use serde_json::json;

use super::*;
use crate::authentication::tests::fixture::{Origin, upstream};

const CACHE: Duration = Duration::from_secs(5);

struct World {
    origin: Origin,
    revocation: Arc<Revocation>,
}

impl World {
    async fn start() -> Self {
        Self::with("GET /jwt/blacklist/${claims.jti}/", "${response.status == 200}").await
    }

    async fn with(call: &str, when: &str) -> Self {
        let origin = Origin::start().await;
        let when = when.trim_start_matches("${").trim_end_matches('}');
        let check = RevocationCheck {
            upstream: 0,
            call: CallTarget::parse(call, &Names::new(&["claims"])).unwrap(),
            when: Expression::compile(when, &Names::new(&["claims", "response"])).unwrap(),
            cache: CACHE,
            timeout: Duration::from_secs(1),
        };
        let revocation = Arc::new(Revocation::new(check, upstream(&origin.url)));
        Self { origin, revocation }
    }

    fn of(&self, token: &'static str) -> tokio::task::JoinHandle<Said> {
        let revocation = Arc::clone(&self.revocation);
        tokio::spawn(async move { revocation.of(TokenHash::of(token), &json!({"jti": token}), 0).await })
    }

    /// What is said of a token when it is answered so.
    async fn said(&mut self, token: &'static str, status: u16, body: &str) -> Said {
        let waiting = self.of(token);
        self.origin.asked().await.answer(status, body);
        waiting.await.unwrap()
    }
}

async fn later(by: Duration) {
    tokio::time::pause();
    tokio::time::advance(by).await;
    tokio::time::resume();
}

async fn settle() {
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn not_revoked_is_believed_for_a_while_and_then_asked_again() {
    let mut world = World::start().await;
    assert!(matches!(world.said("a b", 404, "").await, Said::Good(_)));
    assert!(matches!(world.of("a b").await.unwrap(), Said::Good(_)));
    assert!(world.origin.is_left_alone());
    later(CACHE).await;
    assert_eq!(world.said("a b", 200, "{}").await, Said::Revoked);
}

#[tokio::test]
async fn the_question_is_made_of_the_claims() {
    let mut world = World::start().await;
    let waiting = world.of("a/../b c");
    let asked = world.origin.asked().await;
    assert_eq!(asked.line, "GET /jwt/blacklist/a%2F..%2Fb%20c/");
    asked.answer(404, "");
    assert!(matches!(waiting.await.unwrap(), Said::Good(_)));
}

#[tokio::test]
async fn revoked_is_believed_for_ever() {
    let mut world = World::start().await;
    assert_eq!(world.said("a", 200, "{}").await, Said::Revoked);
    later(CACHE * 1000).await;
    world.revocation.forget(&TokenHash::of("a"));
    assert_eq!(world.of("a").await.unwrap(), Said::Revoked);
    assert!(world.origin.is_left_alone());
}

#[tokio::test]
async fn what_was_believed_is_forgotten_with_what_is_being_asked() {
    let mut world = World::start().await;
    assert!(matches!(world.said("a", 404, "").await, Said::Good(_)));
    world.revocation.forget(&TokenHash::of("a"));
    // Asked before the token is revoked, and answered after: it must not be believed of those who come later.
    let early = world.of("a");
    let asked = world.origin.asked().await;
    world.revocation.forget(&TokenHash::of("a"));
    asked.answer(404, "");
    assert!(matches!(early.await.unwrap(), Said::Good(_)));
    assert_eq!(world.said("a", 200, "{}").await, Said::Revoked);
}

#[tokio::test]
async fn one_token_is_not_another() {
    let mut world = World::start().await;
    assert_eq!(world.said("a", 200, "{}").await, Said::Revoked);
    assert!(matches!(world.said("b", 404, "").await, Said::Good(_)));
}

#[tokio::test]
async fn whoever_comes_at_once_waits_for_one_answer_also_if_the_first_hangs_up() {
    let mut world = World::start().await;
    let first = world.of("a");
    let asked = world.origin.asked().await;
    let others: Vec<_> = (0..20).map(|_| world.of("a")).collect();
    settle().await;
    assert!(world.origin.is_left_alone());
    first.abort();
    assert!(first.await.is_err());
    let again = world.origin.asked().await;
    asked.answer(404, "");
    again.answer(200, "{}");
    for other in others {
        assert_eq!(other.await.unwrap(), Said::Revoked);
    }
    assert!(world.origin.is_left_alone());
}

#[tokio::test]
async fn an_answer_that_says_nothing_of_the_token_is_none_and_is_not_believed() {
    let mut world = World::start().await;
    for status in [500, 502, 503, 504, 401, 403, 408, 429, 301, 302] {
        assert_eq!(world.said("a", status, "").await, Said::CannotTell, "{status}");
    }
    assert!(matches!(world.said("a", 404, "").await, Said::Good(_)), "and it is asked again");
    assert_eq!(world.said("b", 200, &"x".repeat(300 * 1024)).await, Said::CannotTell);
}

#[tokio::test]
async fn no_answer_in_time_is_none() {
    let mut world = World::start().await;
    let waiting = world.of("a");
    let _asked = world.origin.asked().await;
    later(Duration::from_secs(1)).await;
    assert_eq!(waiting.await.unwrap(), Said::CannotTell);
}

#[tokio::test]
async fn the_answers_body_and_status_can_be_asked_and_what_cannot_be_judged_is_no_answer() {
    let mut world = World::with("HEAD /introspect/", "${response.status == 403 || !response.body.active}").await;
    let waiting = world.of("a");
    let asked = world.origin.asked().await;
    assert_eq!(asked.line, "HEAD /introspect/");
    asked.answer(403, "");
    assert_eq!(waiting.await.unwrap(), Said::Revoked, "`when` knows better than we");
    let mut world = World::with("GET /introspect/", "${!response.body.active}").await;
    assert!(matches!(world.said("a", 200, "{\"active\": true}").await, Said::Good(_)));
    assert_eq!(world.said("b", 200, "{\"active\": false}").await, Said::Revoked);
    assert_eq!(world.said("c", 200, "{}").await, Said::CannotTell);
    assert_eq!(world.said("d", 200, "{\"active\": 1}").await, Said::CannotTell);
}

#[tokio::test]
async fn a_token_without_the_claim_is_not_asked_for() {
    let mut world = World::start().await;
    let said = world.revocation.of(TokenHash::of("a"), &json!({}), 0).await;
    assert_eq!(said, Said::NotAskable);
    assert!(world.origin.is_left_alone());
}
