//! The values that knobs take, in the words that the builder, the command line
//! and the JSON reports share.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::{Serialize, Serializer};

/// Gives a plain enum its words: `Display`, `FromStr` and `Serialize` agree.
macro_rules! words {
    ($type:ident, $field:literal { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl $type {
            /// Every accepted word, in the order of the documentation.
            pub const WORDS: &'static [&'static str] = &[$($word),+];

            /// The word for this value.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self { $($type::$variant => $word),+ }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = crate::Error;

            fn from_str(word: &str) -> Result<Self, Self::Err> {
                match word {
                    $($word => Ok($type::$variant),)+
                    _ => Err(crate::Error::config(
                        $field,
                        word,
                        format!("expected one of {}", Self::WORDS.join(", ")),
                    )),
                }
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }
    };
}

/// The height and width of every delivered image, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Size {
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
}

impl Size {
    /// Width times height.
    pub(crate) fn pixels(self) -> usize {
        self.width as usize * self.height as usize
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}x{}", self.width, self.height)
    }
}

impl FromStr for Size {
    type Err = crate::Error;

    /// `512` is a square; `640x480` is width by height.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let side = |side: &str| {
            side.trim().parse::<u32>().map_err(|_| {
                crate::Error::config(
                    "size",
                    text,
                    "expected one side in pixels (512), or width x height (640x480)",
                )
            })
        };
        match text.split_once(['x', 'X']) {
            Some((width, height)) => Ok(Size { width: side(width)?, height: side(height)? }),
            None => side(text).map(|side| Size { width: side, height: side }),
        }
    }
}

/// The least and the largest share of a picture's area that a random crop takes,
/// in `0.0..=1.0`.
pub type CropScale = (f32, f32);

/// The least and the largest aspect ratio, width over height, of a random crop.
pub type CropRatio = (f32, f32);

/// How a picture of any shape comes to the wanted size. Changes results.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[non_exhaustive]
pub enum Fit {
    /// The whole picture, stretched to the size; its aspect ratio is not kept.
    #[default]
    Stretch,
    /// The picture is scaled, aspect ratio kept, until its shorter side has
    /// `shorter` pixels (the longer `floor(shorter * long / short)`), and the
    /// middle is cut out. `None` takes the smallest scale at which the picture
    /// covers the size. `Some(256)` with size 224 is the usual evaluation
    /// transform.
    Crop {
        /// Pixels of the shorter side before the cut, at least the larger side
        /// of the size.
        shorter: Option<u32>,
    },
    /// A random part of the picture, stretched to the size, as torchvision's
    /// `RandomResizedCrop`: area and aspect ratio are drawn, the ratio on a
    /// logarithmic scale, then the place; where ten draws do not fit, the largest
    /// part in the middle whose ratio is allowed. Every choice is a function of
    /// seed, epoch and position.
    RandomCrop {
        /// Share of the picture's area; 0.08 to 1 is torchvision's default.
        scale: CropScale,
        /// Width over height; 3/4 to 4/3 is torchvision's default.
        ratio: CropRatio,
    },
}

impl Fit {
    /// Every accepted word.
    pub const WORDS: &'static [&'static str] = &["stretch", "crop", "random-crop"];

    /// [`Fit::RandomCrop`] with torchvision's defaults.
    #[must_use]
    pub fn random_crop() -> Self {
        Fit::RandomCrop { scale: (0.08, 1.0), ratio: (3.0 / 4.0, 4.0 / 3.0) }
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fit::Stretch => f.write_str("stretch"),
            Fit::Crop { shorter: None } => f.write_str("crop"),
            Fit::Crop { shorter: Some(shorter) } => write!(f, "crop:{shorter}"),
            fit @ Fit::RandomCrop { .. } if *fit == Fit::random_crop() => {
                f.write_str("random-crop")
            }
            Fit::RandomCrop { scale: (a, b), ratio: (c, d) } => {
                write!(f, "random-crop:{a},{b}:{c},{d}")
            }
        }
    }
}

impl FromStr for Fit {
    type Err = crate::Error;

    /// `stretch`, `crop`, `crop:256` with the shorter side, `random-crop`, or
    /// `random-crop:0.08,1:0.75,1.3333` with area and aspect ratio.
    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let refused = || {
            crate::Error::config(
                "fit",
                word,
                "expected stretch, crop, crop:SIDE with the shorter side in pixels (crop:256), \
                 random-crop, or random-crop:AREA:RATIO with two numbers each \
                 (random-crop:0.08,1:0.75,1.3333)",
            )
        };
        let two = |text: &str| -> Option<(f32, f32)> {
            let (low, high) = text.split_once(',')?;
            Some((low.trim().parse().ok()?, high.trim().parse().ok()?))
        };
        match word.split_once(':') {
            None if word == "stretch" => Ok(Fit::Stretch),
            None if word == "crop" => Ok(Fit::Crop { shorter: None }),
            None if word == "random-crop" => Ok(Fit::random_crop()),
            Some(("random-crop", numbers)) => numbers
                .split_once(':')
                .and_then(|(scale, ratio)| {
                    Some(Fit::RandomCrop { scale: two(scale)?, ratio: two(ratio)? })
                })
                .ok_or_else(refused),
            Some(("crop", side)) => {
                side.parse().map(|side| Fit::Crop { shorter: Some(side) }).map_err(|_| refused())
            }
            _ => Err(refused()),
        }
    }
}

