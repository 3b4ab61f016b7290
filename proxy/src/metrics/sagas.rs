//! What sagas do, in numbers.

use prometheus_client::{
    encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder},
    metrics::{counter::Counter, family::Family, gauge::Gauge},
    registry::Registry,
};

use crate::store::journal::SagaState;

/// The counters of sagas.
#[derive(Clone, Debug, Default)]
pub struct Sagas {
    /// Begun by this process.
    pub began: Counter,
    /// Taken over by this process: their timer had come, or their driver was gone.
    pub adopted: Counter,
    /// Those that could not be read when they were taken over.
    pub unreadable: Counter,
    /// Those that this process drives. Read just before it is shown.
    pub driven: Gauge,
    states: Family<StateLabel, Counter>,
    calls: Family<CallLabels, Counter>,
    stored: Family<StateLabel, Gauge>,
    callbacks: Family<CallbackLabel, Counter>,
    /// Streams of events that are open.
    pub streams: Gauge,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallbackLabel {
    outcome: CallbackOutcome,
}

/// How a callback was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallbackOutcome {
    /// It was taken.
    Taken,
    /// It had come before, with the same body.
    Repeated,
    /// It was refused.
    Refused,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    state: StateName,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct CallLabels {
    direction: CallDirection,
    outcome: CallOutcome,
}

/// Whether a saga's call goes forward or back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "the names say it")]
pub enum CallDirection {
    Forward,
    Undo,
}

/// What was journalled of a saga's call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CallOutcome {
    /// The intent to send.
    Started,
    /// It was asked again for an answer.
    Asked,
    /// It was carried out.
    Done,
    /// It was definitely not carried out.
    Refused,
    /// Nobody knows.
    Doubted,
    /// Nothing left.
    NotSent,
    /// No answer yet.
    Waiting,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct StateName(SagaState);

label_values!(CallDirection {
    Forward => "forward",
    Undo => "undo",
});
label_values!(CallOutcome {
    Started => "started",
    Asked => "asked",
    Done => "done",
    Refused => "refused",
    Doubted => "doubted",
    NotSent => "not_sent",
    Waiting => "waiting",
});
label_values!(CallbackOutcome {
    Taken => "taken",
    Repeated => "repeated",
    Refused => "refused",
});
impl EncodeLabelValue for StateName {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), std::fmt::Error> {
        EncodeLabelValue::encode(&self.0.as_str(), encoder)
    }
}

impl Sagas {
    pub(super) fn register(&self, at: &mut Registry) {
        at.register("sagas_began", "Sagas begun here", self.began.clone());
        at.register("sagas_adopted", "Sagas taken over here", self.adopted.clone());
        at.register("sagas_unreadable", "Sagas that could not be read when they were taken over", self.unreadable.clone());
        at.register("saga_transitions", "States that sagas driven here came to", self.states.clone());
        at.register("saga_calls", "Calls of sagas driven here, by what was journalled of them", self.calls.clone());
        at.register("saga_callbacks", "Callbacks, by how they were answered", self.callbacks.clone());
        at.register("saga_streams", "Streams of sagas' events that are open", self.streams.clone());
        at.register("sagas_driven", "Sagas driven here now", self.driven.clone());
        at.register("sagas_stored", "Sagas in the store, by state", self.stored.clone());
    }

    /// Counts a saga that came to a state.
    pub fn became(&self, state: SagaState) {
        self.states.get_or_create(&StateLabel { state: StateName(state) }).inc();
    }

    /// Counts what was journalled of a saga's call.
    pub fn called(&self, direction: CallDirection, outcome: CallOutcome) {
        self.calls.get_or_create(&CallLabels { direction, outcome }).inc();
    }

    /// Counts a callback.
    pub fn called_back(&self, outcome: CallbackOutcome) {
        self.callbacks.get_or_create(&CallbackLabel { outcome }).inc();
    }

    /// Shows how many sagas the store has in each state.
    pub fn show_stored(&self, counts: [u64; SagaState::ALL.len()]) {
        for (state, count) in SagaState::ALL.into_iter().zip(counts) {
            let label = StateLabel { state: StateName(state) };
            self.stored.get_or_create(&label).set(i64::try_from(count).unwrap_or(i64::MAX));
        }
    }
}
