//! One thread's work on a picture, alone.

use std::fmt;
use std::sync::Arc;

use crate::config::{Limits, Size};
use crate::decode::{Channels, Decode, Opened};
use crate::element::Element;
use crate::error::{Cause, Stage};
use crate::transform::{Region, Scaler, Scratch, Transform, Turn};

/// One thread's decode and transform, alone: what the loader's decoder threads
/// do to each sample. For inference with the very pixels of training, and for
/// ceilings in benchmarks.
///
/// It keeps its buffers from picture to picture; they grow to what the largest
/// one needed.
pub struct Preprocessor<T: Element = f32> {
    decoder: Arc<dyn Decode>,
    transform: Arc<Transform<T>>,
    scaler: Option<Scaler>,
    limits: Limits,
    /// As much as the largest picture needed.
    memory: Vec<u8>,
    pixels: Vec<u8>,
    scratch: Scratch,
}

impl<T: Element> Preprocessor<T> {
    pub(crate) fn new(
        decoder: Arc<dyn Decode>,
        transform: Arc<Transform<T>>,
        scaler: Option<Scaler>,
        limits: Limits,
    ) -> Self {
        let (memory, pixels, scratch) = Default::default();
        Preprocessor { decoder, transform, scaler, limits, memory, pixels, scratch }
    }

    /// Elements of one picture: `channels * height * width`.
    #[must_use]
    pub fn row_len(&self) -> usize {
        self.transform.row_len()
    }

    /// Decodes `encoded` and writes its row: [`row_len`](Self::row_len)
    /// elements, `[channels, height, width]` or `[height, width, channels]`.
    /// What is random is drawn as for the first sample of epoch 0.
    ///
    /// # Errors
    ///
    /// The stage that failed, and why.
    ///
    /// # Panics
    ///
    /// When `row` has another length.
    pub fn preprocess(&mut self, encoded: &[u8], row: &mut [T]) -> Result<(), (Stage, Cause)> {
        self.preprocess_as(0, 0, encoded, row)
    }

    /// The same, with what is random drawn as for this epoch and position: the
    /// row that a loader's batch has there.
    ///
    /// # Errors
    ///
    /// As [`preprocess`](Self::preprocess).
    ///
    /// # Panics
    ///
    /// As [`preprocess`](Self::preprocess).
    pub fn preprocess_as(
        &mut self,
        epoch: u64,
        position: u64,
        encoded: &[u8],
        row: &mut [T],
    ) -> Result<(), (Stage, Cause)> {
        assert_eq!(row.len(), self.row_len(), "the row does not fit the size");
        let Preprocessor { decoder, transform, scaler, limits, memory, pixels, scratch } = self;
        let failed = |cause| (Stage::Decode, cause);
        let grey = transform.wants_grey();
        let opened = Opened::open(&**decoder, encoded, limits, None, grey).map_err(failed)?;
        let turn = Turn { epoch, position };
        if let Some(scaler) = scaler {
            let (form, scaled) = (opened.form, scaler.scaled(opened.form));
            let memory = first(memory, opened.memory_bytes());
            let pixels = first(pixels, scaled.bytes());
            scaler.begin(form, scratch);
            opened
                .feed(Region::whole(form.size), memory, &mut |top, rows| {
                    scaler.push(top as usize, rows, scratch, pixels);
                })
                .map_err(failed)?;
            transform.begin(scaled, turn, scratch);
            transform.push(0, pixels, scratch, row);
            return Ok(());
        }
        let wanted = transform.begin(opened.form, turn, scratch);
        let memory = first(memory, opened.memory_bytes());
        let fed = opened.feed(wanted, memory, &mut |top, pixels| {
            transform.push(top as usize, pixels, scratch, row);
        });
        fed.map_err(failed)
    }

    /// Decodes `encoded` alone: the upright picture's size, and its pixels as
    /// RGB8 `[height, width, 3]`, row-major.
    ///
    /// # Errors
    ///
    /// Why the picture cannot be decoded.
    pub fn decode_rgb8(&mut self, encoded: &[u8]) -> Result<(Size, &[u8]), Cause> {
        let Preprocessor { decoder, limits, memory, pixels, .. } = self;
        let channels = Some(Channels::Rgb);
        let opened = Opened::open(&**decoder, encoded, limits, channels, false)?;
        let form = opened.form;
        let memory = first(memory, opened.memory_bytes());
        let pixels = first(pixels, form.bytes());
        let stride = form.bytes() / form.size.height as usize;
        opened.feed(Region::whole(form.size), memory, &mut |top, rows| {
            pixels[top as usize * stride..][..rows.len()].copy_from_slice(rows);
        })?;
        Ok((form.size, pixels))
    }
}

/// The first `len` bytes of memory that grows to what is needed.
fn first(memory: &mut Vec<u8>, len: usize) -> &mut [u8] {
    if memory.len() < len {
        memory.resize(len, 0);
    }
    &mut memory[..len]
}

impl<T: Element> fmt::Debug for Preprocessor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preprocessor")
            .field("transform", &self.transform)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
