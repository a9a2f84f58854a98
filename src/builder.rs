//! One builder for every knob.

use std::any::Any;
use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use crate::augment::{Augment, PixelTransform, RowTransform};
use crate::cache;
use crate::config::{
    Augmentation, Cache, Color, Config, Decoding, Filter, Fit, LastBatch, Layout, Normalize,
    OnError, Order, Resolved, Sampling, Shard, Size, Split, Subset, Uneven,
};
use crate::coverage::Coverage;
use crate::decode::{Decode, StandardDecoder};
use crate::element::Element;
use crate::error::Result;
use crate::loader::{Loader, Parts};
use crate::preprocess::Preprocessor;
use crate::resume::Resume;
use crate::source::{Selected, SkipList, Source};
use crate::transform::{Look, Scaler, Transform};

/// Collects what a [`Loader`] is to do; [`build`](LoaderBuilder::build) checks
/// everything at once.
///
/// Each knob says its unit, its default and why, what 0 means, and whether it
/// can change *results* or only *speed* and memory.
///
/// ```
/// # let photos = infeed::doc::photos();
/// use infeed::{Fit, Filter, Loader};
///
/// let loader = Loader::folder(&photos)
///     .batch_size(64)
///     .size(224, 224)
///     .fit(Fit::Crop { shorter: Some(256) })
///     .filter(Filter::Bilinear)
///     .normalize([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
///     .build()?;
/// assert_eq!(loader.config().batch_size, 64);
/// println!("at most {}", loader.config().memory);
/// # Ok::<(), infeed::Error>(())
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct LoaderBuilder<T: Element = f32> {
    pub(crate) source: Arc<dyn Source>,
    decoder: Option<Arc<dyn Decode>>,
    pub(crate) config: Config,
    pub(crate) before: Vec<Arc<dyn PixelTransform>>,
    pub(crate) after: Vec<Arc<dyn RowTransform<T>>>,
    pub(crate) resume: Option<Resume>,
    element: PhantomData<fn() -> T>,
}

impl LoaderBuilder {
    pub(crate) fn new(source: Arc<dyn Source>) -> Self {
        let (decoder, resume, config, before, after) = Default::default();
        LoaderBuilder { source, decoder, config, before, after, resume, element: PhantomData }
    }
}

impl<T: Element> LoaderBuilder<T> {
    /// Only one side of a split of the samples, by a hash of their paths. Default
    /// none: all samples. Labels are what they are without it; indices and all
    /// that is counted are of the samples that are left. Changes results.
    pub fn split(mut self, split: Split) -> Self {
        self.config.split = Some(split);
        self
    }

    /// Only the samples of these indices, in the source's order; each once. They
    /// count the whole source's samples, before a [`split`](Self::split) divides
    /// what is left, and the samples that are left are numbered anew. The source
    /// is listed no further than the largest. Default none: all samples. Changes
    /// results; takes 8 bytes an index.
    ///
    /// An index that the source does not have is an error
    /// ([`ErrorKind::Config`](crate::ErrorKind::Config)) when it has been listed
    /// to its end.
    pub fn subset(mut self, indices: impl IntoIterator<Item = u64>) -> Self {
        self.config.subset = Some(Subset::new(indices));
        self
    }

    /// Without the samples that a list names, such as those that a
    /// [survey](Self::survey) has found broken: for all that is counted and numbered
    /// they do not exist, and a [`split`](Self::split) leaves the others where they
    /// are. Only a [`subset`](Self::subset) counts them, for it counts the whole
    /// source. Paths of the list that match no sample are logged as a warning once
    /// the source has been listed; a list that leaves nothing is an error
    /// ([`ErrorKind::Config`](crate::ErrorKind::Config)). Default none. Changes
    /// results.
    pub fn skip_list(mut self, list: SkipList) -> Self {
        self.config.skip_list = Some(list);
        self
    }

    /// Samples in a batch. Default 32, the article's; at least 1. Changes
    /// results (which samples come together). Memory grows with it.
    pub fn batch_size(mut self, samples: usize) -> Self {
        self.config.batch_size = samples;
        self
    }

    /// Width and height of every delivered image, in pixels. Default 512 x 512,
    /// the article's; at least 1 each. Changes results.
    pub fn size(mut self, width: u32, height: u32) -> Self {
        self.config.size = Size { width, height };
        self
    }

