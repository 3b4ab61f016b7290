//! The commands on sagas: keys and arguments, in the order in which the scripts read them.

use std::{io::Write as _, time::Duration};

use bytes::Bytes;
use redis::{Cmd, RedisWrite as _};
use saga_config::saga::DefinitionHash;

use super::super::{
    encode::{LONGEST_MS, ms, write_hex},
    scripts::Script,
};
use crate::{
    ids::{Mailbox, Owner, SagaId},
    store::{
        StoreError,
        journal::{Append, Birth, Create, Listing, MAX_COMMANDS, MAX_JOURNAL_ENTRIES, Next, SagaRenewal, SagaState},
    },
};

/// What Redis takes of one command is bounded (`client-query-buffer-limit`, 1 GiB): so many bytes of entries at once, at the most.
const MOST_AT_ONCE: usize = 256 * 1024 * 1024;

/// For how long a saga that cannot be read is not due.
const PUT_OFF: Duration = Duration::from_secs(60);

/// Whether the entries fit into one command.
///
/// # Errors
///
/// [`StoreError::Refused`] with the reason.
pub(super) fn check_total(entries: &[Bytes]) -> Result<(), StoreError> {
    let total: usize = entries.iter().map(Bytes::len).sum();
    if total > MOST_AT_ONCE {
        return Err(StoreError::Refused(format!("entries of {total} bytes at once, and {MOST_AT_ONCE} is the limit")));
    }
    Ok(())
}

pub(super) fn create(partitions: u16, create: &Create) -> Cmd {
    let birth = &create.birth;
    let mut cmd = on(Script::SagaCreate, partitions, create.id, payload(&create.entries));
    cmd.arg(birth.fingerprint.as_bytes().as_slice()).arg(birth.name.as_str());
    rest_of(&mut cmd, birth);
    cmd.arg(create.owner.as_bytes().as_slice());
    let next = next(create.state, &create.next);
    text(&mut cmd, &[state(create.state), next.hold, flag(next.answer.is_some())].map(str::as_bytes));
    cmd.arg(next.ms).arg(next.answer.unwrap_or_default());
    mailbox(&mut cmd, create.mailbox);
    entries(&mut cmd, &create.entries);
    cmd
}

pub(super) fn append(partitions: u16, append: &Append) -> Cmd {
    let mut cmd = on(Script::SagaAppend, partitions, append.token.id, payload(&append.entries));
    cmd.arg(append.token.owner.as_bytes().as_slice()).arg(append.token.fence.0);
    cmd.arg(append.expected).arg(append.nonce.as_bytes().as_slice());
    let next = next(append.state, &append.next);
    let is_full = append.expected.saturating_add(append.entries.len() as u64) > MAX_JOURNAL_ENTRIES;
    let letters = [state(append.state), flag(append.paused), next.hold, flag(next.answer.is_some()), flag(is_full)];
    let [state, paused, hold, has_answer, full] = letters.map(str::as_bytes);
    let taken = append.commands_taken.min(MAX_COMMANDS).to_string();
    text(&mut cmd, &[state, paused, hold, has_answer, full, taken.as_bytes()]);
    cmd.arg(next.ms).arg(next.answer.unwrap_or_default());
    entries(&mut cmd, &append.entries);
    cmd
}

pub(super) fn extend(partitions: u16, renewal: &SagaRenewal) -> Cmd {
    let mut cmd = on(Script::SagaExtend, partitions, renewal.token.id, 0);
    cmd.arg(renewal.token.owner.as_bytes().as_slice()).arg(renewal.token.fence.0).arg(ms(renewal.lease));
    cmd
}

pub(super) fn lease(partitions: u16, id: SagaId, owner: Owner, lease: Duration) -> Cmd {
    let mut cmd = on(Script::SagaLease, partitions, id, 0);
    cmd.arg(owner.as_bytes().as_slice()).arg(ms(lease)).arg(ms(PUT_OFF));
    cmd
}

pub(super) fn command(partitions: u16, id: SagaId, nonce: Owner, command: &Bytes) -> Cmd {
    let mut cmd = on(Script::SagaCommand, partitions, id, command.len());
    cmd.arg(nonce.as_bytes().as_slice()).arg(MAX_COMMANDS).arg(&command[..]);
    cmd
}

pub(super) fn attach(partitions: u16, id: SagaId, to: Option<Mailbox>) -> Cmd {
    let mut cmd = on(Script::SagaAttach, partitions, id, 0);
    mailbox(&mut cmd, to);
    cmd
}

/// A script on a saga that needs to know no more.
pub(super) fn bare(script: Script, partitions: u16, id: SagaId) -> Cmd {
    on(script, partitions, id, 0)
}

pub(super) fn due(partition: u16, limit: usize) -> Cmd {
    let mut cmd = on_partition(Script::SagaDue, partition);
    cmd.arg(limit);
    cmd
}

pub(super) fn list(partition: u16, listing: &Listing, limit: usize) -> Cmd {
    let mut cmd = on_partition(Script::SagaList, partition);
    cmd.arg(limit);
    match listing.before {
        // Later than whatever is stored: from the newest.
        Some((at, id)) if at.as_unix_ms() < 10 * LONGEST_MS => cmd.arg(format!("{:015}{id}", at.as_unix_ms())),
        Some(_) | None => cmd.arg(""),
    };
    let family = |state_of: SagaState| match &listing.name {
        Some(name) => format!("N{:08x}{name}{}", name.len(), state(state_of)),
        None => format!("S{}", state(state_of)),
    };
    for of in SagaState::ALL.into_iter().filter(|of| listing.states.is_empty() || listing.states.contains(of)) {
        cmd.arg(family(of));
    }
    cmd
}

