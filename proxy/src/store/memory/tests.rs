#![allow(clippy::unwrap_used)]
use super::*;
use crate::{
    ids::Fingerprint,
    store::{OnAbsent, OnUnknown},
};

const TTL: Duration = Duration::from_secs(60);

fn claim(n: u8) -> Claim {
    let (fingerprint, owner) = (Fingerprint::from_bytes([1; 32]), Owner::random());
    let name = RecordName::from_bytes([n; 32]);
    Claim {
        name,
        fingerprint,
        owner,
        lease: TTL,
        ttl: TTL,
        mailbox: None,
        on_unknown: OnUnknown::Hold,
        on_absent: OnAbsent::Begin,
        note: bytes::Bytes::new(),
    }
}

fn in_one_shard(n: u8) -> RecordName {
    RecordName::from_bytes([[16; 1].repeat(31), vec![n]].concat().try_into().unwrap())
}

#[tokio::test]
async fn a_full_store_refuses_new_keys_and_still_takes_the_replies_of_old_ones() {
    let (clock, hand) = StoreClock::manual(Timestamp::from_unix_ms(1));
    let store = MemoryStore::with(Wakes::default(), clock, Limits { entries: 1, bytes: 1 << 20 });
    let first = claim(1);
    let Claimed::Fresh(grant) = store.claim(first.clone()).await.unwrap() else { panic!("not fresh") };
    assert!(matches!(store.claim(claim(2)).await, Err(StoreError::Refused(_))));
    let ours = RecordName::from_bytes([3; 32]);
    assert!(matches!(store.reserve(ours, ours, TTL).await, Err(StoreError::Refused(_))));
    let token = Token { name: first.name, owner: first.owner, fence: grant.fence };
    let response = bytes::Bytes::from(vec![0; 2 << 20]);
    let complete = Complete { token, attempt: 1, fingerprint: first.fingerprint, ttl: TTL, response };
    assert_eq!(store.complete(complete).await.unwrap(), Completed::Kept);
    assert_eq!(store.bytes(), (2 << 20) + ENTRY_BYTES);

    hand.advance(TTL);
    assert!(matches!(store.claim(claim(1)).await.unwrap(), Claimed::Fresh(_)), "the expired one made room");
    assert_eq!((store.entries(), store.bytes()), (1, ENTRY_BYTES));
}

#[tokio::test]
async fn what_ends_later_than_it_did_is_kept_until_then_and_takes_nobody_elses_place() {
    let (clock, hand) = StoreClock::manual(Timestamp::from_unix_ms(1));
    let store = MemoryStore::with(Wakes::default(), clock, Limits::default());
    let mut tokens = Vec::new();
    for n in 0..3 {
        let name = in_one_shard(n);
        let claim = Claim { name, ..claim(0) };
        let Claimed::Fresh(grant) = store.claim(claim.clone()).await.unwrap() else { panic!("not fresh") };
        tokens.push((Token { name, owner: claim.owner, fence: grant.fence }, claim.fingerprint));
    }
    hand.advance(TTL / 2);
    let (token, fingerprint) = tokens[0];
    let response = bytes::Bytes::from_static(b"x");
    store.complete(Complete { token, attempt: 1, fingerprint, ttl: TTL, response }).await.unwrap();
    assert_eq!((store.entries(), store.bytes()), (3, 3 * ENTRY_BYTES + 1));
    assert_eq!(store.release(tokens[2].0.name, tokens[2].0.owner, None).await.unwrap(), Held::Kept);
    hand.advance(TTL / 2);
    store.forget(in_one_shard(100)).await.unwrap();
    assert_eq!((store.entries(), store.bytes()), (1, ENTRY_BYTES + 1), "the completed one is left");
    assert!(matches!(store.claim(Claim { name: token.name, ..claim(0) }).await.unwrap(), Claimed::Replay(_)));
    hand.advance(TTL);
    store.forget(in_one_shard(100)).await.unwrap();
    assert_eq!((store.entries(), store.bytes()), (0, 0));
}

#[tokio::test]
async fn what_has_expired_is_dropped_in_bites_by_later_writes() {
    let (clock, hand) = StoreClock::manual(Timestamp::from_unix_ms(1));
    let store = MemoryStore::with(Wakes::default(), clock, Limits::default());
    for n in 0..20 {
        store.claim(Claim { name: in_one_shard(n), ..claim(0) }).await.unwrap();
    }
    hand.advance(TTL);
    store.forget(in_one_shard(100)).await.unwrap();
    assert_eq!(store.entries(), 20 - BITE);
    store.forget(in_one_shard(100)).await.unwrap();
    store.forget(in_one_shard(100)).await.unwrap();
    assert_eq!((store.entries(), store.bytes()), (0, 0));
}
