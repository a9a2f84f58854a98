//! What the pipeline itself costs, with a decoder that does nothing, from memory
//! and from files; the gap between epochs, and what order costs, with one that
//! takes a known time.
//!
//! ```sh
//! cargo bench --bench pipeline                      # all tables
//! cargo bench --bench pipeline -- cost              # or files, bubble, stragglers
//! cargo bench --bench pipeline -- cost 1 32         # in batches of these sizes
//! ```
//!
//! What is measured is a rate, a core time and gaps of threads at work, over a
//! span, which a benchmark of one function's time cannot have: hence no criterion.
//!
//! Samples are 4 KB in memory, copied as a source in memory would; a picture is one
//! pixel, so that next to nothing is left of the transform. Core time is what the
//! kernel charged the process, user and system.
#![allow(missing_docs, clippy::print_stdout)]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use infeed::decode::{Decode, Picture};
use infeed::source::{Admission, Listing, ReadFuture, Source};
use infeed::{Cause, Limits, Loader, LoaderBuilder, Order, Result, Size};

const ORDERS: [Order; 2] = [Order::Ordered, Order::Unordered];

fn main() -> Result<()> {
    let asked: Vec<String> = std::env::args().skip(1).filter(|a| !a.starts_with("--")).collect();
    let sizes: Vec<usize> = asked.iter().filter_map(|size| size.parse().ok()).collect();
    let wanted = |name: &str| asked.len() == sizes.len() || asked.iter().any(|asked| asked == name);
    if wanted("cost") {
        cost(&sizes)?;
    }
    if wanted("files") {
        files()?;
    }
    if wanted("bubble") {
        bubble()?;
    }
    if wanted("stragglers") {
        stragglers()?;
    }
    Ok(())
}

// ---- cost

const ROUNDS: usize = 3;
/// Counted time of one round.
const SPAN: Duration = Duration::from_millis(400);

/// In batches of `sizes`, or of all.
fn cost(sizes: &[usize]) -> Result<()> {
    println!("samples/s and core-microseconds a sample, medians of {ROUNDS} rounds");
    println!(
        "{:>10} {:>6} {:>9} {:>8} {:>11} {:>13}",
        "order", "batch", "prefetch", "threads", "samples/s", "core-us/sample"
    );
    for order in ORDERS {
        for (batch, prefetch) in [(1, 64), (32, 2), (256, 2), (1_024, 2)] {
            if !sizes.is_empty() && !sizes.contains(&batch) {
                continue;
            }
            for threads in [1, 2, 8, 64] {
                let source = Memory::new(16_384, Work::default());
                let builder = source.loader().order(order).threads(threads);
                let mut loader = builder.batch_size(batch).prefetch(prefetch).build()?;
                let mut rounds = Vec::new();
                for _ in 0..ROUNDS {
                    rounds.push(one_round(&mut loader)?);
                }
                let rate = median(rounds.iter().map(|round| round.0));
                let core = median(rounds.iter().map(|round| round.1)) * 1e6;
                println!(
                    "{:>10} {batch:>6} {prefetch:>9} {threads:>8} {rate:>11.0} {core:>13.2}",
                    order.as_str()
                );
            }
        }
    }
    Ok(())
}

/// Samples a second, and core seconds a sample.
fn one_round(loader: &mut Loader<u8>) -> Result<(f64, f64)> {
    let mut timer: Option<(Instant, f64)> = None;
    let mut samples = 0;
    for batch in loader.epochs(0..u64::MAX)? {
        let batch = batch?;
        // The first epoch warms up.
        if batch.epoch() > 0 {
            match &timer {
                None => timer = Some((Instant::now(), core_seconds())),
                Some((started, _)) => {
                    samples += batch.len();
                    if started.elapsed() >= SPAN {
                        break;
                    }
                }
            }
        }
    }
    let (started, core) = timer.unwrap_or_else(|| unreachable!("the epochs do not end"));
    let samples = samples as f64;
    Ok((samples / started.elapsed().as_secs_f64(), (core_seconds() - core) / samples))
}

/// User and system time of this process; NaN where the kernel does not say so
/// in a file.
fn core_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    // The name, in parentheses, may hold spaces; times are the 14th and 15th.
    let fields = stat.rsplit(')').next().unwrap_or_default().split_whitespace();
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    if ticks.len() == 2 { (ticks[0] + ticks[1]) / 100.0 } else { f64::NAN }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

