//! Rows of 8-bit levels, which every element type is made from, for the cache and
//! for changes of colour; and scaled pictures, which random crops are cut from.

use super::axis::Axis;
use super::geometry::{Region, View, kept_size};
use super::kernel::{self, Isa};
use super::layout::Mirror;
use super::{BEHIND, Form, Look, Scratch, Transform, Turn, kernel_of};
use super::{antialias, bilinear};
use crate::config::{Filter, Fit};
use crate::element::Element;
use crate::random::Draws;

/// What is drawn for a picture that is kept: nothing, so that it serves every
/// epoch.
fn undrawn() -> Draws {
    Draws::new(&[])
}

impl<T: Element> Transform<T> {
    /// As [`begin`](Self::begin), for the levels of a picture whose fit draws
    /// nothing, not mirrored.
    ///
    /// # Panics
    ///
    /// As [`begin`](Self::begin).
    pub(crate) fn begin_levels(&self, form: Form, scratch: &mut Scratch) -> Region {
        scratch.upside_down = false;
        let Look { size, fit, .. } = self.look;
        self.begin_view(form, View::new(form.size, fit, 0.0, size, undrawn()), scratch)
    }

    /// As [`push`](Self::push), but writes 8-bit levels: what a `u8` batch
    /// would hold. [`convert`](Self::convert) makes elements of them.
    ///
    /// # Panics
    ///
    /// As [`push`](Self::push).
    pub(crate) fn push_levels(
        &self,
        top: usize,
        pixels: &[u8],
        scratch: &mut Scratch,
        levels: &mut [u8],
    ) {
        self.push_into(&self.levels, top, pixels, scratch, levels);
    }

    /// Turns a row of levels that was begun by [`begin`](Self::begin), mirrored as
    /// it is to be, into elements.
    ///
    /// # Panics
    ///
    /// When a length is not [`row_len`](Self::row_len).
    pub(crate) fn convert_as_it_is(&self, levels: &[u8], row: &mut [T]) {
        assert_eq!((levels.len(), row.len()), (self.row_len(), self.row_len()));
        self.places.convert(self.isa, &self.scales, levels, row);
    }

    /// Turns a row of levels that was begun by [`begin_levels`](Self::begin_levels)
    /// into the elements that [`push`](Self::push) would have written at this turn.
    ///
    /// # Panics
    ///
    /// When a length is not [`row_len`](Self::row_len).
    pub(crate) fn convert(&self, levels: &[u8], turn: Turn, scratch: &mut Scratch, row: &mut [T]) {
        assert_eq!((levels.len(), row.len()), (self.row_len(), self.row_len()));
        let (isa, scales) = (self.isa, &self.scales);
        let across = self.view(self.look.size, turn).flip;
        let mirror = Mirror { across, down: self.turns_upside_down(turn) };
        if mirror.across || mirror.down {
            self.places.convert_mirrored(isa, scales, levels, mirror, &mut scratch.spare, row);
        } else {
            self.places.convert(isa, scales, levels, row);
        }
    }
}

/// Scales pictures until their shorter side has a certain number of pixels.
/// Smaller ones stay as they are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scaler {
    side: u32,
    filter: Filter,
}

impl Scaler {
    pub(crate) fn new(side: u32, filter: Filter) -> Self {
        Scaler { side, filter }
    }

    /// How a picture comes out.
    pub(crate) fn scaled(&self, form: Form) -> Form {
        Form::new(kept_size(form.size, self.side), form.channels)
    }

    /// All of it.
    pub(super) fn view(&self, form: Form) -> View {
        View::new(form.size, Fit::Stretch, 0.0, self.scaled(form).size, undrawn())
    }

    /// Makes `scratch` ready for a picture that comes in this form, of which all
    /// will be looked at.
    pub(crate) fn begin(&self, form: Form, scratch: &mut Scratch) {
        let Form { size, channels, .. } = self.scaled(form);
        scratch.prepare(form, channels, self.filter, Axis::both(&self.view(form), size, form));
    }

    /// Takes the picture's next rows, as [`Transform::push`] does, and writes
    /// what they complete into `out`, the whole scaled picture, `[height, width,
    /// channel]`.
    pub(crate) fn push(&self, top: usize, pixels: &[u8], scratch: &mut Scratch, out: &mut [u8]) {
        #[allow(clippy::unreachable, reason = "this crate sees to it, whatever the input")]
        let Some(form) = scratch.form else { unreachable!("begun before rows come") };
        let scaled = self.scaled(form);
        let (stride, width) = (scaled.stride(), scaled.size.width as usize);
        let isa = Isa::detect();
        scratch.push(isa, top, pixels, |y, line, _| {
            let to = &mut out[y * stride..][..stride];
            match scaled.channels {
                1 => to.copy_from_slice(line),
                _ => kernel::interleave(isa, [0, 1, 2].map(|c| &line[c * width..][..width]), to),
            }
        });
    }

    /// Whether all of `out` has been written since [`begin`](Self::begin).
    #[cfg(test)]
    pub(crate) fn is_complete(&self, scratch: &Scratch) -> bool {
        let scaled = scratch.form.map(|form| self.scaled(form).size.height as usize);
        scaled == Some(scratch.progress.target)
    }
}

/// The most bytes that the [`Scratch`] of one thread allocates for scaling
/// pictures whose sides have at most `max_side` pixels.
#[must_use]
pub(crate) fn scaling_bound(filter: Filter, max_side: u32) -> u64 {
    let side = u64::from(max_side);
    let rows = match kernel_of(filter) {
        None => bilinear::bound(side, side),
        Some(kernel) => antialias::even_bound(kernel, side),
    };
    rows + 2 * 3 * side + BEHIND as u64
}
