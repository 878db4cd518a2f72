//! Where and when a bench ran: what a reader needs to judge its figures, and nothing that names the machine.

use std::path::Path;
use std::process::Command;

use serde::Serialize;

/// Where and when a bench ran.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Environment {
    /// When it began, UTC.
    pub date: String,
    /// The commit, with `+` where files were changed since.
    pub commit: String,
    /// The processor.
    pub cpu: String,
    /// How many cores there are.
    pub cores: usize,
    /// The memory, in MiB.
    pub memory_mib: u64,
    /// The kernel's release.
    pub kernel: String,
    /// How busy the machine was with other things at the start: its load average of one minute.
    pub load_average: String,
    /// The distribution.
    pub system: String,
}

impl Environment {
    /// As it is now.
    pub(crate) fn now() -> Environment {
        let cpuinfo = read("/proc/cpuinfo");
        Environment {
            date: jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            commit: commit(),
            cpu: field(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory_mib: field(&read("/proc/meminfo"), "MemTotal").map_or(0, mebibytes),
            kernel: version_of_kernel(&read("/proc/sys/kernel/osrelease")),
            load_average: read("/proc/loadavg").split(' ').next().unwrap_or_default().to_owned(),
            system: assigned(&read("/etc/os-release"), "PRETTY_NAME").unwrap_or("unknown").to_owned(),
        }
    }

    /// The day, as it stands in names of files.
    pub(crate) fn day(&self) -> &str {
        self.date.split('T').next().unwrap_or(&self.date)
    }
}

/// Nothing where it is not there: the figures do not depend on it.
fn read(path: &str) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// The value of the first line `name : value`.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lines = text.lines().filter_map(|line| line.split_once(':'));
    lines.map(|(key, value)| (key.trim(), value.trim())).find(|(key, _)| *key == name).map(|(_, value)| value)
}

/// The value of the line `NAME="value"`.
fn assigned<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let lines = text.lines().filter_map(|line| line.split_once('='));
    lines.filter(|(key, _)| *key == name).map(|(_, value)| value.trim_matches('"')).next()
}

/// `2048 kB`, in MiB.
fn mebibytes(kilobytes: &str) -> u64 {
    kilobytes.split(' ').next().and_then(|number| number.parse::<u64>().ok()).unwrap_or(0) / 1024
}

/// The release without what a vendor appends, which may name a machine.
fn version_of_kernel(release: &str) -> String {
    release.trim().split('-').next().unwrap_or_default().to_owned()
}

/// The commit that was built, as well as one can know.
fn commit() -> String {
    let git = |arguments: &[&str]| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new("git").args(arguments).current_dir(root).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let changed = git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|files| !files.is_empty());
    let commit = git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_else(|| "unknown".to_owned());
    if changed { commit + "+" } else { commit }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_found() {
        let text = "processor\t: 0\nmodel name\t: Some CPU @ 2 GHz\nmodel name\t: Another\n";
        assert_eq!(field(text, "model name"), Some("Some CPU @ 2 GHz"));
        assert_eq!(field(text, "flags"), None);
        assert_eq!(mebibytes("2097152 kB"), 2048);
        assert_eq!(version_of_kernel("6.1.0-25-amd64\n"), "6.1.0");
        assert_eq!(assigned("NAME=\"x\"\nPRETTY_NAME=\"Debian 12\"\n", "PRETTY_NAME"), Some("Debian 12"));
    }
}