    /// How a picture of any shape comes to the size. Default
    /// [`Fit::Stretch`], the article's. Changes results.
    pub fn fit(mut self, fit: Fit) -> Self {
        self.config.fit = fit;
        self
    }

    /// How pixels between pixels are found. Default [`Filter::OpencvBilinear`],
    /// the article's; [`Filter::Bilinear`] is what torchvision's models were
    /// trained with. Changes results.
    pub fn filter(mut self, filter: Filter) -> Self {
        self.config.filter = filter;
        self
    }

    /// Whether pictures may come from the decoder smaller than they are where they are
    /// shrunk further anyway. Default [`Decoding::Exact`]. Changes results.
    pub fn decode(mut self, decode: Decoding) -> Self {
        self.config.decode = decode;
        self
    }

    /// The probability that a picture is mirrored, left and right changing
    /// places, drawn for each by seed, epoch and position. Default 0; half is
    /// usual for training. Changes results.
    pub fn flip(mut self, probability: f64) -> Self {
        self.config.augmentation.flip = probability;
        self
    }

    /// Mean and standard deviation per channel in the order red, green, blue,
    /// on the scale `0.0..=1.0`: a level `v` becomes `(v / 255 - mean) / std`.
    /// Default mean 0 and deviation 1, so values stay in `0.0..=1.0`. Changes
    /// results. Not for `u8` batches, which hold the levels as they are; of grey
    /// batches all three entries are the same.
    pub fn normalize(mut self, mean: [f32; 3], std: [f32; 3]) -> Self {
        self.config.normalize = Normalize { mean, std };
        self
    }

    /// Order of a batch's axes. Default [`Layout::Chw`], what PyTorch, burn and
    /// candle expect. Changes the shape, not the values.
    pub fn layout(mut self, layout: Layout) -> Self {
        self.config.layout = layout;
        self
    }

    /// Which channels, in which order. Default [`Color::Rgb`]. Changes results;
    /// [`Color::Grey`] has a third of the memory.
    pub fn color(mut self, color: Color) -> Self {
        self.config.color = color;
        self
    }

    /// The element type, `f32` by default: `.dtype::<f16>()` or `::<bf16>()`
    /// take half the memory, `.dtype::<u8>()` makes batches of levels, a quarter
    /// of it. Changes the type, and the scale of `u8`.
    ///
    /// Comes before [`after_resize`](Self::after_resize), whose transforms are of
    /// the type's rows; another type behind it is refused when the loader is built.
    pub fn dtype<U: Element>(self) -> LoaderBuilder<U> {
        let LoaderBuilder { source, decoder, mut config, before, after, resume, .. } = self;
        let (some, after) = (!after.is_empty(), Box::new(after) as Box<dyn Any>);
        let after = after.downcast().map(|of_same_type| *of_same_type).unwrap_or_else(|_| {
            if some {
                config.augmentation.forgotten = Some(T::DTYPE);
            }
            Vec::new()
        });
        let element = PhantomData;
        LoaderBuilder { source, decoder, config, before, after, resume, element }
    }

    /// Every epoch in another order, a true permutation of all samples, decided by
    /// `seed` and the epoch's number; off by default. The seed is that of
    /// everything random ([`seed`](Self::seed)). The order is computed, not
    /// stored: any number of samples takes no memory. The first batch waits for the
    /// end of the walk. Changes results.
    ///
    /// ```
    /// # let photos = infeed::doc::photos();
    /// use infeed::Loader;
    ///
    /// let mut loader = Loader::folder(&photos).size(32, 32).batch_size(4).shuffle(7).build()?;
    /// let mut order = |epoch| -> infeed::Result<Vec<u64>> {
    ///     let batches = loader.epoch(epoch)?.collect::<infeed::Result<Vec<_>>>()?;
    ///     Ok(batches.iter().flat_map(|batch| batch.samples()).map(|s| s.index()).collect())
    /// };
    /// let (third, fourth) = (order(3)?, order(4)?);
    /// assert_ne!(third, fourth);
    /// assert_eq!(third, order(3)?);
    /// # Ok::<(), infeed::Error>(())
    /// ```
    pub fn shuffle(mut self, seed: u64) -> Self {
        self.config.sampling = Sampling::Shuffle;
        self.config.seed = seed;
        self
    }

