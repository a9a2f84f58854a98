//! Knobs of augmentation, in the words that the builder, the command line and
//! the JSON reports share.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::words::two;
use super::{Config, Fit, refuse};
use crate::element::Dtype;
use crate::error::Result;

/// How far brightness, contrast, saturation and hue are changed at random, as
/// torchvision's `ColorJitter`. Zero, the default of each, leaves it alone.
///
/// For each picture a factor of each of the first three is drawn evenly from
/// `max(0, 1 - x)..1 + x`, a shift of the hue evenly from `-hue..hue`, and the
/// order in which they are applied. They work on the 8-bit levels after the
/// resize, in the arithmetic that torchvision has for `uint8` tensors, and end
/// in 8 bits each.
///
/// ```
/// use infeed::Jitter;
///
/// let jitter = Jitter { brightness: 0.4, contrast: 0.4, ..Jitter::default() };
/// assert_eq!(jitter.to_string(), "0.4,0.4");
/// assert_eq!("0.4,0.4,0.4,0.1".parse::<Jitter>()?.hue, 0.1);
/// # Ok::<(), infeed::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Jitter {
    /// Factors of each level.
    pub brightness: f64,
    /// Factors of the distance to the picture's mean grey.
    pub contrast: f64,
    /// Factors of the distance to the pixel's own grey.
    pub saturation: f64,
    /// Parts of a full turn of the colour circle, at most 0.5.
    pub hue: f64,
}

impl Jitter {
    /// Whether nothing is changed.
    pub(crate) fn is_off(&self) -> bool {
        *self == Jitter::default()
    }

    fn numbers(&self) -> [f64; 4] {
        [self.brightness, self.contrast, self.saturation, self.hue]
    }
}

impl fmt::Display for Jitter {
    /// Without the zeros at the end.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers = self.numbers();
        let shown = numbers.iter().rposition(|&number| number != 0.0).map_or(1, |last| last + 1);
        let words: Vec<String> = numbers[..shown].iter().map(f64::to_string).collect();
        f.write_str(&words.join(","))
    }
}

impl FromStr for Jitter {
    type Err = crate::Error;

    /// Brightness, contrast, saturation and hue, such as `0.4,0.4,0.4,0.1`; those
    /// left out at the end are zero.
    fn from_str(text: &str) -> Result<Self> {
        let mut numbers = [0.0; 4];
        let parts: Vec<&str> = text.split(',').collect();
        let fit = parts.len() <= numbers.len();
        let mut pairs = numbers.iter_mut().zip(&parts);
        let parsed =
            pairs.all(|(number, part)| part.trim().parse().map(|parsed| *number = parsed).is_ok());
        if !(fit && parsed) {
            let reason = "expected brightness, contrast, saturation and hue (0.4,0.4,0.4,0.1); \
                          those left out at the end are 0";
            return refuse("jitter", text, reason);
        }
        let [brightness, contrast, saturation, hue] = numbers;
        Ok(Jitter { brightness, contrast, saturation, hue })
    }
}

impl Serialize for Jitter {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A rectangle of a picture set to zero at random, as torchvision's
/// `RandomErasing`.
///
/// With this probability a share of the area is drawn evenly from `scale`, an
/// aspect ratio whose logarithm is drawn evenly from that of `ratio`, and a place
/// evenly; ten times at the most, until the rectangle is smaller than the picture
/// on both sides, and else nothing is erased. What is erased is the finished row,
/// so zero is the mean colour of a picture that was normalised, and black of one
/// that was not.
///
/// ```
/// use infeed::Erase;
///
/// assert_eq!(Erase::new(0.25).to_string(), "0.25");
/// let small = "0.25:0.02,0.1:0.5,2".parse::<Erase>()?;
/// assert_eq!((small.scale, small.ratio), ((0.02, 0.1), (0.5, 2.0)));
/// # Ok::<(), infeed::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Erase {
    /// How often a picture is erased from.
    pub probability: f64,
    /// The least and the largest share of the picture's area; 0.02 to 0.33 is
    /// torchvision's default.
    pub scale: (f64, f64),
    /// The least and the largest aspect ratio, here height over width; 0.3 to
    /// 3.3 is torchvision's default.
    pub ratio: (f64, f64),
}

impl Erase {
    /// With torchvision's areas and ratios.
    #[must_use]
    pub fn new(probability: f64) -> Self {
        Erase { probability, scale: (0.02, 0.33), ratio: (0.3, 3.3) }
    }
}

