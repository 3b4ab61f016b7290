//! The scripts against the pure rules: the same operations, the same answers, the same record, the same word to the same waiters.
//!
//! The clocks differ, so leases last an hour or not at all, and fences are compared by which is which.

use std::collections::BTreeMap;

use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use refrain::{
    ids::Fence,
    store::{
        Absence, Claimed, Completed, Done, Grant, OnStepUnknown, OnUnknown, ProbeVerdict, Resolution, Settle, Settled, Standing,
        Undo, Undone,
        transition::{self, Open, Record, State, Step, Write},
    },
    time::Timestamp,
};

use super::*;

/// How far apart two durations may be that stand for the same one.
const CLOCKS_DIFFER_BY: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
enum Op {
    Claim { fingerprint: u8, owner: u8, lives: bool, ttl: bool, mailbox: Option<u8>, on_unknown: OnUnknown, more: More },
    Undo { owner: u8, lives: bool, ttl: bool, mailbox: Option<u8>, on_unknown: OnUnknown, about: About },
    Complete { owner: u8, fence: usize, attempt: u32, fingerprint: u8, ttl: bool },
    Extend { owner: u8, fence: usize, lives: bool, sent: bool },
    Doubt { owner: u8, fence: usize },
    Release { owner: u8, fence: Option<usize> },
    Settle { prober: u8, fence: usize, verdict: Verdict, ttl: bool },
    Resolve { done: bool, ttl: bool },
    Forget,
    Inspect,
    Seal,
}

/// What only the calls of steps say.
#[derive(Clone, Copy, Debug)]
struct More {
    asks: Option<Absence>,
    note: bool,
}

/// What an undo says of its step: the other record.
#[derive(Clone, Copy, Debug)]
struct About {
    knows_done: bool,
    absence: Absence,
    on_step_unknown: OnStepUnknown,
}

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Done,
    NotDone { lives: bool },
    Seal,
    Undecided,
}

fn op() -> impl Strategy<Value = Op> {
    let owner = || prop_oneof![3 => Just(0_u8), 2 => Just(1), 1 => Just(2)];
    // Counted from the newest: mostly the one in force.
    let fence = || prop_oneof![4 => Just(0_usize), 1 => 0..4_usize];
    let fingerprint = || prop_oneof![9 => Just(0_u8), 1 => Just(1)];
    let lives = || prop::bool::weighted(0.5);
    let ttl = || prop::bool::weighted(0.95);
    let on_unknown = || {
        prop_oneof![
            Just(OnUnknown::Hold),
            Just(OnUnknown::Resend),
            lives().prop_map(|lives| OnUnknown::Probe { lease: length(lives) }),
        ]
    };
    let absence = || prop_oneof![Just(Absence::Proof), Just(Absence::NoProof)];
    let more = (prop::option::weighted(0.2, absence()), any::<bool>()).prop_map(|(asks, note)| More { asks, note });
    let on_step_unknown = prop_oneof![
        1 => Just(OnStepUnknown::Hold),
        1 => lives().prop_map(|lives| OnStepUnknown::Send { after: length(lives) }),
        3 => (lives(), prop::option::of(lives())).prop_map(|(lives, otherwise)| OnStepUnknown::Probe {
            lease: length(lives),
            otherwise: otherwise.map(length),
        }),
    ];
    let about = (prop::bool::weighted(0.2), absence(), on_step_unknown)
        .prop_map(|(knows_done, absence, on_step_unknown)| About { knows_done, absence, on_step_unknown });
    let verdict = prop_oneof![
        Just(Verdict::Done),
        lives().prop_map(|lives| Verdict::NotDone { lives }),
        Just(Verdict::Seal),
        Just(Verdict::Undecided)
    ];
    prop_oneof![
        10 => (fingerprint(), owner(), lives(), ttl(), prop::option::of(0..70_u8), on_unknown(), more).prop_map(
            |(fingerprint, owner, lives, ttl, mailbox, on_unknown, more)| Op::Claim {
                fingerprint, owner, lives, ttl, mailbox, on_unknown, more
            }
        ),
        8 => (owner(), lives(), ttl(), prop::option::of(0..70_u8), on_unknown(), about).prop_map(
            |(owner, lives, ttl, mailbox, on_unknown, about)| Op::Undo { owner, lives, ttl, mailbox, on_unknown, about }
        ),
        3 => (owner(), fence(), 1..4_u32, fingerprint(), ttl())
            .prop_map(|(owner, fence, attempt, fingerprint, ttl)| Op::Complete { owner, fence, attempt, fingerprint, ttl }),
        3 => (owner(), fence(), lives(), any::<bool>())
            .prop_map(|(owner, fence, lives, sent)| Op::Extend { owner, fence, lives, sent }),
        3 => (owner(), fence()).prop_map(|(owner, fence)| Op::Doubt { owner, fence }),
        2 => (owner(), prop::option::of(fence())).prop_map(|(owner, fence)| Op::Release { owner, fence }),
        5 => (owner(), fence(), verdict, ttl()).prop_map(|(prober, fence, verdict, ttl)| Op::Settle { prober, fence, verdict, ttl }),
        3 => (prop::bool::weighted(0.3), ttl()).prop_map(|(done, ttl)| Op::Resolve { done, ttl }),
        1 => Just(Op::Forget),
        2 => Just(Op::Inspect),
        1 => prop::bool::weighted(0.2).prop_map(|seal| if seal { Op::Seal } else { Op::Inspect }),
    ]
}

