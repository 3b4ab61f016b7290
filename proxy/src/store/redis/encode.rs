//! The commands: keys and arguments, in the order in which the scripts read them.

use std::{io::Write as _, time::Duration};

use redis::{Cmd, RedisWrite as _};

use super::{
    super::{
        Absence, Claim, Complete, OnAbsent, OnStepUnknown, OnUnknown, ProbeVerdict, Renewal, Resolution, Settle, Token, Undo,
    },
    health::Memory,
    scripts::Script,
};
use crate::{
    ids::{Fence, HashKey, Mailbox, Owner, RecordName},
    store::undo::CLOCKS_DIFFER_BY,
    time::whole_ms,
};

/// Where the key of record names is.
const HASH_KEY: &[u8] = b"refrain:hash-key";

/// Where the number of the sagas' partitions is.
const PARTITIONS: &[u8] = b"refrain:partitions";

/// What the access script writes and deletes.
const SCRATCH: &[u8] = b"refrain:check";

/// The longest time that is stored, about 3,000 years: times and their sums stay exact in a double.
pub(super) const LONGEST_MS: u64 = 100_000_000_000_000;

/// The channel of a mailbox.
pub(super) fn channel(mailbox: Mailbox) -> String {
    format!("refrain:m:{mailbox}")
}

pub(super) fn claim(claim: &Claim, memory: Option<&Memory>) -> Cmd {
    let mut cmd = on(Script::Claim, claim.name, claim.note.len());
    begin(&mut cmd, claim);
    match claim.on_absent {
        OnAbsent::Begin if claim.note.is_empty() => {}
        OnAbsent::Begin => {
            cmd.arg(&claim.note[..]);
        }
        OnAbsent::Seal(absence) => {
            cmd.arg(&claim.note[..]).arg("S");
            proof(&mut cmd, absence, memory);
        }
    }
    cmd
}

pub(super) fn undo(undo: &Undo, memory: Option<&Memory>) -> Cmd {
    let mut cmd = Script::Undo.on_both(&key(*b"refrain:r:{", undo.claim.name), &key(*b"refrain:r:{", undo.step));
    begin(&mut cmd, &undo.claim);
    cmd.arg(&undo.claim.note[..]).arg("");
    proof(&mut cmd, undo.absence, memory);
    cmd.arg(if undo.knows_done { "1" } else { "0" });
    let (on_step_unknown, probe_lease, send_after) = match undo.on_step_unknown {
        OnStepUnknown::Hold => ("H", 0, None),
        OnStepUnknown::Send { after } => ("S", 0, Some(after)),
        OnStepUnknown::Probe { lease, otherwise } => ("P", ms(lease), otherwise),
    };
    cmd.arg(on_step_unknown).arg(probe_lease);
    match send_after {
        Some(after) => cmd.arg(ms(after)),
        None => cmd.arg(""),
    };
    cmd
}

/// The first five arguments of a claim.
fn begin(cmd: &mut Cmd, claim: &Claim) {
    cmd.arg(claim.fingerprint.as_bytes().as_slice()).arg(claim.owner.as_bytes().as_slice());
    cmd.arg(ms(claim.lease)).arg(ms(claim.ttl));
    let mut text = cmd.writer_for_next_arg();
    let written = match claim.on_unknown {
        OnUnknown::Hold => text.write_all(b"H:"),
        OnUnknown::Resend => text.write_all(b"R:"),
        OnUnknown::Probe { lease } => write!(text, "P{}:", ms(lease)),
    };
    let written = written.and_then(|()| claim.mailbox.map_or(Ok(()), |mailbox| write!(text, "{mailbox}")));
    written.expect("a command takes whatever is written");
}

/// The arguments of `is_proof`: whether it may be, until when, from when, and by which run of Redis.
fn proof(cmd: &mut Cmd, absence: Absence, memory: Option<&Memory>) {
    match (absence, memory) {
        (Absence::Proof, _) => cmd.arg("1").arg("").arg("").arg(""),
        (Absence::ProofSince(first), Some(memory)) if first.is_remembered(memory.since) => {
            let until = first.proves_until().as_unix_ms().min(LONGEST_MS);
            let earliest = first.at.as_unix_ms().saturating_sub(whole_ms(CLOCKS_DIFFER_BY)).min(LONGEST_MS);
            cmd.arg("1").arg(until).arg(earliest).arg(&memory.run_id)
        }
        (Absence::ProofSince(_) | Absence::NoProof, _) => cmd.arg("0").arg("").arg("").arg(""),
    };
}

pub(super) fn complete(complete: &Complete) -> Cmd {
    let mut cmd = of(Script::Complete, &complete.token, complete.response.len());
    cmd.arg(complete.attempt).arg(complete.fingerprint.as_bytes().as_slice());
    cmd.arg(ms(complete.ttl)).arg(&complete.response[..]);
    cmd
}

pub(super) fn extend(renewal: &Renewal) -> Cmd {
    let mut cmd = of(Script::Extend, &renewal.token, 0);
    cmd.arg(ms(renewal.lease)).arg(if renewal.sent { "1" } else { "0" });
    cmd
}

pub(super) fn doubt(token: &Token) -> Cmd {
    of(Script::Doubt, token, 0)
}

