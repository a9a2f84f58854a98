//! Colour changed at random, on a row of 8-bit levels in its places of the batch.
//!
//! The arithmetic is that of torchvision for `uint8` tensors: single precision,
//! cut off to 8 bits after each change. Nothing here depends on the machine.

use crate::config::{Color, Jitter, Layout};
use crate::random::Draws;
use crate::transform::Places;

/// Pixels that are changed together.
const BLOCK: usize = 128;

/// One change of a picture's colour.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Change {
    /// Towards black, or away from it.
    Brightness(Blend),
    /// Towards the mean grey of the picture, or away from it.
    Contrast(Blend),
    /// Towards the pixel's own grey, or away from it.
    Saturation(Blend),
    /// Parts of a full turn of the colour circle.
    Hue(f32),
}

/// A weighted sum of a level and of what it is drawn to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Blend {
    level: f32,
    other: f32,
}

impl Blend {
    #[allow(clippy::cast_possible_truncation)]
    fn new(factor: f64) -> Self {
        Blend { level: factor as f32, other: (1.0 - factor) as f32 }
    }

    /// `other` is weighted already.
    fn of(self, level: f32, other: f32) -> u8 {
        byte((self.level * level + other).clamp(0.0, 255.0))
    }

    /// What each level becomes when the other is the same for all.
    fn table(self, other: f32) -> [u8; 256] {
        let other = self.other * other;
        std::array::from_fn(|level| self.of(level as f32, other))
    }
}

/// What is drawn for a picture, in the order in which it is applied. Each kind has
/// draws of its own, by its number: a factor, and a rank by which those that are
/// on are ordered.
pub(super) fn drawn(jitter: &Jitter, draws: impl Fn(u64) -> Draws) -> impl Iterator<Item = Change> {
    let Jitter { brightness, contrast, saturation, hue } = *jitter;
    let factor =
        |draws: &mut Draws, by: f64| Blend::new(draws.between((1.0 - by).max(0.0), 1.0 + by));
    let kinds = [brightness, contrast, saturation, hue];
    let mut changes = [0, 1, 2, 3].map(|kind| {
        let by = kinds[kind];
        let mut draws = (by > 0.0).then(|| draws(kind as u64))?;
        let rank = draws.next();
        let change = match kind {
            0 => Change::Brightness(factor(&mut draws, by)),
            1 => Change::Contrast(factor(&mut draws, by)),
            2 => Change::Saturation(factor(&mut draws, by)),
            _ => Change::Hue(draws.between(-by, by) as f32),
        };
        Some((rank, change))
    });
    changes.sort_by_key(|change| change.map(|(rank, _)| rank));
    changes.into_iter().flatten().map(|(_, change)| change)
}

impl Blend {
    /// What it was made of.
    pub(crate) fn factor(self) -> f32 {
        self.level
    }
}

#[cfg(test)]
impl Change {
    pub(super) fn brightness(factor: f64) -> Self {
        Change::Brightness(Blend::new(factor))
    }

    pub(super) fn contrast(factor: f64) -> Self {
        Change::Contrast(Blend::new(factor))
    }

    pub(super) fn saturation(factor: f64) -> Self {
        Change::Saturation(Blend::new(factor))
    }
}

impl Change {
    pub(super) fn apply(self, levels: &mut [u8], places: &Places) {
        let colourless = places.color() == Color::Grey;
        match self {
            Change::Brightness(blend) => look_up(levels, &blend.table(0.0)),
            Change::Contrast(blend) => {
                let mean = mean_grey(levels, places);
                look_up(levels, &blend.table(mean));
            }
            Change::Saturation(_) | Change::Hue(_) if colourless => {}
            Change::Saturation(blend) => each_block(levels, places, |red, green, blue| {
                for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
                    let other = blend.other * grey(*r, *g, *b);
                    [*r, *g, *b] = [*r, *g, *b].map(|level| blend.of(f32::from(level), other));
                }
            }),
            Change::Hue(shift) => each_block(levels, places, |red, green, blue| {
                for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
                    [*r, *g, *b] = turned([*r, *g, *b].map(f32::from), shift);
                }
            }),
        }
    }
}

/// Takes the colour of a picture away, all channels becoming its grey.
pub(super) fn take_away(levels: &mut [u8], places: &Places) {
    if places.color() == Color::Grey {
        return;
    }
    each_block(levels, places, |red, green, blue| {
        for ((r, g), b) in red.iter_mut().zip(green).zip(blue) {
            [*r, *g, *b] = [byte(grey(*r, *g, *b)); 3];
        }
    });
}

fn look_up(levels: &mut [u8], table: &[u8; 256]) {
    for level in levels {
        *level = table[usize::from(*level)];
    }
}

/// Cut off; by way of an integer that whole vectors are converted to.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)]
fn byte(level: f32) -> u8 {
    level as i32 as u8
}

