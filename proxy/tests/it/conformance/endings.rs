//! Rules of completion, and of the operator's word.

use refrain::store::{Claim, Claimed, Complete, Completed, Held, OnUnknown, Resolution, Resolved, Store};

use super::*;

pub(crate) async fn a_completed_record_is_replayed_byte_for_byte(on: Setup<impl Store>) {
    let every_byte: Vec<u8> = (0..=255).collect();
    let large: Vec<u8> = every_byte.iter().rev().copied().cycle().take(1 << 20).collect();
    for response in [Vec::new(), vec![0], every_byte, b"\r\n$-1\r\n\"'{}\\u0000".to_vec(), large] {
        let first = claim();
        let grant = fresh(&on.a.store, &first).await;
        let complete = Complete { response: response.clone().into(), ..completion(&first, grant, b"") };
        assert_eq!(on.a.store.complete(complete).await.unwrap(), Completed::Kept);
        for store in [&on.a.store, &on.b.store] {
            let done = replayed(store, &again(&first)).await;
            assert!(done.response == response, "{} bytes are not as they were", response.len());
            assert_eq!((done.fence, done.attempt), (grant.fence, 1));
            assert!(done.ttl_left <= LONG && done.ttl_left > LONG / 2);
        }
        assert!(replayed(&on.a.store, &first).await.response == response, "the owner's own repeat is a replay too");
    }
}

pub(crate) async fn a_replay_is_for_the_same_fingerprint_only(on: Setup<impl Store>) {
    let first = claim();
    let grant = fresh(&on.a.store, &first).await;
    on.a.store.complete(completion(&first, grant, b"secret")).await.unwrap();
    let other = Claim { fingerprint: Fingerprint::from_bytes([2; 32]), ..again(&first) };
    assert_eq!(on.b.store.claim(other).await.unwrap(), Claimed::Mismatch);
}

pub(crate) async fn a_repeated_completion_was_already_there(on: Setup<impl Store>) {
    let first = claim();
    let grant = fresh(&on.a.store, &first).await;
    let complete = completion(&first, grant, b"one");
    assert_eq!(on.a.store.complete(complete.clone()).await.unwrap(), Completed::Kept);
    assert_eq!(on.a.store.complete(complete.clone()).await.unwrap(), Completed::Already);
    let other = Complete { response: "two".into(), ..complete };
    let Completed::Fenced(Some(winner)) = on.a.store.complete(other).await.unwrap() else { panic!("not the first one") };
    assert_eq!(winner.response.as_ref(), b"one");
    assert_eq!(replayed(&on.b.store, &again(&first)).await.response.as_ref(), b"one", "the first one stays");
}

pub(crate) async fn a_completion_restores_a_record_that_is_gone(on: Setup<impl Store>) {
    let (first, second) = (claim(), claim());
    let grant = fresh(&on.a.store, &first).await;
    assert!(on.b.store.forget(first.name).await.unwrap());
    assert_eq!(on.a.store.complete(completion(&first, grant, b"kept")).await.unwrap(), Completed::Kept);
    assert_eq!(on.a.store.complete(completion(&second, Grant { attempt: 3, ..grant }, b"new")).await.unwrap(), Completed::Kept);
    assert_eq!(replayed(&on.b.store, &again(&first)).await.response.as_ref(), b"kept");
    let restored = replayed(&on.b.store, &again(&second)).await;
    assert_eq!((restored.response.as_ref(), restored.fence, restored.attempt), (b"new".as_ref(), grant.fence, 3));
    let other = Claim { fingerprint: Fingerprint::from_bytes([2; 32]), ..again(&first) };
    assert_eq!(on.b.store.claim(other).await.unwrap(), Claimed::Mismatch, "the fingerprint is restored too");
}

pub(crate) async fn a_late_completion_counts_if_nobody_took_over(on: Setup<impl Store>) {
    let (first, old) = lapsed(&on.a.store).await;
    assert_eq!(on.b.store.claim(again(&first)).await.unwrap(), Claimed::Unknown { probing: false });
    let grant = Grant { fence: old.fence, attempt: 1 };
    assert_eq!(on.a.store.complete(completion(&first, grant, b"late")).await.unwrap(), Completed::Kept);
    assert_eq!(replayed(&on.b.store, &again(&first)).await.response.as_ref(), b"late");
}

pub(crate) async fn a_completion_sets_the_retention_anew(on: Setup<impl Store>) {
    let first = Claim { ttl: LONG / 4, ..claim() };
    let grant = fresh(&on.a.store, &first).await;
    let complete = Complete { ttl: LONG, ..completion(&first, grant, b"ok") };
    on.a.store.complete(complete).await.unwrap();
    assert!(replayed(&on.b.store, &again(&first)).await.ttl_left > LONG / 2);
}