fn length(lives: bool) -> Duration {
    if lives { HOUR } else { Duration::ZERO }
}

fn kept(ttl: bool) -> Duration {
    if ttl { DAY } else { Duration::ZERO }
}

#[test]
fn the_scripts_do_what_the_rules_say() {
    let server = RedisServer::start_with(&["--appendonly", "no"]);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let store = runtime.block_on(open(&server));
    runtime.block_on(store.inspect(name(0))).unwrap(); // opens the connection, which publishes once
    let config = Config { cases: 500, failure_persistence: None, ..Config::default() };
    let next = std::cell::Cell::new(0_u32);
    TestRunner::new(config)
        .run(&prop::collection::vec((0..2_usize, op()), 1..60), |ops| {
            next.set(next.get() + 1);
            let mut name = [0; 32];
            name[..4].copy_from_slice(&next.get().to_be_bytes());
            let mut other = name;
            other[31] = 1;
            let mut pair = Pair::new(&server, &store, [name, other].map(RecordName::from_bytes));
            runtime.block_on(async {
                for (at, op) in &ops {
                    pair.step(*at, op).await;
                }
            });
            Ok(())
        })
        .unwrap();
    assert!(next.get() >= 500);
}

/// Two records, twice.
struct Pair<'a> {
    server: &'a RedisServer,
    store: &'a RedisStore,
    names: [RecordName; 2],
    records: [Option<Record>; 2],
    /// Which of them an operation is about.
    at: usize,
    now: Timestamp,
    /// The fences seen of each, oldest first: Redis's and the model's.
    fences: [Vec<(Fence, Fence)>; 2],
}

impl<'a> Pair<'a> {
    fn new(server: &'a RedisServer, store: &'a RedisStore, names: [RecordName; 2]) -> Self {
        let now = Timestamp::from_unix_ms(1_000_000_000_000);
        Self { server, store, names, records: [None, None], at: 0, now, fences: Default::default() }
    }

    fn name(&self) -> RecordName {
        self.names[self.at]
    }

    fn live(&self, at: usize) -> Option<Record> {
        self.records[at].clone().filter(|record| record.live(self.now).is_some())
    }

    async fn step(&mut self, at: usize, op: &Op) {
        self.at = at;
        self.now = self.now.plus(Duration::from_millis(10));
        let published = self.server.calls("publish");
        let woken = self.both(op).await;
        assert_eq!(self.server.calls("publish") - published, woken as u64, "waiters woken by {op:?}");
        for at in 0..2 {
            self.at = at;
            self.compare_records(op);
        }
    }

