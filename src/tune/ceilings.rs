//! What each part reaches alone.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::Choice;
use super::choice::READERS;
use super::trial::{Bench, Length};
use crate::builder::LoaderBuilder;
use crate::capacity::Cost;
use crate::config::{Limits, Order, Size};
use crate::decode::{Channels, Decode, Picture};
use crate::element::Element;
use crate::error::{Cause, Result};

/// A part alone, as fast as it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Ceiling {
    /// Images a second.
    pub images_per_second: f64,
    /// Bytes a second: of files, pixels or elements.
    pub bytes_per_second: f64,
}

/// What the parts reach alone.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Ceilings {
    /// Listing the source; `None` while it is not at its end.
    pub walk: Option<Ceiling>,
    /// Reading with so many reads in flight.
    pub read: Vec<(usize, Ceiling)>,
    /// Decoding on all threads, the transform left out.
    pub decode: Ceiling,
    /// The transform on all threads, decoding left out.
    pub transform: Ceiling,
    /// Both, as the loader does them, for a consumer that takes no time: by threads.
    pub decode_and_transform: Vec<(usize, Ceiling)>,
    /// Copying batches from memory to memory on one thread.
    pub memory: Ceiling,
}

/// What reading costs.
#[derive(Debug, Default)]
pub(super) struct Reading {
    pub(super) ceilings: Vec<(usize, Ceiling)>,
    /// How long a read took at first, and later.
    pub(super) first: Duration,
    pub(super) later: Duration,
    pub(super) mean_bytes: u64,
}

/// Has every file read, and decodes none.
struct Unread;

impl Decode for Unread {
    fn open<'a>(&self, encoded: &'a [u8], _: &Limits) -> Result<Box<dyn Picture + 'a>, Cause> {
        // Somebody looks at it, as a decoder would.
        black_box(encoded.iter().step_by(4096).fold(0_u8, |sum, byte| sum ^ byte));
        Ok(Box::new(Unread))
    }
}

impl Picture for Unread {
    fn size(&self) -> Size {
        Size { width: 1, height: 1 }
    }

    fn working_bytes(&self) -> u64 {
        0
    }

    fn read(self: Box<Self>, _: Channels, out: &mut [u8]) -> std::result::Result<(), Cause> {
        out.fill(0);
        Ok(())
    }
}

impl Reading {
    /// Reads the files of this builder's samples in their order, for about `each`
    /// with each number of readers.
    pub(super) fn measure<T: Element>(builder: &LoaderBuilder<T>, each: Duration) -> Result<Self> {
        let samples = 64;
        let most = READERS[READERS.len() - 1];
        let mut loader = builder
            .only_read(Arc::new(Unread))
            .batch_size(samples)
            .threads(1)
            .prefetch(4)
            .readers(most)
            .build()?;
        let mut bench = Bench::new(&mut loader)?;
        let length = Length { least: each, batches: 2, most: each * 3 };
        let mut run = |readers| {
            let choice = Choice { threads: 1, readers, prefetch: 4, order: Order::Ordered };
            bench.run(choice, length, |_| ControlFlow::Continue(()))
        };
        let mut reading = Reading::default();
        // The first files may come from the disk, and the same ones later not.
        if let Some(first) = run(READERS[1])? {
            reading.first = first.sight.read.p90;
        }
        for readers in READERS {
            let Some(trial) = run(readers)? else { continue };
            let read = trial.stats.stages.read;
            reading.later = trial.sight.read.p90;
            reading.mean_bytes = read.bytes / read.items.max(1);
            let rate = trial.measured.images_per_second;
            let bytes = rate * reading.mean_bytes as f64;
            let ceiling = Ceiling { images_per_second: rate, bytes_per_second: bytes };
            reading.ceilings.push((readers, ceiling));
        }
        Ok(reading)
    }

    /// The pace of each of so many readers.
    pub(super) fn costs(&self) -> Vec<(usize, Cost)> {
        let cost = |&(readers, ceiling): &(usize, Ceiling)| {
            (readers, Cost::fixed(readers as f64 / ceiling.images_per_second.max(1e-9)))
        };
        self.ceilings.iter().map(cost).collect()
    }
}

/// Copies batches of `bytes` from memory to memory for about `time`, in pieces of at
/// most `most` bytes.
pub(super) fn memory(bytes: u64, images: usize, most: u64, time: Duration) -> Ceiling {
    // Large enough for no cache to hold it, small enough for any machine.
    let len = bytes.clamp(1 << 20, 64 << 20).min(most.max(1 << 16)) as usize;
    let from = vec![1_u8; len];
    // Not zeros: their pages would come in the first copy, in the loader they are there.
    let mut to = [vec![2_u8; len], vec![2_u8; len]];
    let (begun, mut copied) = (Instant::now(), 0_u64);
    while begun.elapsed() < time {
        for to in &mut to {
            to.copy_from_slice(black_box(&from));
            black_box(&to);
            copied += len as u64;
        }
    }
    let bytes_per_second = copied as f64 / begun.elapsed().as_secs_f64();
    let each = bytes as f64 / images as f64;
    Ceiling { images_per_second: bytes_per_second / each.max(1.0), bytes_per_second }
}