impl Default for Erase {
    /// Never.
    fn default() -> Self {
        Erase::new(0.0)
    }
}

impl fmt::Display for Erase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Erase { probability, scale, ratio } = self;
        if *self == Erase::new(*probability) {
            return write!(f, "{probability}");
        }
        write!(f, "{probability}:{},{}:{},{}", scale.0, scale.1, ratio.0, ratio.1)
    }
}

impl FromStr for Erase {
    type Err = crate::Error;

    /// A probability, such as `0.25`, or `0.25:0.02,0.33:0.3,3.3` with area and
    /// aspect ratio.
    fn from_str(text: &str) -> Result<Self> {
        let parsed = match text.split_once(':') {
            None => text.trim().parse().ok().map(Erase::new),
            Some((probability, ranges)) => ranges.split_once(':').and_then(|(scale, ratio)| {
                let probability = probability.trim().parse().ok()?;
                Some(Erase { probability, scale: two(scale)?, ratio: two(ratio)? })
            }),
        };
        parsed.map_or_else(
            || {
                let reason = "expected a probability (0.25), or P:AREA:RATIO with two numbers \
                              each of the last (0.25:0.02,0.33:0.3,3.3)";
                refuse("erase", text, reason)
            },
            Ok,
        )
    }
}

impl Serialize for Erase {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The augmentations as the user set them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Augmentation {
    /// The probability that left and right change places.
    pub(crate) flip: f64,
    /// The probability that top and bottom change places.
    pub(crate) vflip: f64,
    pub(crate) jitter: Jitter,
    /// The probability that a picture loses its colour.
    pub(crate) random_grey: f64,
    pub(crate) erase: Erase,
    /// Transforms of the user's at each place.
    pub(crate) before_resize: usize,
    pub(crate) after_resize: usize,
    /// The element type of transforms of rows that were given before the loader's
    /// was chosen to be another.
    pub(crate) forgotten: Option<Dtype>,
}

impl Augmentation {
    /// Whether levels are changed between the resize and the conversion.
    pub(crate) fn changes_levels(&self) -> bool {
        !self.jitter.is_off() || self.random_grey > 0.0
    }
}

const RATIO: &str = "the aspect ratio must be above 0, the lower first";

fn is_ratio((narrow, wide): (f64, f64)) -> bool {
    narrow > 0.0 && narrow <= wide && wide.is_finite()
}

impl Config {
    pub(super) fn check_augmentation(&self) -> Result<()> {
        self.check_crop()?;
        let Augmentation { flip, vflip, jitter, random_grey, erase, .. } = self.augmentation;
        for (name, value) in [("flip", flip), ("vflip", vflip), ("random_grey", random_grey)] {
            if !(0.0..=1.0).contains(&value) {
                return refuse(name, value, "expected a probability, 0 to 1");
            }
        }
        let [factors @ .., hue] = jitter.numbers();
        if !factors.iter().all(|factor| (0.0..=1e6).contains(factor)) {
            let reason = "brightness, contrast and saturation are 0 (unchanged) or more";
            return refuse("jitter", jitter, reason);
        }
        if !(0.0..=0.5).contains(&hue) {
            return refuse("jitter", jitter, "hue is 0 (unchanged) to 0.5, half the colour circle");
        }
        let Erase { probability, scale: (least, most), ratio } = erase;
        if !(0.0..=1.0).contains(&probability) {
            return refuse("erase", erase, "expected a probability, 0 to 1");
        }
        if !(0.0 <= least && least <= most && most <= 1.0) {
            let reason = "the share of the area must be in 0 to 1, the lower first";
            return refuse("erase", erase, reason);
        }
        if !is_ratio(ratio) {
            return refuse("erase", erase, RATIO);
        }
        self.check_transforms()
    }

    fn check_crop(&self) -> Result<()> {
        if let Fit::RandomCrop { scale: (least, most), ratio: (narrow, wide) } = self.fit {
            if !(least > 0.0 && least <= most && most <= 1.0) {
                let reason = "the share of the area must be above 0 and at most 1, the lower first";
                return refuse("fit", self.fit, reason);
            }
            if !is_ratio((f64::from(narrow), f64::from(wide))) {
                return refuse("fit", self.fit, RATIO);
            }
        }
        Ok(())
    }

