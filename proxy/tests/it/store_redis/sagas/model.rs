//! The scripts against the pure rules: the same operations, the same answers, the same sagas, the same word to the same waiters.
//!
//! Both clocks are of this machine, and read apart: so leases, timers and retentions last an hour or (almost) not at all, and fences are
//! compared by which is which.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use refrain::{
    ids::{Fence, Fingerprint, Mailbox, Owner},
    store::journal::{
        Birth, Created, Granted, Head, SagaRenewal, SagaToken,
        rules::{self, Saga, Step, Taken},
    },
    time::{Timestamp, wall_now},
};
use saga_config::saga::DefinitionHash;

use super::*;

/// How far apart two times may be that stand for the same one.
const READ_APART: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
struct Op {
    /// Which of three sagas.
    saga: u8,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Create { fingerprint: u8, name: u8, owner: u8, turn: Turn, entries: u8, mailbox: Option<u8> },
    Append { owner: u8, fence: usize, off: u64, nonce: u8, turn: Turn, paused: bool, taken: usize, entries: u8 },
    Extend { owner: u8, fence: usize, lives: bool },
    Lease { owner: u8, lives: bool },
    Command { nonce: u8 },
    Attach { mailbox: Option<u8> },
}

/// A state with what may come after it.
#[derive(Clone, Debug)]
struct Turn {
    state: SagaState,
    next: Next,
}

fn turn() -> impl Strategy<Value = Turn> {
    let open = prop_oneof![6 => Just(SagaState::Running), 2 => Just(SagaState::Compensating), 2 => Just(SagaState::Quarantined)];
    let length = || prop::bool::weighted(0.6).prop_map(length);
    let goes_on = prop_oneof![
        5 => length().prop_map(|lease| Next::Run { lease }),
        3 => length().prop_map(|due_in| Next::Park { due_in }),
        2 => prop::option::of(Just("so far")).prop_map(|answer| Next::Rest { answer: answer.map(Bytes::from) }),
    ];
    let ends = prop_oneof![Just(SagaState::Completed), Just(SagaState::Compensated)];
    prop_oneof![
        8 => (open, goes_on).prop_map(|(state, next)| Turn { state, next }),
        1 => (ends, length()).prop_map(|(state, retention)| Turn { state, next: Next::End { answer: "at last".into(), retention } }),
    ]
}

fn op() -> impl Strategy<Value = Op> {
    let owner = || prop_oneof![4 => Just(0_u8), 2 => Just(1), 1 => Just(2)];
    // Counted from the newest: mostly the one in force.
    let fence = || prop_oneof![6 => Just(0_usize), 1 => 0..4_usize];
    let rarely = || prop_oneof![14 => Just(0_u8), 1 => Just(1)];
    let mailbox = || prop::option::of(0..70_u8);
    let lives = || prop::bool::weighted(0.5);
    let create = (rarely(), rarely(), owner(), turn(), 0..3_u8, mailbox()).prop_map(
        |(fingerprint, name, owner, turn, entries, mailbox)| What::Create { fingerprint, name, owner, turn, entries, mailbox },
    );
    let append = (owner(), fence(), rarely(), any::<u8>(), turn(), prop::bool::weighted(0.2), 0..3_usize, 0..3_u8).prop_map(
        |(owner, fence, off, nonce, turn, paused, taken, entries)| What::Append {
            owner,
            fence,
            off: off.into(),
            nonce: nonce % 16,
            turn,
            paused,
            taken,
            entries,
        },
    );
    let what = prop_oneof![
        4 => create,
        10 => append,
        2 => (owner(), fence(), lives()).prop_map(|(owner, fence, lives)| What::Extend { owner, fence, lives }),
        5 => (owner(), lives()).prop_map(|(owner, lives)| What::Lease { owner, lives }),
        4 => (0..80_u8).prop_map(|nonce| What::Command { nonce }),
        3 => mailbox().prop_map(|mailbox| What::Attach { mailbox }),
    ];
    (0..3_u8, what).prop_map(|(saga, what)| Op { saga, what })
}

fn length(lives: bool) -> Duration {
    if lives { HOUR } else { Duration::ZERO }
}

