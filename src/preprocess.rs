//! One thread's work on a picture, alone.

use std::fmt;
use std::sync::Arc;

use crate::config::{Limits, Size};
use crate::decode::{Decode, Orientation};
use crate::element::Element;
use crate::error::{Cause, Stage};
use crate::transform::{Scratch, Transform};

/// One thread's decode and transform, alone: what the loader's decoder threads
/// do to each sample. For inference with the very pixels of training, and for
/// ceilings in benchmarks.
///
/// It keeps its buffers from picture to picture; they grow to what the largest
/// one needed.
pub struct Preprocessor<T: Element = f32> {
    decoder: Arc<dyn Decode>,
    transform: Arc<Transform<T>>,
    limits: Limits,
    pixels: Vec<u8>,
    turned: Vec<u8>,
    scratch: Scratch,
}

impl<T: Element> Preprocessor<T> {
    pub(crate) fn new(
        decoder: Arc<dyn Decode>,
        transform: Arc<Transform<T>>,
        limits: Limits,
    ) -> Self {
        let (pixels, turned, scratch) = Default::default();
        Preprocessor { decoder, transform, limits, pixels, turned, scratch }
    }

    /// Elements of one picture: `3 * height * width`.
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.transform.row_len()
    }

    /// Decodes `encoded` and writes its row: [`row_len`](Self::row_len)
    /// elements, `[3, height, width]` or `[height, width, 3]`.
    ///
    /// # Errors
    ///
    /// The stage that failed, and why.
    ///
    /// # Panics
    ///
    /// When `row` has another length.
    pub fn preprocess(&mut self, encoded: &[u8], row: &mut [T]) -> Result<(), (Stage, Cause)> {
        let (size, turned) = self.decode(encoded).map_err(|cause| (Stage::Decode, cause))?;
        let pixels = if turned { &self.turned } else { &self.pixels };
        self.transform.apply(pixels, size, &mut self.scratch, row);
        Ok(())
    }

    /// Decodes `encoded` alone: the upright picture's size, and its pixels as
    /// RGB8 `[height, width, 3]`, row-major.
    ///
    /// # Errors
    ///
    /// Why the picture cannot be decoded.
    pub fn decode_rgb8(&mut self, encoded: &[u8]) -> Result<(Size, &[u8]), Cause> {
        let (size, turned) = self.decode(encoded)?;
        Ok((size, if turned { &self.turned } else { &self.pixels }))
    }

    /// The upright size, and whether the pixels are in `turned`.
    fn decode(&mut self, encoded: &[u8]) -> Result<(Size, bool), Cause> {
        let picture = self.decoder.open(encoded, &self.limits)?;
        let (stored, orientation) = (picture.size(), picture.orientation());
        let len = 3 * stored.width as usize * stored.height as usize;
        self.pixels.resize(len, 0);
        picture.read_rgb8(&mut self.pixels)?;
        if orientation == Orientation::Upright {
            return Ok((stored, false));
        }
        self.turned.resize(len, 0);
        orientation.turn(&self.pixels, stored, &mut self.turned);
        Ok((orientation.apply(stored), true))
    }
}

impl<T: Element> fmt::Debug for Preprocessor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preprocessor")
            .field("transform", &self.transform)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
