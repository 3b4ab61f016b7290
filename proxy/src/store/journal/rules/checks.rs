//! What no store takes: too much at once, or what would leave a saga in nobody's hands.

use bytes::Bytes;

use crate::store::{
    StoreError,
    journal::{Append, Create, MAX_ENTRIES_AT_ONCE, MAX_ENTRY_BYTES, Next, SagaState},
};

/// Whether a create is within the bounds.
///
/// # Errors
/// [`StoreError::Refused`] with the reason.
pub fn check_create(create: &Create) -> Result<(), StoreError> {
    entries(&create.entries)?;
    turn(create.state, false, &create.next)
}

/// Whether an append is within the bounds.
///
/// # Errors
/// [`StoreError::Refused`] with the reason.
pub fn check_append(append: &Append) -> Result<(), StoreError> {
    entries(&append.entries)?;
    turn(append.state, append.paused, &append.next)
}

/// Whether a command is within the bounds.
///
/// # Errors
/// [`StoreError::Refused`] with the reason.
pub fn check_command(command: &Bytes) -> Result<(), StoreError> {
    size("a command", command)
}

/// Whether a definition is within the bounds.
///
/// # Errors
/// [`StoreError::Refused`] with the reason.
pub fn check_definition(definition: &Bytes) -> Result<(), StoreError> {
    size("a definition", definition)
}

fn entries(entries: &[Bytes]) -> Result<(), StoreError> {
    if entries.len() > MAX_ENTRIES_AT_ONCE {
        return refused(format!("{} entries at once, and {MAX_ENTRIES_AT_ONCE} is the limit", entries.len()));
    }
    entries.iter().try_for_each(|entry| size("an entry", entry))
}

fn size(what: &str, bytes: &Bytes) -> Result<(), StoreError> {
    if bytes.len() > MAX_ENTRY_BYTES {
        return refused(format!("{what} has {} bytes, and {MAX_ENTRY_BYTES} is the limit", bytes.len()));
    }
    Ok(())
}

/// Every open saga is due some day, but for those that wait for an operator; and what has ended has a retention.
fn turn(state: SagaState, paused: bool, next: &Next) -> Result<(), StoreError> {
    match next {
        Next::End { answer, .. } if state.is_end() => size("an answer", answer),
        Next::End { .. } => refused(format!("a {} saga has not ended", state.as_str())),
        Next::Run { .. } | Next::Park { .. } | Next::Rest { .. } if state.is_end() => {
            refused(format!("a {} saga has ended: nothing comes next", state.as_str()))
        }
        Next::Rest { .. } if state != SagaState::Quarantined && !paused => {
            refused(format!("a {} saga that is not paused cannot rest: nobody would wake it", state.as_str()))
        }
        Next::Rest { answer } => answer.as_ref().map_or(Ok(()), |answer| size("an answer", answer)),
        Next::Run { .. } | Next::Park { .. } => Ok(()),
    }
}

fn refused(reason: String) -> Result<(), StoreError> {
    Err(StoreError::Refused(reason))
}