// ---- files

/// What a cached file costs on its way through the loader, beside reading it into
/// memory that is there.
fn files() -> Result<()> {
    const FILES: usize = 1_000;
    println!("\ncore-microseconds a cached file, and files/s");
    println!("{:>8} {:>14} {:>14} {:>11}", "bytes", "read in a loop", "loader", "files/s");
    for bytes in [4_096, 110_000] {
        let folder = tempfile::tempdir().expect("a folder for temporary files");
        let path = |number: usize| folder.path().join(format!("{number:04}.jpg"));
        for number in 0..FILES {
            std::fs::write(path(number), vec![number as u8; bytes]).expect("a writable folder");
        }
        let mut buffer = vec![0; bytes];
        let (mut bare, mut rounds) = (Vec::new(), Vec::new());
        let none = Memory::new(0, Work::default());
        let builder = Loader::folder(folder.path()).decoder(none).dtype::<u8>().size(1, 1);
        let mut loader = builder.threads(2).build()?;
        for _ in 0..ROUNDS {
            let (core, mut read) = (core_seconds(), 0);
            let started = Instant::now();
            while started.elapsed() < SPAN {
                let mut file = std::fs::File::open(path(read % FILES)).expect("readable");
                std::io::Read::read_exact(&mut file, &mut buffer).expect("readable");
                read += 1;
            }
            bare.push((core_seconds() - core) / read as f64);
            rounds.push(one_round(&mut loader)?);
        }
        println!(
            "{bytes:>8} {:>14.1} {:>14.1} {:>11.0}",
            median(bare.into_iter()) * 1e6,
            median(rounds.iter().map(|round| round.1)) * 1e6,
            median(rounds.iter().map(|round| round.0))
        );
    }
    Ok(())
}

// ---- bubble

/// Gaps between batches when decoding is the bottleneck: those at an epoch's
/// boundary against those inside.
fn bubble() -> Result<()> {
    println!("\ngap at the boundary of epochs over the 90th percentile inside, 2 threads");
    println!(
        "{:>10} {:>6} {:>11} {:>14} {:>9}",
        "order", "batch", "inside p90", "boundary", "ratio"
    );
    for order in ORDERS {
        for (batch, samples) in [(8, 160), (32, 640), (32, 656)] {
            let work = Work { decode: Duration::from_micros(400), ..Work::default() };
            let builder = Memory::new(samples, work).loader().order(order).threads(2);
            let mut loader = builder.batch_size(batch).build()?;
            let (mut inside, mut boundary) = (Vec::new(), Vec::new());
            let mut last: Option<(u64, Instant)> = None;
            for item in loader.epochs(0..12)? {
                let (epoch, now) = (item?.epoch(), Instant::now());
                match last {
                    Some((before, then)) if before == epoch => {
                        inside.push((now - then).as_secs_f64())
                    }
                    Some((_, then)) => boundary.push((now - then).as_secs_f64()),
                    None => {}
                }
                last = Some((epoch, now));
            }
            inside.sort_by(f64::total_cmp);
            let p90 = inside[inside.len() * 9 / 10];
            let boundary = median(boundary.into_iter());
            println!(
                "{:>10} {batch:>6} {:>8.2} ms {:>11.2} ms {:>9.2}",
                order.as_str(),
                p90 * 1e3,
                boundary * 1e3,
                boundary / p90
            );
        }
    }
    Ok(())
}

// ---- stragglers