pub(super) fn release(name: RecordName, owner: Owner, fence: Option<Fence>) -> Cmd {
    let mut cmd = on(Script::Release, name, 0);
    cmd.arg(owner.as_bytes().as_slice());
    match fence {
        Some(fence) => cmd.arg(fence.0),
        None => cmd.arg(""),
    };
    cmd
}

pub(super) fn settle(settle: &Settle) -> Cmd {
    let payload = if let ProbeVerdict::Done { response, .. } = &settle.verdict { response.len() } else { 0 };
    let mut cmd = on(Script::Settle, settle.name, payload);
    cmd.arg(settle.prober.as_bytes().as_slice()).arg(settle.fence.0);
    match &settle.verdict {
        ProbeVerdict::Done { response, ttl } => cmd.arg("D").arg(ms(*ttl)).arg(&response[..]),
        ProbeVerdict::NotDone { lease, ttl } => cmd.arg("N").arg(ms(*lease)).arg(ms(*ttl)),
        ProbeVerdict::Seal { ttl } => cmd.arg("S").arg(ms(*ttl)),
        ProbeVerdict::Undecided => cmd.arg("U"),
    };
    cmd
}

pub(super) fn resolve(name: RecordName, resolution: &Resolution) -> Cmd {
    match resolution {
        Resolution::Done { response, ttl } => {
            let mut cmd = on(Script::Resolve, name, response.len());
            cmd.arg("D").arg(ms(*ttl)).arg(&response[..]);
            cmd
        }
        Resolution::NotDone => {
            let mut cmd = on(Script::Resolve, name, 0);
            cmd.arg("N");
            cmd
        }
    }
}

pub(super) fn forget(name: RecordName) -> Cmd {
    on(Script::Forget, name, 0)
}

pub(super) fn inspect(name: RecordName) -> Cmd {
    on(Script::Inspect, name, 0)
}

pub(super) fn reserve(name: RecordName, holder: RecordName, ttl: Duration) -> Cmd {
    let mut cmd = Script::Reserve.on(&key(*b"refrain:p:{", name), 0);
    cmd.arg(holder.as_bytes().as_slice()).arg(ms(ttl).max(1));
    cmd
}

pub(super) fn unreserve(name: RecordName, holder: RecordName) -> Cmd {
    let mut cmd = Script::Unreserve.on(&key(*b"refrain:p:{", name), 0);
    cmd.arg(holder.as_bytes().as_slice());
    cmd
}

pub(super) fn hash_key(candidate: HashKey) -> Cmd {
    let mut cmd = Script::HashKey.on(HASH_KEY, 0);
    cmd.arg(candidate.as_bytes().as_slice());
    cmd
}

pub(super) fn partitions(candidate: u16) -> Cmd {
    let mut cmd = Script::Partitions.on(PARTITIONS, 0);
    cmd.arg(candidate);
    cmd
}

pub(super) fn access(mailbox: Mailbox) -> Cmd {
    let mut cmd = Script::Access.on(SCRATCH, 0);
    cmd.arg(channel(mailbox));
    cmd
}

/// A script on a record.
fn on(script: Script, name: RecordName, payload: usize) -> Cmd {
    script.on(&key(*b"refrain:r:{", name), payload)
}

/// A script on a record, by its owner.
fn of(script: Script, token: &Token, payload: usize) -> Cmd {
    let mut cmd = on(script, token.name, payload);
    cmd.arg(token.owner.as_bytes().as_slice()).arg(token.fence.0);
    cmd
}

/// The key of a name: the braces keep what is in one neighbourhood in one slot of a cluster.
fn key(prefix: [u8; 11], name: RecordName) -> [u8; 11 + 2 * RecordName::LEN + 1] {
    const BRACE: usize = 11 + 2 * RecordName::NEIGHBOURHOOD;
    let mut key = [b'}'; 11 + 2 * RecordName::LEN + 1];
    key[..prefix.len()].copy_from_slice(&prefix);
    write_hex(name.neighbourhood(), &mut key[prefix.len()..BRACE]);
    write_hex(&name.as_bytes()[RecordName::NEIGHBOURHOOD..], &mut key[BRACE + 1..]);
    key
}

/// Two digits for each byte.
pub(super) fn write_hex(bytes: &[u8], digits: &mut [u8]) {
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = HEX[usize::from(*byte)];
    }
}

const HEX: [[u8; 2]; 256] = {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut hex = [[0; 2]; 256];
    let mut byte = 0;
    while byte < hex.len() {
        hex[byte] = [DIGITS[byte >> 4], DIGITS[byte & 15]];
        byte += 1;
    }
    hex
};

pub(super) fn ms(duration: Duration) -> u64 {
    whole_ms(duration).min(LONGEST_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_holds_the_whole_name_and_its_neighbourhood_in_braces() {
        let name = RecordName::from_bytes(std::array::from_fn(|i| u8::try_from(i * 7).unwrap()));
        let (near, rest) = (&name.to_string()[..16], &name.to_string()[16..]);
        assert_eq!(key(*b"refrain:r:{", name).as_slice(), format!("refrain:r:{{{near}}}{rest}").as_bytes());
    }
}
