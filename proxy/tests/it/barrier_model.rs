//! A model check of the barrier, on the transitions themselves: a step sent twice, an undo sent twice, crashes, lost answers, late
//! requests, probes and time, in every order. After an undo was answered, nothing of the step remains or arrives.

use std::{
    hash::{Hash, Hasher},
    time::Duration,
};

use bytes::Bytes;
use refrain::{
    ids::{Fence, Fingerprint, Owner, RecordName},
    store::{
        Absence, Claim, Claimed, Complete, Completed, Grant, OnAbsent, OnStepUnknown, OnUnknown, ProbeVerdict, Settle, Settled,
        Token, Undo, Undone,
        transition::{self, Record, Write},
    },
    time::Timestamp,
};
use stateright::{Checker, Model, Property};

const STEP: RecordName = RecordName::from_bytes([1; 32]);
const UNDO: RecordName = RecordName::from_bytes([2; 32]);
const FINGERPRINT: Fingerprint = Fingerprint::from_bytes([0; 32]);
/// One tick of the model is a millisecond.
const LEASE: u64 = 1;
/// How long the service may act on a request that was sent.
const ACTS_WITHIN: u64 = 2;
const TTL: Duration = Duration::from_secs(1);

/// What is checked, and what is left out to see the check fail.
#[derive(Clone)]
struct Protocol {
    /// How often the step and its undo are sent.
    steps: usize,
    undos: usize,
    ticks: u64,
    /// Whether the service can be asked for the step.
    has_probe: bool,
    /// Whether the undo may be sent where nobody knows, after [`ACTS_WITHIN`].
    sends_in_doubt: bool,
    /// Whether the undo waits that long.
    waits: bool,
    /// Whether a step that was not seen is sealed by its undo.
    seals: bool,
}

/// A request on its way, step or undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Request {
    /// Not at the sidecar yet, or to come again.
    Outside,
    /// It has the claim, good until then as far as it knows.
    Holding { fence: Fence, attempt: u32, until: u64 },
    /// The service has it, and will act until then, or never.
    Sent { fence: Fence, attempt: u32, by: u64, acted: bool },
    /// It asks the service for the step.
    Asking { fence: Fence },
    /// It was answered: with 2xx, or with something else.
    Answered { well: bool },
    /// Its sidecar has crashed. What the service has of it, it has.
    Gone { by: Option<u64> },
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct World {
    now: u64,
    step: Option<Record>,
    undo: Option<Record>,
    /// The sends of the step.
    steps: usize,
    /// They, then the sends of its undo.
    requests: Vec<Request>,
    /// What the service did, in order: `true` for the step, `false` for the undo.
    did: Vec<bool>,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        postcard::to_allocvec(&(&self.step, &self.undo)).unwrap().hash(state);
        (self.now, &self.requests, &self.did).hash(state);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Tick,
    /// It reaches the sidecar, which looks into its store.
    Arrive {
        request: usize,
        answer_lost: bool,
    },
    Send {
        request: usize,
    },
    /// The service acts on it.
    Act {
        request: usize,
    },
    Complete {
        request: usize,
    },
    Doubt {
        request: usize,
    },
    Release {
        request: usize,
    },
    Settle {
        request: usize,
        answer_lost: bool,
    },
    Crash {
        request: usize,
    },
}

fn owner(request: usize) -> Owner {
    Owner::from_bytes([u8::try_from(request).unwrap() + 1; 16])
}

fn ms(ticks: u64) -> Duration {
    Duration::from_millis(ticks)
}

impl World {
    const fn is_undo(&self, request: usize) -> bool {
        request >= self.steps
    }