    /// Does `op` on both sides and compares the answers; how many mailboxes get word.
    async fn both(&mut self, op: &Op) -> usize {
        let live = self.live(self.at);
        let live = live.as_ref();
        match *op {
            Op::Claim { fingerprint, owner, lives, ttl, mailbox, on_unknown, more } => {
                let claim = Claim {
                    fingerprint: Fingerprint::from_bytes([fingerprint; 32]),
                    on_absent: more.asks.map_or(OnAbsent::Begin, OnAbsent::Seal),
                    note: if more.note { "a note".into() } else { Bytes::new() },
                    ..self.claim(owner, lives, ttl, mailbox, on_unknown)
                };
                let step = transition::claim(live, &claim, Timestamp::ZERO, self.now);
                let real = self.store.claim(claim).await.unwrap();
                self.compare_claims(real, &step.outcome);
                self.apply(step)
            }
            Op::Undo { owner, lives, ttl, mailbox, on_unknown, about } => {
                let other = 1 - self.at;
                let undo = Undo {
                    claim: self.claim(owner, lives, ttl, mailbox, on_unknown),
                    step: self.names[other],
                    knows_done: about.knows_done,
                    absence: about.absence,
                    on_step_unknown: about.on_step_unknown,
                };
                let both = transition::undo(self.live(other).as_ref(), live, &undo, Timestamp::ZERO, self.now);
                let real = self.store.undo(undo).await.unwrap();
                self.compare_undone(real, &both.outcome);
                for (at, write) in [(other, both.step), (self.at, both.own)] {
                    self.write(at, write);
                }
                both.wake.len()
            }
            Op::Complete { owner, fence, attempt, fingerprint, ttl } => {
                let (real, model) = self.tokens(owner, fence);
                let complete = |token| Complete {
                    token,
                    attempt,
                    fingerprint: Fingerprint::from_bytes([fingerprint; 32]),
                    ttl: kept(ttl),
                    response: vec![fingerprint, 9].into(),
                };
                let step = transition::complete(live, &complete(model), self.now);
                match (self.store.complete(complete(real)).await.unwrap(), &step.outcome) {
                    (Completed::Fenced(Some(real)), Completed::Fenced(Some(model))) => self.compare_done(&real, model),
                    (real, model) => assert_eq!(&real, model, "{op:?}"),
                }
                self.apply(step)
            }
            Op::Extend { owner, fence, lives, sent } => {
                let (real, model) = self.tokens(owner, fence);
                let renewal = |token| Renewal { token, lease: length(lives), sent };
                let step = transition::extend(live, &renewal(model), self.now);
                assert_eq!(self.store.extend(vec![renewal(real)]).await.unwrap(), vec![step.outcome], "{op:?}");
                self.apply(step)
            }
            Op::Doubt { owner, fence } => {
                let (real, model) = self.tokens(owner, fence);
                let step = transition::doubt(live, &model, self.now);
                assert_eq!(self.store.doubt(real).await.unwrap(), step.outcome, "{op:?}");
                self.apply(step)
            }
            Op::Release { owner, fence } => {
                let tokens = fence.map(|fence| self.tokens(owner, fence));
                let step = transition::release(live, nonce(owner), tokens.map(|(_, model)| model.fence), self.now);
                let real = self.store.release(self.name(), nonce(owner), tokens.map(|(real, _)| real.fence)).await.unwrap();
                assert_eq!(real, step.outcome, "{op:?}");
                self.apply(step)
            }
            Op::Settle { prober, fence, verdict, ttl } => {
                let (real, model) = self.tokens(prober, fence);
                let settle = |token: Token| Settle {
                    name: self.name(),
                    prober: token.owner,
                    fence: token.fence,
                    verdict: match verdict {
                        Verdict::Done => ProbeVerdict::Done { response: "probed".into(), ttl: kept(ttl) },
                        Verdict::NotDone { lives } => ProbeVerdict::NotDone { lease: length(lives), ttl: kept(ttl) },
                        Verdict::Seal => ProbeVerdict::Seal { ttl: kept(ttl) },
                        Verdict::Undecided => ProbeVerdict::Undecided,
                    },
                };
                let step = transition::settle(live, &settle(model), self.now);
                match (self.store.settle(settle(real)).await.unwrap(), &step.outcome) {
                    (Settled::Done(real), Settled::Done(model)) => self.compare_done(&real, model),
                    (Settled::Retake(real), Settled::Retake(model)) => self.compare_grants(real, *model),
                    (real, model) => assert_eq!(&real, model, "{op:?}"),
                }
                self.apply(step)
            }
            Op::Resolve { done, ttl } => {
                let resolution =
                    if done { Resolution::Done { response: "said".into(), ttl: kept(ttl) } } else { Resolution::NotDone };
                let step = transition::resolve(live, &resolution, self.now);
                assert_eq!(self.store.resolve(self.name(), resolution).await.unwrap(), step.outcome, "{op:?}");
                self.apply(step)
            }
            Op::Forget => {
                let step = transition::forget(live);
                assert_eq!(self.store.forget(self.name()).await.unwrap(), step.outcome, "{op:?}");
                self.apply(step)
            }
            Op::Inspect => {
                let model = live.map(|record| transition::inspect(record, self.now));
                let real = self.store.inspect(self.name()).await.unwrap();
                match (real, model) {
                    (Some(real), Some(model)) => {
                        self.compare_fences(real.fence, model.fence);
                        assert_eq!(real.attempt, model.attempt);
                        near(real.ttl_left, model.ttl_left);
                        match (real.standing, model.standing) {
                            (Standing::InFlight { left: real }, Standing::InFlight { left: model }) => near(real, model),
                            (real, model) => assert_eq!(real, model),
                        }
                    }
                    (real, model) => assert_eq!(real, model),
                }
                0
            }
            Op::Seal => {
                if let Some(record) = live {
                    let _: i64 = self.server.admin(&["HSET", &self.key(), "s", "S"]);
                    let _: i64 = self.server.admin(&["HDEL", &self.key(), "l", "m", "b", "w", "q", "u", "n", "r"]);
                    self.records[self.at] = Some(Record { state: State::Sealed, ..record.clone() });
                }
                0
            }
        }
    }

