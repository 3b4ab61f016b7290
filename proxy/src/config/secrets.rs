//! Secrets, from where the file says that they are.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use saga_config::{diagnostic::quoted, names::SecretName, saga::Saga, yaml::Pointer};

use super::{Secret, findings::Findings, raw};

/// The longest secret, in bytes.
const MAX_SECRET_BYTES: u64 = 64 * 1024;

/// What secrets and relative paths are looked up in.
#[derive(Clone, Copy)]
pub(super) struct Surroundings<'a> {
    /// What relative paths of the file are relative to.
    pub(super) folder: &'a Path,
    /// A variable of the environment.
    pub(super) env: &'a dyn Fn(&str) -> Option<String>,
}

impl Surroundings<'_> {
    /// A path of the file, from where the process stands.
    pub(super) fn resolve(&self, path: impl AsRef<Path>) -> PathBuf {
        // Collecting drops the `.` of `./refrain.db`.
        self.folder.join(path).components().collect()
    }
}

/// What sagas name as `secret('name')`. `Debug` shows the names alone.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Secrets(BTreeMap<SecretName, Secret>);

impl Secrets {
    /// What a secret is; `None`: there is none of this name.
    pub fn get(&self, name: &str) -> Option<&Secret> {
        self.0.get(name)
    }
}

impl FromIterator<(SecretName, Secret)> for Secrets {
    fn from_iter<I: IntoIterator<Item = (SecretName, Secret)>>(secrets: I) -> Self {
        Self(secrets.into_iter().collect())
    }
}

/// The secrets of the file that can be read.
pub(super) fn secrets(raw: &raw::Raw, around: Surroundings<'_>, findings: &mut Findings) -> Secrets {
    let at = Pointer::root().child("secrets");
    let mut secrets = BTreeMap::new();
    for (name, written) in raw.secrets.iter().flatten() {
        let value = secret(written, &at.child(name), around, findings);
        // A name that is none has been reported with its place.
        secrets.extend(name.parse::<SecretName>().ok().zip(value.map(Secret::new)));
    }
    Secrets(secrets)
}

/// Tells of each of `written` that none of the sagas names.
pub(super) fn find_unused(written: &[String], sagas: &[std::sync::Arc<Saga>], findings: &mut Findings) {
    let at = Pointer::root().child("secrets");
    let is_used = |name: &&String| sagas.iter().flat_map(|saga| &saga.secrets).any(|used| used.as_str() == name.as_str());
    for name in written.iter().filter(|name| !is_used(name)) {
        let message = format!("no saga names the secret {}", quoted(name));
        let help = format!("leave it out, or write `${{secret('{name}')}}` in a header");
        findings.warning_at_key("unused-secret", &at.child(name), message, help);
    }
}

/// The secret that `secret`, written at `at`, stands for, without white space around it. `None`: reported.
pub(super) fn secret(secret: &raw::Secret, at: &Pointer, around: Surroundings<'_>, findings: &mut Findings) -> Option<String> {
    let (at, text) = match secret {
        raw::Secret::File(path) => (at.child("file"), of_file(&around.resolve(path))),
        raw::Secret::Env(name) => (at.child("env"), of_variable(name, around)),
    };
    let text = text.map(|text| text.trim().to_owned());
    match text {
        Ok(text) if !text.is_empty() => return Some(text),
        Ok(_) => findings.error("no-secret", &at, "the secret is empty", "put the secret there"),
        Err(reason) => findings.error("no-secret", &at, reason, "name a file or an environment variable that holds the secret"),
    }
    None
}

fn of_variable(name: &str, around: Surroundings<'_>) -> Result<String, String> {
    // What is no name may be the secret itself: it is not repeated.
    if !is_variable(name) {
        return Err("this is not the name of an environment variable".to_owned());
    }
    (around.env)(name).ok_or_else(|| format!("the environment variable `{name}` is not set"))
}

fn of_file(path: &Path) -> Result<String, String> {
    let in_words = |reason: &dyn std::fmt::Display| format!("the secret cannot be read from {}: {reason}", path.display());
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes));
    read.map_err(|error| in_words(&error))?;
    if bytes.len() as u64 > MAX_SECRET_BYTES {
        return Err(in_words(&format_args!("it has more than {MAX_SECRET_BYTES} bytes")));
    }
    String::from_utf8(bytes).map_err(|_| in_words(&"it is not text"))
}

/// Whether a text can be the name of an environment variable (POSIX.1-2017, section 8.1).
pub(super) fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}
