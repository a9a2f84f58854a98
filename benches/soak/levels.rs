//! What the process has at a moment, and over time.

use std::sync::atomic::Ordering;

use crate::allocator::LIVE;

/// Memory, descriptors and threads; all but the heap 0 where the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Levels {
    /// Resident, in bytes.
    pub(crate) resident: u64,
    /// Allocated, in bytes.
    pub(crate) heap: u64,
    pub(crate) open: u64,
    pub(crate) threads: u64,
}

impl Levels {
    pub(crate) fn now() -> Self {
        let heap = LIVE.load(Ordering::Relaxed) as u64;
        let (open, threads) = (entries("/proc/self/fd"), entries("/proc/self/task"));
        Levels { resident: resident().unwrap_or(0), heap, open, threads }
    }
}

#[cfg(target_os = "linux")]
fn entries(folder: &str) -> u64 {
    std::fs::read_dir(folder).map_or(0, Iterator::count) as u64
}

#[cfg(not(target_os = "linux"))]
fn entries(_: &str) -> u64 {
    0
}

fn resident() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes << 10)
}

/// One look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) seconds: f64,
    pub(crate) levels: Levels,
    /// Since the look before.
    pub(crate) images_per_second: f64,
    pub(crate) loaders_per_second: f64,
}

/// One figure over time, in short.
pub(crate) struct Course {
    pub(crate) first: f64,
    pub(crate) last: f64,
    pub(crate) most: f64,
    /// Of the line through all points (least squares), an hour.
    pub(crate) slope: f64,
}

/// Of the moments behind the first fiftieth, in which everything is used for the first
/// time: medians of the first and the last tenth.
pub(crate) fn course(moments: &[Moment], of: impl Fn(&Moment) -> f64) -> Option<Course> {
    let warm = &moments[moments.len() / 50..];
    let points: Vec<(f64, f64)> = warm.iter().map(|moment| (moment.seconds, of(moment))).collect();
    if points.is_empty() {
        return None;
    }
    let tenth = points.len().div_ceil(10);
    let middle = |part: &[(f64, f64)]| median(part.iter().map(|point| point.1).collect());
    let count = points.len() as f64;
    let mean = |pick: fn(&(f64, f64)) -> f64| points.iter().map(pick).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let both: f64 = points.iter().map(|point| (point.0 - x) * (point.1 - y)).sum();
    let spread: f64 = points.iter().map(|point| (point.0 - x).powi(2)).sum();
    Some(Course {
        first: middle(&points[..tenth]),
        last: middle(&points[points.len() - tenth..]),
        most: moments.iter().map(of).fold(0.0, f64::max),
        slope: if spread > 0.0 { 3600.0 * both / spread } else { 0.0 },
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
