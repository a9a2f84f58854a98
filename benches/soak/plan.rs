//! Configurations, drawn: what decides the batches apart from what must not.

use std::path::Path;
use std::time::Duration;

use infeed::{
    Budget, Cache, Cause, CauseKind, Color, CropRatio, CropScale, Decoding, Dtype, Element, Erase,
    Filter, Fit, Jitter, LastBatch, Layout, Loader, LoaderBuilder, Normalize, OnError, Order,
    Random, Sampling, Split, Uneven, Weights,
};
use ndarray::ArrayViewMut3;

use crate::draws::Draws;
use crate::tree::Trees;

/// What a transform that is to panic says: its message is not printed.
pub(crate) const SCRIPTED: &str = "scripted panic of a transform";

/// What decides order and pixels.
#[derive(Clone, Debug)]
pub(crate) struct Work {
    pub(crate) number: u64,
    tree: usize,
    /// Files of the tree.
    samples: u64,
    part: Part,
    batch_size: usize,
    size: (u32, u32),
    fit: Fit,
    filter: Filter,
    decode: Decoding,
    color: Color,
    layout: Layout,
    pub(crate) dtype: Dtype,
    normalize: Normalize,
    flip: f64,
    vflip: f64,
    jitter: Jitter,
    random_grey: f64,
    erase: Erase,
    sampling: Sampling,
    seed: u64,
    pub(crate) world: u32,
    pub(crate) uneven: Uneven,
    pub(crate) order: Order,
    pub(crate) last: LastBatch,
    pub(crate) on_error: OnError,
    allow_truncated: bool,
    max_pixels: Option<u64>,
    max_file_bytes: Option<u64>,
    cache_side: Option<u32>,
    before: bool,
    after: bool,
    /// The first epoch of those that are run.
    pub(crate) first: u64,
}

#[derive(Clone, Debug)]
enum Part {
    All,
    Subset(Vec<u64>),
    Train,
    Validation,
}

/// Epochs of a work that are known.
pub(crate) const EPOCHS: u64 = 3;

fn on_error(draws: &mut Draws) -> OnError {
    let budgets = [
        Budget::Unlimited,
        Budget::Unlimited,
        Budget::Count(draws.below(12)),
        Budget::Fraction(draws.of(&[0.0, 0.1, 0.3, 1.0])),
    ];
    match draws.below(3) {
        0 => OnError::Fail,
        1 => OnError::skip().max_failures(draws.of(&budgets)),
        _ => OnError::Replace {
            attempts: draws.between(1, 10) as u32,
            max_failures: draws.of(&budgets),
        },
    }
}

