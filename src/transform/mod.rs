//! Transform: a picture's pixels to a row of the batch, in one pass.
//!
//! ```text
//! form         how many of a picture's pixels come, of which channels
//! geometry     sizes and draws -> which window of which scaling of which area (pure)
//! separable    source rows in order -> finished lines of 8-bit levels, one at a time
//!   bilinear     by two taps, as OpenCV
//!   antialias    by windows that widen when shrinking, as Pillow
//! layout       a line -> elements in their places of the batch
//! kept         rows of levels, for the cache and for changes of colour; scaled pictures
//! kernel       the loops of all of them, once for each instruction set
//! ```
//!
//! A resize ends in 8 bits, whatever the element type. Each element is written
//! once; between the pixels and the batch there are only a few rows of scratch.

mod antialias;
mod axis;
mod bilinear;
mod form;
mod geometry;
mod kept;
mod kernel;
mod layout;
#[cfg(test)]
mod reference;
mod separable;
#[cfg(test)]
mod tests;

use std::fmt;

use antialias::{Antialias, Kernel};
use axis::Axis;
use bilinear::Bilinear;
pub(crate) use kernel::{Isa, interleave};
use kernel::{Scale, Scales};
use separable::{Progress, refill, region};

use crate::config::{Color, Decoding, Filter, Fit, Layout, Normalize, Size};
use crate::element::Element;
use crate::random::{Draws, purpose};

pub(crate) use form::{Form, Reduction};
pub use geometry::{Area, Region};
pub(crate) use geometry::{View, random_part};
pub(crate) use kept::{Scaler, scaling_bound};
pub(crate) use kernel::Convert;
pub(crate) use layout::Places;

/// Bytes behind a row that the fastest loops like to have.
const BEHIND: usize = 16;

/// What is to become of every picture.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Look {
    pub(crate) size: Size,
    pub(crate) fit: Fit,
    pub(crate) filter: Filter,
    pub(crate) decode: Decoding,
    /// The probability that left and right change places.
    pub(crate) flip: f64,
    /// The probability that top and bottom do.
    pub(crate) vflip: f64,
    pub(crate) layout: Layout,
    pub(crate) color: Color,
    pub(crate) normalize: Normalize,
    pub(crate) seed: u64,
}

/// Which sample of which epoch a picture is: what is drawn for it depends on
/// nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Turn {
    pub(crate) epoch: u64,
    pub(crate) position: u64,
}

/// Turns pictures into rows of the batch: immutable, shared by all threads.
pub(crate) struct Transform<T: Element> {
    look: Look,
    places: Places,
    scales: Box<Scales<T>>,
    /// Levels as they are.
    levels: Box<Scales<u8>>,
    isa: Isa,
}

impl<T: Element> Transform<T> {
    /// Builds the tables. No side of the size is zero.
    #[must_use]
    pub(crate) fn new(look: Look) -> Self {
        Transform {
            look,
            places: Places::new(look.size, look.layout, look.color),
            scales: Scale::all(&look.normalize),
            levels: Scale::all(&Normalize::UNIT),
            isa: Isa::detect(),
        }
    }

    /// Elements of one picture: `channels * height * width`.
    #[must_use]
    pub(crate) fn row_len(&self) -> usize {
        self.places.len()
    }

    /// Where the values of a picture lie in its row.
    pub(crate) fn places(&self) -> &Places {
        &self.places
    }

    /// Whether only lightness is wanted.
    pub(crate) fn wants_grey(&self) -> bool {
        self.look.color == Color::Grey
    }

    /// Makes `scratch` ready for a picture that comes in this form; the part of
    /// it that will be looked at.
    ///
    /// # Panics
    ///
    /// When a side of the picture is zero.
    pub(crate) fn begin(&self, form: Form, turn: Turn, scratch: &mut Scratch) -> Region {
        scratch.upside_down = self.turns_upside_down(turn);
        self.begin_view(form, self.view(form.size, turn), scratch)
    }

    /// What of a picture of this size a row is made of.
    pub(crate) fn view(&self, picture: Size, turn: Turn) -> View {
        let Look { size, fit, flip, seed, .. } = self.look;
        let draws = Draws::new(&[seed, turn.epoch, turn.position, purpose::CROP_AND_FLIP]);
        View::new(picture, fit, flip, size, draws)
    }

