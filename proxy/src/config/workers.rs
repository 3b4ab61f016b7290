//! How many cores a process may keep busy: its CPU quota, and the CPUs that it may run on.
//!
//! The standard library's `available_parallelism` looks at the quota too and rounds it down, so that 1.5 CPUs would serve like one.

use std::{fs, num::NonZero, path::Path, thread};

/// The cores that a process of this quota should use: rounded up, at least 1, at most what it may run on.
pub(super) fn auto() -> usize {
    let quota = quota(&|path| fs::read_to_string(Path::new("/").join(path)).ok());
    let allowed = fs::read_to_string("/proc/self/status").ok().and_then(|status| allowed_cpus(&status));
    let allowed = allowed.unwrap_or_else(|| thread::available_parallelism().map_or(1, NonZero::get));
    cores(quota, allowed)
}

fn cores(quota: Option<Quota>, allowed: usize) -> usize {
    quota.map_or(allowed, Quota::rounded_up).min(allowed).max(1)
}

/// Microseconds of CPU time per microseconds of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Quota {
    quota_us: u64,
    period_us: u64,
}

impl Quota {
    fn rounded_up(self) -> usize {
        usize::try_from(self.quota_us.div_ceil(self.period_us)).unwrap_or(usize::MAX)
    }
}

/// The tightest quota of the process's cgroup and of those that hold it. `read` reads a file by its path from the root.
fn quota(read: &dyn Fn(&str) -> Option<String>) -> Option<Quota> {
    let groups = read("proc/self/cgroup")?;
    let of_version_2 = groups.lines().find_map(|line| line.strip_prefix("0::"));
    let of_version_1 = groups.lines().find_map(|line| {
        let (controllers, path) = line.split_once(':')?.1.split_once(':')?;
        controllers.split(',').any(|controller| controller == "cpu").then_some(path)
    });
    let version_2 =
        of_version_2.into_iter().flat_map(upwards).filter_map(|group| cpu_max(&read(&format!("sys/fs/cgroup{group}/cpu.max"))?));
    let version_1 = of_version_1.into_iter().flat_map(upwards).filter_map(|group| {
        let number = |name| read(&format!("sys/fs/cgroup/cpu{group}/cpu.{name}"));
        cfs_quota(&number("cfs_quota_us")?, &number("cfs_period_us")?)
    });
    version_2.chain(version_1).min_by_key(|quota| quota.rounded_up())
}

/// A cgroup's path and those of its holders; the root is the empty path. A container often sees its own group as the root.
fn upwards(group: &str) -> impl Iterator<Item = &str> {
    let group = group.trim_end_matches('/');
    std::iter::successors(Some(group), |group| group.rsplit_once('/').map(|(holder, _)| holder))
}

/// `cpu.max` of version 2: `150000 100000`, or `max 100000` for no bound.
fn cpu_max(text: &str) -> Option<Quota> {
    let (quota, period) = text.trim().split_once(' ')?;
    of_numbers(quota, period)
}

/// `cpu.cfs_quota_us` of version 1, which is -1 for no bound, and `cpu.cfs_period_us`.
fn cfs_quota(quota: &str, period: &str) -> Option<Quota> {
    of_numbers(quota.trim(), period.trim())
}

fn of_numbers(quota: &str, period: &str) -> Option<Quota> {
    let (quota_us, period_us) = (quota.parse().ok()?, period.parse().ok()?);
    (quota_us > 0 && period_us > 0).then_some(Quota { quota_us, period_us })
}

/// How many CPUs are in the line `Cpus_allowed_list: 0-3,8` of `/proc/self/status`.
fn allowed_cpus(status: &str) -> Option<usize> {
    let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"))?;
    list.trim().split(',').try_fold(0_usize, |count, range| {
        let (first, last) = range.split_once('-').unwrap_or((range, range));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        count.checked_add(last.checked_sub(first)?.checked_add(1)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(files: &'static [(&'static str, &'static str)]) -> Option<usize> {
        let read = |path: &str| files.iter().find(|(name, _)| *name == path).map(|(_, text)| (*text).to_owned());
        quota(&read).map(Quota::rounded_up)
    }

    #[test]
    fn a_quota_is_rounded_up() {
        let container = [("proc/self/cgroup", "0::/\n"), ("sys/fs/cgroup/cpu.max", "150000 100000\n")];
        assert_eq!(with(Box::leak(Box::new(container))), Some(2));
        assert_eq!(cores(Some(Quota { quota_us: 50_000, period_us: 100_000 }), 8), 1);
        assert_eq!(cores(Some(Quota { quota_us: 900_000, period_us: 100_000 }), 8), 8, "no more than the CPUs that there are");
        assert_eq!(cores(None, 8), 8);
        assert_eq!(cores(None, 0), 1);
    }

    #[test]
    fn the_tightest_quota_on_the_way_up_counts() {
        assert_eq!(
            with(&[
                ("proc/self/cgroup", "0::/kube/pod/box\n"),
                ("sys/fs/cgroup/kube/pod/box/cpu.max", "max 100000\n"),
                ("sys/fs/cgroup/kube/pod/cpu.max", "300000 100000\n"),
                ("sys/fs/cgroup/kube/cpu.max", "800000 100000\n"),
            ]),
            Some(3)
        );
    }

    #[test]
    fn quotas_of_cgroups_of_version_1_count_too() {
        assert_eq!(
            with(&[
                ("proc/self/cgroup", "5:memory:/a\n4:cpu,cpuacct:/a\n0::/\n"),
                ("sys/fs/cgroup/cpu/a/cpu.cfs_quota_us", "250000\n"),
                ("sys/fs/cgroup/cpu/a/cpu.cfs_period_us", "100000\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n"),
                ("sys/fs/cgroup/cpu/cpu.cfs_period_us", "100000\n"),
            ]),
            Some(3)
        );
    }

    #[test]
    fn what_is_no_quota_bounds_nothing() {
        for text in ["", "max 100000", "0 100000", "100000 0", "100000", "a b", "-1 100000"] {
            assert_eq!(cpu_max(text), None, "{text}");
        }
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[("proc/self/cgroup", "nonsense\n0::/\n")]), None);
    }

    #[test]
    fn cpus_are_counted_in_ranges() {
        assert_eq!(allowed_cpus("Name:\tx\nCpus_allowed_list:\t0-3,8,10-11\nMems:\t0\n"), Some(7));
        for status in ["", "Cpus_allowed_list:\t", "Cpus_allowed_list:\t3-1", "Cpus_allowed_list:\t0-18446744073709551615"] {
            assert_eq!(allowed_cpus(status), None, "{status}");
        }
    }

    #[test]
    fn this_machine_has_a_core() {
        assert!(auto() >= 1);
    }
}