    fn time(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.now)
    }

    fn record(&mut self, request: usize) -> &mut Option<Record> {
        if self.is_undo(request) { &mut self.undo } else { &mut self.step }
    }

    /// One step of the store on one record.
    fn store<T>(&mut self, request: usize, rule: impl FnOnce(Option<&Record>, Timestamp) -> transition::Step<T>) -> T {
        let now = self.time();
        let step = rule(self.record(request).as_ref(), now);
        write(self.record(request), step.write);
        step.outcome
    }

    fn claim(&self, request: usize) -> Claim {
        Claim {
            name: if self.is_undo(request) { UNDO } else { STEP },
            fingerprint: FINGERPRINT,
            owner: owner(request),
            lease: ms(LEASE),
            ttl: TTL,
            mailbox: None,
            on_unknown: if self.is_undo(request) { OnUnknown::Resend } else { OnUnknown::Hold },
            on_absent: OnAbsent::Begin,
            note: Bytes::new(),
        }
    }

    fn arrive(&mut self, protocol: &Protocol, request: usize, answer_lost: bool) {
        let claim = self.claim(request);
        let after = |waits: bool| if waits { ms(ACTS_WITHIN) } else { Duration::ZERO };
        let found = if self.is_undo(request) {
            let otherwise = protocol.sends_in_doubt.then(|| after(protocol.waits));
            let undo = Undo {
                claim,
                step: STEP,
                knows_done: false,
                absence: Absence::Proof,
                on_step_unknown: match (protocol.has_probe, otherwise) {
                    (true, otherwise) => OnStepUnknown::Probe { lease: ms(LEASE), otherwise },
                    (false, Some(after)) => OnStepUnknown::Send { after },
                    (false, None) => OnStepUnknown::Hold,
                },
            };
            let both = transition::undo(self.step.as_ref(), self.undo.as_ref(), &undo, Timestamp::ZERO, self.time());
            if protocol.seals {
                write(&mut self.step, both.step);
            }
            write(&mut self.undo, both.own);
            both.outcome
        } else {
            let note = if protocol.has_probe { Bytes::from_static(b"note") } else { Bytes::new() };
            let claim = Claim { note, ..claim };
            Undone::Own(self.store(request, |record, now| transition::claim(record, &claim, Timestamp::ZERO, now)))
        };
        if answer_lost {
            return;
        }
        self.requests[request] = match found {
            Undone::Own(Claimed::Fresh(grant) | Claimed::Retake(grant)) => self.holding(grant),
            Undone::Own(Claimed::Replay(_)) => Request::Answered { well: true },
            Undone::StepProbe { fence, .. } => Request::Asking { fence },
            Undone::Own(Claimed::Sealed) => Request::Answered { well: false },
            Undone::Own(_) | Undone::StepInFlight { .. } | Undone::StepUnknown { .. } => Request::Outside,
        };
    }

    fn holding(&self, Grant { fence, attempt }: Grant) -> Request {
        Request::Holding { fence, attempt, until: self.now + LEASE }
    }

    fn complete(&mut self, request: usize) {
        let Request::Sent { fence, attempt, .. } = self.requests[request] else { return };
        let token = Token { name: self.claim(request).name, owner: owner(request), fence };
        let complete = Complete { token, attempt, fingerprint: FINGERPRINT, ttl: TTL, response: Bytes::from_static(b"ok") };
        let completed = self.store(request, |record, now| transition::complete(record, &complete, now));
        self.requests[request] = Request::Answered { well: !matches!(completed, Completed::Fenced(None)) };
    }

    fn settle(&mut self, request: usize, answer_lost: bool) {
        let Request::Asking { fence } = self.requests[request] else { return };
        let State { acted, can_act } = self.state_of_step();
        let verdict = match (acted, can_act) {
            (true, _) => ProbeVerdict::Done { response: Bytes::from_static(b"ok"), ttl: TTL },
            // `after` is long enough: "not done" counts only when no send can act any more.
            (false, false) => ProbeVerdict::Seal { ttl: TTL },
            (false, true) => ProbeVerdict::Undecided,
        };
        let settle = Settle { name: STEP, prober: owner(request), fence, verdict };
        let now = self.time();
        let step = transition::settle(self.step.as_ref(), &settle, now);
        write(&mut self.step, step.write);
        if !answer_lost {
            assert!(!matches!(step.outcome, Settled::Retake(_)), "an undo never becomes its step's owner");
            self.requests[request] = Request::Outside;
        }
    }

    fn state_of_step(&self) -> State {
        let can_act = self.requests[..self.steps].iter().any(|request| match request {
            Request::Sent { by, acted, .. } => !acted && *by > self.now,
            Request::Gone { by: Some(by) } => *by > self.now,
            _ => false,
        });
        State { acted: self.did.contains(&true), can_act }
    }

    fn is_undone(&self) -> bool {
        self.requests[self.steps..].contains(&Request::Answered { well: true })
    }

    fn act(&mut self, request: usize) {
        self.did.push(!self.is_undo(request));
        self.requests[request] = match self.requests[request] {
            Request::Sent { fence, attempt, by, .. } => Request::Sent { fence, attempt, by, acted: true },
            _ => Request::Gone { by: None },
        };
    }
}

/// What the service can tell of the step.
struct State {
    acted: bool,
    can_act: bool,
}

