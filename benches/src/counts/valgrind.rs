//! Refrain under callgrind, and what it is told while it runs.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

use tokio::process::Command;

use crate::error::Error;
use crate::settings::Settings;

/// How long the program may take to hear.
const MAX_WAIT: Duration = Duration::from_secs(60);

/// One counted program.
#[derive(Debug)]
pub(super) struct Counted {
    vgdb: PathBuf,
    /// What starts it, in the place of the program.
    start: PathBuf,
    /// Where the counts are written: this name with `.1`.
    out: PathBuf,
}

/// Why nothing can be counted here.
pub(super) fn unusable(settings: &Settings) -> Option<String> {
    if !cfg!(target_arch = "x86_64") {
        return Some("counts are recorded for x86-64".to_owned());
    }
    let flags = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has_avx2 = flags.lines().any(|line| line.starts_with("flags") && line.split_whitespace().any(|flag| flag == "avx2"));
    if !has_avx2 {
        return Some("counts are recorded for processors with AVX2".to_owned());
    }
    let missing = ["valgrind", "vgdb", "redis-server"].into_iter().find(|program| settings.program(program).is_err());
    missing.map(|program| format!("{program} is missing"))
}

impl Counted {
    /// Not started yet.
    pub(super) fn new(settings: &Settings) -> Result<Self, Error> {
        let number = settings.next_port.get();
        let out = settings.work.join(format!("callgrind-{number}"));
        let (valgrind, program) = (settings.program("valgrind")?, &settings.refrain);
        // The program writes the counts itself, when it is told to: it must not when it ends, in the middle of being stopped.
        let text = format!(
            "#!/bin/sh\n[ \"$1\" = --version ] && exec '{program}' --version\n\
             exec '{valgrind}' --quiet --tool=callgrind --callgrind-out-file='{out}' --vgdb-prefix='{out}' '{program}' \"$@\"\n",
            program = program.display(),
            valgrind = valgrind.display(),
            out = out.display(),
        );
        let start = settings.file(&format!("counted-{number}"), &text)?;
        let executable = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(&start, executable).map_err(Error::io("make a script executable"))?;
        Ok(Self { vgdb: settings.program("vgdb")?, start, out })
    }

    /// With which Refrain is started so.
    pub(super) fn settings(&self, settings: &Settings) -> Settings {
        Settings { refrain: self.start.clone(), workers: 1, ..settings.clone() }
    }

    /// `zero`: counts begin. `dump`: they are written.
    pub(super) async fn tell(&self, id: u32, command: &str) -> Result<(), Error> {
        let mut vgdb = Command::new(&self.vgdb);
        vgdb.arg(format!("--vgdb-prefix={}", self.out.display())).arg(format!("--pid={id}")).arg(command).kill_on_drop(true);
        let told = tokio::time::timeout(MAX_WAIT, vgdb.output()).await;
        let told = told.map_err(|_| Error::program("vgdb", "no answer in time; may processes be traced here?"))?;
        let told = told.map_err(Error::io("run vgdb"))?;
        match told.status.success() {
            true => Ok(()),
            false => Err(Error::program("vgdb", String::from_utf8_lossy(&told.stderr).trim())),
        }
    }

    /// Of all threads, since the counts began.
    pub(super) fn instructions(&self) -> Result<u64, Error> {
        let path = self.out.with_extension("1");
        let text = std::fs::read_to_string(&path).map_err(Error::io("read the counts"))?;
        let total = text.lines().rev().find_map(|line| line.strip_prefix("totals:"));
        let total = total.and_then(|total| total.trim().parse().ok());
        total.filter(|total| *total > 0).ok_or_else(|| Error::program("callgrind", format!("no total in {}", path.display())))
    }
}
