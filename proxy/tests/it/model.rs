//! A model check of the record's protocol, on the transitions themselves: every interleaving, within small bounds, of claims, sends,
//! renewals, completions, probes, lost answers, lapsing leases and crashes of three clients with one key.

use std::{
    hash::{Hash, Hasher},
    time::Duration,
};

use bytes::Bytes;
use refrain::{
    ids::{Fence, Fingerprint, Owner, RecordName},
    store::{
        Claim, Claimed, Complete, Completed, Held, OnAbsent, OnUnknown, ProbeVerdict, Renewal, Settle, Settled, Token,
        transition::{self, Record, State, Write},
    },
    time::Timestamp,
};
use stateright::{Checker, Model, Property};

mod sagas;

const NAME: RecordName = RecordName::from_bytes([0; 32]);
const FINGERPRINT: Fingerprint = Fingerprint::from_bytes([0; 32]);
/// One tick of the model is a millisecond.
const LEASE: u64 = 2;
const TTL: Duration = Duration::from_secs(1);

/// What is checked, and what is left out to see the check fail.
#[derive(Clone)]
struct Protocol {
    clients: usize,
    ticks: u64,
    on_unknown: OnUnknown,
    /// Whether the store compares owner and fence at a completion.
    fencing: bool,
    /// Whether a client looks at its lease right before it sends.
    looks_before_sending: bool,
}

/// A client with one request to make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Client {
    /// It has no claim that it knows of.
    Idle,
    /// It has a claim, good until then as far as it knows.
    Holding { fence: Fence, attempt: u32, until: u64, sent: bool },
    /// It asks the service.
    Probing { fence: Fence },
    /// It has answered its caller with the reply to this client's send.
    Answered(u8),
    /// It has crashed, or told its caller that nobody knows.
    Gone,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct World {
    now: u64,
    record: Option<Record>,
    clients: Vec<Client>,
    /// Whose sends the upstream acted on, in order.
    acted: Vec<u8>,
    /// Whether somebody sent while another held an unlapsed lease.
    overlapped: bool,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        postcard::to_allocvec(&self.record).unwrap().hash(state);
        (self.now, &self.clients, &self.acted, self.overlapped).hash(state);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Tick,
    Claim {
        client: usize,
        answer_lost: bool,
    },
    Send {
        client: usize,
    },
    Extend {
        client: usize,
        answer_lost: bool,
    },
    Complete {
        client: usize,
        answer_lost: bool,
    },
    Doubt {
        client: usize,
    },
    /// It gives up before it sent: with its fence, or, if no claim was ever answered, without.
    Release {
        client: usize,
    },
    Settle {
        client: usize,
        answer_lost: bool,
    },
    Crash {
        client: usize,
    },
}

fn owner(client: usize) -> Owner {
    Owner::from_bytes([u8::try_from(client).unwrap() + 1; 16])
}

fn lease() -> Duration {
    Duration::from_millis(LEASE)
}

impl World {
    fn time(&self) -> Timestamp {
        Timestamp::from_unix_ms(self.now)
    }

    /// One step of the store.
    fn store<T>(&mut self, rule: impl FnOnce(Option<&Record>, Timestamp) -> transition::Step<T>) -> T {
        let now = self.time();
        let step = rule(self.record.as_ref().and_then(|record| record.live(now)), now);
        match step.write {
            Write::Nothing => {}
            Write::Put(record) => self.record = Some(*record),
            Write::Delete => self.record = None,
        }
        step.outcome
    }

    fn token(&self, client: usize) -> Option<Token> {
        match self.clients[client] {
            Client::Holding { fence, .. } => Some(Token { name: NAME, owner: owner(client), fence }),
            Client::Idle | Client::Probing { .. } | Client::Answered(_) | Client::Gone => None,
        }
    }

