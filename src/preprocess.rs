//! One thread's work on a picture, alone.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use crate::augment::{Augment, Origin};
use crate::choices::Choices;
use crate::config::{Limits, Size};
use crate::decode::{Channels, Decode, Opened, Orientation};
use crate::element::Element;
use crate::error::{Cause, Stage};
use crate::memory::zeroed;
use crate::transform::{Form, Region, Scaler, Scratch, Transform, Turn};

/// One thread's decode and transform, alone: what the loader's decoder threads
/// do to each sample. For inference with the very pixels of training, and for
/// ceilings in benchmarks.
///
/// It keeps its buffers from picture to picture; they grow to what the largest
/// one needed.
pub struct Preprocessor<T: Element = f32> {
    decoder: Arc<dyn Decode>,
    transform: Arc<Transform<T>>,
    augment: Arc<Augment<T>>,
    scaler: Option<Scaler>,
    limits: Limits,
    /// As much as the largest picture needed.
    memory: Vec<u8>,
    pixels: Vec<u8>,
    scaled: Vec<u8>,
    /// A row of levels, where they are changed.
    levels: Vec<u8>,
    scratch: Scratch,
}

/// A picture on its way: whole, or still to be decoded.
enum Upright<'a> {
    Whole(Form, &'a [u8]),
    Opened(Opened<'a>, &'a mut [u8]),
}

impl Upright<'_> {
    fn form(&self) -> Form {
        match self {
            Upright::Whole(form, _) => *form,
            Upright::Opened(opened, _) => opened.form,
        }
    }

    fn feed(self, wanted: Region, rows: &mut dyn FnMut(usize, &[u8])) -> Result<(), Cause> {
        match self {
            Upright::Whole(_, pixels) => {
                rows(0, pixels);
                Ok(())
            }
            Upright::Opened(opened, memory) => {
                opened.feed(wanted, memory, &mut |top, pixels| rows(top as usize, pixels))
            }
        }
    }
}

impl<T: Element> Preprocessor<T> {
    pub(crate) fn new(
        decoder: Arc<dyn Decode>,
        transform: Arc<Transform<T>>,
        augment: Arc<Augment<T>>,
        scaler: Option<Scaler>,
        limits: Limits,
    ) -> Self {
        let (memory, pixels, scaled, levels, scratch) = Default::default();
        Preprocessor {
            decoder,
            transform,
            augment,
            scaler,
            limits,
            memory,
            pixels,
            scaled,
            levels,
            scratch,
        }
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
        self.preprocess_at(None, Turn { epoch, position }, encoded, row).map(|_| ())
    }

    /// The same for a sample whose name is known: the upright picture's size, and
    /// how it was stored.
    pub(crate) fn preprocess_at(
        &mut self,
        path: Option<&Path>,
        turn: Turn,
        encoded: &[u8],
        row: &mut [T],
    ) -> Result<(Size, Orientation), (Stage, Cause)> {
        assert_eq!(row.len(), self.row_len(), "the row does not fit the size");
        let Preprocessor { decoder, transform, augment, scaler, limits, .. } = self;
        let Preprocessor { memory, pixels, scaled: out, levels, scratch, .. } = self;
        let failed = |cause| (Stage::Decode, cause);
        let refused = |cause| (Stage::Transform, cause);
        let (grey, changed) = (transform.wants_grey(), augment.changes_pixels());
        let origin = Origin::new(path, turn);
        let channels = (changed && !grey).then_some(Channels::Rgb);
        let mut opened =
            Opened::open(&**decoder, encoded, limits, channels, grey).map_err(failed)?;
        let seen = (opened.form.size, opened.orientation);
        if !changed {
            let most = transform.reduction(opened.form, turn, scaler.as_ref());
            opened.reduce(most).map_err(failed)?;
        }
        let memory = first(memory, opened.memory_bytes()).map_err(failed)?;
        let mut upright = if changed {
            let channels = if grey { 1 } else { opened.form.channels };
            let form = Form { channels, ..opened.form };
            let pixels = first(pixels, form.bytes()).map_err(failed)?;
            opened.read_whole(memory, pixels).map_err(failed)?;
            augment.pixels(pixels, form, &origin).map_err(refused)?;
            Upright::Whole(form, pixels)
        } else {
            Upright::Opened(opened, memory)
        };
        if let Some(scaler) = scaler {
            let (form, scaled) = (upright.form(), scaler.scaled(upright.form()));
            let out = first(out, scaled.bytes()).map_err(failed)?;
            scaler.begin(form, scratch);
            let whole = Region::whole(form.coming());
            let fed = upright.feed(whole, &mut |top, rows| scaler.push(top, rows, scratch, out));
            fed.map_err(failed)?;
            upright = Upright::Whole(scaled, out);
        }
        let wanted = transform.begin(upright.form(), turn, scratch);
        if augment.changes_levels() {
            let levels = first(levels, transform.row_len()).map_err(refused)?;
            let fed = upright.feed(wanted, &mut |top, pixels| {
                transform.push_levels(top, pixels, scratch, levels);
            });
            fed.map_err(failed)?;
            augment.levels(levels, transform.places(), turn);
            transform.convert_as_it_is(levels, row);
        } else {
            let fed = upright.feed(wanted, &mut |top, pixels| {
                transform.push(top, pixels, scratch, row);
            });
            fed.map_err(failed)?;
        }
        augment.row(row, transform.places(), &origin).map_err(refused)?;
        Ok(seen)
    }

    /// What is chosen for an upright picture of this size, whose sides are not
    /// zero, at this epoch and position: what
    /// [`preprocess_as`](Self::preprocess_as), and a loader's batch there, do to it.
    ///
    /// ```
    /// # let photos = infeed::doc::photos();
    /// use infeed::{Fit, Loader, Size};
    ///
    /// let builder = Loader::folder(&photos).size(32, 32).fit(Fit::random_crop()).flip(0.5);
    /// let choices = builder.preprocessor()?.choices(3, 17, Size { width: 640, height: 480 });
    /// assert!(choices.crop.left + choices.crop.width <= 640.0);
    /// println!("{:?}, mirrored: {}", choices.crop, choices.mirrored);
    /// # Ok::<(), infeed::Error>(())
    /// ```
    #[must_use]
    pub fn choices(&self, epoch: u64, position: u64, picture: Size) -> Choices {
        let Preprocessor { transform, augment, scaler, .. } = self;
        Choices::of(transform, augment, scaler.as_ref(), Turn { epoch, position }, picture)
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
        let memory = first(memory, opened.memory_bytes())?;
        let pixels = first(pixels, form.bytes())?;
        opened.read_whole(memory, pixels)?;
        Ok((form.size, pixels))
    }
}

/// The first `len` bytes, of no particular content, of memory that grows to what is
/// needed.
fn first(memory: &mut Vec<u8>, len: usize) -> Result<&mut [u8], Cause> {
    if memory.len() < len {
        // Before there is more.
        memory.clear();
        memory.shrink_to_fit();
        *memory = zeroed(len)?;
    }
    Ok(&mut memory[..len])
}

impl<T: Element> fmt::Debug for Preprocessor<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Preprocessor")
            .field("transform", &self.transform)
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}
