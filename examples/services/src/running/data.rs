//! The folder that holds everything the shop writes.
//!
//! ```text
//! keys/      what the sidecars share, for the owner alone
//! sagas/     the sagas' files, as in the repository
//! sidecars/  the sidecars' files, as in the repository
//! orders/    of each service: its database, its sidecars' stores, and what all of them say
//! …
//! edge/      what the edge says
//! ```

use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

/// How often removing a temporary folder is tried, and how long is waited in between.
const REMOVALS: u32 = 40;
const REMOVE_EVERY: Duration = Duration::from_millis(50);

/// Why there is no place for the data.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// A folder or file in it cannot be used.
    #[error("cannot use {} for the data", path.display())]
    Unusable {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// There is no place for temporary files.
    #[error("cannot create a temporary folder: give one with --data DIR")]
    Temporary(#[source] io::Error),
}

/// The folder.
#[derive(Debug)]
pub enum Data {
    /// It stays.
    Kept(PathBuf),
    /// It is removed at the end.
    Temporary(TempDir),
}

/// Creates a folder, where there is none, that nobody else can look into: auth's database has the key that tokens are signed with.
fn for_the_owner(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

impl Data {
    /// The given folder, created if absent, or a temporary one.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn open(folder: Option<PathBuf>) -> Result<Self, DataError> {
        let Some(folder) = folder else {
            // Absolute, for the processes work in folders of their own.
            let made = std::path::absolute(std::env::temp_dir())
                .and_then(|folder| tempfile::Builder::new().prefix("shop-").tempdir_in(folder));
            return made.map(Self::Temporary).map_err(DataError::Temporary);
        };
        let absolute = for_the_owner(&folder).and_then(|()| folder.canonicalize());
        absolute.map(Self::Kept).map_err(|source| DataError::Unusable { path: folder, source })
    }

    /// Removes it, if it is temporary. Whoever was killed may write for a moment longer: it is tried for two seconds.
    pub async fn remove(self) {
        let Self::Temporary(folder) = self else { return };
        let path = folder.keep();
        let mut removed = Ok(());
        for _ in 0..REMOVALS {
            removed = std::fs::remove_dir_all(&path);
            if removed.is_ok() {
                return;
            }
            tokio::time::sleep(REMOVE_EVERY).await;
        }
        tracing::warn!(path = %path.display(), ?removed, "the temporary folder is still there");
    }

    /// Where it is; absolute.
    pub fn path(&self) -> &Path {
        match self {
            Self::Kept(folder) => folder,
            Self::Temporary(folder) => folder.path(),
        }
    }

    /// Whether it is removed at the end.
    pub fn is_temporary(&self) -> bool {
        matches!(self, Self::Temporary(_))
    }

    /// The folder of that name in it, created if absent.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn folder(&self, name: &str) -> Result<PathBuf, DataError> {
        let path = self.path().join(name);
        match for_the_owner(&path) {
            Ok(()) => Ok(path),
            Err(source) => Err(DataError::Unusable { path, source }),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn nobody_else_looks_into_the_data() {
        let folder = tempfile::tempdir().unwrap();
        let given = folder.path().join("a/b");
        let data = Data::open(Some(given.clone())).unwrap();
        for path in [given.clone(), given.join("orders")] {
            for_the_owner(&path).unwrap();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o700, "{}", path.display());
        }
        assert!(!data.is_temporary());
    }
}