    fn claim(&mut self, client: usize, on_unknown: OnUnknown, answer_lost: bool) {
        let claim = Claim {
            name: NAME,
            fingerprint: FINGERPRINT,
            owner: owner(client),
            lease: lease(),
            ttl: TTL,
            mailbox: None,
            on_unknown,
            on_absent: OnAbsent::Begin,
            note: Bytes::new(),
        };
        let claimed = self.store(|record, now| transition::claim(record, &claim, Timestamp::ZERO, now));
        if answer_lost {
            return;
        }
        self.clients[client] = match claimed {
            Claimed::Fresh(grant) | Claimed::Retake(grant) => {
                Client::Holding { fence: grant.fence, attempt: grant.attempt, until: self.now + LEASE, sent: false }
            }
            Claimed::Replay(done) => Client::Answered(done.response[0]),
            Claimed::Probe { fence, .. } => Client::Probing { fence },
            Claimed::InFlight { .. } | Claimed::Unknown { .. } | Claimed::Mismatch | Claimed::Sealed => Client::Idle,
        };
    }

    fn send(&mut self, client: usize) {
        let others = self.clients.iter().enumerate().filter(|(other, _)| *other != client);
        self.overlapped |=
            others.into_iter().any(|(_, other)| matches!(other, Client::Holding { until, .. } if *until > self.now));
        self.acted.push(u8::try_from(client).unwrap());
        if let Client::Holding { sent, .. } = &mut self.clients[client] {
            *sent = true;
        }
    }

    fn complete(&mut self, client: usize, fencing: bool, answer_lost: bool) {
        let Client::Holding { fence, attempt, .. } = self.clients[client] else { return };
        let ours = u8::try_from(client).unwrap();
        let token = Token { name: NAME, owner: owner(client), fence };
        let complete = Complete { token, attempt, fingerprint: FINGERPRINT, ttl: TTL, response: Bytes::copy_from_slice(&[ours]) };
        let completed = if fencing {
            self.store(|record, now| transition::complete(record, &complete, now))
        } else {
            // A store that writes what it is told: as if there were no record.
            self.store(|_, now| transition::complete(None, &complete, now))
        };
        if !answer_lost {
            self.clients[client] = match completed {
                Completed::Kept | Completed::Already => Client::Answered(ours),
                Completed::Fenced(Some(done)) => Client::Answered(done.response[0]),
                Completed::Fenced(None) => Client::Gone,
            };
        }
    }

    fn settle(&mut self, client: usize, answer_lost: bool) {
        let Client::Probing { fence } = self.clients[client] else { return };
        let verdict = match self.acted.first() {
            Some(acted) => ProbeVerdict::Done { response: Bytes::copy_from_slice(&[*acted]), ttl: TTL },
            None => ProbeVerdict::NotDone { lease: lease(), ttl: TTL },
        };
        let settle = Settle { name: NAME, prober: owner(client), fence, verdict };
        let settled = self.store(|record, now| transition::settle(record, &settle, now));
        if !answer_lost {
            self.clients[client] = match settled {
                Settled::Done(done) => Client::Answered(done.response[0]),
                Settled::Retake(grant) => {
                    Client::Holding { fence: grant.fence, attempt: grant.attempt, until: self.now + LEASE, sent: false }
                }
                Settled::Sealed | Settled::Freed | Settled::Lost => Client::Idle,
            };
        }
    }

