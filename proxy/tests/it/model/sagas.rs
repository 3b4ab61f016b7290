//! A model check of the journal's protocol, on its rules: every interleaving, within small bounds, of leases, appends, renewals,
//! lost answers and their repeats, lapsing leases and crashes of two drivers of one saga.

use std::hash::{Hash, Hasher};

use bytes::Bytes;
use refrain::{
    ids::{Fence, Fingerprint, Owner, SagaId},
    store::journal::{
        Append, Appended, Birth, Create, Next, SagaRenewal, SagaState, SagaToken,
        rules::{self, Saga, Step, Taken},
    },
    time::Timestamp,
};
use saga_config::saga::DefinitionHash;
use stateright::{Checker, HasDiscoveries, Model, Property};

use super::lease;

const ID: SagaId = SagaId::from_bytes([0; 16]);

/// What is checked, and what is left out to see the check fail.
#[derive(Clone)]
struct Protocol {
    ticks: u64,
    entries: u8,
    /// Whether the store compares owner and fence at an append.
    fencing: bool,
    /// Whether it compares the version.
    versions: bool,
    /// Whether it knows a repeat by its nonce.
    nonces: bool,
}

const WHOLE: Protocol = Protocol { ticks: 4, entries: 3, fencing: true, versions: true, nonces: true };

/// A driver, and how many crashes it has behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Driver {
    crashes: u8,
    state: DriverState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum DriverState {
    /// It has no lease that it knows of.
    Idle,
    /// It has, and knows the journal up to `version`. An append whose answer was lost is to be repeated.
    Holding { fence: Fence, version: u64, owed: Option<(u8, Turn)> },
}

/// What comes after an append.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Turn {
    Run,
    Park,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct World {
    now: u64,
    saga: Saga,
    /// The journal: entries with the fences of the drivers that wrote them.
    journal: Vec<(u8, Fence)>,
    /// How many entries were thought of. Each has its number as its content and its nonce.
    made: u8,
    drivers: [Driver; 2],
    /// Acknowledged entries, and where in the journal the driver was told they are.
    acknowledged: Vec<(u64, u8)>,
    /// Whether a repeat of an applied append was acknowledged, and whether an append was refused.
    repeated: bool,
    refused: bool,
}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        postcard::to_allocvec(&self.saga).unwrap().hash(state);
        (self.now, &self.journal, self.made, self.drivers, &self.acknowledged, self.repeated, self.refused).hash(state);
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Tick,
    Lease { driver: usize, answer_lost: bool },
    Append { driver: usize, turn: Turn, answer_lost: bool },
    Repeat { driver: usize, answer_lost: bool },
    Extend { driver: usize },
    Crash { driver: usize },
}

fn number(n: u8) -> Owner {
    Owner::from_bytes([n; 16])
}

impl World {
    fn new() -> Self {
        let birth = Birth {
            name: "order".to_owned(),
            version: 1,
            definition: DefinitionHash::from_bytes([0; 32]),
            fingerprint: Fingerprint::from_bytes([0; 32]),
            starter: Fingerprint::from_bytes([0; 32]),
            created_at: Timestamp::ZERO,
        };
        let next = Next::Park { due_in: std::time::Duration::ZERO };
        let (owner, state) = (number(255), SagaState::Running);
        let create = Create { id: ID, birth, owner, entries: Vec::new(), state, next, mailbox: None };
        let saga = *rules::create(None, &create, Timestamp::from_unix_ms(1)).put.unwrap();
        let driver = Driver { crashes: 0, state: DriverState::Idle };
        Self {
            now: 1,
            saga,
            journal: Vec::new(),
            made: 0,
            drivers: [driver; 2],
            acknowledged: Vec::new(),
            repeated: false,
            refused: false,
        }
    }

