//! The Lua scripts: one per operation, each one atomic step.
//!
//! Their flags decide what runs when Redis is out of memory. What finishes or frees something has `allow-oom`; `claim`, `undo` and
//! `reserve` have not, and the writes of a claim are refused. Of a saga, `create` and `pin` begin.

use std::sync::LazyLock;

use redis::{Cmd, Pipeline, Value};

/// A script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Script {
    Claim,
    Complete,
    Extend,
    Doubt,
    Release,
    Undo,
    Settle,
    Resolve,
    Forget,
    Inspect,
    Reserve,
    Unreserve,
    HashKey,
    Access,
    SagaCreate,
    SagaAppend,
    SagaExtend,
    SagaLease,
    SagaDue,
    SagaCommand,
    SagaCommands,
    SagaAttach,
    SagaLoad,
    SagaList,
    SagaCount,
    SagaPin,
    SagaDefinition,
    Partitions,
}

struct Loaded {
    source: String,
    sha: String,
}

/// What the scripts of the record begin with.
const RECORD: &str = include_str!("lua/record.lua");
/// What claims a record where there is more to do than to begin or to replay; an undo's script ends with it.
const CLAIM: &str = include_str!("lua/claim.lua");
/// What the scripts of the journal begin with.
const PARTITION: &str = include_str!("lua/partition.lua");
/// What those on one saga go on with.
const SAGA: &str = concat!(include_str!("lua/partition.lua"), include_str!("lua/saga.lua"));

const ALL: [Script; 28] = [
    Script::Claim,
    Script::Complete,
    Script::Extend,
    Script::Doubt,
    Script::Release,
    Script::Undo,
    Script::Settle,
    Script::Resolve,
    Script::Forget,
    Script::Inspect,
    Script::Reserve,
    Script::Unreserve,
    Script::HashKey,
    Script::Access,
    Script::SagaCreate,
    Script::SagaAppend,
    Script::SagaExtend,
    Script::SagaLease,
    Script::SagaDue,
    Script::SagaCommand,
    Script::SagaCommands,
    Script::SagaAttach,
    Script::SagaLoad,
    Script::SagaList,
    Script::SagaCount,
    Script::SagaPin,
    Script::SagaDefinition,
    Script::Partitions,
];

static LOADED: LazyLock<[Loaded; ALL.len()]> = LazyLock::new(|| {
    ALL.map(|script| {
        let source = script.source();
        let sha = redis::Script::new(&source).get_hash().to_owned();
        Loaded { source, sha }
    })
});

impl Script {
    /// The command that runs this script on `key`; the arguments follow, `payload` bytes of them at about the most.
    pub(super) fn on(self, key: &[u8], payload: usize) -> Cmd {
        let mut cmd = Cmd::with_capacity(12, 320 + payload);
        cmd.arg("EVALSHA").arg(self.sha()).arg("1").arg(key);
        cmd
    }

    /// The command that runs this script on two keys.
    pub(super) fn on_both(self, key: &[u8], other: &[u8]) -> Cmd {
        let mut cmd = Cmd::with_capacity(24, 640);
        cmd.arg("EVALSHA").arg(self.sha()).arg("2").arg(key).arg(other);
        cmd
    }

    /// The command that runs this script on as many keys, which follow, and then the arguments: so many bytes of both at about the most.
    pub(super) fn on_many(self, keys: usize, payload: usize) -> Cmd {
        let mut cmd = Cmd::with_capacity(16 + keys, 64 + payload);
        cmd.arg("EVALSHA").arg(self.sha()).arg(keys);
        cmd
    }

    /// The command that loads it.
    pub(super) fn load(self) -> Cmd {
        let mut cmd = Cmd::new();
        cmd.arg("SCRIPT").arg("LOAD").arg(LOADED[self as usize].source.as_str());
        cmd
    }