impl Serialize for Fit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// How pixels between pixels are found. Changes results.
///
/// All end in 8 bits, so element types and layouts agree to the bit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Filter {
    /// Bilinear with half-pixel centres and no antialiasing, as OpenCV's
    /// `INTER_LINEAR`.
    #[default]
    OpencvBilinear,
    /// A triangle filter whose support grows when shrinking (antialiased), as
    /// Pillow's `BILINEAR`.
    Bilinear,
    /// A cubic filter, antialiased, as Pillow's `BICUBIC`: sharper, and may
    /// overshoot at edges.
    Bicubic,
    /// A windowed sinc, antialiased, as Pillow's `LANCZOS`: the sharpest and the
    /// most work.
    Lanczos,
}

words!(Filter, "filter" {
    OpencvBilinear = "opencv-bilinear",
    Bilinear = "bilinear",
    Bicubic = "bicubic",
    Lanczos = "lanczos",
});

/// The order of the axes of a batch. Changes the shape, not the values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Layout {
    /// `[n, channel, height, width]`, row-major: what PyTorch, burn and candle
    /// expect.
    #[default]
    Chw,
    /// `[n, height, width, channel]`, row-major: what TensorFlow and image
    /// viewers expect.
    Hwc,
}

words!(Layout, "layout" { Chw = "chw", Hwc = "hwc" });

/// The order of the channels. Changes results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Color {
    /// Red, green, blue.
    #[default]
    Rgb,
    /// Blue, green, red, as OpenCV keeps pictures.
    Bgr,
    /// One channel of lightness, taken before the resize: a JPEG's luma as it is
    /// stored, of other pictures `0.299 R + 0.587 G + 0.114 B` (ITU-R BT.601),
    /// rounded; within a level of OpenCV's `IMREAD_GRAYSCALE`.
    Grey,
}

words!(Color, "color" { Rgb = "rgb", Bgr = "bgr", Grey = "grey" });

impl Color {
    /// Channels of a batch: 3, or 1 of grey.
    #[must_use]
    pub fn channels(self) -> usize {
        match self {
            Color::Rgb | Color::Bgr => 3,
            Color::Grey => 1,
        }
    }
}

/// Whether batches follow the source's order. Ordered output is byte-identical
/// for any number of threads; unordered output of an epoch is the same set of
/// samples in the order in which they became ready.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Order {
    /// In the plan's order; a slow sample holds back the ones behind it, up to
    /// the prefetch depth.
    #[default]
    Ordered,
    /// As samples become ready; a slow sample holds back nothing.
    Unordered,
}

words!(Order, "order" { Ordered = "ordered", Unordered = "unordered" });

/// What becomes of the last batch of an epoch when the samples do not fill it.
/// Changes results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LastBatch {
    /// It is delivered short.
    #[default]
    Keep,
    /// It is not delivered, and its samples are not read.
    Drop,
    /// It is filled with samples from the epoch's beginning, which say so
    /// ([`Sample::is_padding`](crate::Sample::is_padding)).
    Pad,
}

words!(LastBatch, "last_batch" { Keep = "keep", Drop = "drop", Pad = "pad" });

/// How many samples of one epoch may fail before the run ends.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Budget {
    /// Any number.
    #[default]
    Unlimited,
    /// At most so many samples.
    Count(u64),
    /// At most this fraction of the epoch's samples, in `0.0..=1.0`. It is judged
    /// from the first failure on, as soon as the walk has ended and the number
    /// of samples is known.
    Fraction(f64),
}

impl Budget {
    /// The number of failures that `planned` samples may have; `None` when
    /// there is no bound.
    pub(crate) fn allowed(self, planned: u64) -> Option<u64> {
        match self {
            Budget::Unlimited => None,
            Budget::Count(count) => Some(count),
            #[allow(
                clippy::cast_possible_truncation,
                clippy::cast_precision_loss,
                clippy::cast_sign_loss
            )]
            Budget::Fraction(fraction) => Some((fraction * planned as f64).floor() as u64),
        }
    }

    pub(crate) fn needs_length(self) -> bool {
        matches!(self, Budget::Fraction(_))
    }
}

