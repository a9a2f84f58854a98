//! Every knob of the library as a flag, in the same words.

use std::time::Duration;

use clap::Args;
use clap::builder::PossibleValuesParser;
use infeed::{
    Budget, Cache, Color, Decoding, Dtype, Element, Erase, Filter, Fit, Jitter, LastBatch, Layout,
    Loader, LoaderBuilder, Normalize, OnError, Order, Sampling, Shard, Size, Uneven,
};

use crate::images::Images;
use crate::units::Bytes;

#[derive(Debug, Args)]
pub(crate) struct Knobs {
    #[command(flatten)]
    pub(crate) images: Images,

    /// Samples in a batch
    #[arg(long, default_value_t = 32, value_name = "N", help_heading = "Batches")]
    batch_size: usize,

    /// Side of the images in pixels, or WIDTHxHEIGHT
    #[arg(long, default_value = "512", value_name = "SIZE", help_heading = "Pixels")]
    size: Size,

    /// stretch; crop: shorter side to size, centre cut out; crop:256: shorter
    /// side to 256 first; random-crop, or random-crop:AREA:RATIO, such as
    /// random-crop:0.08,1:0.75,1.3333
    #[arg(long, default_value_t = Fit::default(), value_name = "FIT", help_heading = "Pixels")]
    fit: Fit,

    /// With random-crop, the least and the largest share of the picture's area
    /// [default: 0.08,1]
    #[arg(long, value_name = "A,B", value_parser = two, help_heading = "Pixels")]
    crop_scale: Option<(f32, f32)>,

    /// With random-crop, the least and the largest width over height
    /// [default: 0.75,1.3333]
    #[arg(long, value_name = "A,B", value_parser = two, help_heading = "Pixels")]
    crop_ratio: Option<(f32, f32)>,

    /// opencv-bilinear (not antialiased); bilinear, bicubic or lanczos
    /// (antialiased, as Pillow)
    #[arg(long, default_value_t = Filter::default(), value_name = "FILTER", help_heading = "Pixels")]
    filter: Filter,

    /// fast: large baseline JPEGs come from the decoder at a half, a quarter or an eighth, if
    /// that is still no smaller than what they are scaled to
    #[arg(long, default_value_t = Decoding::default(), value_name = "MODE", help_heading = "Pixels")]
    decode: Decoding,