    /// One step of the store, asked for by a driver with this fence.
    fn store<T>(&mut self, by: Fence, rule: impl FnOnce(&Saga, Timestamp) -> Step<T>) -> T {
        let step = rule(&self.saga, Timestamp::from_unix_ms(self.now));
        if let Some(saga) = step.put {
            self.journal.extend(step.entries.iter().map(|entry| (entry[0], by)));
            self.saga = *saga;
        }
        step.outcome
    }

    fn token(&self, driver: usize, fence: Fence) -> SagaToken {
        SagaToken { id: ID, owner: self.owner(driver), fence }
    }

    /// A process that has crashed comes back under another nonce.
    fn owner(&self, driver: usize) -> Owner {
        number(u8::try_from(driver).unwrap() * 100 + self.drivers[driver].crashes)
    }

    fn lease(&mut self, driver: usize, answer_lost: bool) {
        let owner = self.owner(driver);
        let taken = self.store(Fence(0), |saga, now| rules::lease(Some(saga), owner, lease(), now));
        if let (Taken::Granted(saga), false) = (taken, answer_lost) {
            self.drivers[driver].state = DriverState::Holding { fence: saga.fence, version: saga.version, owed: None };
        }
    }

    fn append(&mut self, protocol: &Protocol, driver: usize, (entry, turn): (u8, Turn), answer_lost: bool) {
        let DriverState::Holding { fence, version, .. } = self.drivers[driver].state else { return };
        let next = match turn {
            Turn::Run => Next::Run { lease: lease() },
            Turn::Park => Next::Park { due_in: std::time::Duration::ZERO },
        };
        let mut append = Append {
            token: self.token(driver, fence),
            expected: version,
            nonce: number(entry),
            entries: vec![Bytes::copy_from_slice(&[entry])],
            state: SagaState::Running,
            paused: false,
            commands_taken: 0,
            next,
        };
        let before = self.journal.len();
        let appended = self.store(fence, |saga, now| {
            let mut saga = saga.clone();
            if !protocol.fencing {
                (append.token.owner, append.token.fence) = (saga.owner, saga.fence);
            }
            if !protocol.versions {
                append.expected = saga.version;
            }
            if !protocol.nonces {
                saga.last_append = None;
            }
            rules::append(Some(&saga), &append, now)
        });
        let state = match appended {
            _ if answer_lost => DriverState::Holding { fence, version, owed: Some((entry, turn)) },
            Appended::Kept(granted) => {
                self.acknowledged.push((granted.version - 1, entry));
                self.acknowledged.sort_unstable();
                self.repeated |= self.journal.len() == before;
                match turn {
                    Turn::Run => DriverState::Holding { fence, version: granted.version, owed: None },
                    Turn::Park => DriverState::Idle,
                }
            }
            Appended::Lost | Appended::Full => {
                self.refused = true;
                DriverState::Idle
            }
        };
        self.drivers[driver].state = state;
    }
}

impl Model for Protocol {
    type State = World;
    type Action = Action;

    fn init_states(&self) -> Vec<World> {
        vec![World::new()]
    }

    fn actions(&self, world: &World, actions: &mut Vec<Action>) {
        if world.now < self.ticks {
            actions.push(Action::Tick);
        }
        for (driver, Driver { crashes, state }) in world.drivers.iter().enumerate() {
            for answer_lost in [false, true] {
                match state {
                    DriverState::Idle => actions.push(Action::Lease { driver, answer_lost }),
                    DriverState::Holding { owed: Some(_), .. } => actions.push(Action::Repeat { driver, answer_lost }),
                    DriverState::Holding { owed: None, .. } if world.made < self.entries => {
                        actions.extend([Turn::Run, Turn::Park].map(|turn| Action::Append { driver, turn, answer_lost }));
                    }
                    DriverState::Holding { .. } => {}
                }
            }
            if matches!(state, DriverState::Holding { .. }) {
                actions.push(Action::Extend { driver });
                if *crashes == 0 {
                    actions.push(Action::Crash { driver });
                }
            }
        }
    }