    fn claim(&self, owner: u8, lives: bool, ttl: bool, mailbox: Option<u8>, on_unknown: OnUnknown) -> Claim {
        Claim {
            name: self.name(),
            fingerprint: Fingerprint::from_bytes([0; 32]),
            owner: nonce(owner),
            lease: length(lives),
            ttl: kept(ttl),
            mailbox: mailbox.map(|number| Mailbox::from_bytes([number; 16])),
            on_unknown,
            on_absent: OnAbsent::Begin,
            note: Bytes::new(),
        }
    }

    fn apply<T>(&mut self, step: Step<T>) -> usize {
        self.write(self.at, step.write);
        step.wake.len()
    }

    fn write(&mut self, at: usize, write: Write) {
        match write {
            Write::Nothing => {}
            Write::Put(record) => self.records[at] = Some(*record),
            Write::Delete => self.records[at] = None,
        }
    }

    fn compare_undone(&mut self, real: Undone, model: &Undone) {
        match (real, model) {
            (Undone::Own(real), Undone::Own(model)) => self.compare_claims(real, model),
            (Undone::StepInFlight { left: real }, Undone::StepInFlight { left: model }) => near(real, *model),
            (
                Undone::StepProbe { fence: real, sent_ago, note },
                Undone::StepProbe { fence: model, sent_ago: model_ago, note: model_note },
            ) => {
                self.at = 1 - self.at;
                self.compare_fences(real, *model);
                self.at = 1 - self.at;
                assert_eq!(&note, model_note);
                near(sent_ago, *model_ago);
            }
            (real, model) => assert_eq!(&real, model),
        }
    }

    /// The same claim on both sides; the fence is counted from the newest one seen.
    fn tokens(&self, owner: u8, fence: usize) -> (Token, Token) {
        let fences = &self.fences[self.at];
        let seen = fences.len().checked_sub(fence + 1).map(|i| fences[i]);
        let (real, model) = seen.unwrap_or((Fence(7), Fence(7)));
        let token = |fence| Token { name: self.name(), owner: nonce(owner), fence };
        (token(real), token(model))
    }

    fn compare_claims(&mut self, real: Claimed, model: &Claimed) {
        match (real, model) {
            (Claimed::Fresh(real), Claimed::Fresh(model)) | (Claimed::Retake(real), Claimed::Retake(model)) => {
                self.compare_grants(real, *model);
            }
            (Claimed::Replay(real), Claimed::Replay(model)) => self.compare_done(&real, model),
            (Claimed::InFlight { left: real }, Claimed::InFlight { left: model }) => near(real, *model),
            (
                Claimed::Probe { fence: real, attempt, sent_ago },
                Claimed::Probe { fence: model, attempt: model_attempt, sent_ago: model_ago },
            ) => {
                self.compare_fences(real, *model);
                assert_eq!(attempt, *model_attempt);
                near(sent_ago, *model_ago);
            }
            (real, model) => assert_eq!(&real, model),
        }
    }

