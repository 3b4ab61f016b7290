//! What can go wrong, and where.

use saga_config::names::StepPath;
use serde::Serialize;

use super::super::entry::{Direction, Which};

/// What becomes of one call of a step, or of its undo.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is carried out, and its answer arrives.
    Done,
    /// The service says no.
    Refused,
    /// No byte leaves; the next attempt arrives.
    NotSent,
    /// No byte ever leaves, until the saga turns back.
    NeverSent,
    /// It is carried out, and its answer is lost.
    UnknownApplied,
    /// It is lost.
    UnknownNotApplied,
    /// It is carried out late, when nobody waits for the answer any more.
    UnknownLate,
    /// It is carried out, and it and all repeats have no answer until the saga turns back.
    SilentApplied,
    /// It and all repeats are lost, until the saga turns back.
    SilentNotApplied,
    /// It is carried out, and never has an answer.
    MuteApplied,
    /// It and all repeats are lost.
    MuteNotApplied,
    /// The driver is lost with the answer, before that is in the journal. Another takes the saga over.
    CrashBeforeRecord,
    /// The driver is lost when the answer is in the journal, before anything else. Another takes the saga over.
    CrashAfterRecord,
    /// The driver is lost when the intent to send is in the journal, before it is sent. Another takes the saga over.
    CrashBeforeSend,
    /// The probe, or a poll, has no answer.
    ProbeLost,
    /// Who was asked calls back, and says no.
    Declined,
    /// Nobody calls back.
    NoCallback,
    /// An operator has the saga turn back while it is under way.
    TurnedBack,
}

impl Outcome {
    /// All of a step that has an effect.
    pub(super) const OF_STEPS: [Self; 12] = [
        Self::Refused,
        Self::NeverSent,
        Self::SilentApplied,
        Self::SilentNotApplied,
        Self::MuteApplied,
        Self::MuteNotApplied,
        Self::NotSent,
        Self::UnknownApplied,
        Self::UnknownNotApplied,
        Self::UnknownLate,
        Self::CrashBeforeRecord,
        Self::CrashAfterRecord,
    ];

    /// All of what is called back.
    pub(super) const OF_CALLBACKS: [Self; 2] = [Self::Declined, Self::NoCallback];

    /// All of a step that only reads.
    pub(super) const OF_READS: [Self; 6] =
        [Self::Refused, Self::NeverSent, Self::NotSent, Self::UnknownNotApplied, Self::CrashBeforeRecord, Self::CrashAfterRecord];

    /// All of an undo.
    pub(super) const OF_UNDOS: [Self; 9] = [
        Self::Refused,
        Self::MuteApplied,
        Self::MuteNotApplied,
        Self::NotSent,
        Self::UnknownApplied,
        Self::UnknownNotApplied,
        Self::UnknownLate,
        Self::CrashBeforeRecord,
        Self::CrashAfterRecord,
    ];

    /// In words, for a table.
    pub const fn words(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::NotSent => "not sent, once",
            Self::NeverSent => "not sent, ever",
            Self::UnknownApplied => "unknown, applied",
            Self::UnknownNotApplied => "unknown, not applied",
            Self::UnknownLate => "unknown, applied late",
            Self::SilentApplied => "no answer till undone, applied",
            Self::SilentNotApplied => "no answer till undone, not applied",
            Self::MuteApplied => "no answer ever, applied",
            Self::MuteNotApplied => "no answer ever, not applied",
            Self::CrashBeforeRecord => "crash before the record",
            Self::CrashAfterRecord => "crash after the record",
            Self::CrashBeforeSend => "crash before it is sent",
            Self::ProbeLost => "probe without an answer",
            Self::Declined => "called back: no",
            Self::NoCallback => "not called back",
            Self::TurnedBack => "turned back by an operator",
        }
    }

    /// As expressions see it (`ending.fault.outcome`), and in JSON.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Refused => "refused",
            Self::NotSent => "not_sent",
            Self::NeverSent => "never_sent",
            Self::UnknownApplied => "unknown_applied",
            Self::UnknownNotApplied => "unknown_not_applied",
            Self::UnknownLate => "unknown_late",
            Self::SilentApplied => "silent_applied",
            Self::SilentNotApplied => "silent_not_applied",
            Self::MuteApplied => "mute_applied",
            Self::MuteNotApplied => "mute_not_applied",
            Self::CrashBeforeRecord => "crash_before_record",
            Self::CrashAfterRecord => "crash_after_record",
            Self::CrashBeforeSend => "crash_before_send",
            Self::ProbeLost => "probe_lost",
            Self::Declined => "declined",
            Self::NoCallback => "no_callback",
            Self::TurnedBack => "turned_back",
        }
    }

    /// Whether all later sends of the same call go the same way.
    pub(super) const fn lasts(self) -> bool {
        matches!(self, Self::NeverSent | Self::SilentApplied | Self::SilentNotApplied | Self::MuteApplied | Self::MuteNotApplied)
    }

    /// Whether it is over when the saga turns back.
    pub(super) const fn ends_with_turning_back(self) -> bool {
        matches!(self, Self::NeverSent | Self::SilentApplied | Self::SilentNotApplied)
    }
}

/// Something that goes wrong.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Fault {
    /// The step; of a loop's, for which item.
    pub step: StepPath,
    /// Whether it is the step's undo.
    pub undo: bool,
    /// What becomes of it.
    pub outcome: Outcome,
}

impl Fault {
    /// In words.
    pub fn words(&self) -> String {
        let undo = if self.undo { "undo of " } else { "" };
        format!("{undo}{}: {}", self.step, self.outcome.words())
    }
}

/// Where something can go wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Point {
    /// A request is about to leave.
    Send(Which),
    /// A probe is about to leave.
    Probe(Which),
    /// What came of an answer is about to be written.
    Record(Which),
    /// An intent that follows no answer is about to be written.
    Intent(Which),
    /// Somebody is to call back.
    Callback(Which),
}

impl Point {
    pub(super) const fn of(&self) -> &Which {
        match self {
            Self::Send(of) | Self::Probe(of) | Self::Record(of) | Self::Intent(of) | Self::Callback(of) => of,
        }
    }

    /// What goes wrong here, if this does.
    pub(super) fn fault(&self, outcome: Outcome) -> Fault {
        let of = self.of();
        Fault { step: of.step.clone(), undo: of.direction == Direction::Undo, outcome }
    }

    /// Whether this can go wrong here.
    pub(super) const fn has(&self, outcome: Outcome) -> bool {
        let is_crash = matches!(outcome, Outcome::CrashBeforeRecord | Outcome::CrashAfterRecord);
        match self {
            Self::Record(_) => is_crash,
            Self::Intent(_) => matches!(outcome, Outcome::CrashBeforeSend),
            Self::Probe(_) => matches!(outcome, Outcome::ProbeLost | Outcome::Refused),
            Self::Callback(_) => matches!(outcome, Outcome::Declined | Outcome::NoCallback),
            Self::Send(_) => {
                let is_elsewhere =
                    matches!(outcome, Outcome::CrashBeforeSend | Outcome::ProbeLost | Outcome::Declined | Outcome::NoCallback);
                !is_crash && !is_elsewhere
            }
        }
    }
}
