//! The order of a shuffled epoch: how fast it is computed on one core, and that it
//! takes no memory.
//!
//! ```sh
//! cargo bench --bench shuffle                 # 100 million samples
//! cargo bench --bench shuffle -- 1000000
//! ```
#![allow(clippy::print_stdout)]

use std::hint::black_box;
use std::time::Instant;

use infeed::Shuffle;

fn main() {
    let length = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let length: u64 = length.unwrap_or(100_000_000);
    let before = peak_bytes();
    for epoch in 0..3 {
        let started = Instant::now();
        let last = Shuffle::new(length, 7, epoch).iter().fold(0, |_, index| black_box(index));
        let seconds = started.elapsed().as_secs_f64();
        println!(
            "epoch {epoch}: {length} indices in {seconds:.2} s, {:.1} million/s (the last: {last})",
            length as f64 / seconds / 1e6
        );
    }
    if let (Some(before), Some(after)) = (before, peak_bytes()) {
        println!("memory: {} KiB more than before", (after - before) / 1024);
    }
    let mut seen = vec![0_u64; length.div_ceil(64) as usize];
    for index in Shuffle::new(length, 7, 0).iter() {
        let (word, bit) = ((index / 64) as usize, 1 << (index % 64));
        assert_eq!(seen[word] & bit, 0, "{index} came twice");
        seen[word] |= bit;
    }
    println!("every index once");
}

/// The most memory that the process has taken so far, where the system tells.
fn peak_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    line.split_whitespace().nth(1)?.parse::<u64>().ok().map(|kilobytes| kilobytes * 1024)
}