    fn compare_grants(&mut self, real: Grant, model: Grant) {
        assert_eq!(real.attempt, model.attempt);
        self.compare_fences(real.fence, model.fence);
    }

    fn compare_done(&mut self, real: &Done, model: &Done) {
        assert_eq!((&real.response, real.attempt), (&model.response, model.attempt));
        near(real.ttl_left, model.ttl_left);
        self.compare_fences(real.fence, model.fence);
    }

    /// Equal fences here are equal fences there, and so are greater ones.
    fn compare_fences(&mut self, real: Fence, model: Fence) {
        if real == model {
            return; // One that this test made up.
        }
        if let Some(known) = self.fences[self.at].iter().find(|known| known.0 == real || known.1 == model) {
            assert_eq!(*known, (real, model));
            return;
        }
        if let (Some(last), Some(_)) = (self.fences[self.at].last(), &self.records[self.at]) {
            assert!(real > last.0 && model > last.1, "a new fence is the greatest");
        }
        self.fences[self.at].push((real, model));
    }

    /// What is stored, field by field.
    fn compare_records(&mut self, op: &Op) {
        let stored: BTreeMap<String, Vec<u8>> = self.server.admin(&["HGETALL", &self.key()]);
        let Some(model) = self.live(self.at) else {
            assert!(stored.is_empty(), "after {op:?} there is still {stored:?}");
            return;
        };
        let text = |field: &str| String::from_utf8(stored[field].clone()).unwrap();
        assert_eq!(text("v"), "1");
        assert_eq!(stored["p"], model.fingerprint.as_bytes(), "{op:?}");
        assert_eq!(stored["o"], model.owner.as_bytes(), "{op:?}");
        assert_eq!(text("a"), model.attempt.to_string(), "{op:?}");
        self.compare_fences(Fence(text("f").parse().unwrap()), model.fence);
        let expected = match &model.state {
            State::Open(open) => {
                self.compare_open(open, &stored);
                "O"
            }
            State::Done(response) => {
                assert_eq!(stored["r"], response.as_ref());
                assert_eq!(stored.len(), 7, "{stored:?}");
                "D"
            }
            State::Sealed => {
                assert!(!stored.contains_key("n") && !stored.contains_key("w"), "{stored:?}");
                "S"
            }
        };
        assert_eq!(text("s"), expected, "{op:?}");
    }

    fn compare_open(&self, open: &Open, stored: &BTreeMap<String, Vec<u8>>) {
        let now = refrain::time::wall_now().as_unix_ms();
        let number = |field: &str| String::from_utf8(stored[field].clone()).unwrap().parse::<u64>().unwrap();
        let ahead = |at: Timestamp| self.now.until(at);
        let real_ahead = |field: &str| Duration::from_millis(number(field).saturating_sub(now));
        near(real_ahead("l"), ahead(open.lease_until));
        near(real_ahead("b"), ahead(open.sent_by));
        assert_eq!(number("m"), open.lease_ms);
        let mailboxes: String = open.mailboxes.iter().map(Mailbox::to_string).collect();
        assert_eq!(stored.get("w").cloned().unwrap_or_default(), mailboxes.into_bytes());
        assert_eq!(stored.get("q").map(Vec::as_slice), open.probe.as_ref().map(|probe| probe.prober.as_bytes().as_slice()));
        assert_eq!(stored.get("n").cloned().unwrap_or_default(), open.note);
        if let Some(probe) = &open.probe {
            near(real_ahead("u"), ahead(probe.until));
        }
    }

    fn key(&self) -> String {
        key_of(self.name())
    }
}

fn nonce(number: u8) -> Owner {
    Owner::from_bytes([number; 16])
}

fn near(real: Duration, model: Duration) {
    assert!(real.abs_diff(model) < CLOCKS_DIFFER_BY, "{real:?} against {model:?}");
}
