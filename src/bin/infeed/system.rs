//! What the operating system says of this process and of memory.

use serde::Serialize;

/// The most memory that this process has had resident, in bytes; `None` where
/// the system does not say.
pub(crate) fn peak_rss_bytes() -> Option<u64> {
    // VmHWM belongs to this program alone; getrusage's figure would include
    // what the process was before it became this program.
    kilobytes("/proc/self/status", "VmHWM:").or_else(peak_by_getrusage)
}

/// Memory that new work can have without swapping, in bytes.
pub(crate) fn available_bytes() -> Option<u64> {
    kilobytes("/proc/meminfo", "MemAvailable:")
}

/// What figures are to be read beside.
#[derive(Debug, Serialize)]
pub(crate) struct Machine {
    cpu: Option<String>,
    /// That this process may use.
    cores: usize,
    os: &'static str,
    /// The kernel's.
    os_version: Option<String>,
    arch: &'static str,
    memory_bytes: Option<u64>,
}

pub(crate) fn machine() -> Machine {
    let line = |file: &str| std::fs::read_to_string(file).ok();
    Machine {
        cpu: line("/proc/cpuinfo").and_then(|text| {
            let model = text.lines().find(|line| line.starts_with("model name"))?;
            Some(model.split_once(':')?.1.trim().to_owned())
        }),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        os: std::env::consts::OS,
        os_version: line("/proc/sys/kernel/osrelease").map(|text| text.trim().to_owned()),
        arch: std::env::consts::ARCH,
        memory_bytes: kilobytes("/proc/meminfo", "MemTotal:"),
    }
}

/// Seconds that this process's threads have worked, in steps of 10 ms; `None`
/// where the system does not say.
pub(crate) fn cpu_seconds() -> Option<f64> {
    let text = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The program's name comes second, in brackets, and may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field - 3)?.parse::<u64>().ok();
    // Fields 14 and 15, user and system; Linux tells them in hundredths.
    Some((ticks(14)? + ticks(15)?) as f64 / 100.0)
}

/// Whether this process ignores a signal.
#[cfg(unix)]
#[allow(unsafe_code)]
pub(crate) fn is_ignored(signal: i32) -> bool {
    // SAFETY: all-zero bytes are a valid `sigaction`, of numbers and no function.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing is set, and the pointer is to a live `sigaction` of ours.
    let result = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
    result == 0 && action.sa_sigaction == libc::SIG_IGN
}

fn kilobytes(file: &str, field: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let line = text.lines().find_map(|line| line.strip_prefix(field))?;
    let number: u64 = line.split_whitespace().next()?.parse().ok()?;
    Some(number * 1024)
}

#[cfg(all(unix, not(target_os = "linux")))]
#[allow(unsafe_code)]
fn peak_by_getrusage() -> Option<u64> {
    // SAFETY: all-zero bytes are a valid `rusage`, a struct of integers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a live `rusage` of ours.
    let result = unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    // macOS counts bytes, the other systems kilobytes.
    let unit = if cfg!(target_os = "macos") { 1 } else { 1024 };
    (result == 0).then(|| usage.ru_maxrss as u64 * unit)
}

#[cfg(not(all(unix, not(target_os = "linux"))))]
fn peak_by_getrusage() -> Option<u64> {
    None
}
