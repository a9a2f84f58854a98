//! Transforms of the user's: their traits, and how they are called.

use std::path::Path;
use std::sync::Arc;

use ndarray::ArrayViewMut3;

use crate::error::Cause;
use crate::fence::fence;
use crate::random::{Draws, Random};
use crate::transform::Turn;

/// Which sample a transform is called for.
#[derive(Clone, Copy, Debug)]
pub struct Origin<'a> {
    path: Option<&'a Path>,
    turn: Turn,
}

impl<'a> Origin<'a> {
    pub(crate) fn new(path: Option<&'a Path>, turn: Turn) -> Self {
        Origin { path, turn }
    }

    /// The file, relative to the source's root; `None` from a
    /// [`Preprocessor`](crate::Preprocessor), which is given bytes alone.
    #[must_use]
    pub fn path(&self) -> Option<&'a Path> {
        self.path
    }

    /// The epoch.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.turn.epoch
    }

    /// The sample's position in the epoch.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.turn.position
    }

    pub(crate) fn turn(&self) -> Turn {
        self.turn
    }
}

/// Changes a decoded picture in place, before it is cropped and resized
/// ([`before_resize`](crate::LoaderBuilder::before_resize)).
///
/// Closures `Fn(ArrayViewMut3<'_, u8>, &mut Random) -> Result<(), Cause>` are
/// such transforms; implement it for what needs to know which sample it is.
///
/// ```
/// # let photos = infeed::doc::photos();
/// use infeed::{Cause, Loader, Origin, PixelTransform, Random};
/// use ndarray::ArrayViewMut3;
///
/// /// Covers the upper left corner, where a camera writes the time.
/// struct Cover {
///     side: usize,
/// }
///
/// impl PixelTransform for Cover {
///     fn apply(
///         &self,
///         mut pixels: ArrayViewMut3<'_, u8>,
///         _: &mut Random,
///         origin: &Origin<'_>,
///     ) -> Result<(), Cause> {
///         if origin.path().is_some_and(|path| path.starts_with("cats")) {
///             let (height, width, _) = pixels.dim();
///             let (down, across) = (self.side.min(height), self.side.min(width));
///             pixels.slice_mut(ndarray::s![..down, ..across, ..]).fill(0);
///         }
///         Ok(())
///     }
/// }
///
/// let mut loader = Loader::folder(&photos).before_resize(Cover { side: 8 }).build()?;
/// for batch in loader.epoch(0)? {
///     batch?;
/// }
/// # Ok::<(), infeed::Error>(())
/// ```
pub trait PixelTransform: Send + Sync + 'static {
    /// Changes `pixels`, the upright picture: `[height, width, channel]`, red,
    /// green and blue, also of a picture without colour; one channel of lightness
    /// where the loader's [`Color`](crate::Color) is grey. Decoder threads call it
    /// at the same time. `random` is seeded by seed, epoch and position, and the
    /// transform's number among its like.
    ///
    /// # Errors
    ///
    /// What keeps this sample from becoming a row; it fails at
    /// [`Stage::Transform`](crate::Stage::Transform), as it does on a panic.
    fn apply(
        &self,
        pixels: ArrayViewMut3<'_, u8>,
        random: &mut Random,
        origin: &Origin<'_>,
    ) -> Result<(), Cause>;
}

impl<F> PixelTransform for F
where
    F: Fn(ArrayViewMut3<'_, u8>, &mut Random) -> Result<(), Cause> + Send + Sync + 'static,
{
    fn apply(
        &self,
        pixels: ArrayViewMut3<'_, u8>,
        random: &mut Random,
        _: &Origin<'_>,
    ) -> Result<(), Cause> {
        self(pixels, random)
    }
}

/// Changes a sample's finished row of the batch in place
/// ([`after_resize`](crate::LoaderBuilder::after_resize)).
///
/// Closures `Fn(ArrayViewMut3<'_, T>, &mut Random) -> Result<(), Cause>` are such
/// transforms; implement it for what needs to know which sample it is.
pub trait RowTransform<T>: Send + Sync + 'static {
    /// Changes `row`: `[channel, height, width]` or `[height, width, channel]`, as
    /// the batch has it, normalised. Decoder threads call it at the same time.
    /// `random` is seeded by seed, epoch and position, and the transform's number
    /// among its like.
    ///
    /// # Errors
    ///
    /// As [`PixelTransform::apply`].
    fn apply(
        &self,
        row: ArrayViewMut3<'_, T>,
        random: &mut Random,
        origin: &Origin<'_>,
    ) -> Result<(), Cause>;
}

impl<T, F> RowTransform<T> for F
where
    F: Fn(ArrayViewMut3<'_, T>, &mut Random) -> Result<(), Cause> + Send + Sync + 'static,
{
    fn apply(
        &self,
        row: ArrayViewMut3<'_, T>,
        random: &mut Random,
        _: &Origin<'_>,
    ) -> Result<(), Cause> {
        self(row, random)
    }
}

/// Transforms behind pointers are transforms.
macro_rules! forwarded {
    ($($pointer:ident),*) => {$(
        impl PixelTransform for $pointer<dyn PixelTransform> {
            fn apply(
                &self,
                pixels: ArrayViewMut3<'_, u8>,
                random: &mut Random,
                origin: &Origin<'_>,
            ) -> Result<(), Cause> {
                (**self).apply(pixels, random, origin)
            }
        }

        impl<T: 'static> RowTransform<T> for $pointer<dyn RowTransform<T>> {
            fn apply(
                &self,
                row: ArrayViewMut3<'_, T>,
                random: &mut Random,
                origin: &Origin<'_>,
            ) -> Result<(), Cause> {
                (**self).apply(row, random, origin)
            }
        }
    )*};
}

forwarded!(Box, Arc);

/// Calls each transform in turn, behind a fence, with draws that `key` and its
/// number decide.
pub(super) fn run<X: ?Sized>(
    transforms: &[Arc<X>],
    key: [u64; 4],
    mut call: impl FnMut(&X, &mut Random) -> Result<(), Cause>,
) -> Result<(), Cause> {
    let [seed, epoch, position, purpose] = key;
    for (number, transform) in transforms.iter().enumerate() {
        let draws = Draws::new(&[seed, epoch, position, number as u64, purpose]);
        fence(|| call(transform, &mut Random::new(draws))).and_then(|done| done)?;
    }
    Ok(())
}

/// Memory of exactly this shape as an array.
pub(super) fn view<V>(shape: [usize; 3], values: &mut [V]) -> ArrayViewMut3<'_, V> {
    match ArrayViewMut3::from_shape(shape, values) {
        Ok(view) => view,
        #[allow(clippy::unreachable, reason = "this file sees to it, whatever the input")]
        Err(_) => unreachable!("the slice is as long as the shape says"),
    }
}
