//! The builder's knobs of augmentation.

use std::sync::Arc;

use super::{PixelTransform, RowTransform};
use crate::builder::LoaderBuilder;
use crate::config::{Erase, Jitter};
use crate::element::Element;

impl<T: Element> LoaderBuilder<T> {
    /// The probability that top and bottom change places, drawn apart from
    /// [`flip`](Self::flip). Default 0; half is usual where there is no up and
    /// down, as from above or through a microscope. Changes results.
    pub fn vflip(mut self, probability: f64) -> Self {
        self.config.augmentation.vflip = probability;
        self
    }

    /// How far brightness, contrast, saturation and hue are changed, as
    /// torchvision's `ColorJitter`, after the resize and before the
    /// normalisation. Default none. Of [`Color::Grey`](crate::Color::Grey) only
    /// brightness and contrast are changed. Changes results; costs another pass
    /// over the levels, the hue the most.
    ///
    /// ```
    /// # let photos = infeed::doc::photos();
    /// use infeed::{Jitter, Loader};
    ///
    /// let jitter = Jitter { brightness: 0.4, contrast: 0.4, saturation: 0.4, hue: 0.1 };
    /// let loader = Loader::folder(&photos).jitter(jitter).random_grey(0.2).build()?;
    /// assert_eq!(loader.config().jitter.to_string(), "0.4,0.4,0.4,0.1");
    /// # Ok::<(), infeed::Error>(())
    /// ```
    pub fn jitter(mut self, jitter: Jitter) -> Self {
        self.config.augmentation.jitter = jitter;
        self
    }

    /// The probability that a picture loses its colour, its channels becoming the
    /// same, as torchvision's `RandomGrayscale`; after the [`jitter`](Self::jitter).
    /// Default 0. Of no effect on [`Color::Grey`](crate::Color::Grey). Changes
    /// results.
    pub fn random_grey(mut self, probability: f64) -> Self {
        self.config.augmentation.random_grey = probability;
        self
    }

    /// Sets a rectangle of the finished row to zero at random, as torchvision's
    /// `RandomErasing`: [`Erase::new`] with a probability has its ranges. Default
    /// never. Changes results.
    pub fn erase(mut self, erase: Erase) -> Self {
        self.config.augmentation.erase = erase;
        self
    }

    /// Changes every decoded picture by a transform of yours, before it is cropped
    /// and resized: upright, `[height, width, channel]`, red, green and blue, also
    /// of a picture without colour, or one channel of lightness where the
    /// [`color`](Self::color) is grey. Its size stays. Several are applied in the
    /// order in which they are given. Default none. Changes results.
    ///
    /// The whole picture is then in memory: the memory bound counts 3 more bytes
    /// for each of [`max_pixels`](Self::max_pixels). Not with a
    /// [`cache`](Self::cache), which would keep the choices of the first epoch.
    ///
    /// ```
    /// # let photos = infeed::doc::photos();
    /// use infeed::{Cause, Loader, Random};
    /// use ndarray::ArrayViewMut3;
    ///
    /// let noise = |mut pixels: ArrayViewMut3<'_, u8>, random: &mut Random| -> Result<(), Cause> {
    ///     pixels.map_inplace(|level| *level ^= random.below(4) as u8);
    ///     Ok(())
    /// };
    /// let mut loader = Loader::folder(&photos).before_resize(noise).build()?;
    /// for batch in loader.epoch(0)? {
    ///     batch?;
    /// }
    /// # Ok::<(), infeed::Error>(())
    /// ```
    pub fn before_resize(mut self, transform: impl PixelTransform) -> Self {
        self.before.push(Arc::new(transform));
        self.config.augmentation.before_resize = self.before.len();
        self
    }

    /// Changes every sample's finished row by a transform of yours:
    /// `[channel, height, width]` or `[height, width, channel]`, as the
    /// [`layout`](Self::layout) has it, normalised, with everything else done.
    /// Several are applied in the order in which they are given. Default none.
    /// Works with every cache, which keeps what comes before it. Changes results.
    ///
    /// ```
    /// # let photos = infeed::doc::photos();
    /// use infeed::{Cause, CauseKind, Loader, Random};
    /// use ndarray::ArrayViewMut3;
    ///
    /// let fade = |mut row: ArrayViewMut3<'_, f32>, random: &mut Random| {
    ///     let factor = random.between(0.5, 1.0) as f32;
    ///     row.mapv_inplace(|value| factor * value);
    ///     if row.iter().all(|value| value.is_finite()) {
    ///         Ok(())
    ///     } else {
    ///         Err(Cause::new(CauseKind::Refused, "a value that is not finite"))
    ///     }
    /// };
    /// let mut loader = Loader::folder(&photos).after_resize(fade).build()?;
    /// for batch in loader.epoch(0)? {
    ///     batch?;
    /// }
    /// # Ok::<(), infeed::Error>(())
    /// ```
    pub fn after_resize(mut self, transform: impl RowTransform<T>) -> Self {
        self.after.push(Arc::new(transform));
        self.config.augmentation.after_resize = self.after.len();
        self
    }
}
