//! Tokens that were taken back before they expired.

use super::*;

/// Believed for longer than any test, so that what is asked again was forgotten.
const ASKED: &str = "required_on: [{prefix: /}]
    revoked: {call: \"auth GET /revoked/${claims.jti}/\", when: \"${response.status == 200}\", cache: 1h, timeout: 500ms}";

struct Watched {
    town: Town,
    token: String,
    /// Where it is asked for.
    path: String,
}

impl Watched {
    async fn new() -> Self {
        let town = Town::new(ASKED, "").await;
        let token = town.issuer.token(&json!({"user_id": 7, "jti": "t/1"}));
        let watched = Self { town, token, path: "/revoked/t%2F1/".to_owned() };
        watched.says(Reply::status(404));
        watched
    }

    fn says(&self, reply: Reply) {
        self.town.issuer.origin.on(&self.path, reply);
    }

    fn asked(&self) -> usize {
        self.town.issuer.origin.count(&self.path)
    }

    fn get(&self) -> Call {
        bearing(self.town.get("/user/"), &self.token)
    }
}

#[tokio::test]
async fn a_revoked_token_is_refused_and_stays_refused() {
    let watched = Watched::new().await;
    watched.says(Reply::status(200));
    for _ in 0..3 {
        assert_eq!(said(&watched.get().send().await), (401, "token-invalid"));
    }
    watched.says(Reply::status(404));
    assert_eq!(said(&watched.get().send().await), (401, "token-invalid"), "what was revoked stays so");
    assert_eq!((watched.asked(), watched.town.orders.requests().len()), (1, 0));
}

#[tokio::test]
async fn a_logout_that_passes_here_is_seen_at_once() {
    let watched = Watched::new().await;
    for _ in 0..3 {
        assert_eq!(watched.get().send().await.status, 201);
    }
    assert_eq!(watched.asked(), 1, "what was said is believed");
    watched.says(Reply::status(200));
    assert_eq!(watched.get().send().await.status, 201, "and for long: nobody has said anything since");
    // It revokes the token while it is answered, or might.
    watched.says(Reply::status(404));
    let logout = bearing(watched.town.post("/logout/"), &watched.token).send().await;
    assert_eq!(logout.status, 201);
    watched.says(Reply::status(200));
    assert_eq!(said(&watched.get().send().await), (401, "token-invalid"));
    assert_eq!(watched.asked(), 2);
    let other = watched.town.issuer.token(&json!({"jti": "t2"}));
    watched.town.issuer.origin.on("/revoked/t2/", Reply::status(404));
    assert_eq!(bearing(watched.town.get("/user/"), &other).send().await.status, 201, "another token is another matter");
}

#[tokio::test]
async fn nobody_passes_while_it_cannot_be_told_whether_a_token_was_revoked() {
    let watched = Watched::new().await;
    for cannot_tell in [Reply::status(500), Reply::status(503), Reply::silence(), Reply::reset()] {
        watched.says(cannot_tell.clone());
        let refused = watched.get().send().await;
        assert_eq!(said(&refused), (503, "authentication-unavailable"), "{cannot_tell:?}");
        assert!(refused.header("retry-after").is_some());
    }
    assert_eq!(watched.town.orders.requests().len(), 0);
    let asked = watched.asked();
    watched.says(Reply::status(404));
    assert_eq!(watched.get().send().await.status, 201, "nothing of that was remembered");
    assert_eq!(watched.asked(), asked + 1);
    watched.town.issuer.origin.close().await;
    assert_eq!(watched.get().send().await.status, 201, "what is believed needs nobody");
}
