//! A folder with files, and the program run in it.

use std::{
    fs,
    io::Write as _,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

/// A folder with files.
pub(crate) struct Folder(TempDir);

/// What a run said.
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Folder {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        for (name, text) in files {
            folder.write(name, text.as_bytes());
        }
        folder
    }

    pub(crate) fn write(&self, name: &str, bytes: &[u8]) {
        let path = self.0.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    /// Runs `refrain` here, its arguments in one text.
    pub(crate) fn refrain(&self, args: &str) -> Said {
        self.refrain_with(args, &[], "")
    }

    pub(crate) fn refrain_with(&self, args: &str, variables: &[(&str, &str)], input: &str) -> Said {
        let mut child = Command::new(env!("CARGO_BIN_EXE_refrain"))
            .args(args.split_whitespace())
            .current_dir(self.0.path())
            .env_clear()
            .env("XDG_STATE_HOME", self.0.path())
            .envs(variables.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // A program that does not read may have gone.
        let _written = child.stdin.take().unwrap().write_all(input.as_bytes());
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: status.code(), out: text(stdout), err: text(stderr) }
    }
}

impl Said {
    /// All of it, for a golden.
    pub(crate) fn shown(&self) -> String {
        let code = self.code.unwrap();
        format!("exit code {code}\n--- standard output\n{}--- standard error\n{}", self.out, self.err)
    }
}