impl Work {
    pub(crate) fn new(seed: u64, number: u64, trees: &Trees) -> Self {
        let draws = &mut Draws::new(&[seed, 1, number]);
        let tree = draws.of(&[0, 0, 0, 1, 1, 2, 3]);
        let samples = trees.trees[tree].samples;
        let part = match draws.below(8) {
            0 if samples > 8 => Part::Train,
            1 if samples > 8 => Part::Validation,
            2 => {
                let mut part: Vec<u64> = (0..samples).filter(|_| draws.one_in(2)).collect();
                part.push(samples - 1);
                part.dedup();
                Part::Subset(part)
            }
            _ => Part::All,
        };
        let size = (draws.between(1, 40) as u32, draws.between(1, 40) as u32);
        let fit = match draws.below(5) {
            0 => Fit::Crop { shorter: None },
            1 => Fit::Crop { shorter: Some(size.0.max(size.1) + draws.below(10) as u32) },
            2 => Fit::random_crop(),
            3 => {
                let (scale, ratio): (CropScale, CropRatio) = ((0.3, 0.9), (0.5, 1.5));
                Fit::RandomCrop { scale, ratio }
            }
            _ => Fit::Stretch,
        };
        let random = matches!(fit, Fit::RandomCrop { .. });
        let dtype = draws.of(&[Dtype::U8, Dtype::F32, Dtype::F16, Dtype::Bf16]);
        let color = draws.of(&[Color::Rgb, Color::Rgb, Color::Bgr, Color::Grey]);
        let normal = draws.one_in(2) && dtype != Dtype::U8 && color != Color::Grey;
        let sampling = match draws.below(6) {
            0 | 1 => Sampling::Sequential,
            2 if trees.trees[tree].classed => {
                let weights = draws.of(&[Weights::Balanced, Weights::classes([1.0, 0.5, 3.0])]);
                let samples = draws.one_in(2).then(|| draws.between(1, 90) as u64);
                Sampling::Weighted { weights, samples }
            }
            _ => Sampling::Shuffle,
        };
        let world = draws.of(&[1, 1, 1, 2, 3, 5]);
        let order = draws.of(&[Order::Ordered, Order::Ordered, Order::Unordered]);
        let mut on_error = on_error(draws);
        // Ranks that would end apart are refused.
        if order == Order::Unordered && world > 1 && matches!(on_error, OnError::Skip { .. }) {
            on_error = OnError::Fail;
        }
        let part_of = |draws: &mut Draws| draws.of(&[0.0, 0.0, 0.5]);
        let jitter = Jitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
        Work {
            number,
            tree,
            samples,
            part,
            batch_size: draws.between(1, 64).min(draws.between(1, 64)),
            size,
            fit,
            filter: draws.of(&[
                Filter::OpencvBilinear,
                Filter::Bilinear,
                Filter::Bicubic,
                Filter::Lanczos,
            ]),
            decode: draws.of(&[Decoding::Exact, Decoding::Fast]),
            color,
            layout: draws.of(&[Layout::Chw, Layout::Hwc]),
            dtype,
            normalize: if normal { Normalize::IMAGENET } else { Normalize::UNIT },
            flip: part_of(draws),
            vflip: part_of(draws),
            jitter: if draws.one_in(4) { jitter } else { Jitter::default() },
            random_grey: part_of(draws),
            erase: Erase::new(part_of(draws)),
            sampling,
            seed: draws.word(),
            world,
            uneven: draws.of(&[Uneven::Pad, Uneven::Drop]),
            order,
            last: draws.of(&[LastBatch::Keep, LastBatch::Keep, LastBatch::Drop, LastBatch::Pad]),
            on_error,
            allow_truncated: draws.one_in(2),
            max_pixels: draws.one_in(3).then(|| draws.of(&[1_000, 5_000, 1_000_000])),
            max_file_bytes: draws.one_in(4).then(|| draws.of(&[800, 3_000, 1 << 20])),
            cache_side: (random && draws.one_in(2)).then(|| draws.between(8, 60) as u32),
            before: draws.one_in(8),
            after: draws.one_in(8),
            first: draws.below(1_000),
        }
    }

    /// The same without a budget of failures.
    pub(crate) fn without_budget(&self) -> Self {
        Work { on_error: self.on_error.max_failures(Budget::Unlimited), ..self.clone() }
    }

    /// The same in one process.
    pub(crate) fn alone(&self) -> Self {
        Work { world: 1, ..self.clone() }
    }

    /// A batch of the work may be empty when others go on: its size decides whether.
    pub(crate) fn takes_other_batch_sizes(&self) -> bool {
        let replaces = matches!(self.on_error, OnError::Replace { .. });
        replaces && self.last == LastBatch::Keep && self.order == Order::Ordered
    }

    pub(crate) fn builder<T: Element>(&self, trees: &Trees, rank: u32) -> LoaderBuilder<T> {
        let mut builder = Loader::folder(&trees.trees[self.tree].root)
            .dtype::<T>()
            .batch_size(self.batch_size)
            .size(self.size.0, self.size.1)
            .fit(self.fit)
            .filter(self.filter)
            .decode(self.decode)
            .color(self.color)
            .layout(self.layout)
            .normalize(self.normalize.mean, self.normalize.std)
            .flip(self.flip)
            .vflip(self.vflip)
            .jitter(self.jitter)
            .random_grey(self.random_grey)
            .erase(self.erase)
            .sampling(self.sampling.clone())
            .seed(self.seed)
            .shard(rank, self.world)
            .uneven(self.uneven)
            .order(self.order)
            .last_batch(self.last)
            .on_error(self.on_error)
            .allow_truncated(self.allow_truncated)
            .stall_report(None);
        builder = match &self.part {
            Part::All => builder,
            Part::Subset(indices) => builder.subset(indices.iter().copied()),
            Part::Train => builder.split(Split::train(0.7)),
            Part::Validation => builder.split(Split::validation(0.4)),
        };
        if let Some(pixels) = self.max_pixels {
            builder = builder.max_pixels(pixels);
        }
        if let Some(bytes) = self.max_file_bytes {
            builder = builder.max_file_bytes(bytes);
        }
        if let Some(side) = self.cache_side {
            builder = builder.cache_side(side);
        }
        if self.before {
            builder =
                builder.before_resize(|mut pixels: ArrayViewMut3<'_, u8>, random: &mut Random| {
                    odd(random)?;
                    pixels.map_inplace(|level| *level ^= random.below(4) as u8);
                    Ok(())
                });
        }
        if self.after {
            builder = builder.after_resize(|mut row: ArrayViewMut3<'_, T>, random: &mut Random| {
                odd(random)?;
                row.iter_mut()
                    .step_by(1 + random.below(7) as usize)
                    .for_each(|v| *v = T::default());
                Ok(())
            });
        }
        builder
    }

    /// Bytes that a cache keeps of one sample at the most.
    fn kept_bytes(&self) -> u64 {
        match self.cache_side {
            // The longer side of a picture is at most 90 times the shorter one.
            Some(side) => 3 * u64::from(side) * 90.max(u64::from(side)),
            None => 3 * u64::from(self.size.0 * self.size.1),
        }
    }

    fn takes_a_cache(&self) -> bool {
        let random = matches!(self.fit, Fit::RandomCrop { .. });
        !self.before && (!random || self.cache_side.is_some())
    }
}