#[test]
fn the_scripts_do_what_the_rules_say() {
    let server = RedisServer::start_with(&["--appendonly", "no"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = RedisConfig { timeout: Duration::from_secs(10), saga_partitions: 2, ..RedisConfig::new(server.url()) };
    let store = runtime.block_on(RedisStore::open(&config, Wakes::default())).unwrap();
    runtime.block_on(store.count()).unwrap(); // opens the connection, which publishes once
    let cases = std::cell::Cell::new(0_u32);
    TestRunner::new(Config { cases: 300, failure_persistence: None, ..Config::default() })
        .run(&prop::collection::vec(op(), 1..80), |ops| {
            cases.set(cases.get() + 1);
            let () = server.admin(&["FLUSHDB"]);
            let mut both = Both { server: &server, store: &store, sagas: BTreeMap::new(), fences: BTreeMap::new() };
            runtime.block_on(async {
                for op in &ops {
                    both.step(op).await;
                }
                both.compare_indexes().await;
            });
            Ok(())
        })
        .unwrap();
    assert!(cases.get() >= 300);
}

/// A few sagas, twice.
struct Both<'a> {
    server: &'a RedisServer,
    store: &'a RedisStore,
    sagas: BTreeMap<SagaId, Kept>,
    /// The fences seen of each saga, oldest first: Redis's and the model's.
    fences: BTreeMap<SagaId, Vec<(Fence, Fence)>>,
}

/// What the model keeps of a saga.
#[derive(Clone, Default)]
struct Kept {
    saga: Option<Saga>,
    entries: Vec<Bytes>,
    commands: Vec<Bytes>,
}

impl Kept {
    fn apply<T>(&mut self, step: Step<T>) -> T {
        if let Some(saga) = step.put {
            if self.saga.as_ref().is_none_or(|before| before.born != saga.born) {
                (self.entries, self.commands) = (Vec::new(), Vec::new());
            }
            self.saga = Some(*saga);
            self.entries.extend(step.entries);
            self.commands.drain(..step.commands_taken);
            self.commands.extend(step.command);
        }
        step.outcome
    }

    fn live(&self) -> Option<&Saga> {
        self.saga.as_ref().and_then(|saga| saga.live(wall_now()))
    }
}

impl Both<'_> {
    async fn step(&mut self, op: &Op) {
        let id = SagaId::from_bytes([op.saga; 16]);
        let published = self.server.calls("publish");
        let woken = self.both(id, &op.what).await;
        assert_eq!(self.server.calls("publish") - published, u64::try_from(woken).unwrap(), "waiters woken by {op:?}");
        if self.sagas[&id]
            .saga
            .as_ref()
            .and_then(|saga| saga.hold.expires_at())
            .is_some_and(|at| at < wall_now().plus(READ_APART))
        {
            // The shortest retention is a millisecond: let it pass on both sides.
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        self.compare(id, op).await;
    }

    /// Does it on both sides and compares the answers; how many mailboxes get word.
    async fn both(&mut self, id: SagaId, what: &What) -> usize {
        let mut kept = self.sagas.remove(&id).unwrap_or_default();
        let (saga, now) = (kept.saga.as_ref(), wall_now());
        let mut woken = 0;
        match what {
            What::Create { fingerprint, name, owner, turn, entries, mailbox } => {
                let create = Create {
                    id,
                    birth: birth(*fingerprint, *name),
                    owner: nonce(*owner),
                    entries: some_entries(*entries),
                    state: turn.state,
                    next: turn.next.clone(),
                    mailbox: mailbox.map(mailbox_of),
                };
                let real = self.store.create(create.clone()).await;
                if let Err(refused) = rules::check_create(&create) {
                    assert_eq!(real, Err(refused));
                } else {
                    let model = kept.apply(rules::create(saga, &create, now));
                    match (real.unwrap(), model) {
                        (Created::Fresh(real), Created::Fresh(model)) => self.compare_granted(id, real, model),
                        (Created::Running(real), Created::Running(model)) | (Created::Ended(real), Created::Ended(model)) => {
                            self.compare_heads(id, *real, *model);
                        }
                        (real, model) => assert_eq!(real, model),
                    }
                }
            }
            What::Append { owner, fence, off, nonce: number, turn, paused, taken, entries } => {
                let (real, model) = self.tokens(id, *owner, *fence);
                let append = |token| Append {
                    token,
                    expected: saga.map_or(0, |saga| saga.version) + off,
                    nonce: nonce(100 + number),
                    entries: some_entries(*entries),
                    state: turn.state,
                    paused: *paused,
                    commands_taken: *taken,
                    next: turn.next.clone(),
                };
                let answer = self.store.append(append(real)).await;
                if let Err(refused) = rules::check_append(&append(model)) {
                    assert_eq!(answer, Err(refused));
                } else {
                    let step = rules::append(saga, &append(model), now);
                    woken = step.wake.len();
                    match (answer.unwrap(), kept.apply(step)) {
                        (Appended::Kept(real), Appended::Kept(model)) => self.compare_granted(id, real, model),
                        (real, model) => assert_eq!(real, model),
                    }
                }
            }
            What::Extend { owner, fence, lives } => {
                let (real, model) = self.tokens(id, *owner, *fence);
                let renewal = |token| SagaRenewal { token, lease: length(*lives) };
                let answer = self.store.extend_sagas(vec![renewal(real)]).await.unwrap();
                assert_eq!(answer, [kept.apply(rules::extend(saga, &renewal(model), now))]);
            }
            What::Lease { owner, lives } => {
                let answer = self.store.lease(id, nonce(*owner), length(*lives)).await.unwrap();
                match (answer, kept.apply(rules::lease(saga, nonce(*owner), length(*lives), now))) {
                    (Leased::Granted(real), Taken::Granted(model)) => {
                        self.compare_heads(id, real.head, model.head());
                        assert_eq!((real.entries, real.commands), (kept.entries.clone(), kept.commands.clone()));
                    }
                    (Leased::NotDue(real), Taken::NotDue(model)) => near(real, model),
                    (Leased::Gone, Taken::Gone) => {}
                    (real, model) => panic!("{real:?} against {model:?}"),
                }
            }
            What::Command { nonce: number } => {
                let command = Bytes::from(vec![*number, 0, 255]);
                let answer = self.store.command(id, nonce(*number), command.clone()).await.unwrap();
                assert_eq!(answer, kept.apply(rules::command(saga, nonce(*number), &command, now)));
            }
            What::Attach { mailbox } => {
                let mailbox = mailbox.map(mailbox_of);
                let answer = self.store.attach(id, mailbox).await.unwrap();
                match (answer, kept.apply(rules::attach(saga, mailbox, now))) {
                    (Some(real), Some(model)) => self.compare_heads(id, real.head, model.head),
                    (real, model) => assert_eq!(real, model),
                }
            }
        }
        self.sagas.insert(id, kept);
        woken
    }

    /// Whatever was done: the saga is the same on both sides, to the last entry.
    async fn compare(&mut self, id: SagaId, op: &Op) {
        let real = self.store.load(id).await.unwrap();
        let kept = &self.sagas[&id];
        match (real, kept.live()) {
            (Some(real), Some(model)) => {
                assert_eq!((&real.entries, &real.commands), (&kept.entries, &kept.commands), "{op:?}");
                assert_eq!(self.store.commands(id).await.unwrap(), kept.commands);
                let mailboxes: Option<String> = self.server.admin(&["HGET", &key(id), "w"]);
                let expected: String = model.mailboxes.iter().map(Mailbox::to_string).collect();
                assert_eq!(mailboxes.unwrap_or_default(), expected, "{op:?}");
                let head = model.head();
                self.compare_heads(id, real.head, head);
            }
            (None, None) => {}
            (real, model) => panic!("{real:?} against {model:?} after {op:?}"),
        }
    }

    /// What is due, lists and counts are those of the sagas that there are.
    async fn compare_indexes(&self) {
        let mut heads: Vec<(Timestamp, SagaId, Head)> = Vec::new();
        let mut due = Vec::new();
        for (id, kept) in &self.sagas {
            if kept.live().is_none() {
                continue;
            }
            let head = self.store.load(*id).await.unwrap().unwrap().head;
            due.extend(head.due_at.filter(|at| *at <= wall_now()).map(|_| *id));
            heads.push((head.updated_at, *id, Head { answer: None, ..head }));
        }
        heads.sort_by_key(|(at, id, _)| std::cmp::Reverse((*at, *id)));
        let mut found = self.store.due(10, 0).await.unwrap().ids;
        found.sort_unstable();
        assert_eq!(found, due);
        for (states, name, limit) in [
            (Vec::new(), None, 10),
            (Vec::new(), None, 1),
            (vec![SagaState::Running, SagaState::Completed], None, 10),
            (Vec::new(), Some(name_of(0)), 10),
            (vec![SagaState::Quarantined], Some(name_of(0)), 2),
            (Vec::new(), Some(name_of(1)), 10),
        ] {
            for before in std::iter::once(None).chain(heads.iter().map(|(at, id, _)| Some((*at, *id)))) {
                let listing = Listing { states: states.clone(), name: name.clone(), before, limit };
                let expected = heads.iter().filter(|(at, id, head)| {
                    before.is_none_or(|before| (*at, *id) < before)
                        && (states.is_empty() || states.contains(&head.state))
                        && name.as_ref().is_none_or(|name| *name == head.birth.name)
                });
                let expected: Vec<_> = expected.take(limit).map(|(_, id, head)| (*id, head.clone())).collect();
                assert_eq!(self.store.list(listing).await.unwrap(), expected);
            }
        }
        let counts = SagaState::ALL.map(|state| heads.iter().filter(|(.., head)| head.state == state).count());
        assert_eq!(self.store.count().await.unwrap(), counts.map(|count| u64::try_from(count).unwrap()));
    }

    /// The same lease on both sides; the fence is counted from the newest one seen.
    fn tokens(&self, id: SagaId, owner: u8, fence: usize) -> (SagaToken, SagaToken) {
        let seen = self.fences.get(&id).and_then(|seen| Some(seen[seen.len().checked_sub(fence + 1)?]));
        let (real, model) = seen.unwrap_or((Fence(7), Fence(7)));
        let token = |fence| SagaToken { id, owner: nonce(owner), fence };
        (token(real), token(model))
    }

    fn compare_granted(&mut self, id: SagaId, real: Granted, model: Granted) {
        self.compare_fences(id, real.fence, model.fence);
        near(real.now, model.now);
        assert_eq!((real.version, real.commands), (model.version, model.commands));
    }

    fn compare_heads(&mut self, id: SagaId, real: Head, model: Head) {
        self.compare_fences(id, real.fence, model.fence);
        near(real.updated_at, model.updated_at);
        near(real.birth.created_at, model.birth.created_at);
        match (real.due_at, model.due_at) {
            (Some(real), Some(model)) => near(real, model),
            (real, model) => assert_eq!(real, model),
        }
        match (&real.answer, &model.answer) {
            (Some(real), Some(model)) => {
                self.compare_fences(id, real.fence, model.fence);
                assert_eq!(real.bytes, model.bytes);
            }
            (real, model) => assert_eq!(real, model),
        }
        let birth = Birth { created_at: model.birth.created_at, ..real.birth };
        assert_eq!((birth, real.state, real.paused, real.version), (model.birth, model.state, model.paused, model.version));
    }

    fn compare_fences(&mut self, id: SagaId, real: Fence, model: Fence) {
        let fences = self.fences.entry(id).or_default();
        match fences.iter().find(|(_, seen)| *seen == model) {
            Some((seen, _)) => assert_eq!(*seen, real),
            None => {
                assert!(fences.iter().all(|(seen, _)| *seen < real), "a fence that does not grow: {real} after {fences:?}");
                fences.push((real, model));
            }
        }
    }
}

fn near<T: Into<Near>>(real: T, model: T) {
    let (real, model) = (real.into(), model.into());
    assert!(real.0.abs_diff(model.0) < READ_APART, "{real:?} against {model:?}");
}

/// A time, or how long until then.
#[derive(Debug)]
struct Near(Duration);

impl From<Timestamp> for Near {
    fn from(at: Timestamp) -> Self {
        Self(Duration::from_millis(at.as_unix_ms()))
    }
}

impl From<Option<Duration>> for Near {
    fn from(left: Option<Duration>) -> Self {
        // Never is far from any time.
        Self(left.unwrap_or(Duration::MAX))
    }
}

fn birth(fingerprint: u8, name: u8) -> Birth {
    Birth {
        name: name_of(name),
        version: 3,
        definition: DefinitionHash::from_bytes([7; 32]),
        fingerprint: Fingerprint::from_bytes([fingerprint; 32]),
        starter: Fingerprint::from_bytes([200; 32]),
        created_at: Timestamp::ZERO,
    }
}

/// One is how the other begins.
fn name_of(name: u8) -> String {
    "create-order".repeat(usize::from(name) + 1)
}

fn some_entries(count: u8) -> Vec<Bytes> {
    (0..count).map(|number| Bytes::from(vec![number, b'\r', b'\n', 0, 255])).collect()
}

fn nonce(number: u8) -> Owner {
    Owner::from_bytes([number; 16])
}

fn mailbox_of(number: u8) -> Mailbox {
    Mailbox::from_bytes([number; 16])
}

fn key(id: SagaId) -> String {
    format!("refrain:j:{{s{}}}:h:{id}", id.as_bytes()[15] % 2)
}
