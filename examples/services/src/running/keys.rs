//! The keys that the sidecars share. They are made once and kept with the data, which cannot be read without them.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rand::TryRngCore;
use rand::rngs::OsRng;

/// How long a key is, in bytes.
const LENGTH: usize = 32;

/// More than a key's file holds, in bytes.
const MAX_FILE_BYTES: u64 = 1024;

/// The variables that the sidecars' files read the keys from.
const SAGA_KEY: &str = "SHOP_SAGA_KEY";
const STORE_KEY: &str = "SHOP_STORE_KEY";

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// A key's file cannot be read or written.
    #[error("cannot use {}, the file of a key", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is something else in the file.
    #[error("{} is not a key: {LENGTH} bytes in base64. Without the key that was there, this folder's records cannot be read", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
}

/// The keys, in base64. `Debug` hides them.
pub struct Keys {
    saga: String,
    store: String,
    is_new: bool,
}

impl Keys {
    /// Those in `folder`, made if there are none.
    ///
    /// # Errors
    /// When they cannot be read or written, or are no keys.
    pub fn open(folder: &Path) -> Result<Self, KeyError> {
        std::fs::create_dir_all(folder).map_err(|source| KeyError::File { path: folder.to_owned(), source })?;
        let (saga, _) = key(folder.join("saga.key"))?;
        let (store, is_new) = key(folder.join("store.key"))?;
        Ok(Self { saga, store, is_new })
    }

    /// Whether nothing can have been sealed with them yet.
    pub fn are_new(&self) -> bool {
        self.is_new
    }

    /// The variables of a sidecar's environment: name and value.
    pub fn variables(&self) -> [(&'static str, &str); 2] {
        [(SAGA_KEY, &self.saga), (STORE_KEY, &self.store)]
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("is_new", &self.is_new).finish_non_exhaustive()
    }
}

/// The key in the file, and whether it was made now.
fn key(path: PathBuf) -> Result<(String, bool), KeyError> {
    match read(&path) {
        Ok(text) if STANDARD.decode(&text).is_ok_and(|key| key.len() == LENGTH) => Ok((text, false)),
        Ok(_) => Err(KeyError::Malformed { path }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => match make(&path) {
            Ok(text) => Ok((text, true)),
            Err(source) => Err(KeyError::File { path, source }),
        },
        Err(source) => Err(KeyError::File { path, source }),
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?.take(MAX_FILE_BYTES).read_to_string(&mut text)?;
    Ok(text.trim_end().to_owned())
}

/// Makes a key that only this user can read. Never over one that is there.
fn make(path: &Path) -> io::Result<String> {
    let mut key = [0; LENGTH];
    OsRng.try_fill_bytes(&mut key).map_err(io::Error::other)?;
    let text = STANDARD.encode(key);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    writeln!(file, "{text}")?;
    file.sync_all()?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn keys_are_made_once_and_kept_for_their_owner_alone() {
        let folder = tempfile::tempdir().unwrap();
        let made = Keys::open(folder.path()).unwrap();
        let kept = Keys::open(folder.path()).unwrap();
        assert_eq!((made.are_new(), kept.are_new()), (true, false));
        assert_eq!(made.variables(), kept.variables());
        let [(_, saga), (_, store)] = made.variables();
        assert_ne!(saga, store);
        assert!(!format!("{made:?}").contains(store));
        for file in ["saga.key", "store.key"] {
            let mode = folder.path().join(file).metadata().unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600, "{file}");
        }
    }

    #[test]
    fn what_is_not_a_key_is_refused_and_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("store.key");
        for text in ["", "c2hvcnQ=", "no base64"] {
            std::fs::write(&file, text).unwrap();
            let refused = Keys::open(folder.path()).unwrap_err();
            assert!(matches!(refused, KeyError::Malformed { .. }), "{refused}");
            assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
        }
    }
}
