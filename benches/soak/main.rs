//! A soak: loaders of every configuration, used in every way over good files and bad
//! ones, in one process, for as long as is wished. Every batch is compared with that of a
//! plain loader, and memory, descriptors and threads must not grow.
//!
//! ```sh
//! cargo bench --bench soak                                          # some seconds
//! cargo bench --bench soak -- 60 docs/soak.svg --loaders 10000      # an hour, and a plot
//! cargo bench --bench soak -- 0 --seed 7 --from 123 --loaders 1     # one case again
//! ```
//!
//! It goes on for so many minutes and at least so many loaders, and ends with exit code 1
//! at the first batch, error or figure that is not as it must be, naming the case.
//!
//! *At rest*, between two cases, no loader lives. Threads and descriptors must then be
//! those of the beginning. Of memory, two figures are judged. What is allocated, counted by
//! the process's own allocator in front of the system's, may differ between the end of the
//! first tenth and the end by [`LEAST_LEAK`] and [`FORGOTTEN`] for each iterator that was
//! forgotten, which leaks it by intent. What is resident is the system allocator's affair
//! as well: glibc has up to eight arenas a core, and each may keep at its top twice the
//! largest block that was freed. So the median of the last tenth may be above that of the
//! first, the first fiftieth of the run left out, by that much for each arena. With
//! `MALLOC_MMAP_THRESHOLD_=131072` in the environment such blocks go back at once.
#![allow(clippy::print_stdout)]

#[path = "../../tests/common/allocator.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod allocator;
mod case;
mod chart;
mod done;
#[path = "../../tests/common/draws.rs"]
#[allow(dead_code, reason = "tests use the rest")]
mod draws;
mod executor;
#[path = "../../tests/common/failed.rs"]
mod failed;
mod levels;
mod oracle;
mod plan;
mod tree;
mod watch;
mod ways;

use std::error::Error;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use allocator::{Counting, LARGEST};
use case::Case;
use done::Done;
use levels::{Course, Levels, Moment, course};
use oracle::Table;
use tree::Trees;
use watch::Watch;
use ways::Ground;

#[global_allocator]
static COUNTING: Counting = Counting;

/// What any number of cases may leave allocated: tables that grow once, names of threads.
const LEAST_LEAK: u64 = 256 << 10;
/// What a forgotten iterator keeps: its own state, the window's and the index's.
const FORGOTTEN: u64 = 32 << 10;
/// Of glibc, for each core.
const ARENAS: usize = 8;
/// The kernel takes a joined thread off its list a moment later.
const REST: Duration = Duration::from_secs(5);

/// Some thread panicked that was not asked to.
static PANICKED: AtomicBool = AtomicBool::new(false);

fn main() -> ExitCode {
    match soak() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("{error}");
            ExitCode::FAILURE
        }
    }
}

struct Asked {
    time: Duration,
    chart: Option<PathBuf>,
    loaders: u64,
    seed: u64,
    from: u64,
}

fn asked() -> Result<Asked, Box<dyn Error>> {
    let (mut time, mut chart, mut loaders, mut seed, mut from) = (None, None, 0, 1, 0);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut number = || arguments.next().unwrap_or_default().parse::<u64>();
        match argument.as_str() {
            "--loaders" => loaders = number()?,
            "--seed" => seed = number()?,
            "--from" => from = number()?,
            // Cargo says it to every bench.
            "--bench" => {}
            _ if time.is_none() => time = Some(argument.parse::<f64>()?),
            _ => chart = Some(PathBuf::from(argument)),
        }
    }
    let time = Duration::from_secs_f64(time.map_or(3.0, |minutes| 60.0 * minutes));
    Ok(Asked { time, chart, loaders, seed, from })
}

fn soak() -> Result<(), Box<dyn Error>> {
    let asked = asked()?;
    let Asked { time, seed, from, .. } = asked;
    listen_for_panics();
    let trees = Trees::new(seed)?;
    let interval = (time / 500).min(Duration::from_secs(5)).max(Duration::from_millis(50));
    let (watch, done) = (Arc::new(Watch::new(interval)), Arc::new(Done::default()));
    let watching = watch.start(Arc::clone(&done))?;
    let table = Mutex::new(Table::default());
    let ground = Ground { trees: &trees, table: &table, done: &done, watch: &watch };
    let begun = Instant::now();
    let before = Levels::now();
    println!("seed {seed}; at rest in the beginning: {before:?}");
    let (mut rests, mut warm) = (Vec::with_capacity(1_000), None);
    for number in from.. {
        if begun.elapsed() >= time && done.loaders.load(Relaxed) >= asked.loaders {
            break;
        }
        let case = Case::new(seed, number, &trees);
        lock(&table).forget_below(Case::oldest_work(number), &trees);
        watch.begin(format!("seed {seed}, case {number}: {case:#?}"));
        let ran = catch_unwind(AssertUnwindSafe(|| ground.run(&case)));
        watch.end();
        let ran = ran.unwrap_or_else(|_| Err("panicked".to_owned()));
        let ran = match PANICKED.load(Relaxed) {
            true => ran.and(Err("a thread panicked".to_owned())),
            false => ran,
        };
        let ran = match ran.is_ok() && watch.is_due() {
            true => at_rest(&before).map(|levels| {
                let seconds = watch.seconds();
                let (images_per_second, loaders_per_second) = Default::default();
                rests.push(Moment { seconds, levels, images_per_second, loaders_per_second });
            }),
            false => ran,
        };
        ran.map_err(|error| {
            format!(
                "seed {seed}, case {number}: {error}\n{case:#?}\nthis case again: \
                 cargo bench --bench soak -- 0 --seed {seed} --from {number} --loaders 1"
            )
        })?;
        if warm.is_none() && begun.elapsed() >= time / 10 {
            // What the table holds is no leak.
            *lock(&table) = Table::default();
            warm = Some((Levels::now().heap, done.forgotten.load(Relaxed)));
        }
    }
    *lock(&table) = Table::default();
    let running = watch.finish();
    watching.join().map_err(|_| "the watching thread panicked")?;
    let end = Levels { threads: before.threads, ..Levels::now() };
    print(&done, begun.elapsed(), &running, &rests);
    println!("at rest in the end: {end:?}");
    if let Some(file) = asked.chart {
        std::fs::write(file, chart::drawn(&running, &rests)?)?;
    }
    judge(&done, warm, end, &rests)
}

