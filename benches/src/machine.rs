//! What a run was measured on.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};
use serde::{Deserialize, Serialize};

/// What a run was measured on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// The processor's model.
    pub(crate) cpu: String,
    /// Cores that this process may use.
    pub(crate) cores: usize,
    /// The kernel's version.
    pub(crate) kernel: String,
    /// All of it.
    pub(crate) memory_bytes: u64,
}

impl Machine {
    /// This one.
    pub(crate) fn read() -> Self {
        let first = |path: &str, name: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map(|(_, value)| value.trim().to_owned()).unwrap_or_default()
        };
        let memory = first("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse::<u64>().unwrap_or(0);
        let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: first("/proc/cpuinfo", "model name"),
            cores: cores(),
            kernel: release.trim().split('-').next().unwrap_or_default().to_owned(),
            memory_bytes: memory * 1024,
        }
    }
}

/// Cores that this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZero::get)
}

/// The most descriptors that any process of a run may want.
const DESCRIPTORS: u64 = 65_536;

/// Lets this process, and so those that it starts, open as many descriptors as it may. Returns how many.
pub(crate) fn raise_descriptors() -> u64 {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return 0 };
    // Who may not raise the hard limit goes as far as that.
    for (soft, hard) in [(DESCRIPTORS.max(soft), DESCRIPTORS.max(hard)), (hard, hard)] {
        if setrlimit(Resource::RLIMIT_NOFILE, soft, hard).is_ok() {
            return soft;
        }
    }
    soft
}