impl fmt::Display for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Budget::Unlimited => f.write_str("unlimited"),
            Budget::Count(count) => write!(f, "{count}"),
            Budget::Fraction(fraction) => write!(f, "{}%", fraction * 100.0),
        }
    }
}

impl FromStr for Budget {
    type Err = crate::Error;

    /// `20` is a count, `0.5%` a fraction, `unlimited` no bound.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = match text.strip_suffix('%') {
            _ if text == "unlimited" => Some(Budget::Unlimited),
            Some(percent) => {
                percent.trim().parse::<f64>().ok().map(|percent| Budget::Fraction(percent / 100.0))
            }
            None => text.parse().ok().map(Budget::Count),
        };
        parsed.ok_or_else(|| {
            crate::Error::config(
                "max_failures",
                text,
                "expected a count (20), a share (0.5%) or unlimited",
            )
        })
    }
}

impl Serialize for Budget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What to do about a sample that fails. Changes results only where samples
/// fail.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum OnError {
    /// The iterator yields the error, before the batch that lacks the sample;
    /// calling `next` again goes on.
    #[default]
    Fail,
    /// The sample is left out, counted and named, within `max_failures`.
    /// Ordered, its batch is shorter by one and no other batch changes;
    /// unordered, later samples fill the place.
    Skip {
        /// How many samples of an epoch may be left out.
        max_failures: Budget,
    },
    /// Another sample takes its place, drawn by a function of seed, epoch,
    /// position and attempt, so every batch keeps its size and every run with
    /// the same failures its content.
    Replace {
        /// How many substitutes are tried for one place before the run ends;
        /// at least 1, 8 by default.
        attempts: u32,
        /// How many samples of an epoch may be replaced; every failed
        /// substitute counts too.
        max_failures: Budget,
    },
}

impl OnError {
    /// Every accepted word.
    pub const WORDS: &'static [&'static str] = &["fail", "skip", "replace"];

    /// [`OnError::Skip`] without a bound.
    #[must_use]
    pub fn skip() -> Self {
        OnError::Skip { max_failures: Budget::Unlimited }
    }

    /// [`OnError::Replace`] with 8 attempts a place and no bound on places.
    #[must_use]
    pub fn replace() -> Self {
        OnError::Replace { attempts: 8, max_failures: Budget::Unlimited }
    }

    /// The same policy with another budget; [`OnError::Fail`] has none and
    /// stays as it is.
    #[must_use]
    pub fn max_failures(self, budget: Budget) -> Self {
        match self {
            OnError::Fail => OnError::Fail,
            OnError::Skip { .. } => OnError::Skip { max_failures: budget },
            OnError::Replace { attempts, .. } => {
                OnError::Replace { attempts, max_failures: budget }
            }
        }
    }

    pub(crate) fn budget(self) -> Budget {
        match self {
            OnError::Fail => Budget::Unlimited,
            OnError::Skip { max_failures } | OnError::Replace { max_failures, .. } => max_failures,
        }
    }
}

impl fmt::Display for OnError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            OnError::Fail => "fail",
            OnError::Skip { .. } => "skip",
            OnError::Replace { .. } => "replace",
        })
    }
}

impl FromStr for OnError {
    type Err = crate::Error;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "fail" => Ok(OnError::Fail),
            "skip" => Ok(OnError::skip()),
            "replace" => Ok(OnError::replace()),
            _ => Err(crate::Error::config(
                "on_error",
                word,
                format!("expected one of {}", Self::WORDS.join(", ")),
            )),
        }
    }
}

impl Serialize for OnError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Where decoded pixels are kept, so that later epochs need not read and decode
/// again. Changes only speed and memory.
///
/// Kept are the final 8-bit levels, so batches are byte-identical to those of a
/// loader without a cache, whatever the element type. Where not all samples fit
/// the limit, the first in the source's order are kept and the others decoded in
/// every epoch.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Cache {
    /// Nowhere: every epoch reads and decodes.
    #[default]
    None,
    /// In memory, for as long as the loader lives. A sample that changes
    /// meanwhile is served as it was.
    Memory {
        /// At most so many bytes; part of the memory bound.
        limit: u64,
    },
    /// In one file below a folder, which later runs with the same source and the
    /// same pixels use again, several at a time. Samples that have changed since,
    /// by size or time of change, are decoded anew, and so is whatever is
    /// damaged. Each run looks at each sample once.
    Disk {
        /// The folder, made if it is not there; several configurations can share
        /// it, each with a file of its own.
        dir: PathBuf,
        /// At most so many bytes in that file.
        limit: u64,
    },
}