    /// Which samples an epoch has, in which order: [`shuffle`](Self::shuffle), or
    /// samples drawn by weights. Default [`Sampling::Sequential`], which streams
    /// while the walk goes on. Changes results.
    ///
    /// ```
    /// # let photos = infeed::doc::photos();
    /// use infeed::{Loader, Sampling, Weights};
    ///
    /// // Every class equally often, however few pictures it has.
    /// let balanced = Sampling::Weighted { weights: Weights::Balanced, samples: Some(100) };
    /// let mut loader = Loader::folder(&photos).size(32, 32).sampling(balanced).build()?;
    /// let images: usize = loader.epoch(0)?.map(|batch| batch.map_or(0, |batch| batch.len())).sum();
    /// assert_eq!(images, 100);
    /// # Ok::<(), infeed::Error>(())
    /// ```
    pub fn sampling(mut self, sampling: Sampling) -> Self {
        self.config.sampling = sampling;
        self
    }

    /// Takes the part of one of several processes, each with the same
    /// configuration but for its `rank`, of `world` altogether: after the shuffle,
    /// every `world`-th sample. All together deliver each sample exactly once an
    /// epoch, and each the same number of batches ([`uneven`](Self::uneven)).
    /// Default 0 of 1, all there is. The first batch of more than one waits for the
    /// end of the walk. Changes results.
    pub fn shard(mut self, rank: u32, world: u32) -> Self {
        self.config.shard = Ok(Shard { rank, world });
        self
    }

    /// [`shard`](Self::shard) with the rank that the launcher has set: torchrun,
    /// Open MPI, PMI, Slurm or a Kubernetes indexed job
    /// ([`Shard::from_env`] says by which variables). Without a launcher
    /// [`build`](Self::build) refuses it, since every process would take everything;
    /// a program that is also started alone asks [`Shard::from_env`] itself.
    pub fn shard_from_env(mut self) -> Self {
        self.config.shard = Shard::launched();
        self
    }

    /// What becomes of the last samples of an epoch when the ranks cannot have
    /// equally many. Default [`Uneven::Pad`]: nothing is lost. Of no effect in a
    /// world of one. Changes results.
    pub fn uneven(mut self, uneven: Uneven) -> Self {
        self.config.uneven = uneven;
        self
    }

    /// Goes on where an earlier run stood: [`Batch::state`](crate::Batch::state)
    /// of the last batch that counts, or the states of all ranks ([`Resume`]). The
    /// epoch of that batch begins with exactly the next sample
    /// ([`Loader::first_epoch`] says which it is); nothing that was consumed is
    /// read. Threads, readers, prefetch depth and batch size may differ from the
    /// earlier run's, and so may the number of ranks. Default: from the beginning.
    ///
    /// [`build`](Self::build) waits for the end of the walk, and refuses a state
    /// of another order ([`ErrorKind::Resume`](crate::ErrorKind::Resume)): another
    /// seed or sampling, or a source with other samples, by their names in their
    /// order and, where the listing has them, their sizes.
    pub fn resume(mut self, resume: impl Into<Resume>) -> Self {
        self.resume = Some(resume.into());
        self
    }

    /// Whether batches follow the epoch's order. Default
    /// [`Order::Ordered`]: byte-identical output for any number of threads.
    /// Unordered, a slow sample holds nothing back. Changes results (the order
    /// alone).
    pub fn order(mut self, order: Order) -> Self {
        self.config.order = order;
        self
    }

    /// What becomes of a last batch that the samples do not fill. Default
    /// [`LastBatch::Keep`]: nothing is lost. Changes results.
    pub fn last_batch(mut self, last: LastBatch) -> Self {
        self.config.last_batch = last;
        self
    }

    /// What to do about a sample that fails. Default [`OnError::Fail`]: nothing
    /// is left out unsaid. Changes results where samples fail.
    pub fn on_error(mut self, policy: OnError) -> Self {
        self.config.on_error = policy;
        self
    }

    /// Takes JPEGs that end early as far as they go, the rest grey, instead of
    /// failing them. Default false. Changes results where files are truncated.
    pub fn allow_truncated(mut self, allow: bool) -> Self {
        self.config.allow_truncated = allow;
        self
    }

    /// The seed of everything random: crops, flips, changes of colour, which substitute
    /// [`OnError::Replace`] draws. Default 0. Changes results there.
    pub fn seed(mut self, seed: u64) -> Self {
        self.config.seed = seed;
        self
    }

