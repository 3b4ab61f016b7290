//! Random operations on sagas.

use std::time::Duration;

use bytes::Bytes;
use proptest::prelude::*;
use refrain::{
    ids::{Fence, Fingerprint, Owner, SagaId},
    store::{
        clock::StoreClock,
        embedded::EmbeddedStore,
        journal::{Append, Appended, Birth, Create, Created, Journal, Leased, Listing, Next, SagaRenewal, SagaState, SagaToken},
        memory::{Limits, MemoryStore},
        wakes::Wakes,
    },
    time::Timestamp,
};
use saga_config::saga::DefinitionHash;

/// One operation. Small numbers choose among few sagas, owners, and fences and versions seen, so that they meet.
#[derive(Clone, Debug)]
enum Op {
    Advance(u64),
    Create { id: u8, owner: u8, name: bool, turn: Turn },
    Append { id: u8, owner: u8, fence: usize, version: usize, nonce: u8, entries: usize, taken: usize, turn: Turn },
    Extend(Vec<(u8, u8, usize, u64)>),
    Lease { id: u8, owner: u8, lease: u64 },
    Command { id: u8, nonce: u8 },
    Look { id: u8 },
    Due { limit: usize },
    List { states: Vec<SagaState>, name: Option<bool>, before: Option<(u64, u8)>, limit: usize },
}

/// A state, and what comes after it: also what does not fit.
#[derive(Clone, Debug)]
struct Turn {
    state: SagaState,
    paused: bool,
    next: Next,
}