pub(crate) async fn a_fenced_owner_gets_the_winners_record(on: Setup<impl Store>) {
    let (first, old) = lapsed(&on.a.store).await;
    let loser = completion(&first, Grant { fence: old.fence, attempt: 1 }, b"loser");
    let second = Claim { on_unknown: OnUnknown::Resend, lease: LONG, ..again(&first) };
    let grant = retaken(&on.b.store, &second).await;
    assert_eq!(on.a.store.complete(loser.clone()).await.unwrap(), Completed::Fenced(None), "the winner is at it");
    assert_eq!(on.b.store.complete(completion(&second, grant, b"winner")).await.unwrap(), Completed::Kept);
    match on.a.store.complete(loser).await.unwrap() {
        Completed::Fenced(Some(done)) => {
            assert_eq!((done.response.as_ref(), done.fence, done.attempt), (b"winner".as_ref(), grant.fence, 2));
        }
        other => panic!("expected the winner's record, got {other:?}"),
    }
}

pub(crate) async fn a_fenced_completion_changes_nothing(on: Setup<impl Store>) {
    let (first, old) = lapsed(&on.a.store).await;
    let second = Claim { on_unknown: OnUnknown::Resend, lease: LONG, ..again(&first) };
    let grant = retaken(&on.b.store, &second).await;
    for token in [old, Token { fence: grant.fence, ..old }, Token { fence: old.fence, ..token(&second, grant.fence) }] {
        let complete = Complete { token, ..completion(&first, grant, b"loser") };
        assert_eq!(on.a.store.complete(complete).await.unwrap(), Completed::Fenced(None), "owner and fence are both compared");
    }
    assert_eq!(on.b.store.extend(vec![renewal(&second, grant.fence)]).await.unwrap(), [Held::Kept]);
    on.b.store.complete(completion(&second, grant, b"winner")).await.unwrap();
    assert_eq!(replayed(&on.a.store, &first).await.response.as_ref(), b"winner");
}

pub(crate) async fn an_operator_says_that_it_was_done(on: Setup<impl Store>) {
    let (first, old) = lapsed(&on.a.store).await;
    let done = Resolution::Done { response: "by hand".into(), ttl: LONG };
    assert_eq!(on.b.store.resolve(first.name, done).await.unwrap(), Resolved::Applied);
    let record = replayed(&on.b.store, &again(&first)).await;
    assert_eq!((record.response.as_ref(), record.fence), (b"by hand".as_ref(), old.fence));
    assert_eq!(on.a.store.extend(vec![renewal(&first, old.fence)]).await.unwrap(), [Held::Lost]);
}

pub(crate) async fn an_operator_says_that_it_was_not_done(on: Setup<impl Store>) {
    let (first, old) = lapsed(&on.a.store).await;
    assert_eq!(on.b.store.resolve(first.name, Resolution::NotDone).await.unwrap(), Resolved::Applied);
    assert_eq!(on.a.store.extend(vec![renewal(&first, old.fence)]).await.unwrap(), [Held::Lost], "its send is disproved");
    let second = Claim { lease: LONG, ..again(&first) };
    let grant = retaken(&on.b.store, &second).await;
    assert_eq!(grant.attempt, 1, "a retake even under hold, and the first attempt again");
    assert!(grant.fence > old.fence);
    let late = completion(&first, Grant { fence: old.fence, attempt: 1 }, b"late");
    assert_eq!(on.a.store.complete(late).await.unwrap(), Completed::Fenced(None));
}

pub(crate) async fn an_operator_resolves_only_what_is_unknown(on: Setup<impl Store>) {
    let first = claim();
    let not_done = Resolution::NotDone;
    assert_eq!(on.a.store.resolve(first.name, not_done.clone()).await.unwrap(), Resolved::Absent);
    let grant = fresh(&on.a.store, &first).await;
    assert_eq!(on.a.store.resolve(first.name, not_done.clone()).await.unwrap(), Resolved::NotUnknown);
    on.a.store.complete(completion(&first, grant, b"ok")).await.unwrap();
    let done = Resolution::Done { response: "by hand".into(), ttl: LONG };
    for resolution in [not_done, done] {
        assert_eq!(on.a.store.resolve(first.name, resolution).await.unwrap(), Resolved::NotUnknown);
    }
    assert_eq!(replayed(&on.b.store, &again(&first)).await.response.as_ref(), b"ok");
}

pub(crate) async fn a_forgotten_record_is_gone_whatever_it_was(on: Setup<impl Store>) {
    let first = claim();
    assert!(!on.a.store.forget(first.name).await.unwrap());
    let grant = fresh(&on.a.store, &first).await;
    assert!(on.b.store.forget(first.name).await.unwrap(), "in flight");
    assert_eq!(on.a.store.extend(vec![renewal(&first, grant.fence)]).await.unwrap(), [Held::Lost]);
    let second = again(&first);
    let grant = fresh(&on.a.store, &second).await;
    on.a.store.complete(completion(&second, grant, b"ok")).await.unwrap();
    assert!(on.b.store.forget(first.name).await.unwrap(), "done");
    assert!(!on.b.store.forget(first.name).await.unwrap());
    fresh(&on.b.store, &first).await;
}
