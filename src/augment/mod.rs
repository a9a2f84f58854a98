//! Augmentation: what is changed at random about a picture beside its crop and
//! its flips, which `transform` does while it resizes.
//!
//! ```text
//! knobs    how the builder is told
//! user     transforms of the user's: on the decoded picture, on the finished row
//! color    brightness, contrast, saturation, hue and grey, on a row of levels
//! erase    a rectangle of the finished row set to zero
//! ```
//!
//! Every choice is a function of seed, epoch and position, each kind of choice
//! with draws of its own.

mod color;
#[cfg(test)]
mod color_tests;
mod erase;
mod knobs;
mod user;

use std::fmt;
use std::sync::Arc;

pub(crate) use color::Change;
pub use user::{Origin, PixelTransform, RowTransform};

use crate::config::Augmentation;
use crate::element::Element;
use crate::error::Cause;
use crate::random::{Draws, purpose};
use crate::transform::{Form, Places, Region, Turn};

/// The augmentations of a loader: immutable, shared by all threads.
pub(crate) struct Augment<T> {
    seed: u64,
    knobs: Augmentation,
    before: Vec<Arc<dyn PixelTransform>>,
    after: Vec<Arc<dyn RowTransform<T>>>,
}

impl<T> Augment<T> {
    pub(crate) fn new(
        seed: u64,
        knobs: Augmentation,
        before: Vec<Arc<dyn PixelTransform>>,
        after: Vec<Arc<dyn RowTransform<T>>>,
    ) -> Self {
        Augment { seed, knobs, before, after }
    }

    fn draws(&self, turn: Turn, purpose: u64) -> Draws {
        Draws::new(&[self.seed, turn.epoch, turn.position, purpose])
    }

    /// Whether the decoded picture is changed, which then has to be whole.
    pub(crate) fn changes_pixels(&self) -> bool {
        !self.before.is_empty()
    }

    /// Changes a decoded picture, upright, of as many channels as the user's
    /// transforms are promised.
    pub(crate) fn pixels(
        &self,
        pixels: &mut [u8],
        form: Form,
        origin: &Origin<'_>,
    ) -> Result<(), Cause> {
        let (width, height) = (form.size.width as usize, form.size.height as usize);
        let shape = [height, width, form.channels];
        let key = [self.seed, origin.epoch(), origin.position(), purpose::BEFORE_RESIZE];
        user::run(&self.before, key, |transform, random| {
            transform.apply(user::view(shape, pixels), random, origin)
        })
    }

    /// Whether the levels of a row are changed before they become elements.
    pub(crate) fn changes_levels(&self) -> bool {
        self.knobs.changes_levels()
    }

    /// Changes a row of levels, mirrored or not.
    pub(crate) fn levels(&self, levels: &mut [u8], places: &Places, turn: Turn) {
        for change in self.changes(turn) {
            change.apply(levels, places);
        }
        if self.takes_colour_away(turn) {
            color::take_away(levels, places);
        }
    }

    /// The changes of colour, in the order in which they are applied.
    pub(crate) fn changes(&self, turn: Turn) -> impl Iterator<Item = Change> + '_ {
        let Turn { epoch, position } = turn;
        let draws = move |kind| Draws::new(&[self.seed, epoch, position, kind, purpose::JITTER]);
        let jitter = Some(&self.knobs.jitter).filter(|jitter| !jitter.is_off());
        jitter.into_iter().flat_map(move |jitter| color::drawn(jitter, draws))
    }

    pub(crate) fn takes_colour_away(&self, turn: Turn) -> bool {
        let chance = self.knobs.random_grey;
        chance > 0.0 && self.draws(turn, purpose::RANDOM_GREY).unit() < chance
    }

    /// The rectangle of a row that is erased.
    pub(crate) fn erased(&self, places: &Places, turn: Turn) -> Option<Region> {
        let erase = Some(&self.knobs.erase).filter(|erase| erase.probability > 0.0)?;
        erase::drawn(erase, places.size(), &mut self.draws(turn, purpose::ERASE))
    }
}

impl<T: Element> Augment<T> {
    /// Whether a finished row is changed.
    pub(crate) fn changes_rows(&self) -> bool {
        self.knobs.erase.probability > 0.0 || !self.after.is_empty()
    }

    /// Changes a finished row.
    pub(crate) fn row(
        &self,
        row: &mut [T],
        places: &Places,
        origin: &Origin<'_>,
    ) -> Result<(), Cause> {
        if let Some(region) = self.erased(places, origin.turn()) {
            erase::apply(region, places, row);
        }
        let key = [self.seed, origin.epoch(), origin.position(), purpose::AFTER_RESIZE];
        user::run(&self.after, key, |transform, random| {
            transform.apply(user::view(places.shape(), row), random, origin)
        })
    }
}

impl<T> fmt::Debug for Augment<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Augment")
            .field("seed", &self.seed)
            .field("knobs", &self.knobs)
            .finish_non_exhaustive()
    }
}
