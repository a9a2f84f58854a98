//! What the operating system says of this process and of memory.

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
