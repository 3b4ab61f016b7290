//! Runs: one plan of faults, or all there are up to a number.

use std::collections::HashSet;

use super::{
    ending::Ending,
    fault::{Fault, Outcome, Point},
    stage::Stage,
    world::{Moment, World},
};

/// A fault that is planned: it happens where it can happen first.
#[derive(Clone, Debug)]
pub(super) struct Planned {
    pub(super) step: String,
    pub(super) undo: bool,
    pub(super) outcome: Outcome,
}

impl Planned {
    pub(super) fn new(step: impl Into<String>, undo: bool, outcome: Outcome) -> Self {
        Self { step: step.into(), undo, outcome }
    }

    fn is_at(&self, point: &Point) -> bool {
        let fault = point.fault(self.outcome);
        fault.step.name() == self.step && fault.undo == self.undo && point.has(self.outcome)
    }
}

/// Plays a saga with these faults, in this order. `None`: there is no place for one of them.
pub(super) fn play<'s>(stage: &'s Stage, plan: &[Planned]) -> Option<World<'s>> {
    let mut world = World::new(stage);
    let mut plan = plan.iter().peekable();
    // Bounded by the turns of a world.
    loop {
        match world.advance() {
            Moment::End | Moment::Endless => break,
            Moment::Choice(point) => {
                let next = plan.next_if(|next| next.is_at(&point) && world.can_happen(next.outcome));
                world.decide(next.map(|next| point.fault(next.outcome)));
            }
        }
    }
    plan.peek().is_none().then_some(world)
}

/// How far all runs are gone through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The most faults of one run.
    pub faults: usize,
    /// The most runs of one case.
    pub runs: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { faults: 2, runs: 50_000 }
    }
}

/// Whether an exploration goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// It does.
    On,
    /// It is stopped here.
    Stop,
}

/// What came of going through all runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Explored {
    /// Runs to their end.
    pub(super) runs: u64,
    /// Runs that were not taken, for they would go on as another did.
    pub(super) known: u64,
    /// Whether some were left out.
    pub(super) is_cut: bool,
}

/// A place where more than one thing can happen, and what is still to be tried there.
struct Fork<'s> {
    world: World<'s>,
    point: Point,
    left: Vec<Outcome>,
    faults_left: usize,
}

/// Goes through all runs with exactly so many faults, depth first, the last choice first. Each is played from where it parts from
/// the one before.
pub(super) fn explore(stage: &Stage, faults: usize, most: u64, see: &mut dyn FnMut(Ending) -> Go) -> Explored {
    let mut explored = Explored::default();
    let mut seen: HashSet<(u128, usize)> = HashSet::new();
    let mut forks: Vec<Fork<'_>> = Vec::new();
    let mut present = Some((World::new(stage), faults));
    // Bounded by `most`, and by the turns of a world.
    loop {
        if let Some((world, left)) = present.take() {
            let run = play_on(world, left, &mut forks);
            // One with fewer faults was seen before.
            if let Some(ending) = run.filter(|ending| ending.faults.len() == faults) {
                explored.runs += 1;
                if see(ending) == Go::Stop || explored.runs >= most {
                    explored.is_cut = !forks.is_empty();
                    return explored;
                }
            }
        }
        let Some(fork) = forks.last_mut() else { return explored };
        let Some(outcome) = fork.left.pop() else {
            forks.pop();
            continue;
        };
        let mut world = fork.world.clone();
        world.decide(Some(fork.point.fault(outcome)));
        let left = fork.faults_left - 1;
        // Where nothing more goes wrong, playing on costs no more than looking whether that is known.
        if left > 0 && !seen.insert((world.digest(), left)) {
            explored.known += 1;
        } else {
            present = Some((world, left));
        }
    }
}

/// Plays to the end as it should go, and leaves a fork wherever it could go otherwise.
fn play_on<'s>(mut world: World<'s>, left: usize, forks: &mut Vec<Fork<'s>>) -> Option<Ending> {
    loop {
        match world.advance() {
            Moment::End | Moment::Endless => return Some(Ending::of(world)),
            Moment::Choice(point) => {
                if left > 0 {
                    let others: Vec<Outcome> = tried(&point, &world);
                    if !others.is_empty() {
                        forks.push(Fork { world: world.clone(), point: point.clone(), left: others, faults_left: left });
                    }
                }
                world.decide(None);
            }
        }
    }
}

/// What else can happen at a point. What never ends is in the table, and in no pair: it hides what comes after.
fn tried(point: &Point, world: &World<'_>) -> Vec<Outcome> {
    use Outcome::{
        CrashAfterRecord, CrashBeforeRecord, CrashBeforeSend, Declined, NeverSent, NoCallback, NotSent, ProbeLost, Refused,
        SilentApplied, SilentNotApplied, UnknownApplied, UnknownLate, UnknownNotApplied,
    };
    let is_undo = point.of().direction == super::super::entry::Direction::Undo;
    let all: &[Outcome] = match point {
        Point::Send(_) if is_undo => &[Refused, NotSent, UnknownApplied, UnknownNotApplied, UnknownLate],
        Point::Send(_) if world.reads() => &[Refused, NeverSent, NotSent, UnknownNotApplied],
        Point::Send(_) => {
            &[Refused, NeverSent, NotSent, UnknownApplied, UnknownNotApplied, UnknownLate, SilentApplied, SilentNotApplied]
        }
        Point::Record(_) => &[CrashBeforeRecord, CrashAfterRecord],
        Point::Intent(_) => &[CrashBeforeSend],
        Point::Probe(_) => &[ProbeLost, Refused],
        Point::Callback(_) => &[Declined, NoCallback],
    };
    // Taken from the end.
    all.iter().rev().copied().filter(|outcome| world.can_happen(*outcome)).collect()
}

/// What went wrong, as a fault of the first kind: for the shortest way to something.
pub(super) fn weight(ending: &Ending) -> (usize, usize, Vec<Fault>) {
    (ending.faults.len(), ending.story.len(), ending.faults.clone())
}