fn write(record: &mut Option<Record>, write: Write) {
    match write {
        Write::Nothing => {}
        Write::Put(new) => *record = Some(*new),
        Write::Delete => *record = None,
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let requests = vec![Request::Outside; self.steps + self.undos];
        vec![World { now: 1, step: None, undo: None, steps: self.steps, requests, did: Vec::new() }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.now < self.ticks {
            actions.push(Action::Tick);
        }
        for (request, state) in world.requests.iter().enumerate() {
            match *state {
                Request::Outside => {
                    actions.extend([false, true].map(|answer_lost| Action::Arrive { request, answer_lost }));
                }
                Request::Holding { until, .. } => {
                    if until > world.now {
                        actions.push(Action::Send { request });
                    }
                    actions.extend([Action::Release { request }, Action::Crash { request }]);
                }
                Request::Sent { by, acted, .. } => {
                    if acted {
                        actions.push(Action::Complete { request });
                    } else if by > world.now {
                        actions.push(Action::Act { request });
                    }
                    actions.extend([Action::Doubt { request }, Action::Crash { request }]);
                }
                Request::Asking { .. } => {
                    actions.extend([false, true].map(|answer_lost| Action::Settle { request, answer_lost }));
                    actions.push(Action::Crash { request });
                }
                Request::Gone { by: Some(by) } if by > world.now => actions.push(Action::Act { request }),
                Request::Gone { .. } | Request::Answered { .. } => {}
            }
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Tick => world.now += 1,
            Action::Arrive { request, answer_lost } => world.arrive(self, request, answer_lost),
            Action::Send { request } => {
                let Request::Holding { fence, attempt, .. } = world.requests[request] else { return None };
                world.requests[request] = Request::Sent { fence, attempt, by: world.now + ACTS_WITHIN, acted: false };
            }
            Action::Act { request } => world.act(request),
            Action::Complete { request } => world.complete(request),
            Action::Doubt { request } => {
                let Request::Sent { fence, by, acted, .. } = world.requests[request] else { return None };
                let token = Token { name: world.claim(request).name, owner: owner(request), fence };
                world.store(request, |record, now| transition::doubt(record, &token, now));
                world.requests[request] = Request::Gone { by: (!acted).then_some(by) };
            }
            Action::Release { request } => {
                let Request::Holding { fence, .. } = world.requests[request] else { return None };
                world.store(request, |record, now| transition::release(record, owner(request), Some(fence), now));
                world.requests[request] = Request::Gone { by: None };
            }
            Action::Settle { request, answer_lost } => world.settle(request, answer_lost),
            Action::Crash { request } => {
                world.requests[request] = match world.requests[request] {
                    Request::Sent { by, acted: false, .. } => Request::Gone { by: Some(by) },
                    _ => Request::Gone { by: None },
                };
            }
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("nothing of the step remains once its undo was answered", |_, world: &World| {
                !world.is_undone() || world.did.iter().rposition(|did| *did) <= world.did.iter().rposition(|did| !*did)
            }),
            Property::always("the step is done at most once", |_, world: &World| {
                world.did.iter().filter(|did| **did).count() <= 1
            }),
            Property::sometimes("an undo has nothing to undo", |_, world: &World| world.is_undone() && world.did.is_empty()),
            Property::sometimes("an undo undoes", |_, world: &World| world.is_undone() && world.did == [true, false]),
            Property::sometimes("a late step is cancelled", |_, world: &World| {
                world.requests[..world.steps].contains(&Request::Answered { well: false })
            }),
        ]
    }
}

const WHOLE: Protocol =
    Protocol { steps: 2, undos: 1, ticks: 5, has_probe: false, sends_in_doubt: true, waits: true, seals: true };
const LEFT: &str = "nothing of the step remains once its undo was answered";

/// Checks one undo of a step that is sent twice, and two undos of a step that is sent once.
fn check(protocol: Protocol) {
    for (steps, undos) in [(2, 1), (1, 2)] {
        let checker = Protocol { steps, undos, ..protocol.clone() }.checker().threads(2).spawn_bfs().join();
        eprintln!("{} states", checker.unique_state_count());
        checker.assert_properties();
    }
}

/// Checks that what was left out is needed.
fn is_needed(without: Protocol) {
    without.checker().threads(2).spawn_bfs().join().assert_any_discovery(LEFT);
}

#[test]
fn without_a_probe_an_undo_leaves_nothing_of_its_step_in_any_order() {
    check(WHOLE);
}

#[test]
fn with_a_probe_an_undo_leaves_nothing_of_its_step_in_any_order() {
    check(Protocol { has_probe: true, ..WHOLE });
}

#[test]
fn an_undo_that_is_held_in_doubt_leaves_nothing_of_its_step_in_any_order() {
    check(Protocol { sends_in_doubt: false, ..WHOLE });
}

#[test]
fn without_the_seal_a_late_step_outlives_its_undo() {
    is_needed(Protocol { steps: 1, seals: false, ..WHOLE });
}

#[test]
fn without_waiting_for_its_steps_time_an_undo_overtakes_it() {
    is_needed(Protocol { steps: 1, waits: false, ..WHOLE });
}