fn lock(table: &Mutex<Table>) -> std::sync::MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Threads and descriptors are as in the beginning once every loader is gone.
fn at_rest(before: &Levels) -> Result<Levels, String> {
    let since = Instant::now();
    loop {
        let now = Levels::now();
        if (now.threads, now.open) == (before.threads, before.open) {
            return Ok(now);
        }
        if since.elapsed() > REST {
            return Err(format!("at rest {now:?}, and in the beginning {before:?}"));
        }
        std::thread::yield_now();
    }
}

/// Those of transforms that are to panic are not printed.
fn listen_for_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        let message = info.payload().downcast_ref::<&str>();
        if message != Some(&plan::SCRIPTED) {
            PANICKED.store(true, Relaxed);
            usual(info);
        }
    }));
}

fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

fn print(done: &Done, time: Duration, running: &[Moment], rests: &[Moment]) {
    let count = |of: &std::sync::atomic::AtomicU64| of.load(Relaxed);
    println!(
        "{:.1} s: {} loaders, {} epochs, {} images, {} failed samples; {} resumed, {} stopped, {} \
         iterators forgotten, {} memory limits refused",
        time.as_secs_f64(),
        count(&done.loaders),
        count(&done.epochs),
        count(&done.images),
        count(&done.failed),
        count(&done.resumed),
        count(&done.stopped),
        count(&done.forgotten),
        count(&done.refused),
    );
    println!("{:28} {:>10} {:>10} {:>10} {:>12}", "", "first 10th", "last 10th", "most", "an hour");
    let row = |name: &str, moments: &[Moment], of: fn(&Moment) -> f64| {
        if let Some(Course { first, last, most, slope }) = course(moments, of) {
            println!("{name:28} {first:>10.1} {last:>10.1} {most:>10.1} {slope:>+12.2}");
        }
    };
    row("resident at rest, MiB", rests, |moment| mib(moment.levels.resident));
    row("allocated at rest, MiB", rests, |moment| mib(moment.levels.heap));
    row("descriptors at rest", rests, |moment| moment.levels.open as f64);
    row("threads at rest", rests, |moment| moment.levels.threads as f64);
    row("resident, MiB", running, |moment| mib(moment.levels.resident));
    row("allocated, MiB", running, |moment| mib(moment.levels.heap));
    row("descriptors", running, |moment| moment.levels.open as f64);
    row("threads", running, |moment| moment.levels.threads as f64);
    row("images/s", running, |moment| moment.images_per_second);
    row("loaders/s", running, |moment| moment.loaders_per_second);
}

fn judge(
    done: &Done,
    warm: Option<(u64, u64)>,
    end: Levels,
    rests: &[Moment],
) -> Result<(), Box<dyn Error>> {
    if let Some((allocated, forgotten)) = warm {
        let forgotten = done.forgotten.load(Relaxed) - forgotten;
        let (grown, may) = (end.heap.saturating_sub(allocated), LEAST_LEAK + forgotten * FORGOTTEN);
        println!(
            "allocated since the first tenth: {grown} bytes more, of {may} that may be, with \
             {forgotten} iterators forgotten"
        );
        if grown > may {
            return Err("what is allocated has grown".into());
        }
    }
    let resident = course(rests, |moment| moment.levels.resident as f64);
    let cores = std::thread::available_parallelism()?.get();
    let may = (ARENAS * cores * 2 * LARGEST.load(Relaxed)) as f64;
    // In a shorter run the first tenth is still warming up.
    let judged = rests.last().is_some_and(|rest| rest.seconds >= 60.0);
    if let Some(Course { first, last, .. }) = resident.filter(|_| judged) {
        println!("resident since then: {:+.0} bytes, of {may:.0} that may be", last - first);
        if last > first + may {
            return Err("what is resident has grown".into());
        }
    }
    println!("every batch as it must be");
    Ok(())
}
