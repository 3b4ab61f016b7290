//! Secrets, from where the file says that they are.

use std::{
    fs::File,
    io::Read as _,
    path::{Path, PathBuf},
};

use saga_config::yaml::Pointer;

use super::{findings::Findings, raw};

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

/// The secret that `secret`, written at `at`, stands for, without white space around it. `None`: reported.
pub(super) fn secret(secret: &raw::Secret, at: &Pointer, around: Surroundings<'_>, findings: &mut Findings) -> Option<String> {
    let text = match secret {
        raw::Secret::File(path) => {
            let at = at.child("file");
            let path = around.resolve(path);
            match read(&path) {
                Ok(text) => Ok(text),
                Err(reason) => Err((at, format!("the secret cannot be read from {}: {reason}", path.display()))),
            }
        }
        raw::Secret::Env(name) => {
            let at = at.child("env");
            match (self::is_variable(name), (around.env)(name)) {
                // What is no name may be the secret itself.
                (false, _) => Err((at, "this is not the name of an environment variable".to_owned())),
                (true, None) => Err((at, format!("the environment variable `{name}` is not set"))),
                (true, Some(text)) => Ok(text),
            }
        }
    };
    let at_source = |at: &Pointer| match secret {
        raw::Secret::File(_) => at.child("file"),
        raw::Secret::Env(_) => at.child("env"),
    };
    match text.map(|text| text.trim().to_owned()) {
        Ok(text) if text.is_empty() => {
            findings.error("no-secret", &at_source(at), "the secret is empty", "put the secret there");
            None
        }
        Ok(text) => Some(text),
        Err((at, message)) => {
            findings.error("no-secret", &at, message, "name a file or an environment variable that holds the secret");
            None
        }
    }
}

/// Whether a text can be the name of an environment variable (POSIX.1-2017, section 8.1).
pub(super) fn is_variable(name: &str) -> bool {
    !name.starts_with(|c: char| c.is_ascii_digit()) && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'_')
}

fn read(path: &Path) -> Result<String, String> {
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(MAX_SECRET_BYTES + 1).read_to_end(&mut bytes))
        .map_err(|error| error.to_string())?;
    if bytes.len() as u64 > MAX_SECRET_BYTES {
        return Err(format!("it has more than {MAX_SECRET_BYTES} bytes"));
    }
    String::from_utf8(bytes).map_err(|_| "it is not text".to_owned())
}
