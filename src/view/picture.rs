//! Pixels to look at.

use std::io;

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};

use crate::config::{Color, Decoding, Filter, Fit, Layout, Normalize, Size};
use crate::element::Element;
use crate::transform::{Form, Look, Scratch, Transform, Turn};

/// RGB8, `[height, width, 3]`.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Picture {
    pub(crate) size: Size,
    pub(crate) pixels: Vec<u8>,
}

impl std::fmt::Debug for Picture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Picture({})", self.size)
    }
}

impl Picture {
    /// Of these pixels, scaled down until no side is longer than `longest`.
    pub(super) fn within(size: Size, pixels: &[u8], longest: u32) -> Picture {
        let side = size.width.max(size.height);
        if side <= longest {
            return Picture { size, pixels: pixels.to_vec() };
        }
        let scaled = |side_of: u32| {
            let scaled = u64::from(side_of) * u64::from(longest) / u64::from(side);
            (scaled as u32).max(1)
        };
        Self::scaled(size, pixels, Size { width: scaled(size.width), height: scaled(size.height) })
    }

    fn scaled(size: Size, pixels: &[u8], to: Size) -> Picture {
        let transform = Transform::<u8>::new(Look {
            size: to,
            fit: Fit::Stretch,
            filter: Filter::Bilinear,
            decode: Decoding::Exact,
            flip: 0.0,
            vflip: 0.0,
            layout: Layout::Hwc,
            color: Color::Rgb,
            normalize: Normalize::UNIT,
            seed: 0,
        });
        let (mut scratch, mut out) = (Scratch::default(), vec![0; 3 * to.pixels()]);
        transform.begin(Form::new(size, 3), Turn::default(), &mut scratch);
        transform.push(0, pixels, &mut scratch, &mut out);
        Picture { size: to, pixels: out }
    }

    /// The picture that a row shows once its normalisation is taken back. What no
    /// level comes to, as transforms of the user's may make it, is cut off.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
    pub(super) fn of_row<T: Element>(
        row: &[T],
        size: Size,
        layout: Layout,
        color: Color,
        normalize: &Normalize,
    ) -> Picture {
        let (plane, channels) = (size.pixels(), color.channels());
        let level = |value: T, channel: usize| -> u8 {
            let value = value.to_f32();
            match T::DTYPE {
                crate::Dtype::U8 => value as u8,
                // Not a number becomes 0.
                _ => ((value * normalize.std[channel] + normalize.mean[channel]) * 255.0).round()
                    as u8,
            }
        };
        let mut pixels = Vec::with_capacity(3 * plane);
        for at in 0..plane {
            // Red, green, blue in the order of the picture.
            for channel in 0..3 {
                let stored = match color {
                    Color::Grey => 0,
                    Color::Rgb => channel,
                    Color::Bgr => 2 - channel,
                };
                let value = match layout {
                    Layout::Chw => row[stored * plane + at],
                    Layout::Hwc => row[at * channels + stored],
                };
                pixels.push(level(value, channel));
            }
        }
        Picture { size, pixels }
    }

    /// The same where nothing is longer than `longest`, a small one with every pixel
    /// as a square of them.
    pub(super) fn to_look_at(&self, least: u32, longest: u32) -> Picture {
        let Size { width, height } = self.size;
        let times = least / width.max(height).max(1);
        if times < 2 {
            return Picture::within(self.size, &self.pixels, longest);
        }
        let size = Size { width: width * times, height: height * times };
        let mut pixels = Vec::with_capacity(3 * size.pixels());
        for row in self.pixels.chunks_exact(3 * width as usize) {
            for _ in 0..times {
                for pixel in row.chunks_exact(3) {
                    (0..times).for_each(|_| pixels.extend_from_slice(pixel));
                }
            }
        }
        Picture { size, pixels }
    }

    pub(super) fn png(&self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        let encoder =
            PngEncoder::new_with_quality(&mut out, CompressionType::Default, FilterType::Adaptive);
        self.encode(encoder)?;
        Ok(out)
    }

    pub(super) fn jpeg(&self) -> io::Result<Vec<u8>> {
        let mut out = Vec::new();
        self.encode(JpegEncoder::new_with_quality(&mut out, 88))?;
        Ok(out)
    }

    fn encode(&self, encoder: impl ImageEncoder) -> io::Result<()> {
        let Size { width, height } = self.size;
        let encoded = encoder.write_image(&self.pixels, width, height, ExtendedColorType::Rgb8);
        encoded.map_err(io::Error::other)
    }
}