    /// Probability that left and right change places; 0.5 when none is said
    #[arg(
        long,
        num_args = 0..=1,
        default_value_t = 0.0,
        default_missing_value = "0.5",
        value_name = "P",
        help_heading = "Pixels"
    )]
    flip: f64,

    /// Probability that top and bottom change places; 0.5 when none is said
    #[arg(
        long,
        num_args = 0..=1,
        default_value_t = 0.0,
        default_missing_value = "0.5",
        value_name = "P",
        help_heading = "Pixels"
    )]
    vflip: f64,

    /// How far brightness, contrast, saturation and hue (at most 0.5) are changed,
    /// such as 0.4,0.4,0.4,0.1; those left out at the end are 0
    #[arg(long, default_value_t = Jitter::default(), value_name = "B,C,S,H", help_heading = "Pixels")]
    jitter: Jitter,

    /// Probability that a picture loses its colour
    #[arg(long, default_value_t = 0.0, value_name = "P", help_heading = "Pixels")]
    random_grey: f64,

    /// Probability that a rectangle is set to zero, or P:AREA:RATIO, such as
    /// 0.25:0.02,0.33:0.3,3.3
    #[arg(long, default_value_t = Erase::default(), value_name = "P", help_heading = "Pixels")]
    erase: Erase,

    /// unit (0 to 1), imagenet, or MEAN:STD with three numbers each, such as
    /// 0.5,0.5,0.5:0.2,0.2,0.2, or one each for all channels
    #[arg(long, default_value = "unit", value_name = "NORM", value_parser = normalize, help_heading = "Pixels")]
    normalize: Normalize,

    /// Element type
    #[arg(long, default_value = "f32", value_name = "TYPE", value_parser = PossibleValuesParser::new(["f32", "f16", "bf16", "u8"]), help_heading = "Pixels")]
    dtype: String,

    /// Axes: chw or hwc
    #[arg(long, default_value_t = Layout::default(), value_name = "LAYOUT", help_heading = "Pixels")]
    layout: Layout,

    /// Channels: rgb, bgr or grey
    #[arg(long, default_value_t = Color::default(), value_name = "COLOR", help_heading = "Pixels")]
    color: Color,

    /// Every epoch in another order, a permutation decided by --seed and the
    /// epoch's number
    #[arg(long, conflicts_with = "sampling", help_heading = "Order")]
    shuffle: bool,

    /// sequential; shuffle; weighted:balanced, every class equally often; or
    /// weighted:W0,W1,.. with a weight for each class. Behind a weighted one, the
    /// samples of an epoch: weighted:balanced:10000
    #[arg(long, default_value_t = Sampling::default(), value_name = "HOW", help_heading = "Order")]
    sampling: Sampling,

    /// Seed of everything random
    #[arg(long, default_value_t = 0, value_name = "N", help_heading = "Order")]
    seed: u64,

    /// The part of one of several processes: RANK/WORLD, such as 0/4, or env for
    /// what torchrun, mpirun, srun or a Kubernetes indexed job has set
    #[arg(long, default_value_t = Shard::WHOLE, value_name = "R/W", help_heading = "Order")]
    shard: Shard,

    /// Samples that the ranks cannot share equally: drop, or pad with others from
    /// the epoch's beginning
    #[arg(long, default_value_t = Uneven::default(), value_name = "WHAT", help_heading = "Order")]
    uneven: Uneven,

    /// ordered (byte-identical output) or unordered (a slow sample holds
    /// nothing back)
    #[arg(long, default_value_t = Order::default(), value_name = "ORDER", help_heading = "Order")]
    order: Order,

    /// A short last batch: keep, drop or pad
    #[arg(long, default_value_t = LastBatch::default(), value_name = "WHAT", help_heading = "Batches")]
    last_batch: LastBatch,

    /// Same as --last-batch drop
    #[arg(long, conflicts_with = "last_batch", help_heading = "Batches")]
    drop_last: bool,

    /// A failed sample: fail, skip or replace
    #[arg(long, default_value = "fail", value_name = "POLICY", help_heading = "Failures")]
    on_error: OnError,

    /// With skip and replace, samples of an epoch that may fail: 20, 0.5% or
    /// unlimited
    #[arg(long, default_value_t = Budget::default(), value_name = "BUDGET", help_heading = "Failures")]
    max_failures: Budget,

    /// With replace, substitutes tried for one place
    #[arg(long, default_value_t = 8, value_name = "N", help_heading = "Failures")]
    replace_attempts: u32,

    /// Take JPEGs that end early as far as they go
    #[arg(long, help_heading = "Failures")]
    allow_truncated: bool,

    /// Seconds after which a read fails, or none
    #[arg(long, default_value = "60", value_name = "SECONDS", value_parser = timeout, help_heading = "Failures")]
    read_timeout: Timeout,

    /// Decoder threads; auto: the fewest that keep the consumer fed, at most one for
    /// each core
    #[arg(long, default_value = "auto", value_name = "N", value_parser = auto, help_heading = "Speed and memory")]
    threads: usize,

    /// Reads in flight; auto: 16, and up to 64 where that helps
    #[arg(long, default_value = "auto", value_name = "N", value_parser = auto, help_heading = "Speed and memory")]
    readers: usize,

    /// Batches in the making, ahead of the one taken last; auto: the fewest that
    /// keep the consumer fed, at most 4
    #[arg(long, default_value = "auto", value_name = "N", value_parser = auto, help_heading = "Speed and memory")]
    prefetch: usize,

    /// The part of its time that the consumer may wait, which auto aims at
    #[arg(long, default_value_t = 0.01, value_name = "SHARE", help_heading = "Speed and memory")]
    wait_target: f64,

    /// Seconds without a batch after which it is said what everybody is doing, or
    /// none
    #[arg(long, default_value = "30", value_name = "SECONDS", value_parser = timeout, help_heading = "Failures")]
    stall_report: Timeout,

    /// Batches that the consumer keeps at once
    #[arg(long, default_value_t = 1, value_name = "N", help_heading = "Speed and memory")]
    held_batches: usize,

    /// Keep decoded pixels for later epochs: memory:2GiB, or disk:DIR:20GiB, which
    /// later runs use again
    #[arg(long, value_name = "WHERE", value_parser = cache, help_heading = "Speed and memory")]
    cache: Option<Cache>,

    /// With random crops, scale the shorter side of each picture to so many
    /// pixels first; what the cache then keeps
    #[arg(long, value_name = "PIXELS", help_heading = "Pixels")]
    cache_side: Option<u32>,

    /// The most memory that the loader may take, such as 2GiB
    #[arg(long, value_name = "BYTES", help_heading = "Speed and memory")]
    memory_limit: Option<Bytes>,

    /// Larger files fail [default: 256MiB]
    #[arg(long, value_name = "BYTES", help_heading = "Limits")]
    max_file_bytes: Option<Bytes>,

    /// Pictures of more pixels fail [default: 100000000]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_pixels: Option<u64>,

    /// Pictures with a longer side fail [default: 65535]
    #[arg(long, value_name = "PIXELS", help_heading = "Limits")]
    max_side: Option<u32>,

    /// Progressive JPEGs of more scans fail [default: 100]
    #[arg(long, value_name = "N", help_heading = "Limits")]
    max_scans: Option<u32>,
}