    /// By how much a picture may come reduced: so that each side of what is shown still
    /// has the pixels that it is scaled to, by `scaler` first if there is one.
    pub(crate) fn reduction(&self, form: Form, turn: Turn, scaler: Option<&Scaler>) -> u32 {
        match (self.look.decode, scaler) {
            (Decoding::Exact, _) => 1,
            (Decoding::Fast, Some(scaler)) => scaler.view(form).most_reduced(),
            (Decoding::Fast, None) => self.view(form.size, turn).most_reduced(),
        }
    }

    /// Drawn apart from crop and flip, which stay as they are whatever it is.
    pub(crate) fn turns_upside_down(&self, turn: Turn) -> bool {
        let Look { vflip, seed, .. } = self.look;
        let draws = || Draws::new(&[seed, turn.epoch, turn.position, purpose::VFLIP]);
        vflip > 0.0 && draws().unit() < vflip
    }

    fn begin_view(&self, form: Form, view: View, scratch: &mut Scratch) -> Region {
        let size = self.look.size;
        let axes = Axis::both(&view, size, form);
        let channels = if self.wants_grey() { 1 } else { form.channels };
        scratch.prepare(form, channels, self.look.filter, axes);
        scratch.region(size.height as usize)
    }

    /// Takes the picture's next rows, `[rows, width, channel]`, of which the
    /// first is number `top`, and writes what they complete into `row`, the
    /// picture's whole place in the batch.
    ///
    /// # Panics
    ///
    /// When rows are missing or a length does not fit.
    pub(crate) fn push(&self, top: usize, pixels: &[u8], scratch: &mut Scratch, row: &mut [T]) {
        self.push_into(&self.scales, top, pixels, scratch, row);
    }

    /// Whether every element has been written since [`begin`](Self::begin).
    #[cfg(test)]
    pub(crate) fn is_complete(&self, scratch: &Scratch) -> bool {
        scratch.progress.target == self.look.size.height as usize
    }

    /// The whole picture at once, `[height, width, channel]`, upright.
    #[cfg(test)]
    pub(crate) fn apply(
        &self,
        pixels: &[u8],
        form: Form,
        turn: Turn,
        scratch: &mut Scratch,
        row: &mut [T],
    ) {
        assert_eq!(pixels.len(), form.bytes(), "pixels do not fit a picture of {}", form.size);
        self.begin(form, turn, scratch);
        self.push(0, pixels, scratch, row);
    }

    fn push_into<E: Element>(
        &self,
        scales: &Scales<E>,
        top: usize,
        pixels: &[u8],
        scratch: &mut Scratch,
        row: &mut [E],
    ) {
        assert_eq!(row.len(), self.row_len(), "the row does not fit {}", self.look.size);
        let (isa, places) = (self.isa, &self.places);
        let (upside_down, last) = (scratch.upside_down, self.look.size.height as usize - 1);
        scratch.push(isa, top, pixels, |y, line, spare| {
            let y = if upside_down { last - y } else { y };
            places.write(isa, scales, y, line, spare, row);
        });
    }
}

impl<T: Element> fmt::Debug for Transform<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transform")
            .field("look", &self.look)
            .field("isa", &self.isa)
            .finish_non_exhaustive()
    }
}

/// The memory of one thread for its transforms: a few rows, the weights of the
/// shape seen last, and how far the picture in hand has come. It grows with what
/// it meets and is used again.
#[derive(Debug, Default)]
pub(crate) struct Scratch {
    bilinear: Bilinear,
    antialias: Antialias,
    /// The filter in use; `None` for the two taps of OpenCV.
    kernel: Option<Kernel>,
    form: Option<Form>,
    /// Channels that are filtered.
    channels: usize,
    progress: Progress,
    /// The first line of a row of the batch comes last.
    upside_down: bool,
    /// A source row by itself: without its colour, or with something behind it.
    source: Vec<u8>,
    /// One finished line, `[channel, width]`.
    line: Vec<u8>,
    line_len: usize,
    /// The same, `[width, channel]`.
    spare: Vec<u8>,
}