    /// Decoder threads. Default 0: the fewest that keep the consumer's wait below
    /// [`wait_target`](Self::wait_target), from one to one for each core that the
    /// process may use; it begins with all. What it decides is in
    /// [`Stats::decisions`](crate::stats::Stats::decisions). Changes only speed, and
    /// memory by about 1 MB a thread.
    pub fn threads(mut self, threads: usize) -> Self {
        self.config.threads = threads;
        self
    }

    /// Reads in flight at most. Default 0: 16, enough for a disk, and more, up to 64,
    /// where decoders wait for files and more bring some. Changes only speed.
    pub fn readers(mut self, readers: usize) -> Self {
        self.config.readers = readers;
        self
    }

    /// Batches in the making or waiting, ahead of the one taken last. Default 0: the
    /// fewest that keep the consumer's wait below [`wait_target`](Self::wait_target),
    /// from 1 to 4; it begins with 2. Where [`memory_limit`](Self::memory_limit) has no
    /// room for so many, fewer. More smooths out slow samples; each costs a batch of
    /// memory, and the memory bound holds for the most that there can be. Set,
    /// exactly the first `(c + prefetch) * batch_size` files have been opened when it
    /// stands still after `c` batches. Changes only speed.
    pub fn prefetch(mut self, batches: usize) -> Self {
        self.config.prefetch = batches;
        self
    }

    /// Batches that you keep at once, the one in hand included. Default 1: a
    /// `for` loop that drops each. It sizes the memory bound and how much memory
    /// is kept for reuse; keeping more is allowed and comes on top. Changes only
    /// speed; at least 1.
    pub fn held_batches(mut self, batches: usize) -> Self {
        self.config.held_batches = batches;
        self
    }

    /// Where decoded pixels are kept, so that later epochs need not read and
    /// decode again. Default [`Cache::None`]. Changes only speed, memory and
    /// what is on disk: batches are byte-identical.
    ///
    /// ```
    /// # let photos = infeed::doc::photos();
    /// use infeed::{Cache, Loader};
    ///
    /// let mut loader =
    ///     Loader::folder(&photos).size(32, 32).cache(Cache::memory(64 << 20)).build()?;
    /// for number in 0..2 {
    ///     for batch in loader.epoch(number)? {
    ///         batch?;
    ///     }
    /// }
    /// let cache = loader.stats().cache.unwrap();
    /// assert_eq!(cache.hits, cache.misses);    // the second epoch needed no file
    /// # Ok::<(), infeed::Error>(())
    /// ```
    pub fn cache(mut self, cache: Cache) -> Self {
        self.config.cache = cache;
        self
    }

    /// With random crops: the pixels to which the shorter side of every picture
    /// is scaled, by the [`filter`](Self::filter), before crops are cut from it; a
    /// smaller one stays as it is. Such pictures are what a [`cache`](Self::cache)
    /// keeps, so it has to be said with one; without one it gives the very same
    /// batches. Default none: crops are cut from the picture as it is. Changes
    /// results: crops are cut from fewer pixels, so choose it well above the size
    /// (256 to 288 for 224).
    pub fn cache_side(mut self, pixels: u32) -> Self {
        self.config.cache_side = Some(pixels);
        self
    }

    /// The most memory that the loader may take, in bytes. Default none: the
    /// bound follows from the other knobs
    /// ([`MemoryBound`](crate::config::MemoryBound)). With a limit, the byte
    /// budgets shrink first, then `max_file_bytes` and `max_pixels` if they were
    /// left open (down to 16 MiB and 16 million), then `prefetch` if it was. A
    /// configuration that cannot keep it is refused with the sum spelled out.
    /// Changes only speed, but for pictures above the limits.
    pub fn memory_limit(mut self, bytes: u64) -> Self {
        self.config.memory_limit = Some(bytes);
        self
    }

    /// Encoded bytes that one file may have. Default 256 MiB. Changes results
    /// for larger files: they fail.
    pub fn max_file_bytes(mut self, bytes: u64) -> Self {
        self.config.max_file_bytes = Some(bytes);
        self
    }