pub(super) fn count(partition: u16) -> Cmd {
    on_partition(Script::SagaCount, partition)
}

pub(super) fn pin(hash: DefinitionHash, definition: &Bytes) -> Cmd {
    let mut cmd = Script::SagaPin.on(definition_key(hash).as_bytes(), definition.len());
    cmd.arg(&definition[..]);
    cmd
}

pub(super) fn definition(hash: DefinitionHash) -> Cmd {
    Script::SagaDefinition.on(definition_key(hash).as_bytes(), 0)
}

/// A state, as it is stored.
pub(super) const fn state(state: SagaState) -> &'static str {
    match state {
        SagaState::Running => "R",
        SagaState::Compensating => "C",
        SagaState::Completed => "D",
        SagaState::Compensated => "U",
        SagaState::Quarantined => "Q",
    }
}

/// A script on a saga.
fn on(script: Script, partitions: u16, id: SagaId, payload: usize) -> Cmd {
    let tag = tag_of(partition_of(id, partitions));
    let mut digits = [0; 2 * SagaId::LEN];
    write_hex(id.as_bytes(), &mut digits);
    let mut cmd = script.on_many(6, 448 + payload);
    keys_of_partition(&mut cmd, &tag);
    for kind in ["h:", "e:", "c:"] {
        text(&mut cmd, &[tag.as_bytes(), kind.as_bytes(), &digits]);
    }
    cmd
}

/// A script on a partition.
fn on_partition(script: Script, partition: u16) -> Cmd {
    let mut cmd = script.on_many(3, 256);
    keys_of_partition(&mut cmd, &tag_of(partition));
    cmd
}

/// Which of `partitions` a saga is in, for ever.
fn partition_of(id: SagaId, partitions: u16) -> u16 {
    u16::try_from(u128::from_be_bytes(*id.as_bytes()) % u128::from(partitions.max(1))).unwrap_or_default()
}

/// What all keys of a partition begin with: the braces keep them in one slot of a cluster.
fn tag_of(partition: u16) -> String {
    format!("refrain:j:{{s{partition}}}:")
}

fn keys_of_partition(cmd: &mut Cmd, tag: &str) {
    for kind in ["due", "index", "table"] {
        text(cmd, &[tag.as_bytes(), kind.as_bytes()]);
    }
}

/// One argument, of several parts.
fn text(cmd: &mut Cmd, parts: &[&[u8]]) {
    let mut text = cmd.writer_for_next_arg();
    parts.iter().try_for_each(|part| text.write_all(part)).expect("a command takes whatever is written");
}

fn definition_key(hash: DefinitionHash) -> String {
    format!("refrain:d:{hash}")
}

/// What no script looks at: version, definition, starter.
fn rest_of(cmd: &mut Cmd, birth: &Birth) {
    text(cmd, &[&birth.version.to_be_bytes(), birth.definition.as_bytes(), birth.starter.as_bytes()]);
}

/// What comes next, in how many milliseconds, and the answer.
struct Coming<'a> {
    hold: &'static str,
    ms: u64,
    answer: Option<&'a [u8]>,
}

fn next(state: SagaState, next: &Next) -> Coming<'_> {
    match next {
        Next::Run { lease } => Coming { hold: "D", ms: ms(*lease), answer: None },
        Next::Park { due_in } => Coming { hold: "P", ms: ms(*due_in), answer: None },
        Next::Rest { answer } => {
            // Only what has ended or is quarantined has an answer.
            let answer = answer.as_deref().filter(|_| state == SagaState::Quarantined);
            Coming { hold: "R", ms: 0, answer }
        }
        Next::End { answer, retention } => Coming { hold: "E", ms: ms(*retention), answer: Some(answer) },
    }
}

const fn flag(set: bool) -> &'static str {
    if set { "1" } else { "0" }
}

fn mailbox(cmd: &mut Cmd, mailbox: Option<Mailbox>) {
    match mailbox {
        Some(mailbox) => cmd.arg(mailbox.to_string()),
        None => cmd.arg(""),
    };
}

fn entries(cmd: &mut Cmd, entries: &[Bytes]) {
    for entry in entries {
        cmd.arg(&entry[..]);
    }
}

fn payload(entries: &[Bytes]) -> usize {
    entries.iter().map(|entry| entry.len() + 16).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_keys_of_a_saga_are_in_the_slot_of_its_partition() {
        let id = SagaId::from_bytes([0xFF; 16]);
        assert_eq!([partition_of(id, 16), partition_of(id, 1), partition_of(SagaId::from_bytes([0; 16]), 7)], [15, 0, 0]);
        let packed = on(Script::SagaLoad, 16, id, 0).get_packed_command();
        let text = String::from_utf8_lossy(&packed);
        let keys: Vec<_> = text.split("\r\n").filter(|part| part.starts_with("refrain:")).collect();
        assert_eq!(keys.len(), 6);
        assert!(keys.iter().all(|key| key.starts_with("refrain:j:{s15}:")), "{keys:?}");
    }

    #[test]
    fn entries_of_more_than_one_command_can_hold_are_refused() {
        let entry = Bytes::from(vec![0; 4 * 1024 * 1024]);
        assert_eq!(check_total(&vec![entry.clone(); 64]), Ok(()));
        assert!(matches!(check_total(&vec![entry; 65]), Err(StoreError::Refused(_))));
    }
}