impl Scratch {
    fn prepare(&mut self, form: Form, channels: usize, filter: Filter, axes: (Axis, Axis)) {
        self.progress = Progress::default();
        self.form = Some(form);
        self.channels = channels;
        self.kernel = kernel_of(filter);
        match self.kernel {
            None => self.bilinear.prepare(channels, form.coming().width, axes),
            Some(kernel) => self.antialias.prepare(kernel, channels, axes),
        }
        self.line_len = channels * axes.0.count as usize;
        refill(&mut self.line, self.line_len);
    }

    /// What of the picture will be looked at.
    fn region(&self, height: usize) -> Region {
        match self.kernel {
            None => region(&self.bilinear, height),
            Some(_) => region(&self.antialias, height),
        }
    }

    /// Finished lines go to `emit`, with memory for turning them.
    fn push(
        &mut self,
        isa: Isa,
        top: usize,
        pixels: &[u8],
        mut emit: impl FnMut(usize, &[u8], &mut Vec<u8>),
    ) {
        let Scratch { bilinear, antialias, progress, source, line, spare, .. } = self;
        #[allow(clippy::unreachable, reason = "this crate sees to it, whatever the input")]
        let Some(form) = self.form else { unreachable!("begun before rows come") };
        let stride = form.stride();
        let rows = top..top + pixels.len() / stride;
        assert_eq!(pixels.len() % stride, 0, "half a row");
        assert!(rows.end <= form.coming().height as usize, "more rows than the picture has");
        let take_colour = self.channels < form.channels;
        let from = |row: usize, filter: &mut dyn FnMut(&[u8])| {
            let bytes = &pixels[(row - top) * stride..];
            if take_colour {
                let width = form.coming().width as usize;
                refill(source, width + BEHIND);
                lightness(&bytes[..stride], &mut source[..width]);
                filter(source);
            } else if bytes.len() < stride + BEHIND {
                // The last of a band: wide loads would go behind its end.
                refill(source, stride + BEHIND);
                source[..stride].copy_from_slice(&bytes[..stride]);
                filter(source);
            } else {
                filter(bytes);
            }
        };
        let line = &mut line[..self.line_len];
        let emit = |y: usize, line: &[u8]| emit(y, line, spare);
        match self.kernel {
            None => progress.push(isa, bilinear, rows, from, line, emit),
            Some(_) => progress.push(isa, antialias, rows, from, line, emit),
        }
    }

    /// Bytes allocated, to hold against the bound.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        let rows = self.source.capacity() + self.line.capacity() + self.spare.capacity();
        self.bilinear.bytes() + self.antialias.bytes() + rows
    }
}

fn kernel_of(filter: Filter) -> Option<Kernel> {
    match filter {
        Filter::OpencvBilinear => None,
        Filter::Bilinear => Some(Kernel::Triangle),
        Filter::Bicubic => Some(Kernel::Cubic),
        Filter::Lanczos => Some(Kernel::Lanczos),
    }
}

/// The lightness of RGB pixels: `0.299 R + 0.587 G + 0.114 B` (ITU-R BT.601) in 15
/// bits, rounded, as OpenCV's `COLOR_RGB2GRAY`.
pub(crate) fn lightness(pixels: &[u8], to: &mut [u8]) {
    for (to, &[r, g, b]) in to.iter_mut().zip(pixels.as_chunks::<3>().0) {
        let sum = 9_798 * u32::from(r) + 19_235 * u32::from(g) + 3_735 * u32::from(b);
        *to = ((sum + (1 << 14)) >> 15) as u8;
    }
}

/// The most bytes that the [`Scratch`] of one thread allocates, used with one
/// transform to `size` by `filter` on pictures whose sides have at most
/// `max_side` pixels.
#[must_use]
pub(crate) fn scratch_bound(size: Size, filter: Filter, max_side: u32) -> u64 {
    let (width, height) = (u64::from(size.width), u64::from(size.height));
    let rows = match kernel_of(filter) {
        None => bilinear::bound(width, height),
        Some(kernel) => antialias::bound(kernel, width, height, max_side.into()),
    };
    rows + 2 * 3 * width + 3 * u64::from(max_side) + BEHIND as u64
}
