//! `infeed` streams a folder of images into fixed-size tensor batches for
//! training, on threads, in one process.
//!
//! ```
//! # let photos = infeed::doc::photos();
//! use infeed::Loader;
//!
//! let mut loader = Loader::folder(&photos).batch_size(32).size(128, 128).build()?;
//! for batch in loader.epoch(0)? {
//!     let batch = batch?;
//!     let images = batch.images();      // ArrayView4<f32>, [n, 3, 128, 128], in 0.0..=1.0
//!     let labels = batch.labels();      // ArrayView1<i64>, [n], the class's number
//!     let samples = batch.samples();    // where each row came from
//!     assert_eq!((images.shape()[0], labels.len()), (samples.len(), samples.len()));
//! }
//! # Ok::<(), infeed::Error>(())
//! ```
//!
//! # How data moves
//!
//! ```text
//!  plan          which sample comes when
//!    |  tickets, granted while the window has room
//!  read          tokio tasks: path -> encoded bytes, many in flight; or cached pixels
//!    |  a queue, never fuller than the tickets that are out
//!  decode        a fixed pool of threads: encoded bytes -> pixels
//!    |  same thread, no queue
//!  transform     crop, resize, flip, normalise and lay out, into the row of its batch
//!    |  settles its ticket
//!  window        batches in the making, ordered or unordered
//!    |
//!  Loader        iterator or stream of Result<Batch>
//! ```
//!
//! A sample's pixels are written once, into the batch that the caller gets; a
//! dropped batch lends its memory to a later one. Ordered output is
//! byte-identical for any number of threads. Memory is bounded by a figure that
//! is known before the first read ([`config::MemoryBound`]). A bad file is an
//! error that names it, and the iterator can go on ([`OnError`]).
//!
//! # Shapes, types, units
//!
//! Images are `[n, 3, height, width]` ([`Layout::Chw`]) or
//! `[n, height, width, 3]` ([`Layout::Hwc`]), row-major, with one channel of
//! [`Color::Grey`]; of [`f32`], [`f16`](struct@f16) or [`bf16`] in `0.0..=1.0` before
//! [`normalize`](LoaderBuilder::normalize), or of [`u8`] levels. Labels are `[n]`
//! of [`i64`], targets `[n, k]` of [`f32`]. Sizes are in pixels, memory in bytes.
//!
//! # Features
//!
//! * `cli` (default): the `infeed` binary. A program that only wants the library
//!   sets `default-features = false`.
//! * `export`: samples as `.npy` files, and what checks them.
//! * `tune`: which setting keeps a training step fed ([`tune`]).
//! * `metrics`: what a running loader does, for the `metrics` facade: items, bytes,
//!   times, failures, queues, memory.
//! * `view`: a contact sheet of what the model will see (`LoaderBuilder::sheet`).
//! * `candle`: batches as candle's tensors (`Batch::into_candle`).
//! * `burn`: batches as tensors of burn, and its `DataLoader`; needs Rust 1.95.

// Whatever comes in from outside is an error, and no panic.
#![cfg_attr(
    not(test),
    warn(clippy::expect_used, clippy::get_unwrap, clippy::panic),
    warn(clippy::todo, clippy::unimplemented, clippy::unreachable)
)]

// In the order in which data moves.
pub mod config;
pub mod source;

mod cache;
mod plan;
mod random;
mod read;

pub mod decode;
mod transform;

mod augment;

mod batch;
mod element;
mod window;

mod digest;
mod resume;

mod builder;
mod capacity;
mod choices;
mod coverage;
mod deliver;
mod epoch;
mod loader;
mod pace;
mod preprocess;
pub mod stats;
mod watch;

mod error;
mod fence;
mod linger;
mod memory;
mod regular;
mod sync;
mod unfinished;

#[cfg(feature = "export")]
pub mod export;
#[cfg(feature = "tune")]
pub mod tune;

pub mod survey;

#[cfg(feature = "view")]
pub mod view;

mod frameworks;

#[doc(hidden)]
pub mod doc;

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

pub use augment::{Origin, PixelTransform, RowTransform};
pub use batch::{Batch, BatchParts, NO_LABEL, Sample};
pub use builder::LoaderBuilder;
pub use choices::{Choices, ColorChange};
pub use config::{
    Budget, Cache, Color, CropRatio, CropScale, Decoding, Erase, Filter, Fit, Jitter, LastBatch,
    Layout, Limits, Normalize, OnError, Order, Sampling, Shard, Size, Split, Uneven, Weights,
};
pub use coverage::{Coverage, EpochCoverage};
pub use digest::Digest;
pub use element::{Dtype, Element};
pub use epoch::{Epoch, EpochStream, Epochs, EpochsStream};
pub use error::{Cause, CauseKind, Error, ErrorKind, Result, SampleError, Stage};
#[cfg(feature = "burn")]
pub use frameworks::burn;
#[cfg(feature = "candle")]
pub use frameworks::candle;
pub use half::{bf16, f16};
pub use loader::{Loader, Monitor, StopHandle};
pub use plan::Shuffle;
pub use preprocess::Preprocessor;
pub use random::Random;
pub use resume::{Changed, Resume, State};
pub use source::{Folder, List, SkipList};
pub use transform::Area;

/// The README's examples, compiled and run.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// Those of the documentation of exports.
#[cfg(all(doctest, feature = "export"))]
#[doc = include_str!("../docs/export.md")]
struct Exports;