/// `None` waits for ever. A type of its own, as clap gives `Option` a meaning.
#[derive(Clone, Copy, Debug)]
struct Timeout(Option<Duration>);

impl Knobs {
    pub(crate) fn dtype(&self) -> Dtype {
        match &*self.dtype {
            "u8" => Dtype::U8,
            "f16" => Dtype::F16,
            "bf16" => Dtype::Bf16,
            _ => Dtype::F32,
        }
    }

    /// Whether an epoch has other samples than all of the source, each once.
    pub(crate) fn takes_a_part(&self) -> bool {
        self.shard != Shard::WHOLE || matches!(self.sampling, Sampling::Weighted { .. })
    }

    pub(crate) fn shard(&self) -> Shard {
        self.shard
    }

    /// What no single flag is to blame for.
    pub(crate) fn check(&self) -> Result<(), String> {
        let refined = self.crop_scale.map(|_| "crop-scale");
        let refined = refined.or(self.crop_ratio.map(|_| "crop-ratio"));
        match (refined, self.fit) {
            (None, _) | (_, Fit::RandomCrop { .. }) => Ok(()),
            (Some(flag), fit) => {
                Err(format!("--{flag} refines --fit random-crop, and the fit is {fit}"))
            }
        }
    }

    fn fit(&self) -> Fit {
        match self.fit {
            Fit::RandomCrop { scale, ratio } => Fit::RandomCrop {
                scale: self.crop_scale.unwrap_or(scale),
                ratio: self.crop_ratio.unwrap_or(ratio),
            },
            other => other,
        }
    }

    /// A builder over `source` with every flag applied.
    pub(crate) fn builder<T: Element>(
        &self,
        source: impl infeed::source::Source,
    ) -> LoaderBuilder<T> {
        let builder = self.builder_of_some(source);
        match self.images.skip_list() {
            Some(list) => builder.skip_list(list.clone()),
            None => builder,
        }
    }