fn turn() -> impl Strategy<Value = Turn> {
    let ms = prop_oneof![Just(0_u64), 1..50_u64, Just(30_000_u64)].prop_map(Duration::from_millis);
    let answer = Bytes::from_static(b"answer");
    let (rest, ended) = (answer.clone(), answer);
    let open = prop_oneof![
        4 => Just(SagaState::Running),
        2 => Just(SagaState::Compensating),
        1 => Just(SagaState::Quarantined),
    ];
    let goes_on = prop_oneof![
        4 => ms.clone().prop_map(|lease| Next::Run { lease }),
        2 => ms.clone().prop_map(|due_in| Next::Park { due_in }),
    ];
    let rests = any::<bool>().prop_map(move |answered| Next::Rest { answer: answered.then(|| rest.clone()) });
    let ends = ms.prop_map(move |retention| Next::End { answer: ended.clone(), retention });
    let end = prop_oneof![Just(SagaState::Completed), Just(SagaState::Compensated)];
    prop_oneof![
        8 => (open.clone(), goes_on.clone(), any::<bool>()).prop_map(|(state, next, paused)| Turn { state, paused, next }),
        2 => (open.clone(), rests, prop::bool::weighted(0.8)).prop_map(|(state, next, paused)| Turn { state, paused, next }),
        2 => (end.clone(), ends.clone()).prop_map(|(state, next)| Turn { state, paused: false, next }),
        1 => (open, ends).prop_map(|(state, next)| Turn { state, paused: false, next }),
        1 => (end, goes_on).prop_map(|(state, next)| Turn { state, paused: false, next }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let (id, owner, back) = (0..3_u8, 0..3_u8, prop_oneof![6 => Just(0_usize), 1 => 1..3_usize]);
    let ms = prop_oneof![Just(0_u64), 1..50_u64, Just(30_000_u64)];
    let states = prop::collection::vec(prop::sample::select(SagaState::ALL.to_vec()), 0..3);
    let append = (id.clone(), owner.clone(), back.clone(), back.clone(), 0..4_u8, 0..3_usize, 0..3_usize, turn());
    prop_oneof![
        3 => (0..60_u64).prop_map(Op::Advance),
        1 => Just(Op::Advance(40_000)),
        4 => (id.clone(), owner.clone(), prop::bool::weighted(0.1), turn())
            .prop_map(|(id, owner, name, turn)| Op::Create { id, owner, name, turn }),
        12 => append.prop_map(|(id, owner, fence, version, nonce, entries, taken, turn)| Op::Append {
            id, owner, fence, version, nonce, entries, taken, turn
        }),
        2 => prop::collection::vec((id.clone(), owner.clone(), back, ms.clone()), 0..4).prop_map(Op::Extend),
        6 => (id.clone(), owner, ms).prop_map(|(id, owner, lease)| Op::Lease { id, owner, lease }),
        3 => (id.clone(), any::<u8>()).prop_map(|(id, nonce)| Op::Command { id, nonce }),
        2 => id.clone().prop_map(|id| Op::Look { id }),
        3 => (0..5_usize).prop_map(|limit| Op::Due { limit }),
        2 => (states, prop::option::of(any::<bool>()), prop::option::of((0..100_u64, id)), 0..5_usize)
            .prop_map(|(states, name, before, limit)| Op::List { states, name, before, limit }),
    ]
}

/// What one case works with: ids of its own, and what its stores have told.
struct Case {
    salt: [u8; 15],
    start: Timestamp,
    /// Fences and versions of each saga, in the order they were told.
    seen: [Vec<(Fence, u64)>; 3],
}

/// An answer as text, and the fence and version in it.
type Answer = (String, Option<(u8, Fence, u64)>);

impl Case {
    fn id(&self, n: u8) -> SagaId {
        SagaId::from_bytes([self.salt.as_slice(), &[n]].concat().try_into().unwrap())
    }

    fn owner(n: u8) -> Owner {
        Owner::from_bytes([n; 16])
    }

    /// The `back`-th of what was seen of a saga, counted from the last.
    fn seen(&self, id: u8, back: usize) -> (Fence, u64) {
        self.seen[usize::from(id)].iter().rev().nth(back).copied().unwrap_or((Fence(1), 0))
    }

    fn token(&self, id: u8, owner: u8, back: usize) -> SagaToken {
        SagaToken { id: self.id(id), owner: Self::owner(owner), fence: self.seen(id, back).0 }
    }

    fn name(&self, other: bool) -> String {
        format!("{:?} {other}", self.salt)
    }

    async fn apply(&self, store: &impl Journal, op: &Op) -> Answer {
        let mut told = None;
        let ms = Duration::from_millis;
        let answer = match op {
            Op::Advance(_) => String::new(),
            Op::Create { id, owner, name, turn } => {
                let created = store.create(self.create(*id, *owner, *name, turn)).await;
                if let Ok(Created::Fresh(granted)) = &created {
                    told = Some((*id, granted.fence, granted.version));
                }
                format!("{created:?}")
            }
            Op::Append { id, owner, fence, version, nonce, entries, taken, turn } => {
                let append = Append {
                    token: self.token(*id, *owner, *fence),
                    expected: self.seen(*id, *version).1,
                    nonce: Self::owner(*nonce),
                    entries: vec![Bytes::from(vec![*owner, *nonce]); *entries],
                    state: turn.state,
                    paused: turn.paused,
                    commands_taken: *taken,
                    next: turn.next.clone(),
                };
                let appended = store.append(append).await;
                if let Ok(Appended::Kept(granted)) = &appended {
                    told = Some((*id, granted.fence, granted.version));
                }
                format!("{appended:?}")
            }
            Op::Extend(renewals) => {
                let renewals = renewals
                    .iter()
                    .map(|(id, owner, fence, lease)| SagaRenewal { token: self.token(*id, *owner, *fence), lease: ms(*lease) });
                format!("{:?}", store.extend_sagas(renewals.collect()).await)
            }
            Op::Lease { id, owner, lease } => {
                let leased = store.lease(self.id(*id), Self::owner(*owner), ms(*lease)).await;
                if let Ok(Leased::Granted(loaded)) = &leased {
                    told = Some((*id, loaded.head.fence, loaded.head.version));
                }
                format!("{leased:?}")
            }
            Op::Command { id, nonce } => {
                format!("{:?}", store.command(self.id(*id), Self::owner(*nonce), vec![*nonce].into()).await)
            }
            Op::Look { id } => self.look(store, self.id(*id)).await,
            Op::Due { limit } => format!("{:?}", store.due(*limit, 0).await),
            Op::List { states, name, before, limit } => {
                let before = before.map(|(at, id)| (self.start.plus(ms(at * 10)), self.id(id)));
                let name = name.map(|other| self.name(other));
                format!("{:?}", store.list(Listing { states: states.clone(), name, before, limit: *limit }).await)
            }
        };
        (answer, told)
    }

    fn create(&self, id: u8, owner: u8, name: bool, turn: &Turn) -> Create {
        let birth = Birth {
            name: self.name(name),
            version: 1,
            definition: DefinitionHash::from_bytes([0; 32]),
            fingerprint: Fingerprint::from_bytes([0; 32]),
            starter: Fingerprint::from_bytes([0; 32]),
            created_at: Timestamp::ZERO,
        };
        Create {
            id: self.id(id),
            birth,
            owner: Self::owner(owner),
            entries: vec![Bytes::from(vec![owner])],
            state: turn.state,
            next: turn.next.clone(),
            mailbox: None,
        }
    }

    async fn look(&self, store: &impl Journal, id: SagaId) -> String {
        format!("{:?} {:?} {:?}", store.load(id).await, store.attach(id, None).await, store.commands(id).await)
    }
}

#[test]
fn the_embedded_store_answers_for_sagas_as_the_memory_store_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let config = ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(ops in prop::collection::vec(op(), 1..80))| {
        let dir = tempfile::tempdir().unwrap();
        let start = Timestamp::from_unix_ms(1 << 40);
        let (clock, hand) = StoreClock::manual(start);
        let memory = MemoryStore::with(Wakes::default(), clock.clone(), Limits::default());
        let embedded = EmbeddedStore::open_with(&dir.path().join("store.redb"), Wakes::default(), clock).unwrap();
        let mut case = Case { salt: [7; 15], start, seen: Default::default() };
        for op in ops {
            if let Op::Advance(ms) = op {
                hand.advance(Duration::from_millis(ms));
            }
            let (expected, told) = runtime.block_on(case.apply(&memory, &op));
            let (found, _) = runtime.block_on(case.apply(&embedded, &op));
            prop_assert_eq!(found, expected, "{:?}", op);
            if let Some((id, fence, version)) = told {
                case.seen[usize::from(id)].push((fence, version));
            }
        }
        runtime.block_on(refrain::store::Store::close(&embedded));
    });
}