/// The grey of a pixel, a whole number.
#[allow(clippy::cast_precision_loss)]
fn grey(r: u8, g: u8, b: u8) -> f32 {
    let sum = 0.2989 * f32::from(r) + 0.587 * f32::from(g) + 0.114 * f32::from(b);
    sum as i32 as f32
}

/// The mean of all pixels' grey; the sum is exact, whatever the picture's size.
fn mean_grey(levels: &mut [u8], places: &Places) -> f32 {
    let (mut sum, pixels) = (0_u64, places.size().pixels());
    if places.color() == Color::Grey {
        sum = levels.iter().map(|&level| u64::from(level)).sum();
    } else {
        each_block(levels, places, |red, green, blue| {
            let greys = red.iter().zip(green.iter()).zip(blue.iter());
            let block: u32 = greys.map(|((&r, &g), &b)| grey(r, g, b) as i32 as u32).sum();
            sum += u64::from(block);
        });
    }
    (sum as f64 / pixels as f64) as f32
}

/// Calls `change` with the reds, greens and blues of some pixels at a time, which
/// go back to where they came from.
fn each_block(
    levels: &mut [u8],
    places: &Places,
    mut change: impl FnMut(&mut [u8], &mut [u8], &mut [u8]),
) {
    let backwards = places.color() == Color::Bgr;
    match places.layout() {
        Layout::Chw => {
            let pixels = places.size().pixels();
            let (mut first, rest) = levels.split_at_mut(pixels);
            let (second, mut third) = rest.split_at_mut(pixels);
            if backwards {
                std::mem::swap(&mut first, &mut third);
            }
            let (reds, greens) = (first.chunks_mut(BLOCK), second.chunks_mut(BLOCK));
            for ((red, green), blue) in reds.zip(greens).zip(third.chunks_mut(BLOCK)) {
                change(red, green, blue);
            }
        }
        Layout::Hwc => {
            let (mut first, mut second, mut third) = ([0; BLOCK], [0; BLOCK], [0; BLOCK]);
            for levels in levels.chunks_mut(3 * BLOCK) {
                let pixels = levels.as_chunks_mut::<3>().0;
                let planes = first.iter_mut().zip(&mut second).zip(&mut third);
                for (((a, b), c), pixel) in planes.zip(pixels.iter()) {
                    [*a, *b, *c] = *pixel;
                }
                let (a, b, c) = (&mut first[..], &mut second[..], &mut third[..]);
                let (a, c) = if backwards { (c, a) } else { (a, c) };
                let count = pixels.len();
                change(&mut a[..count], &mut b[..count], &mut c[..count]);
                let planes = first.iter().zip(&second).zip(&third);
                for (((&a, &b), &c), pixel) in planes.zip(pixels) {
                    *pixel = [a, b, c];
                }
            }
        }
    }
}

/// The pixel with its hue shifted: to hue, saturation and value in `0.0..=1.0`,
/// and back. Both ways without branches, so that pixels go side by side.
fn turned(levels: [f32; 3], shift: f32) -> [u8; 3] {
    let [r, g, b] = levels.map(|level| level / 255.0);
    let larger = |a: f32, b: f32| if a > b { a } else { b };
    let smaller = |a: f32, b: f32| if a < b { a } else { b };
    let (value, least) = (larger(larger(r, g), b), smaller(smaller(r, g), b));
    let range = value - least;
    let colourless = value == least;
    let saturation = range / if colourless { 1.0 } else { value };
    let divisor = if colourless { 1.0 } else { range };
    let [rc, gc, bc] = [r, g, b].map(|level| (value - level) / divisor);
    let sixths = if value == r {
        bc - gc
    } else if value == g {
        2.0 + rc - bc
    } else {
        4.0 + gc - rc
    };
    // Once around at the most, which is exact.
    let around = |hue: f32| if hue >= 1.0 { hue - 1.0 } else { hue };
    let hue = around(sixths / 6.0 + 1.0) + shift;
    let hue = if hue < 0.0 { hue + 1.0 } else { around(hue) };

    let sixths = hue * 6.0;
    let sector = sixths as i32;
    let within = sixths - sector as f32;
    // Six sixths are none.
    let sector = if sector == 6 { 0 } else { sector };
    let part = |share: f32| (value * (1.0 - share)).clamp(0.0, 1.0);
    let low = part(saturation);
    let falling = part(saturation * within);
    let rising = part(saturation * (1.0 - within));
    // The six sectors of red; those of green and blue are two and four behind it.
    let of = |sector: i32| {
        let edge = if sector == 1 { falling } else { rising };
        let flat = if sector == 2 || sector == 3 { low } else { value };
        if sector == 1 || sector == 4 { edge } else { flat }
    };
    let behind = |by: i32| if sector < by { sector + 6 - by } else { sector - by };
    [of(sector), of(behind(2)), of(behind(4))].map(|level| byte(level * 255.999))
}