    fn next_state(&self, last: &World, action: Action) -> Option<World> {
        let mut world = last.clone();
        match action {
            Action::Tick => world.now += 1,
            Action::Lease { driver, answer_lost } => world.lease(driver, answer_lost),
            Action::Append { driver, turn, answer_lost } => {
                world.made += 1;
                let entry = world.made;
                world.append(self, driver, (entry, turn), answer_lost);
            }
            Action::Repeat { driver, answer_lost } => {
                let DriverState::Holding { owed, .. } = world.drivers[driver].state else { return None };
                world.append(self, driver, owed?, answer_lost);
            }
            Action::Extend { driver } => {
                let DriverState::Holding { fence, .. } = world.drivers[driver].state else { return None };
                let renewal = SagaRenewal { token: world.token(driver, fence), lease: lease() };
                world.store(fence, |saga, now| rules::extend(Some(saga), &renewal, now));
            }
            Action::Crash { driver } => {
                world.drivers[driver] = Driver { crashes: world.drivers[driver].crashes + 1, state: DriverState::Idle };
            }
        }
        (world != *last).then_some(world)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("no two appends for one version", |_, world: &World| {
                world.acknowledged.windows(2).all(|pair| pair[0].0 != pair[1].0)
            }),
            Property::always("what was acknowledged stays where it was said to be", |_, world: &World| {
                let found = |at: u64| world.journal.get(usize::try_from(at).unwrap()).map(|(entry, _)| *entry);
                world.acknowledged.iter().all(|(at, entry)| found(*at) == Some(*entry))
            }),
            Property::always("each entry once, and the head counts them", |_, world: &World| {
                let mut entries: Vec<u8> = world.journal.iter().map(|(entry, _)| *entry).collect();
                entries.sort_unstable();
                entries.dedup();
                entries.len() == world.journal.len() && u64::try_from(entries.len()).unwrap() == world.saga.version
            }),
            Property::always("one driver writes after another", |_, world: &World| {
                world.journal.is_sorted_by_key(|(_, fence)| fence.0)
            }),
            Property::always("the driver knows the whole journal", |_, world: &World| {
                world.drivers.iter().enumerate().all(|(number, driver)| match driver.state {
                    DriverState::Holding { fence, version, owed: None } => {
                        let is_current = fence == world.saga.fence && world.owner(number) == world.saga.owner;
                        !is_current || version == world.saga.version
                    }
                    DriverState::Holding { .. } | DriverState::Idle => true,
                })
            }),
            Property::always("an open saga is due some day", |_, world: &World| world.saga.hold.due_at().is_some()),
            Property::sometimes("a repeat is acknowledged", |_, world: &World| world.repeated),
            Property::sometimes("an append is refused", |_, world: &World| world.refused),
            Property::sometimes("two drivers fill the journal", |protocol: &Self, world: &World| {
                let fences = [world.journal.first(), world.journal.last()].map(|entry| entry.map(|(_, fence)| *fence));
                world.acknowledged.len() == usize::from(protocol.entries) && fences[0] != fences[1]
            }),
        ]
    }
}

fn finds(protocol: Protocol, broken: &'static str) {
    let found = HasDiscoveries::AllOf([broken].into());
    let checker = protocol.checker().threads(2).finish_when(found).spawn_bfs().join();
    checker.assert_any_discovery(broken);
}

#[test]
fn every_interleaving_of_two_drivers_keeps_one_journal() {
    let checker = WHOLE.checker().threads(2).spawn_bfs().join();
    eprintln!("{} states", checker.unique_state_count());
    checker.assert_properties();
}

#[test]
fn without_fencing_a_saga_changes_behind_its_drivers_back() {
    finds(Protocol { fencing: false, ..WHOLE }, "the driver knows the whole journal");
}

#[test]
fn without_fencing_and_versions_two_drivers_write_at_once() {
    finds(Protocol { fencing: false, versions: false, ..WHOLE }, "one driver writes after another");
}

#[test]
fn without_versions_and_nonces_a_repeat_is_written_twice() {
    finds(Protocol { versions: false, nonces: false, ..WHOLE }, "each entry once, and the head counts them");
}
