//! What the parts of the work reach alone: on as many threads as the loader has,
//! files in memory, rows in as many batches as the loader has in memory.

use std::io::Read;
use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use infeed::config::Resolved;
use infeed::decode::{Channels, Decode, Region, StandardDecoder};
use infeed::{Cause, Limits, LoaderBuilder, Preprocessor};

use super::clock::{Clock, Rate};

pub(crate) struct Ceilings {
    paths: Vec<PathBuf>,
    /// What the paths hold.
    files: Vec<Vec<u8>>,
    limits: Limits,
    threads: Vec<Tools>,
    /// The memory of whole batches, one after the other.
    rows: Vec<f32>,
}

/// What one thread keeps from image to image.
struct Tools {
    preprocessor: Preprocessor,
    buffer: Vec<u8>,
}

impl Ceilings {
    /// Reads all files into memory.
    pub(crate) fn new(
        paths: Vec<PathBuf>,
        config: &Resolved,
        builder: impl Fn() -> LoaderBuilder,
    ) -> Result<Self, Box<dyn std::error::Error>> {
        let read = |path: &PathBuf| std::fs::read(path).map_err(|error| told(path, &error));
        let files = paths.iter().map(read).collect::<Result<_, _>>()?;
        let tools = || Ok(Tools { preprocessor: builder().preprocessor()?, buffer: Vec::new() });
        let threads: Vec<Tools> =
            (0..config.threads).map(|_| tools()).collect::<infeed::Result<_>>()?;
        let batches = config.prefetch + config.held_batches;
        let row_len = threads.first().map_or(0, |tools| tools.preprocessor.row_len());
        let rows = vec![0.0; batches * config.batch_size * row_len];
        Ok(Ceilings { paths, files, limits: config.limits, threads, rows })
    }

    /// Files read, one after the other, into a buffer of the thread's.
    pub(crate) fn read(&mut self, epochs: u64) -> Result<Rate, String> {
        let paths = &self.paths;
        run(&mut self.threads, paths.len(), epochs, |tools, _, at| {
            tools.buffer.clear();
            let read = std::fs::File::open(&paths[at])
                .and_then(|mut file| file.read_to_end(&mut tools.buffer));
            read.map(drop).map_err(|error| told(&paths[at], &error))
        })
    }

    /// Files in memory decoded, as the loader decodes them but always whole, and
    /// dropped.
    pub(crate) fn decode(&mut self, epochs: u64) -> Result<Rate, String> {
        let Ceilings { paths, files, limits, threads, .. } = self;
        let decode = |buffer: &mut Vec<u8>, file: &[u8]| -> Result<(), Cause> {
            let picture = StandardDecoder::default().open(file, limits)?;
            let (channels, whole) = (Channels::Rgb, Region::whole(picture.size()));
            let bytes = picture.rows_bytes(channels);
            if buffer.len() < bytes {
                buffer.resize(bytes, 0);
            }
            picture.read_rows(channels, whole, &mut buffer[..bytes], &mut |_, rows| {
                std::hint::black_box(rows);
            })
        };
        run(threads, files.len(), epochs, |tools, _, at| {
            decode(&mut tools.buffer, &files[at]).map_err(|cause| told(&paths[at], &cause))
        })
    }

    /// Files in memory decoded and transformed into rows.
    pub(crate) fn decode_and_transform(&mut self, epochs: u64) -> Result<Rate, String> {
        let Ceilings { paths, files, threads, rows, .. } = self;
        let row_len = threads.first().map_or(1, |tools| tools.preprocessor.row_len());
        let rows: Vec<Mutex<&mut [f32]>> = rows.chunks_exact_mut(row_len).map(Mutex::new).collect();
        run(threads, files.len(), epochs, |tools, epoch, at| {
            let turn = (epoch as usize * files.len() + at) % rows.len();
            let mut row = rows[turn].lock().map_err(|_| "a thread panicked".to_owned())?;
            let (position, file) = (at as u64, &files[at]);
            let done = tools.preprocessor.preprocess_as(epoch, position, file, &mut row);
            done.map_err(|(_, cause)| told(&paths[at], &cause))
        })
    }
}

/// Threads, each with its tools, take one image after the other of `epochs`
/// epochs. `work` gets the epoch and the number of the image.
fn run(
    threads: &mut [Tools],
    images: usize,
    epochs: u64,
    work: impl Fn(&mut Tools, u64, usize) -> Result<(), String> + Sync,
) -> Result<Rate, String> {
    let total = images * epochs as usize;
    let next = AtomicUsize::new(0);
    let one_thread = |tools: &mut Tools| -> Result<(), String> {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= total {
                return Ok(());
            }
            work(tools, (at / images) as u64, at % images)?;
        }
    };
    let clock = Clock::start();
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            threads.iter_mut().map(|tools| scope.spawn(|| one_thread(tools))).collect();
        threads.into_iter().try_for_each(|thread| {
            thread.join().unwrap_or_else(|_| Err("a thread panicked".to_owned()))
        })
    })?;
    Ok(clock.rate(total))
}

fn told(path: &std::path::Path, error: &dyn std::fmt::Display) -> String {
    format!("{}: {error}. {}", path.display(), super::NEEDS_GOOD_FILES)
}
