//! The sidecars' files, which are part of the program.

use std::io;
use std::path::PathBuf;

use saga_config::diagnostic::{Colour, Source, render};
use saga_config::yaml::Document;

use crate::running::data::{Data, DataError};
use crate::running::member::{Post, Service};

/// Why the files are not there.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// Their folder cannot be used.
    #[error(transparent)]
    Folder(#[from] DataError),
    /// One cannot be written.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// What the system says.
        source: io::Error,
    },
    /// One is not YAML. The program is built wrong.
    #[error("the sidecar's file of {post} cannot be read:\n{said}")]
    Broken {
        /// Whose.
        post: &'static str,
        /// What is wrong with it.
        said: String,
    },
}

const SAGAS: [(&str, &str); 4] = [
    ("create-order.yaml", include_str!("../../../sagas/create-order.yaml")),
    ("login.yaml", include_str!("../../../sagas/login.yaml")),
    ("logout.yaml", include_str!("../../../sagas/logout.yaml")),
    ("register-user.yaml", include_str!("../../../sagas/register-user.yaml")),
];

const fn config(post: Post) -> &'static str {
    match post {
        Post::Edge => include_str!("../../../sidecars/edge.yaml"),
        Post::Beside(Service::Auth) => include_str!("../../../sidecars/auth.yaml"),
        Post::Beside(Service::Users) => include_str!("../../../sidecars/users.yaml"),
        Post::Beside(Service::Billing) => include_str!("../../../sidecars/billing.yaml"),
        Post::Beside(Service::Orders) => include_str!("../../../sidecars/orders.yaml"),
        Post::Beside(Service::Notifications) => include_str!("../../../sidecars/notifications.yaml"),
    }
}

/// The files, written where the sidecars read them.
#[derive(Debug)]
pub struct Files {
    folder: PathBuf,
}

impl Files {
    /// Writes them into `data`, over those that are there: they belong to the program, not to the data.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn write(data: &Data) -> Result<Self, FileError> {
        let sagas = data.folder("sagas")?;
        for (name, text) in SAGAS {
            write(sagas.join(name), text)?;
        }
        let files = Self { folder: data.folder("sidecars")? };
        Post::all().try_for_each(|post| write(files.config(post), config(post)))?;
        Ok(files)
    }

    /// The configuration of the sidecars that stand there.
    pub(super) fn config(&self, post: Post) -> PathBuf {
        self.folder.join(post.name()).with_extension("yaml")
    }
}

fn write(path: PathBuf, text: &str) -> Result<(), FileError> {
    std::fs::write(&path, text).map_err(|source| FileError::Write { path, source })
}

/// The names of the upstreams that the sidecars there know.
pub(super) fn upstreams(post: Post) -> Result<Vec<String>, FileError> {
    let source = Source::new(post.name(), config(post));
    let document =
        Document::parse(&source).map_err(|found| FileError::Broken { post: post.name(), said: render(&found, Colour::Never) })?;
    let upstreams = document.root().child("upstreams");
    Ok(upstreams.into_iter().flat_map(|upstreams| upstreams.entries()).map(|entry| entry.key.text.clone()).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    fn names(folder: &str) -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        folder.read_dir().unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    #[test]
    fn every_file_in_the_repository_is_part_of_the_program() {
        assert_eq!(names("sagas"), SAGAS.iter().map(|(name, _)| (*name).to_owned()).collect());
        assert_eq!(names("sidecars"), Post::all().map(|post| format!("{}.yaml", post.name())).collect());
    }

    #[test]
    fn every_upstream_of_a_sidecar_is_a_service_of_the_shop_and_so_gets_its_address() {
        for post in Post::all() {
            let upstreams = upstreams(post).unwrap();
            assert!(!upstreams.is_empty(), "{post:?}");
            for upstream in upstreams {
                assert!(Service::of(&upstream).is_some(), "{post:?}: {upstream}");
            }
        }
    }
}