    /// The same over a source without what is to be skipped.
    pub(crate) fn builder_of_some<T: Element>(
        &self,
        source: impl infeed::source::Source,
    ) -> LoaderBuilder<T> {
        let on_error = match self.on_error {
            OnError::Replace { max_failures, .. } => {
                OnError::Replace { attempts: self.replace_attempts, max_failures }
            }
            other => other,
        };
        let last = if self.drop_last { LastBatch::Drop } else { self.last_batch };
        let mut builder = Loader::source(source)
            .dtype::<T>()
            .batch_size(self.batch_size)
            .size(self.size.width, self.size.height)
            .fit(self.fit())
            .filter(self.filter)
            .decode(self.decode)
            .flip(self.flip)
            .vflip(self.vflip)
            .jitter(self.jitter)
            .random_grey(self.random_grey)
            .erase(self.erase)
            .normalize(self.normalize.mean, self.normalize.std)
            .layout(self.layout)
            .color(self.color)
            .sampling(if self.shuffle { Sampling::Shuffle } else { self.sampling.clone() })
            .shard(self.shard.rank, self.shard.world)
            .uneven(self.uneven)
            .order(self.order)
            .last_batch(last)
            .on_error(on_error.max_failures(self.max_failures))
            .allow_truncated(self.allow_truncated)
            .read_timeout(self.read_timeout.0)
            .seed(self.seed)
            .threads(self.threads)
            .readers(self.readers)
            .prefetch(self.prefetch)
            .wait_target(self.wait_target)
            .stall_report(self.stall_report.0)
            .held_batches(self.held_batches);
        if let Some(split) = self.images.split() {
            builder = builder.split(split);
        }
        if let Some(cache) = &self.cache {
            builder = builder.cache(cache.clone());
        }
        if let Some(pixels) = self.cache_side {
            builder = builder.cache_side(pixels);
        }
        if let Some(bytes) = self.memory_limit {
            builder = builder.memory_limit(bytes.0);
        }
        if let Some(bytes) = self.max_file_bytes {
            builder = builder.max_file_bytes(bytes.0);
        }
        if let Some(pixels) = self.max_pixels {
            builder = builder.max_pixels(pixels);
        }
        if let Some(pixels) = self.max_side {
            builder = builder.max_side(pixels);
        }
        if let Some(scans) = self.max_scans {
            builder = builder.max_scans(scans);
        }
        builder
    }
}

fn auto(text: &str) -> Result<usize, String> {
    match text {
        "auto" => Ok(0),
        _ => text.parse().map_err(|_| "expected a whole number, or auto".to_owned()),
    }
}

fn two(text: &str) -> Result<(f32, f32), String> {
    let numbers = text
        .split_once(',')
        .and_then(|(low, high)| Some((low.trim().parse().ok()?, high.trim().parse().ok()?)));
    numbers.ok_or_else(|| "expected two numbers, the lower first, such as 0.08,1".to_owned())
}

fn normalize(text: &str) -> Result<Normalize, String> {
    let three = |text: &str| -> Option<[f32; 3]> {
        let numbers: Vec<f32> =
            text.split(',').map_while(|part| part.trim().parse().ok()).collect();
        match (text.split(',').count(), &numbers[..]) {
            (1, &[number]) => Some([number; 3]),
            (3, &[a, b, c]) => Some([a, b, c]),
            _ => None,
        }
    };
    match text {
        "unit" => Ok(Normalize::UNIT),
        "imagenet" => Ok(Normalize::IMAGENET),
        _ => text
            .split_once(':')
            .and_then(|(mean, std)| Some(Normalize { mean: three(mean)?, std: three(std)? }))
            .ok_or_else(|| {
                "expected unit, imagenet, or means and deviations on the scale 0 to 1, three each \
                 (0.5,0.5,0.5:0.2,0.2,0.2) or one for all channels (0.5:0.2)"
                    .to_owned()
            }),
    }
}

/// The words of [`Cache`], with units.
fn cache(text: &str) -> Result<Cache, String> {
    let bytes = |text: &str| text.parse::<Bytes>().map(|Bytes(bytes)| bytes);
    match text.split_once(':') {
        None if text == "none" => Ok(Cache::None),
        Some(("memory", limit)) => bytes(limit).map(Cache::memory),
        Some(("disk", rest)) => match rest.rsplit_once(':') {
            Some((dir, limit)) if !dir.is_empty() => {
                bytes(limit).map(|limit| Cache::disk(dir, limit))
            }
            _ => Err("expected a folder and a limit: disk:DIR:20GiB".to_owned()),
        },
        _ => Err("expected none, memory:BYTES or disk:DIR:BYTES".to_owned()),
    }
}

fn timeout(text: &str) -> Result<Timeout, String> {
    if text == "none" {
        return Ok(Timeout(None));
    }
    let seconds = text.parse::<f64>().ok();
    let duration = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    duration
        .map(|duration| Timeout(Some(duration)))
        .ok_or_else(|| "expected a number of seconds, or none to wait for ever".to_owned())
}
