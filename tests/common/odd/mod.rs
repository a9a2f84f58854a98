//! Odd files of every format that is read, and what has to become of each: its
//! pixels, or an error of a kind. All are made here.

mod bits;
mod bmp;
mod gif;
mod jpeg;
mod mixed;
mod png;
mod pnm;
mod tiff;
mod webp;

use infeed::CauseKind;

/// What has to become of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// A picture of this width and height, upright.
    Picture(u32, u32),
    /// An error of one of these kinds.
    Refused(&'static [CauseKind]),
    /// One or the other: the formats do not say, and readers differ.
    Open,
}

/// One odd file.
#[derive(Clone, Debug)]
pub(crate) struct Odd {
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    pub(crate) fate: Fate,
}

/// Damage is called by its name, or by the next one.
const DAMAGED: Fate = Fate::Refused(&[CauseKind::Corrupt, CauseKind::Truncated]);
const UNSUPPORTED: Fate = Fate::Refused(&[CauseKind::Unsupported]);
const OVER_A_LIMIT: Fate = Fate::Refused(&[CauseKind::Limit]);

/// All of them, each under its own name.
pub(crate) fn all() -> Vec<Odd> {
    let mut files = Files::default();
    jpeg::add(&mut files);
    png::add(&mut files);
    gif::add(&mut files);
    tiff::add(&mut files);
    webp::add(&mut files);
    bmp::add(&mut files);
    pnm::add(&mut files);
    mixed::add(&mut files);
    let mut names: Vec<_> = files.0.iter().map(|file| &file.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), files.0.len(), "names are given once");
    files.0
}

#[derive(Default)]
struct Files(Vec<Odd>);

impl Files {
    fn add(&mut self, name: impl Into<String>, fate: Fate, bytes: Vec<u8>) {
        self.0.push(Odd { name: name.into(), bytes, fate });
    }
}

/// The levels of a picture with some structure, `[height, width, channel]`.
fn levels(width: u32, height: u32, channels: u32) -> Vec<u8> {
    let level = |y: u32, x: u32, channel: u32| {
        let (across, down) = (255 * x / width.max(2), 255 * y / height.max(2));
        let stripe = if (x / 5 + y / 7).is_multiple_of(2) { 40 } else { 0 };
        let value = match channel {
            0 => across,
            1 => down,
            2 => 255 - (across + down) / 2,
            _ => 255 - across / 3,
        };
        value.saturating_sub(stripe) as u8
    };
    let rows = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
    rows.flat_map(|(y, x)| (0..channels).map(move |channel| level(y, x, channel))).collect()
}

/// Numbers that look random and are the same each time.
struct Dice(u32);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(747_796_405).wrapping_add(2_891_336_453);
        (self.0 >> 8) as usize % bound
    }
}