    /// Pixels (width times height) that one picture may have. Default 100
    /// million, decoded one at a time; set it to what the data holds for a
    /// tighter memory bound: decoding counts 13 bytes a pixel, and 16 with a
    /// [`cache_side`](Self::cache_side). What needs more (WebP or GIF with alpha,
    /// 16-bit TIFF with alpha, progressive JPEG of four inks that its EXIF turns,
    /// or a pixel or two wide) may fail somewhat below it. Changes results for
    /// larger pictures: they fail.
    pub fn max_pixels(mut self, pixels: u64) -> Self {
        self.config.max_pixels = Some(pixels);
        self
    }

    /// Pixels that one side of a picture may have. Default 65,535. Changes
    /// results for larger pictures: they fail.
    pub fn max_side(mut self, pixels: u32) -> Self {
        self.config.max_side = pixels;
        self
    }

    /// Scans that a JPEG may have. Default 100, of which encoders use three to
    /// ten: each goes over the whole picture, so that a small file with many
    /// would take long. Changes results for files with more: they fail.
    pub fn max_scans(mut self, scans: u32) -> Self {
        self.config.max_scans = scans;
        self
    }

    /// How long one read may take before its sample fails. Default 60 seconds:
    /// longer than a network file system's hiccup. `None` waits for ever. When
    /// half of the readers are stuck the run ends with an error. Changes
    /// results where reads are stuck.
    pub fn read_timeout(mut self, timeout: Option<Duration>) -> Self {
        self.config.read_timeout = timeout;
        self
    }

    /// The part of its time that the consumer may wait for batches, which threads,
    /// readers and prefetch depth aim at where they are left to the loader. Default
    /// 0.01.
    pub fn wait_target(mut self, share: f64) -> Self {
        self.config.wait_target = share;
        self
    }

    /// How long the consumer may wait for a batch before it is reported what
    /// everybody is doing: a `tracing` event of level WARN and target
    /// `infeed::stall`, and [`Stats::stall`](crate::stats::Stats::stall). The run
    /// goes on. Default 30 seconds; `None` never reports. Changes nothing else.
    pub fn stall_report(mut self, after: Option<Duration>) -> Self {
        self.config.stall_report = after;
        self
    }

    /// How many failures [`Epoch::failures`](crate::Epoch::failures) keeps.
    /// Default 1,000; all are counted and logged through `tracing`. Changes only
    /// memory.
    pub fn failures_kept(mut self, failures: usize) -> Self {
        self.config.failures_kept = failures;
        self
    }

    /// Decodes with something else than
    /// [`StandardDecoder`](crate::decode::StandardDecoder). Changes results.
    pub fn decoder(mut self, decoder: impl Decode) -> Self {
        self.decoder = Some(Arc::new(decoder));
        self
    }

    /// Checks every knob, starts the threads and the walk, and waits until the
    /// first sample is found.
    ///
    /// # Errors
    ///
    /// * [`ErrorKind::Config`](crate::ErrorKind::Config): a knob has a value
    ///   that cannot be used, the memory limit cannot be kept, or no sample is
    ///   left to take part.
    /// * [`ErrorKind::Source`](crate::ErrorKind::Source): the root or the list is
    ///   missing, unreadable, wrong, or holds no image.
    /// * [`ErrorKind::System`](crate::ErrorKind::System): a thread could not be
    ///   started.
    pub fn build(self) -> Result<Loader<T>> {
        let config = self.config.resolve::<T>()?;
        let (decoder, transform) = (self.made_decoder(), transform(&config));
        let augment = self.augment();
        let cache = cache::Cache::open(&config, &self.source.root(), &*decoder)?;
        let source = self.selected();
        let resume = self.resume;
        Loader::start(Parts { source, decoder, transform, augment, cache, config, resume })
    }

    /// Another one with the same knobs.
    #[cfg(feature = "tune")]
    pub(crate) fn again(&self) -> Self {
        LoaderBuilder {
            source: Arc::clone(&self.source),
            decoder: self.decoder.clone(),
            config: self.config.clone(),
            before: self.before.clone(),
            after: self.after.clone(),
            resume: None,
            element: PhantomData,
        }
    }