    fn sha(self) -> &'static str {
        &LOADED[self as usize].sha
    }

    fn source(self) -> String {
        let (before, body) = match self {
            Self::Claim => return [include_str!("lua/claim_first.lua"), RECORD, CLAIM].concat(),
            Self::Undo => return [RECORD, include_str!("lua/undo.lua"), CLAIM].concat(),
            Self::Complete => return [include_str!("lua/complete_first.lua"), RECORD, include_str!("lua/complete.lua")].concat(),
            Self::Extend => (RECORD, include_str!("lua/extend.lua")),
            Self::Doubt => (RECORD, include_str!("lua/doubt.lua")),
            Self::Release => (RECORD, include_str!("lua/release.lua")),
            Self::Settle => (RECORD, include_str!("lua/settle.lua")),
            Self::Resolve => (RECORD, include_str!("lua/resolve.lua")),
            Self::Inspect => (RECORD, include_str!("lua/inspect.lua")),
            Self::Forget => ("", include_str!("lua/forget.lua")),
            Self::Reserve => ("", include_str!("lua/reserve.lua")),
            Self::Unreserve => ("", include_str!("lua/unreserve.lua")),
            Self::HashKey => ("", include_str!("lua/hash_key.lua")),
            Self::Access => ("", include_str!("lua/access.lua")),
            Self::SagaCreate => {
                return [include_str!("lua/saga_create_first.lua"), SAGA, include_str!("lua/saga_create.lua")].concat();
            }
            Self::SagaAppend => {
                return [include_str!("lua/saga_append_first.lua"), SAGA, include_str!("lua/saga_append.lua")].concat();
            }
            Self::SagaExtend => (SAGA, include_str!("lua/saga_extend.lua")),
            Self::SagaLease => (SAGA, include_str!("lua/saga_lease.lua")),
            Self::SagaCommand => (SAGA, include_str!("lua/saga_command.lua")),
            Self::SagaCommands => (SAGA, include_str!("lua/saga_commands.lua")),
            Self::SagaAttach => (SAGA, include_str!("lua/saga_attach.lua")),
            Self::SagaLoad => (SAGA, include_str!("lua/saga_load.lua")),
            Self::SagaDue => (PARTITION, include_str!("lua/saga_due.lua")),
            Self::SagaList => (PARTITION, include_str!("lua/saga_list.lua")),
            Self::SagaCount => (PARTITION, include_str!("lua/saga_count.lua")),
            Self::SagaPin => ("", include_str!("lua/saga_pin.lua")),
            Self::SagaDefinition => ("", include_str!("lua/saga_definition.lua")),
            Self::Partitions => ("", include_str!("lua/partitions.lua")),
        };
        // The flags must be the first line of all.
        match body.split_once('\n') {
            Some((flags, rest)) if flags.starts_with("#!") => [flags, "\n", before, rest].concat(),
            _ => [before, body].concat(),
        }
    }
}

/// Adds the commands that load all scripts.
pub(super) fn load_all(pipeline: &mut Pipeline) {
    for script in ALL {
        pipeline.add_command(script.load());
    }
}

/// Takes the answers to [`load_all`]; the first one that is an error.
pub(super) fn all_loaded(answers: &mut impl Iterator<Item = Value>) -> Result<(), Option<redis::ServerError>> {
    for script in ALL {
        match answers.next() {
            Some(Value::BulkString(sha)) if sha == script.sha().as_bytes() => {}
            Some(Value::ServerError(error)) => return Err(Some(error)),
            _ => return Err(None),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_script_is_found_under_its_own_number() {
        for script in ALL {
            assert_eq!(LOADED[script as usize].source, script.source(), "{script:?}");
        }
    }

    #[test]
    fn what_finishes_or_frees_runs_in_a_full_redis_and_what_begins_does_not() {
        for script in ALL {
            let may = script.source().starts_with("#!lua flags=allow-oom\n");
            let only_reads = script.source().starts_with("#!lua flags=no-writes\n");
            let begins = matches!(script, Script::Claim | Script::Undo | Script::Reserve | Script::SagaCreate | Script::SagaPin);
            assert_eq!(may || only_reads, !begins, "{script:?}");
        }
    }
}
