//! Where nobody knows whether the step was carried out: its sidecar was killed while the service had it, and started again.

use super::*;
use crate::support::origin::LOOKUP;

/// A sidecar that was killed while the service had the step `k1`, and started again. The service acts, unless it says otherwise.
async fn killed(text: &str, gate: Gate) -> Refrain {
    let mut refrain = Refrain::start(text).await;
    let caller = tokio::spawn(step(&refrain, "k1").try_open());
    gate.started(1).await;
    refrain.kill9();
    assert!(caller.await.unwrap().is_err());
    refrain.restart().await;
    gate.open();
    refrain
}

/// Undoes until the answer is another than that nobody knows.
async fn when_known(undo: impl Fn() -> Call) -> Answer {
    within("an undo that is decided on", async {
        loop {
            let answer = undo().send().await;
            if !["outcome-unknown", "in-flight"].contains(&answer.problem()) {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await
}

fn is_unknown(answer: &Answer) {
    assert_eq!((answer.status, answer.problem(), answer.how()), (409, "outcome-unknown", "outcome-unknown"), "{answer:?}");
    assert_eq!(answer.json()["retry"], "same-key");
}

async fn done(store: &str, more: &str) {
    let origin = Origin::start();
    let text = sidecar(store, &origin, &probing("5m")) + more;
    let refrain = killed(&text, origin.gate(STEPS)).await;
    let undone = undo(&refrain, "k1").send().await;
    assert_eq!((undone.status, undone.how()), (201, "executed"));
    let paths: Vec<_> = origin.requests().into_iter().map(|seen| seen.path).collect();
    assert_eq!(paths, [STEPS, LOOKUP, UNDOS], "the service is asked, by the step's own probe, and then the undo is sent");
    let asked = &origin.requests()[1];
    assert_eq!((asked.method.as_str(), asked.query.as_str()), ("GET", "reference=k1"));
    let replayed = step(&refrain, "k1").send().await;
    assert_eq!(
        (replayed.status, replayed.how(), replayed.text()),
        (201, "replayed", "{\"was\":1}"),
        "and the step's answer is kept"
    );
}

#[tokio::test]
async fn a_step_that_the_service_says_it_did_is_undone_with_a_file() {
    done("embedded:./refrain.db", "").await;
}

#[tokio::test]
async fn a_step_that_the_service_says_it_did_is_undone_with_redis() {
    done(&RedisServer::start().url(), "").await;
}

#[tokio::test]
async fn a_step_that_the_service_says_it_did_not_do_is_cancelled_and_there_is_nothing_to_undo() {
    let origin = Origin::start();
    origin.on(STEPS, Reply::status(201).without_effect());
    let refrain = killed(&sidecar("embedded:./refrain.db", &origin, &probing("1500ms")), origin.gate(STEPS)).await;
    let undone = when_known(|| undo(&refrain, "k1")).await;
    is_nothing_to_undo(&undone);
    is_cancelled(&step(&refrain, "k1").send().await);
    is_nothing_to_undo(&undo(&refrain, "k1").send().await);
    assert_eq!((origin.count(STEPS), origin.count(UNDOS)), (1, 0));
}

#[tokio::test]
async fn that_the_step_was_not_done_is_not_believed_while_it_can_be_on_its_way() {
    let origin = Origin::start();
    origin.on(STEPS, Reply::status(201).without_effect());
    let refrain = killed(&sidecar("embedded:./refrain.db", &origin, &probing("5m")), origin.gate(STEPS)).await;
    for asked in 1..=2 {
        is_unknown(&undo(&refrain, "k1").send().await);
        is_unknown(&undo(&refrain, "k1").header("saga-in-doubt", "resend").send().await);
        assert_eq!(origin.count(LOOKUP), 2 * asked);
    }
    origin.on(LOOKUP, Reply::status(500).without_effect());
    is_unknown(&undo(&refrain, "k1").send().await);
    assert_eq!((origin.count(STEPS), origin.count(UNDOS)), (1, 0));
}

#[tokio::test]
async fn without_a_probe_an_undo_is_held_or_sent_after_its_steps_time_if_its_driver_says_so() {
    let origin = Origin::start();
    let text = sidecar("embedded:./refrain.db", &origin, "ttl: 1h, max_execution: 2s")
        .replace("local: true", "local: true, max_execution: 2s");
    let before = tokio::time::Instant::now();
    let refrain = killed(&text, origin.gate(STEPS)).await;
    let resend = || undo(&refrain, "k1").header("saga-in-doubt", "resend");
    is_unknown(&undo(&refrain, "k1").send().await);
    let undone = when_known(resend).await;
    assert!(before.elapsed() >= Duration::from_secs(2), "sent after {:?}", before.elapsed());
    assert_eq!((undone.status, undone.how()), (201, "executed"));
    is_cancelled(&step(&refrain, "k1").send().await);
    assert_eq!((origin.count(STEPS), origin.count(UNDOS)), (1, 1));
}

#[tokio::test]
async fn a_step_that_its_probe_cannot_tell_is_one_without_a_probe() {
    let origin = Origin::start();
    let text = sidecar("embedded:./refrain.db", &origin, &probing("1ms").replace("== key", "== 'another'"));
    let refrain = killed(&text, origin.gate(STEPS)).await;
    is_unknown(&undo(&refrain, "k1").send().await);
    assert_eq!((origin.count(LOOKUP), origin.count(UNDOS)), (0, 0));
}

#[tokio::test]
async fn a_driver_that_knows_that_the_step_was_done_need_not_wait_for_what_the_sidecar_knows() {
    let origin = Origin::start();
    let refrain = killed(&sidecar("embedded:./refrain.db", &origin, "ttl: 1h"), origin.gate(STEPS)).await;
    let undone = blind_undo(&refrain, "k1").header("saga-undo-knows", "done").send().await;
    assert_eq!((undone.status, undone.how()), (201, "executed"));
    is_cancelled(&step(&refrain, "k1").send().await);
}

#[tokio::test]
async fn what_a_step_leaves_for_its_undo_is_sealed_where_the_store_is() {
    let keys = tempfile::tempdir().unwrap();
    let file = keys.path().join("store.key");
    std::fs::write(&file, "07".repeat(32)).unwrap();
    let redis = RedisServer::start();
    let url =
        format!("{}\", encryption: {{keys: [{{id: k1, key: {{file: \"{}\"}}}}]}}, timeout: \"1s", redis.url(), file.display());
    let origin = Origin::start();
    let text = sidecar(&url, &origin, &probing("5m"));
    let gate = origin.gate(STEPS);
    let refrain = Refrain::start(&text).await;
    let caller = tokio::spawn(step(&refrain, "k1").try_open());
    gate.started(1).await;
    let keys: Vec<String> = redis.admin(&["KEYS", "refrain:r:*"]);
    let note: Vec<u8> = redis.admin(&["HGET", &keys[0], "n"]);
    assert!(!note.is_empty() && !String::from_utf8_lossy(&note).contains("lookup"), "{note:?}");
    drop(refrain);
    assert!(caller.await.unwrap().is_err());
    let refrain = Refrain::start(&text).await;
    gate.open();
    let undone = when_known(|| undo(&refrain, "k1")).await;
    assert_eq!((undone.status, undone.how(), origin.count(LOOKUP)), (201, "executed", 1), "and it opens");
}

#[tokio::test]
async fn an_undo_that_was_lost_itself_is_sent_again_only_if_its_driver_says_so() {
    let origin = Origin::start();
    let mut refrain = Refrain::start(&sidecar("embedded:./refrain.db", &origin, "ttl: 1h")).await;
    assert_eq!(step(&refrain, "k1").send().await.how(), "executed");
    let gate = origin.gate(UNDOS);
    let caller = tokio::spawn(undo(&refrain, "k1").try_open());
    gate.started(1).await;
    refrain.kill9();
    assert!(caller.await.unwrap().is_err());
    refrain.restart().await;
    gate.open();
    is_unknown(&undo(&refrain, "k1").send().await);
    let again = undo(&refrain, "k1").header("saga-in-doubt", "resend").send().await;
    assert_eq!((again.status, again.how(), again.header("idempotency-attempt")), (201, "executed", Some("2")));
    assert_eq!(undo(&refrain, "k1").send().await.how(), "replayed");
    assert_eq!((origin.count(STEPS), origin.count(UNDOS)), (1, 2));
}

#[tokio::test]
async fn who_only_asks_never_makes_a_step_run() {
    let origin = Origin::start();
    let refrain = Refrain::start(&sidecar("embedded:./refrain.db", &origin, "ttl: 1h")).await;
    let ask = |key: &str| {
        let sent = wall_now().plus(CLOCKS_DIFFER_BY - Duration::from_millis(1)).as_unix_ms().to_string();
        step(&refrain, key).header("saga-resolve", "true").header("saga-first-sent", sent)
    };
    for _ in 0..2 {
        is_cancelled(&ask("never sent").send().await);
    }
    is_cancelled(&step(&refrain, "never sent").send().await);
    is_nothing_to_undo(&undo(&refrain, "never sent").send().await);

    let done = step(&refrain, "done").send().await;
    let asked = ask("done").send().await;
    assert_eq!((asked.status, asked.how(), &asked.body), (201, "replayed", &done.body));

    let gate = origin.gate(STEPS);
    let running = step(&refrain, "running").start();
    gate.started(1).await;
    assert_eq!(ask("running").send().await.problem(), "in-flight");
    gate.open();
    assert_eq!(running.answer().await.how(), "executed");

    let forgotten = step(&refrain, "forgotten").header("saga-resolve", "true").header("saga-first-sent", "1");
    is_unknown(&forgotten.send().await);
    is_unknown(&ask("forgotten").send().await);
    assert_eq!(undo(&refrain, "forgotten").send().await.how(), "executed", "what may be forgotten is undone");
    assert_eq!((origin.count(STEPS), origin.count(UNDOS)), (2, 1));
}

#[tokio::test]
async fn who_asks_in_doubt_is_told_what_the_service_says_and_a_step_not_done_is_cancelled() {
    for acts in [true, false] {
        let origin = Origin::start();
        if !acts {
            origin.on(STEPS, Reply::status(201).without_effect());
        }
        let refrain = killed(&sidecar("embedded:./refrain.db", &origin, &probing("1ms")), origin.gate(STEPS)).await;
        let answer = when_known(|| step(&refrain, "k1").header("saga-resolve", "true")).await;
        if acts {
            assert_eq!((answer.status, answer.how(), answer.text()), (201, "replayed", "{\"was\":1}"));
        } else {
            is_cancelled(&answer);
            is_cancelled(&step(&refrain, "k1").send().await);
        }
        assert_eq!((origin.count(STEPS), origin.count(LOOKUP)), (1, 1));
    }
    let origin = Origin::start();
    let refrain = killed(&sidecar("embedded:./refrain.db", &origin, "ttl: 1h"), origin.gate(STEPS)).await;
    for in_doubt in ["hold", "resend"] {
        let asks = step(&refrain, "k1").header("saga-resolve", "true").header("saga-in-doubt", in_doubt);
        is_unknown(&asks.send().await);
    }
    assert_eq!(origin.count(STEPS), 1);
}

#[tokio::test]
async fn a_step_in_doubt_is_asked_for_first_and_without_a_probe_its_driver_decides() {
    let origin = Origin::start();
    let refrain = killed(&sidecar("embedded:./refrain.db", &origin, &probing("5m")), origin.gate(STEPS)).await;
    let again = step(&refrain, "k1").header("saga-in-doubt", "resend").send().await;
    assert_eq!((again.status, again.how(), origin.count(STEPS)), (201, "replayed", 1), "the service knows");

    let origin = Origin::start();
    let refrain = killed(&sidecar("embedded:./refrain.db", &origin, "on_unknown: resend"), origin.gate(STEPS)).await;
    for held in ["hold", "whatever"] {
        is_unknown(&step(&refrain, "k1").header("saga-in-doubt", held).send().await);
    }
    let again = step(&refrain, "k1").header("saga-in-doubt", "resend").send().await;
    assert_eq!((again.how(), again.header("idempotency-attempt"), origin.count(STEPS)), ("executed", Some("2"), 2));
}