    fn check_transforms(&self) -> Result<()> {
        let Augmentation { before_resize, forgotten, .. } = self.augmentation;
        if let Some(dtype) = forgotten {
            let reason = format!(
                "a transform of rows of {dtype} was given before another element type was chosen; \
                 call dtype first"
            );
            return refuse("after_resize", dtype, reason);
        }
        if before_resize > 0 && self.cache != super::Cache::None {
            let reason = "the cache would keep the pixels that it made in the first epoch, and \
                          with them its choices; use after_resize, or no cache";
            return refuse("before_resize", before_resize, reason);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Cache;

    #[test]
    fn words_survive_the_round_trip() {
        for word in ["0", "0.4", "0.4,0.3", "0,0,0,0.5", "0.4,0.4,0.4,0.1", "1.5,0,2"] {
            assert_eq!(word.parse::<Jitter>().unwrap().to_string(), word);
        }
        for word in ["0", "0.25", "1", "0.25:0.02,0.4:0.3,3.3", "0.5:0,1:0.1,10"] {
            assert_eq!(word.parse::<Erase>().unwrap().to_string(), word);
        }
        assert_eq!("0.25:0.02,0.33:0.3,3.3".parse::<Erase>().unwrap(), Erase::new(0.25));
        let spaced = " 0.4, 0.3 ".parse::<Jitter>().unwrap();
        assert_eq!(spaced, Jitter { brightness: 0.4, contrast: 0.3, ..Jitter::default() });
    }

    #[test]
    fn wrong_words_name_the_field() {
        for word in ["", "x", "0.1,", "0.1,0.1,0.1,0.1,0.1", "0.1;0.1"] {
            assert_eq!(word.parse::<Jitter>().unwrap_err().field(), Some("jitter"), "{word}");
        }
        for word in ["", "x", "0.1:", "0.1:0.1,0.2", "0.1:0.1:0.2", "0.1:1,2:3,4:5,6"] {
            assert_eq!(word.parse::<Erase>().unwrap_err().field(), Some("erase"), "{word}");
        }
    }

    #[test]
    fn every_wrong_value_names_its_field() {
        let refused = |change: &dyn Fn(&mut Augmentation)| {
            let mut config = Config::default();
            change(&mut config.augmentation);
            let error = config.resolve::<f32>().unwrap_err();
            error.field().unwrap()
        };
        for wrong in [-0.1, 1.1, f64::NAN] {
            assert_eq!(refused(&|a| a.flip = wrong), "flip");
            assert_eq!(refused(&|a| a.vflip = wrong), "vflip");
            assert_eq!(refused(&|a| a.random_grey = wrong), "random_grey");
            assert_eq!(refused(&|a| a.erase.probability = wrong), "erase");
            assert_eq!(refused(&|a| a.jitter.hue = wrong), "jitter");
        }
        for wrong in [-0.1, f64::INFINITY, f64::NAN] {
            assert_eq!(refused(&|a| a.jitter.brightness = wrong), "jitter");
            assert_eq!(refused(&|a| a.jitter.contrast = wrong), "jitter");
            assert_eq!(refused(&|a| a.jitter.saturation = wrong), "jitter");
        }
        for scale in [(-0.1, 0.5), (0.5, 0.4), (0.5, 1.1), (f64::NAN, 1.0)] {
            assert_eq!(refused(&|a| a.erase.scale = scale), "erase");
        }
        for ratio in [(0.0, 1.0), (2.0, 1.0), (1.0, f64::INFINITY), (f64::NAN, 1.0)] {
            assert_eq!(refused(&|a| a.erase.ratio = ratio), "erase");
        }
        assert_eq!(refused(&|a| a.forgotten = Some(Dtype::F32)), "after_resize");
    }

    #[test]
    fn levels_are_changed_by_jitter_or_for_grey() {
        let changes = |random_grey, brightness| {
            let jitter = Jitter { brightness, ..Jitter::default() };
            Augmentation { random_grey, jitter, ..Augmentation::default() }.changes_levels()
        };
        assert!(!changes(0.0, 0.0) && changes(0.1, 0.0) && changes(0.0, 0.1));
    }

    #[test]
    fn transforms_of_the_pixels_and_a_cache_exclude_each_other() {
        let mut config = Config { cache: Cache::memory(1 << 30), ..Config::default() };
        config.augmentation.after_resize = 1;
        assert!(config.resolve::<f32>().is_ok());
        config.augmentation.before_resize = 1;
        let error = config.resolve::<f32>().unwrap_err();
        assert_eq!(error.field(), Some("before_resize"));
        config.cache = Cache::None;
        assert!(config.resolve::<f32>().is_ok());
    }
}