    /// One over the same samples in the same order that has them read, and hands
    /// what was read to `decoder`.
    #[cfg(feature = "tune")]
    pub(crate) fn only_read(&self, decoder: Arc<dyn Decode>) -> LoaderBuilder<u8> {
        let Config { split, subset, skip_list, sampling, shard, seed, .. } = self.config.clone();
        let Config { max_file_bytes, on_error, read_timeout, memory_limit, .. } = self.config;
        let size = Size { width: 1, height: 1 };
        let config = Config {
            split,
            subset,
            skip_list,
            sampling,
            shard,
            seed,
            read_timeout,
            max_file_bytes,
            on_error,
            memory_limit,
            max_pixels: Some(1),
            size,
            ..Config::default()
        };
        LoaderBuilder {
            source: Arc::clone(&self.source),
            decoder: Some(decoder),
            config,
            before: Vec::new(),
            after: Vec::new(),
            resume: None,
            element: PhantomData,
        }
    }

    /// Where the samples come from.
    #[cfg(feature = "tune")]
    pub(crate) fn root(&self) -> std::path::PathBuf {
        self.source.root()
    }

    /// Checks every knob without starting anything.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), as
    /// [`build`](Self::build).
    pub fn resolve(&self) -> Result<Resolved> {
        self.config.resolve::<T>()
    }

    /// What one decoder thread does to a sample, alone: for inference with the
    /// pixels of training, or to measure what decoding costs.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Config`](crate::ErrorKind::Config), as
    /// [`build`](Self::build).
    pub fn preprocessor(&self) -> Result<Preprocessor<T>> {
        let config = self.config.resolve::<T>()?;
        let scaler = config.cache_side.map(|side| Scaler::new(side, config.filter));
        let (decoder, transform, augment) =
            (self.made_decoder(), transform(&config), self.augment());
        Ok(Preprocessor::new(decoder, transform, augment, scaler, config.limits))
    }

    /// The same with levels as they are and without augmentation, as `config` has it.
    pub(crate) fn plain_preprocessor(&self, config: &Resolved) -> Preprocessor<u8> {
        let augment = Augment::new(0, Augmentation::default(), Vec::new(), Vec::new());
        let (transform, augment) = (transform(config), Arc::new(augment));
        Preprocessor::new(self.made_decoder(), transform, augment, None, config.limits)
    }

    /// Counts how often each sample comes in whole epochs of `world` ranks together,
    /// by the plan that their loaders would follow; lists the source and reads
    /// nothing. [`shard`](Self::shard) and [`resume`](Self::resume) are not looked
    /// at.
    ///
    /// ```
    /// # let photos = infeed::doc::photos();
    /// let builder = infeed::Loader::folder(&photos).batch_size(2).shuffle(7);
    /// let coverage = builder.coverage(3, 0..5)?;
    /// assert!(coverage.is_exact());
    /// assert_eq!(coverage.epochs[0].once, 10);
    /// assert_eq!(coverage.epochs[0].padding, 2);    // so that all three have as many
    /// # Ok::<(), infeed::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`build`](Self::build).
    pub fn coverage(&self, world: u32, epochs: Range<u64>) -> Result<Coverage> {
        let ranks = (0..world.max(1)).map(|rank| {
            let config = Config { shard: Ok(Shard { rank, world }), ..self.config.clone() };
            config.resolve::<T>()
        });
        Coverage::count(&*self.selected(), &ranks.collect::<Result<Vec<_>>>()?, epochs)
    }

    /// What of the source takes part.
    pub(crate) fn selected(&self) -> Arc<dyn Source> {
        Selected::from(Arc::clone(&self.source), self.config.part())
    }

    fn augment(&self) -> Arc<Augment<T>> {
        let Config { seed, augmentation, .. } = self.config;
        Arc::new(Augment::new(seed, augmentation, self.before.clone(), self.after.clone()))
    }

    pub(crate) fn made_decoder(&self) -> Arc<dyn Decode> {
        self.decoder.clone().unwrap_or_else(|| {
            Arc::new(StandardDecoder::default().allow_truncated(self.config.allow_truncated))
        })
    }
}

fn transform<T: Element>(config: &Resolved) -> Arc<Transform<T>> {
    let Resolved { size, fit, filter, decode, flip, vflip, .. } = *config;
    let Resolved { layout, color, normalize, seed, .. } = *config;
    let look = Look { size, fit, filter, decode, flip, vflip, layout, color, normalize, seed };
    Arc::new(Transform::new(look))
}

impl<T: Element> fmt::Debug for LoaderBuilder<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoaderBuilder")
            .field("root", &self.source.root())
            .field("dtype", &T::DTYPE)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}
