//! Knobs that decide what a batch holds: its shape and its values, in the words
//! that the builder, the command line and the JSON reports share.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use super::words::{two, words};

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

/// Whether a picture may come from the decoder smaller than it is, where it is shrunk
/// further anyway. Changes results.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Decoding {
    /// All pixels of every picture.
    #[default]
    Exact,
    /// Of baseline JPEGs whose shown part (with `cache_side`, the whole) has at least
    /// two, four or eight times the pixels that it is scaled to, in both directions, a
    /// half, a quarter or an eighth of them in each, by a smaller transform of the file's
    /// coefficients, as libjpeg's `scale_denom` and Pillow's `draft`: each is the mean of
    /// a square of pixels, which at a ragged edge goes beyond the picture, into what the
    /// encoder put there. Other pictures, those that transforms of yours change before
    /// the resize, and those of a decoder without
    /// [`reduce`](crate::decode::Picture::reduce) come as with [`Exact`](Self::Exact).
    Fast,
}

words!(Decoding, "decode" { Exact = "exact", Fast = "fast" });

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_the_round_trip() {
        for word in Filter::WORDS {
            assert_eq!(word.parse::<Filter>().unwrap().to_string(), *word);
        }
        for word in ["stretch", "crop", "crop:256", "random-crop", "random-crop:0.5,1:0.75,2"] {
            assert_eq!(word.parse::<Fit>().unwrap().to_string(), word);
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
    fn numbers_of_a_fit_are_in_their_order() {
        let fit = Fit::RandomCrop { scale: (0.5, 1.0), ratio: (0.75, 2.0) };
        assert_eq!("random-crop:0.5,1:0.75,2".parse::<Fit>().unwrap(), fit);
        let defaults = Fit::RandomCrop { scale: (0.08, 1.0), ratio: (0.75, 4.0 / 3.0) };
        assert_eq!(Fit::random_crop(), defaults);
        for wrong in ["", "fill", "stretch:1", "random-crop:1", "random-crop:1,2:3", "crop:-1"] {
            assert_eq!(wrong.parse::<Fit>().unwrap_err().field(), Some("fit"), "{wrong}");
        }
        let told = serde_json::to_value(Fit::Crop { shorter: Some(9) }).unwrap();
        assert_eq!(told, "crop:9");
        assert_eq!("640X480".parse::<Size>().unwrap(), Size { width: 640, height: 480 });
        assert_eq!(Size { width: 640, height: 480 }.pixels(), 307_200);
        assert_eq!([Color::Rgb, Color::Bgr, Color::Grey].map(Color::channels), [3, 3, 1]);
        assert_eq!(Normalize::default(), Normalize { mean: [0.0; 3], std: [1.0; 3] });
    }
}
