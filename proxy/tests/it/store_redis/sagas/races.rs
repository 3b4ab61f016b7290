//! Two processes at the same sagas.

use std::collections::BTreeMap;

use refrain::{
    ids::{Fence, Owner},
    store::journal::{Created, SagaToken},
};

use super::*;

#[tokio::test]
async fn of_two_processes_that_create_the_same_sagas_one_gets_each() {
    let server = RedisServer::start_with(&["--appendonly", "no"]);
    let stores = [open(&server).await, open(&server).await];
    let templates: Vec<Create> = (0..200).map(|_| create()).collect();
    let tries = stores.iter().flat_map(|store| {
        templates.iter().map(|template| {
            let (store, create) = (store.clone(), again(template));
            tokio::spawn(async move { (create.id, store.create(create).await.unwrap()) })
        })
    });
    let mut fresh: BTreeMap<SagaId, u32> = BTreeMap::new();
    for answer in futures_util::future::join_all(tries.collect::<Vec<_>>()).await {
        let (id, created) = answer.unwrap();
        match created {
            Created::Fresh(_) => *fresh.entry(id).or_default() += 1,
            Created::Running(head) => assert_eq!(head.version, 1),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(fresh.len(), 200);
    assert!(fresh.values().all(|count| *count == 1));
}

/// Drivers of two processes lease what is due, append, and give it up after a while or just go silent, so that others take over. Each
/// entry says under which fence and at which place it was written; the journal must be those entries, at their places, in the order of
/// their fences, each once.
#[tokio::test]
async fn drivers_of_two_processes_never_write_into_each_others_journal() {
    const SAGAS: usize = 20;
    const ENTRIES: u64 = 40;
    let server = RedisServer::start_with(&["--appendonly", "no"]);
    let stores = [open(&server).await, open(&server).await];
    let mut ids = Vec::new();
    for _ in 0..SAGAS {
        let first = Create { entries: Vec::new(), next: park(Duration::ZERO), ..create() };
        ids.push(fresh(&stores[0], &first).await.token.id);
    }
    let drivers = (0..16_u64).map(|n| {
        let store = stores[usize::try_from(n % 2).unwrap()].handle();
        tokio::spawn(async move { drive(store, n, ENTRIES).await })
    });
    let written: u64 = futures_util::future::join_all(drivers.collect::<Vec<_>>()).await.into_iter().map(Result::unwrap).sum();
    let mut total = 0;
    for id in ids {
        let seen = loaded(&stores[0], id).await;
        assert_eq!(seen.head.state, SagaState::Completed);
        assert_eq!(seen.head.version, u64::try_from(seen.entries.len()).unwrap());
        let mut last = 0;
        for (place, entry) in seen.entries.iter().enumerate() {
            let text = std::str::from_utf8(entry).unwrap();
            let (fence, at) = text.split_once(' ').unwrap();
            assert_eq!(at.parse::<usize>().unwrap(), place, "{text}");
            let fence: u64 = fence.parse().unwrap();
            assert!(fence >= last, "an entry under an older fence: {text} after {last}");
            last = fence;
        }
        total += seen.head.version;
    }
    assert_eq!(written, total, "what was acknowledged is there, and nothing else");
}

/// Until nothing is due and nothing will be; how many entries were acknowledged.
async fn drive(store: RedisStore, seed: u64, entries: u64) -> u64 {
    let mut written = 0;
    for round in 0..100_000 {
        let due = store.due(8, seed + round).await.unwrap();
        if due.ids.is_empty() {
            match due.next_in {
                None => return written,
                Some(next) => tokio::time::sleep(next.min(Duration::from_millis(5))).await,
            }
        }
        for id in due.ids {
            // So short that it lapses under way, now and then.
            let owner = Owner::random();
            if let Leased::Granted(seen) = store.lease(id, owner, Duration::from_millis(3)).await.unwrap() {
                let token = SagaToken { id, owner, fence: seen.head.fence };
                written += turn(&store, token, seen.head.version, entries, seed + round).await;
            }
        }
    }
    panic!("it does not come to an end");
}

/// Some appends under one lease; how many were acknowledged.
async fn turn(store: &RedisStore, token: SagaToken, mut version: u64, entries: u64, luck: u64) -> u64 {
    let mut written = 0;
    for n in 0..1 + luck % 5 {
        let last = version + 1 >= entries;
        let next = match (last, (luck + n) % 7) {
            (true, _) => end(),
            (false, 0) => park(Duration::ZERO),
            (false, _) => Next::Run { lease: Duration::from_millis(3) },
        };
        let gives_up = !matches!(next, Next::Run { .. });
        let append = Append {
            token,
            expected: version,
            nonce: Owner::random(),
            entries: vec![format!("{} {version}", token.fence.0).into()],
            state: if last { SagaState::Completed } else { SagaState::Running },
            paused: false,
            commands_taken: 0,
            next,
        };
        // Each twice: the second is a repeat, or lost to somebody who took over in between.
        let first = store.append(append.clone()).await.unwrap();
        let second = store.append(append).await.unwrap();
        let Appended::Kept(granted) = first else {
            assert_eq!((first, second), (Appended::Lost, Appended::Lost));
            return written;
        };
        assert_eq!((granted.version, granted.fence), (version + 1, token.fence));
        assert!(matches!(second, Appended::Kept(again) if again.version == version + 1) || second == Appended::Lost);
        version += 1;
        written += 1;
        if gives_up {
            return written;
        }
    }
    assert!(token.fence > Fence(0));
    written
}