impl Cache {
    /// Every accepted word.
    pub const WORDS: &'static [&'static str] = &["none", "memory", "disk"];

    /// [`Cache::Memory`] of at most `limit` bytes.
    #[must_use]
    pub fn memory(limit: u64) -> Self {
        Cache::Memory { limit }
    }

    /// [`Cache::Disk`] in `dir`, of at most `limit` bytes.
    #[must_use]
    pub fn disk(dir: impl Into<PathBuf>, limit: u64) -> Self {
        Cache::Disk { dir: dir.into(), limit }
    }
}

impl fmt::Display for Cache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cache::None => f.write_str("none"),
            Cache::Memory { limit } => write!(f, "memory:{limit}"),
            Cache::Disk { dir, limit } => write!(f, "disk:{}:{limit}", dir.display()),
        }
    }
}

impl FromStr for Cache {
    type Err = crate::Error;

    /// `none`, `memory:BYTES` or `disk:DIR:BYTES`, the bytes as a plain number.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bytes = |bytes: &str| bytes.trim().parse::<u64>().ok();
        let parsed = match text.split_once(':') {
            None if text == "none" => Some(Cache::None),
            Some(("memory", limit)) => bytes(limit).map(Cache::memory),
            Some(("disk", rest)) => rest
                .rsplit_once(':')
                .and_then(|(dir, limit)| bytes(limit).map(|limit| Cache::disk(dir, limit))),
            _ => None,
        };
        parsed.ok_or_else(|| {
            let reason = "expected none, memory:BYTES, or disk:DIR:BYTES";
            crate::Error::config("cache", text, reason)
        })
    }
}

impl Serialize for Cache {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Mean and standard deviation per channel, in the order red, green, blue, on
/// the scale `0.0..=1.0`: a level `v` in `0..=255` becomes
/// `(v / 255 - mean) / std`. Changes results.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Normalize {
    /// Subtracted from each channel.
    pub mean: [f32; 3],
    /// Divides each channel; every entry positive.
    pub std: [f32; 3],
}

impl Normalize {
    /// No change: values stay in `0.0..=1.0`.
    pub const UNIT: Normalize = Normalize { mean: [0.0; 3], std: [1.0; 3] };

    /// The mean and standard deviation of ImageNet's training set, as
    /// torchvision's pretrained models expect them.
    pub const IMAGENET: Normalize =
        Normalize { mean: [0.485, 0.456, 0.406], std: [0.229, 0.224, 0.225] };
}

impl Default for Normalize {
    fn default() -> Self {
        Normalize::UNIT
    }
}

/// What one sample may cost before it is refused; each is checked before the
/// memory is taken. A sample over a limit fails with
/// [`CauseKind::Limit`](crate::CauseKind::Limit).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Limits {
    /// Encoded bytes of one file. Default 256 MiB.
    pub max_file_bytes: u64,
    /// Pixels (width times height) of one picture. Default 100 million.
    pub max_pixels: u64,
    /// Pixels of one side. Default 65,535.
    pub max_side: u32,
    /// Scans of a progressive JPEG; a small file with thousands of scans costs
    /// minutes. Default 100.
    pub max_scans: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Limits {
            max_file_bytes: 256 << 20,
            max_pixels: 100_000_000,
            max_side: 65_535,
            max_scans: 100,
        }
    }
}

/// A duration as seconds with a fraction, for reports.
pub(crate) fn serialize_seconds<S: Serializer>(
    duration: &Option<Duration>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    duration.map(|duration| duration.as_secs_f64()).serialize(serializer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_round_trip() {
        for word in Filter::WORDS {
            assert_eq!(word.parse::<Filter>().unwrap().to_string(), *word);
        }
        for word in ["stretch", "crop", "crop:256"] {
            assert_eq!(word.parse::<Fit>().unwrap().to_string(), word);
        }
        for word in ["unlimited", "20", "0.5%"] {
            assert_eq!(word.parse::<Budget>().unwrap().to_string(), word);
        }
        assert_eq!("640x480".parse::<Size>().unwrap().to_string(), "640x480");
        assert_eq!("512".parse::<Size>().unwrap(), Size { width: 512, height: 512 });
    }

    #[test]
    fn a_wrong_word_names_the_field_the_value_and_the_choice() {
        let error = "cubic".parse::<Filter>().unwrap_err();
        assert_eq!(error.field(), Some("filter"));
        assert_eq!(
            error.to_string(),
            "filter = cubic: expected one of opencv-bilinear, bilinear, bicubic, lanczos"
        );
        assert_eq!("12x".parse::<Size>().unwrap_err().field(), Some("size"));
        assert_eq!("crop:x".parse::<Fit>().unwrap_err().field(), Some("fit"));
    }

    #[test]
    fn a_fraction_allows_its_floor() {
        assert_eq!(Budget::Fraction(0.5).allowed(5), Some(2));
        assert_eq!(Budget::Count(3).allowed(1), Some(3));
        assert_eq!(Budget::Unlimited.allowed(1), None);
    }
}
