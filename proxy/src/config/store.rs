//! `store`.

use std::{
    collections::HashSet,
    path::{Path, PathBuf},
    time::Duration,
};

use saga_config::{diagnostic::quoted, yaml::Pointer};

use super::{
    Secret, StoreConfig, StoreUrl,
    findings::Findings,
    limits::positive,
    raw::{self, WrittenStoreUrl},
    secrets::{Surroundings, secret},
};
use crate::idempotency::seal::{EncryptionKey, parse_key};

/// The file of an embedded store that is not named.
const FILE: &str = "refrain.db";

pub(super) fn store(raw: &raw::Store, saga_partitions: u16, around: Surroundings<'_>, findings: &mut Findings) -> StoreConfig {
    let at = Pointer::root().child("store");
    let url = match raw.url.as_ref().map(|url| &url.0) {
        Some(WrittenStoreUrl::Memory) => StoreUrl::Memory,
        Some(WrittenStoreUrl::Redis(url)) => StoreUrl::Redis(Secret::new(url.expose().to_owned())),
        Some(WrittenStoreUrl::Embedded(Some(path))) if findings.is_given_elsewhere(&at.child("url")) => {
            StoreUrl::Embedded(path.clone())
        }
        Some(WrittenStoreUrl::Embedded(Some(path))) => StoreUrl::Embedded(around.resolve(path)),
        Some(WrittenStoreUrl::Embedded(None)) | None => StoreUrl::Embedded(state_file(around, &at.child("url"), findings)),
    };
    StoreConfig {
        url,
        timeout: positive(raw.timeout, Duration::from_secs(1), &at.child("timeout"), findings),
        encryption: raw.encryption.as_ref().map(|encryption| keys(encryption, &at, around, findings)).unwrap_or_default(),
        allow_eviction: raw.allow_eviction.unwrap_or(false),
        saga_partitions,
    }
}

/// Where a service keeps its state: systemd's folder for it, or the user's (XDG Base Directory Specification).
fn state_file(around: Surroundings<'_>, at: &Pointer, findings: &mut Findings) -> PathBuf {
    let folder = |name: &str| (around.env)(name).filter(|folder| Path::new(folder).is_absolute());
    // Of several folders that a unit asks for, the first.
    let of_unit = folder("STATE_DIRECTORY").and_then(|folders| folders.split(':').next().map(PathBuf::from));
    let of_user = || folder("XDG_STATE_HOME").map(|state| Path::new(&state).join("refrain"));
    let of_home = || folder("HOME").map(|home| Path::new(&home).join(".local/state/refrain"));
    if let Some(folder) = of_unit.or_else(of_user).or_else(of_home) {
        return folder.join(FILE);
    }
    if findings.is_whole(at) {
        findings.error(
            "no-state-folder",
            at,
            "there is no folder for the embedded store: none of STATE_DIRECTORY, XDG_STATE_HOME and HOME is set",
            "name its file: `embedded:/var/lib/refrain/refrain.db`",
        );
    }
    PathBuf::new()
}

fn keys(raw: &raw::Encryption, at: &Pointer, around: Surroundings<'_>, findings: &mut Findings) -> Vec<EncryptionKey> {
    let at = at.child("encryption").child("keys");
    let mut ids = HashSet::new();
    let mut keys = Vec::new();
    for (index, written) in raw.keys.iter().flatten().enumerate() {
        let at = at.child(index);
        let key = written.key.as_ref().and_then(|key| {
            let text = secret(key, &at.child("key"), around, findings)?;
            let parsed = parse_key(&text);
            if let Err(error) = &parsed {
                findings.error("invalid-key", &at.child("key"), error.to_string(), "make one with `openssl rand -base64 32`");
            }
            parsed.ok()
        });
        let Some(id) = &written.id else { continue };
        if !ids.insert(id) {
            let message = format!("the id {} is taken by an earlier key: what they sealed could not be told apart", quoted(id));
            findings.error("duplicate-id", &at.child("id"), message, "give every key an id of its own");
        }
        match EncryptionKey::new(id, key.unwrap_or_default()) {
            Ok(key) => keys.push(key),
            Err(error) => findings.error("invalid-id", &at.child("id"), error.to_string(), "an id such as 2026-01"),
        }
    }
    keys
}