    fn extend(&mut self, client: usize, answer_lost: bool) {
        let (Some(token), Client::Holding { sent, .. }) = (self.token(client), self.clients[client]) else { return };
        let renewal = Renewal { token, lease: lease(), sent };
        let held = self.store(|record, now| transition::extend(record, &renewal, now));
        let renewed = self.now + LEASE;
        if let (Client::Holding { until, .. }, Held::Kept, false) = (&mut self.clients[client], held, answer_lost) {
            *until = renewed;
        }
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        let clients = vec![Client::Idle; self.clients];
        vec![World { now: 1, record: None, clients, acted: Vec::new(), overlapped: false }]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.now < self.ticks {
            actions.push(Action::Tick);
        }
        for (client, state) in world.clients.iter().enumerate() {
            for answer_lost in [false, true] {
                match state {
                    Client::Idle => actions.push(Action::Claim { client, answer_lost }),
                    Client::Probing { .. } => actions.push(Action::Settle { client, answer_lost }),
                    Client::Holding { sent, .. } => {
                        actions.push(Action::Extend { client, answer_lost });
                        if *sent {
                            actions.push(Action::Complete { client, answer_lost });
                        }
                    }
                    Client::Answered(_) | Client::Gone => {}
                }
            }
            match state {
                Client::Holding { until, sent: false, .. } => {
                    if *until > world.now || !self.looks_before_sending {
                        actions.push(Action::Send { client });
                    }
                    actions.extend([Action::Release { client }, Action::Crash { client }]);
                }
                Client::Holding { sent: true, .. } => actions.extend([Action::Doubt { client }, Action::Crash { client }]),
                Client::Probing { .. } => actions.push(Action::Crash { client }),
                Client::Idle => actions.push(Action::Release { client }),
                Client::Answered(_) | Client::Gone => {}
            }
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Tick => world.now += 1,
            Action::Claim { client, answer_lost } => world.claim(client, self.on_unknown, answer_lost),
            Action::Send { client } => world.send(client),
            Action::Extend { client, answer_lost } => world.extend(client, answer_lost),
            Action::Complete { client, answer_lost } => world.complete(client, self.fencing, answer_lost),
            Action::Doubt { client } => {
                let token = world.token(client)?;
                world.store(|record, now| transition::doubt(record, &token, now));
                world.clients[client] = Client::Gone;
            }
            Action::Release { client } => {
                let fence = world.token(client).map(|token| token.fence);
                world.store(|record, now| transition::release(record, owner(client), fence, now));
                world.clients[client] = Client::Gone;
            }
            Action::Settle { client, answer_lost } => world.settle(client, answer_lost),
            Action::Crash { client } => world.clients[client] = Client::Gone,
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one response per key", |_, world: &World| {
                let recorded = world.record.iter().filter_map(|record| match &record.state {
                    State::Done(response) => Some(response[0]),
                    State::Open(_) | State::Sealed => None,
                });
                let answered = world.clients.iter().filter_map(|client| match client {
                    Client::Answered(response) => Some(*response),
                    _ => None,
                });
                let mut responses: Vec<u8> = recorded.chain(answered).collect();
                responses.dedup();
                responses.len() <= 1
            }),
            Property::always("one owner at a time", |_, world: &World| {
                let holds = |client| {
                    let Some(token) = world.token(client) else { return false };
                    let renewal = Renewal { token, lease: lease(), sent: true };
                    transition::extend(world.record.as_ref(), &renewal, world.time()).outcome == Held::Kept
                };
                (0..world.clients.len()).filter(|client| holds(*client)).count() <= 1
            }),
            Property::always("one send per unlapsed lease", |_, world: &World| !world.overlapped),
            Property::always("one send unless it may be sent again", |protocol: &Self, world: &World| {
                protocol.on_unknown == OnUnknown::Resend || world.acted.len() <= 1
            }),
            Property::sometimes("everybody is answered", |_, world: &World| {
                world.clients.iter().all(|client| matches!(client, Client::Answered(_)))
            }),
        ]
    }
}

const WHOLE: Protocol =
    Protocol { clients: 3, ticks: 5, on_unknown: OnUnknown::Resend, fencing: true, looks_before_sending: true };

fn check(protocol: Protocol) {
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    eprintln!("{} states", checker.unique_state_count());
    checker.assert_properties();
}

fn finds(protocol: Protocol, broken: &'static str) {
    let checker = protocol.checker().threads(2).spawn_bfs().join();
    checker.assert_any_discovery(broken);
}

#[test]
fn under_resend_every_interleaving_keeps_the_promises() {
    check(WHOLE);
}

#[test]
fn under_hold_every_interleaving_sends_at_most_once() {
    check(Protocol { on_unknown: OnUnknown::Hold, ..WHOLE });
}

#[test]
fn under_probe_every_interleaving_sends_at_most_once() {
    check(Protocol { on_unknown: OnUnknown::Probe { lease: lease() }, ..WHOLE });
}

#[test]
fn without_fencing_a_key_has_two_responses() {
    finds(Protocol { clients: 2, fencing: false, ..WHOLE }, "one response per key");
}

#[test]
fn without_a_look_at_the_lease_two_sends_overlap() {
    finds(Protocol { clients: 2, looks_before_sending: false, ..WHOLE }, "one send per unlapsed lease");
}
