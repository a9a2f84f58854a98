//! How much of its own decoder and transform the pipeline delivers.
//!
//! ```sh
//! cargo bench --bench efficiency -- path/to/photos
//! ```
//!
//! *Bare*: as many threads as the loader has decode and transform the same
//! files, already in memory, into as many batch buffers in rotation as the
//! loader uses. *Loader*: warm epochs, announced together, from the page cache.
//! Both in turn, several rounds; the figure is the median of the ratios.
#![allow(missing_docs, clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use infeed::{Loader, LoaderBuilder, Order, Result};

const ROUNDS: usize = 7;
const EPOCHS: usize = 4;

fn main() -> Result<()> {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with("--"));
    let Some(folder) = folder.map(PathBuf::from) else {
        println!(
            "efficiency: skipped, as no folder was given: cargo bench --bench efficiency -- DIR"
        );
        return Ok(());
    };
    println!("{ROUNDS} rounds of {EPOCHS} epochs each, in turn; images/s are medians");
    for (name, build) in workloads(&folder) {
        for order in [Order::Ordered, Order::Unordered] {
            measure(name, order, &folder, &*build)?;
        }
    }
    Ok(())
}

type Build = Box<dyn Fn() -> LoaderBuilder>;

fn workloads(folder: &Path) -> Vec<(&'static str, Build)> {
    let (one, two) = (folder.to_owned(), folder.to_owned());
    let crop = infeed::Fit::Crop { shorter: Some(256) };
    vec![
        ("512x512, batch 32", Box::new(move || Loader::folder(&one).batch_size(32).size(512, 512))),
        (
            "224x224, batch 64",
            Box::new(move || Loader::folder(&two).batch_size(64).size(224, 224).fit(crop)),
        ),
    ]
}

fn measure(
    name: &str,
    order: Order,
    folder: &Path,
    build: &dyn Fn() -> LoaderBuilder,
) -> Result<()> {
    let builder = || build().order(order);
    let mut loader = builder().build()?;
    let mut paths = Vec::new();
    for batch in loader.epoch(0)? {
        paths.extend(batch?.samples().iter().map(|sample| folder.join(sample.path())));
    }
    let files: Vec<Vec<u8>> =
        paths.iter().map(std::fs::read).collect::<Result<_, _>>().expect("readable a moment ago");
    let mut bare = Bare::new(&files, &loader, &builder)?;
    let mut figures = Vec::new();
    for _ in 0..ROUNDS {
        let without = bare.images_per_second();
        let with = images_per_second(&mut loader)?;
        figures.push((with / without, with, without));
    }
    let median = |pick: &dyn Fn(&(f64, f64, f64)) -> f64| {
        let mut values: Vec<f64> = figures.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        (values[0], values[ROUNDS / 2], values[ROUNDS - 1])
    };
    let (low, ratio, high) = median(&|figure| figure.0);
    let (with, without) = (median(&|figure| figure.1).1, median(&|figure| figure.2).1);
    let threads = loader.config().threads;
    println!(
        "{name}, {order}, {threads} threads, {} files: loader {with:.0}, bare {without:.0} \
         images/s; ratio {ratio:.3} ({low:.3} to {high:.3})",
        files.len()
    );
    Ok(())
}

fn images_per_second(loader: &mut Loader) -> Result<f64> {
    let epochs = EPOCHS as u64 + 1;
    let mut timer = None;
    let mut images = 0;
    for batch in loader.epochs(0..epochs)? {
        let batch = batch?;
        // The first epoch warms up.
        if batch.epoch() > 0 {
            let started = timer.get_or_insert_with(Instant::now);
            images += batch.len();
            let _ = std::hint::black_box((batch.as_slice()[0], &started));
        }
    }
    // From the arrival of the first counted batch: that one is not counted.
    let first = loader.config().batch_size;
    let seconds = timer.map_or(f64::NAN, |started| started.elapsed().as_secs_f64());
    Ok((images - first) as f64 / seconds)
}

/// Decoder and transform alone, on the loader's number of threads.
struct Bare<'a> {
    files: &'a [Vec<u8>],
    threads: Vec<Mutex<infeed::Preprocessor>>,
    /// Rows of as many batches as the loader keeps in memory.
    rows: Vec<Mutex<Vec<f32>>>,
}

impl<'a> Bare<'a> {
    fn new(
        files: &'a [Vec<u8>],
        loader: &Loader,
        builder: &dyn Fn() -> LoaderBuilder,
    ) -> Result<Self> {
        let config = loader.config();
        let threads = (0..config.threads).map(|_| builder().preprocessor().map(Mutex::new));
        let threads: Vec<_> = threads.collect::<Result<_>>()?;
        let row_len = threads[0].lock().expect("not poisoned").row_len();
        let rows = (config.prefetch + config.held_batches) * config.batch_size;
        let rows = (0..rows).map(|_| Mutex::new(vec![0.0; row_len])).collect();
        let mut bare = Bare { files, threads, rows };
        bare.images_per_second();
        Ok(bare)
    }

    fn images_per_second(&mut self) -> f64 {
        let started = Instant::now();
        let next = AtomicUsize::new(0);
        let total = self.files.len() * EPOCHS;
        std::thread::scope(|scope| {
            for preprocessor in &self.threads {
                let (next, rows, files) = (&next, &self.rows, self.files);
                scope.spawn(move || {
                    let mut preprocessor = preprocessor.lock().expect("not poisoned");
                    loop {
                        let at = next.fetch_add(1, Ordering::Relaxed);
                        if at >= total {
                            return;
                        }
                        let mut row = rows[at % rows.len()].lock().expect("not poisoned");
                        let done = preprocessor.preprocess(&files[at % files.len()], &mut row);
                        done.expect("the loader could decode it");
                    }
                });
            }
        });
        total as f64 / started.elapsed().as_secs_f64()
    }
}