/// One sample in fifty takes fifty times as long, or none does.
fn stragglers() -> Result<()> {
    println!("\none sample in fifty 50 times slower, or none: what order costs");
    println!(
        "{:>10} {:>7} {:>6} {:>9} {:>12} {:>12} {:>7} {:>13}",
        "stragglers",
        "threads",
        "batch",
        "prefetch",
        "ordered/s",
        "unordered/s",
        "ratio",
        "reorder wait"
    );
    for slow in [None, Some((50, 50))] {
        for (threads, batch, prefetch) in
            [(2, 8, 2), (2, 32, 2), (8, 32, 2), (8, 32, 6), (8, 128, 2)]
        {
            let work = Work { decode: Duration::from_micros(300), slow };
            let (mut rates, mut waits) = ([const { Vec::new() }; 2], Vec::new());
            for _ in 0..ROUNDS {
                for (order, rates) in ORDERS.into_iter().zip(&mut rates) {
                    let builder = Memory::new(2_048, work).loader().order(order);
                    let builder = builder.batch_size(batch).prefetch(prefetch).threads(threads);
                    let mut loader = builder.build()?;
                    let mut epoch = loader.epoch(0)?;
                    for item in &mut epoch {
                        item?;
                    }
                    let stats = epoch.stats();
                    rates.push(stats.images_per_second());
                    if order == Order::Ordered {
                        waits.push(stats.stages.reorder_wait.as_secs_f64() / stats.seconds);
                    }
                }
            }
            let [ordered, unordered] = rates.map(|rates| median(rates.into_iter()));
            println!(
                "{:>10} {threads:>7} {batch:>6} {prefetch:>9} {ordered:>12.0} {unordered:>12.0} \
                 {:>7.2} {:>11.0} %",
                slow.map_or("none", |_| "1 in 50"),
                unordered / ordered,
                100.0 * median(waits.into_iter())
            );
        }
    }
    Ok(())
}

// ---- the source and the decoder

/// What decoding takes.
#[derive(Clone, Copy, Debug, Default)]
struct Work {
    /// For each sample, asleep: a core of its own for each thread.
    decode: Duration,
    /// One sample in so many takes so many times as long.
    slow: Option<(u32, u32)>,
}

/// Samples of 4 KB in memory, with a decoder that does not look at them.
#[derive(Clone, Debug)]
struct Memory {
    samples: usize,
    work: Work,
    /// Contents, in turn.
    bytes: Arc<[[u8; 4_096]]>,
}

impl Memory {
    fn new(samples: usize, work: Work) -> Self {
        let bytes = (0..256_u32).map(|number| {
            let mut bytes = [number as u8; 4_096];
            bytes[..4].copy_from_slice(&number.to_le_bytes());
            bytes
        });
        Memory { samples, work, bytes: bytes.collect() }
    }

    fn loader(&self) -> LoaderBuilder<u8> {
        let builder = Loader::source(self.clone()).decoder(self.clone());
        builder.dtype::<u8>().size(1, 1)
    }
}

impl Source for Memory {
    fn root(&self) -> PathBuf {
        "memory".into()
    }

    fn list(&self, listing: &mut Listing<'_>) -> Result<()> {
        for number in 0..self.samples {
            if listing.push(Path::new(&number.to_string()), None) == ControlFlow::Break(()) {
                break;
            }
        }
        Ok(())
    }

    fn read(&self, path: &Path, admission: Admission) -> ReadFuture {
        let number: usize = path.to_str().and_then(|name| name.parse().ok()).unwrap_or_default();
        let all = Arc::clone(&self.bytes);
        Box::pin(async move {
            let mut encoded = admission.admit(4_096).await?;
            encoded.copy_from_slice(&all[number % all.len()]);
            let slow = (number as u32).to_le_bytes();
            encoded[..4].copy_from_slice(&slow);
            Ok(encoded)
        })
    }
}

impl Decode for Memory {
    fn open<'a>(&self, encoded: &'a [u8], _: &Limits) -> Result<Box<dyn Picture + 'a>, Cause> {
        let number = encoded[..4].iter().rev().fold(0, |sum, &byte| sum << 8 | u32::from(byte));
        let Work { decode, slow } = self.work;
        let times = slow.filter(|(every, _)| number % every == every / 2).map_or(1, |slow| slow.1);
        Ok(Box::new(Nothing { takes: decode * times }))
    }
}

struct Nothing {
    takes: Duration,
}

impl Picture for Nothing {
    fn size(&self) -> Size {
        Size { width: 1, height: 1 }
    }

    fn working_bytes(&self) -> u64 {
        0
    }

    #[allow(clippy::disallowed_methods, reason = "it is the work that takes its time")]
    fn read(self: Box<Self>, _: infeed::decode::Channels, _: &mut [u8]) -> Result<(), Cause> {
        if !self.takes.is_zero() {
            std::thread::sleep(self.takes);
        }
        Ok(())
    }
}