/// Some samples are refused, and at some the transform panics.
fn odd(random: &mut Random) -> Result<(), Cause> {
    match random.below(40) {
        0 => std::panic::panic_any(SCRIPTED),
        1 => Err(Cause::new(CauseKind::Refused, "scripted refusal")),
        _ => Ok(()),
    }
}

/// What changes nothing of the batches.
#[derive(Clone, Debug)]
pub(crate) struct Speed {
    threads: usize,
    readers: usize,
    prefetch: usize,
    held: usize,
    keep: Keep,
    /// The part of the memory bound that there is a limit of.
    memory: Option<f64>,
    timeout: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Keep {
    Nothing,
    InMemory,
    /// Only a part of the samples fits.
    SomeInMemory,
    OnDisk,
    SomeOnDisk,
}

impl Speed {
    /// What everything else is compared with.
    pub(crate) const PLAIN: Speed = Speed {
        threads: 1,
        readers: 1,
        prefetch: 1,
        held: 1,
        keep: Keep::Nothing,
        memory: None,
        timeout: true,
    };

    pub(crate) fn new(draws: &mut Draws) -> Self {
        // Now and then left to the loader.
        let mut auto = |most| if draws.one_in(8) { 0 } else { draws.between(1, most) };
        let (threads, readers, prefetch) = (auto(8), auto(16), auto(8));
        Speed {
            threads,
            readers,
            prefetch,
            held: draws.between(1, 4),
            keep: draws.of(&[
                Keep::Nothing,
                Keep::Nothing,
                Keep::Nothing,
                Keep::InMemory,
                Keep::SomeInMemory,
                Keep::OnDisk,
                Keep::SomeOnDisk,
            ]),
            memory: draws.one_in(4).then(|| draws.of(&[0.02, 0.1, 0.3, 1.0])),
            timeout: draws.one_in(2),
        }
    }

    pub(crate) fn of<T: Element>(
        &self,
        work: &Work,
        cache: &Path,
        builder: LoaderBuilder<T>,
    ) -> LoaderBuilder<T> {
        let builder = builder
            .threads(self.threads)
            .readers(self.readers)
            .prefetch(self.prefetch)
            .held_batches(self.held)
            .read_timeout(self.timeout.then_some(Duration::from_secs(50)));
        if !work.takes_a_cache() {
            return builder;
        }
        let least = work.kept_bytes() + (64 << 10);
        let all = least + work.samples * (work.kept_bytes() + (8 << 10));
        match self.keep {
            Keep::Nothing => builder,
            Keep::InMemory => builder.cache(Cache::memory(all)),
            Keep::SomeInMemory => builder.cache(Cache::memory(least)),
            Keep::OnDisk => builder.cache(Cache::disk(cache, all)),
            Keep::SomeOnDisk => builder.cache(Cache::disk(cache, least)),
        }
    }

    /// The builder's memory limit, where it is to have one.
    pub(crate) fn memory_limit(&self, bound: u64) -> Option<u64> {
        self.memory.map(|part| (part * bound as f64) as u64)
    }
}
