//! A batch: a tensor, its labels and targets, and where each row came from.

#[cfg(test)]
#[cfg(infeed_shuttle)]
mod models;
mod pages;
mod pool;
mod rows;

use std::fmt;
use std::path::{Path, PathBuf};

use ndarray::{Array1, Array2, Array4, ArrayView1, ArrayView2, ArrayView4, ArrayViewMut4};

use crate::config::Layout;
use crate::digest::Digest;
use crate::element::Element;
use crate::random::{Draws, Random, purpose};
use crate::resume::State;

pub(crate) use pool::{Buffer, Pool};
pub(crate) use rows::{Row, Rows};

/// The label of a sample that has none, in [`Batch::labels`].
pub const NO_LABEL: i64 = -1;

/// Where a row of a batch came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    pub(crate) path: PathBuf,
    pub(crate) index: u64,
    pub(crate) position: u64,
    pub(crate) label: Option<u32>,
    /// Without an allocation where it is empty.
    pub(crate) target: Box<[f32]>,
    pub(crate) padding: bool,
    pub(crate) replaces: Option<u64>,
    /// Its number in this run of the epoch on this rank.
    pub(crate) key: u64,
}

impl Sample {
    /// The file, relative to the source's root.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Its index in the source's order.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Its position in the epoch, the same for all ranks; from the number of the
    /// epoch's samples on it is padding.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.position
    }

    /// The number of its class; `None` where it has none.
    #[must_use]
    pub fn label(&self) -> Option<u32> {
        self.label
    }

    /// What is to be predicted for it, `[k]`, as a [`List`](crate::List) says;
    /// empty where the source has no targets.
    #[must_use]
    pub fn target(&self) -> &[f32] {
        &self.target
    }

    /// Whether it only fills up the last batch
    /// ([`LastBatch::Pad`](crate::LastBatch::Pad)) or makes the ranks equal
    /// ([`Uneven::Pad`](crate::Uneven::Pad)), having its place in the epoch
    /// elsewhere.
    #[must_use]
    pub fn is_padding(&self) -> bool {
        self.padding
    }

    /// The index of the failed sample in whose place it stands
    /// ([`OnError::Replace`](crate::OnError::Replace)).
    #[must_use]
    pub fn replaces(&self) -> Option<u64> {
        self.replaces
    }
}

/// `n` images of one size with their labels and targets.
///
/// A batch owns its memory. Keep it, send it to another thread, collect a whole
/// epoch of them; dropped, its memory serves the next batch. Memory kept beyond
/// `held_batches` comes on top of the loader's bound.
pub struct Batch<T: Element = f32> {
    buffer: Buffer<T>,
    shape: [usize; 4],
    layout: Layout,
    labels: Array1<i64>,
    /// Row-major, `[n, k]`.
    targets: Box<[f32]>,
    samples: Vec<Sample>,
    epoch: u64,
    index: u64,
    state: Box<State>,
}

/// What a batch holds, as values of its own: [`Batch::into_parts`].
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct BatchParts<T: Element = f32> {
    /// As [`Batch::images`].
    pub images: Array4<T>,
    /// As [`Batch::labels`].
    pub labels: Array1<i64>,
    /// As [`Batch::targets`].
    pub targets: Array2<f32>,
    /// As [`Batch::samples`].
    pub samples: Vec<Sample>,
}

impl<T: Element> Batch<T> {
    /// `shape` is `[n, ..]` with `n == samples.len()`, its product at most the
    /// buffer's length; all samples have targets of one length.
    pub(crate) fn new(
        buffer: Buffer<T>,
        shape: [usize; 4],
        layout: Layout,
        samples: Vec<Sample>,
        epoch: u64,
        index: u64,
        state: Box<State>,
    ) -> Self {
        debug_assert!(shape.iter().product::<usize>() <= buffer.as_slice().len());
        let label = |sample: &Sample| sample.label.map_or(NO_LABEL, i64::from);
        let labels = samples.iter().map(label).collect();
        let targets = samples.iter().flat_map(|sample| sample.target.iter().copied()).collect();
        Batch { buffer, shape, layout, labels, targets, samples, epoch, index, state }
    }

    /// The images, row-major: `[n, 3, height, width]` with
    /// [`Layout::Chw`], `[n, height, width, 3]` with [`Layout::Hwc`]; of
    /// [`Color::Grey`](crate::Color::Grey), 1 in place of 3.
    #[must_use]
    pub fn images(&self) -> ArrayView4<'_, T> {
        view(self.shape, self.as_slice())
    }

    /// The images, to be changed in place (mixing, noise, a mask). Mixup, each
    /// picture with the next one of its batch, by a share that is drawn evenly, Beta(1, 1):
    ///
    /// ```
    /// # let photos = infeed::doc::photos();
    /// use infeed::Loader;
    /// use ndarray::Axis;
    ///
    /// let mut loader = Loader::folder(&photos).size(32, 32).batch_size(4).shuffle(7).build()?;
    /// for batch in loader.epoch(0)? {
    ///     let mut batch = batch?;
    ///     let (share, others) = (batch.random().unit() as f32, batch.images().to_owned());
    ///     let next = |row| (row + 1) % others.shape()[0];
    ///     for (row, mut image) in batch.images_mut().outer_iter_mut().enumerate() {
    ///         let other = others.index_axis(Axis(0), next(row));
    ///         image.zip_mut_with(&other, |a, b| *a = share * *a + (1.0 - share) * b);
    ///     }
    ///     // The loss is mixed as well: `share` of it by the picture's own label.
    ///     let labels = batch.labels();
    ///     let other_labels: Vec<i64> = (0..labels.len()).map(|row| labels[next(row)]).collect();
    ///     assert_eq!(other_labels.len(), batch.len());
    /// }
    /// # Ok::<(), infeed::Error>(())
    /// ```
    #[must_use]
    pub fn images_mut(&mut self) -> ArrayViewMut4<'_, T> {
        let values = self.values();
        let memory = &mut self.buffer.as_mut_slice()[..values];
        match ArrayViewMut4::from_shape(self.shape, memory) {
            Ok(view) => view,
            #[allow(clippy::unreachable, reason = "this file sees to it, whatever the input")]
            Err(_) => unreachable!("the slice is as long as the shape says"),
        }
    }

    /// Random numbers for what is done to the batch as a whole, the same each time they
    /// are asked for: seed, epoch and the position of the first sample decide them.
    /// Ordered, a run repeats them, also resumed.
    #[must_use]
    pub fn random(&self) -> Random {
        let first = self.samples.first().map_or(0, Sample::position);
        Random::new(Draws::new(&[self.state.seed(), self.epoch, first, purpose::BATCH]))
    }

    /// The same values as one slice in the order of [`images`](Self::images).
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.buffer.as_slice()[..self.values()]
    }

    /// The class numbers, `[n]`; [`NO_LABEL`] where a sample has none.
    #[must_use]
    pub fn labels(&self) -> ArrayView1<'_, i64> {
        self.labels.view()
    }

    /// What is to be predicted, `[n, k]`: `k` numbers for each row, as a
    /// [`List`](crate::List) says; `k` is 0 where the source has no targets.
    #[must_use]
    pub fn targets(&self) -> ArrayView2<'_, f32> {
        match ArrayView2::from_shape(self.targets_shape(), &self.targets) {
            Ok(view) => view,
            #[allow(clippy::unreachable, reason = "this file sees to it, whatever the input")]
            Err(_) => unreachable!("all targets of a source have one length"),
        }
    }

    /// Where each row came from, in the order of the rows.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }

    /// `n`: the number of images.
    #[must_use]
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    /// Never true for a batch that a loader delivers.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.samples.is_empty()
    }

    /// The epoch it belongs to.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Its number in the epoch, from 0. Ordered, a batch of which every sample failed
    /// does not come, and its number with it.
    #[must_use]
    pub fn index(&self) -> u64 {
        self.index
    }

    /// Where the run stands after this batch: with it, another run goes on with
    /// exactly the next sample ([`LoaderBuilder::resume`](crate::LoaderBuilder::resume)).
    #[must_use]
    pub fn state(&self) -> State {
        State::clone(&self.state)
    }

    /// Which samples the epoch has delivered so far, this batch included; of a
    /// resumed epoch also those before.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.state.digest()
    }

    /// The order of the axes of [`images`](Self::images).
    #[must_use]
    pub fn layout(&self) -> Layout {
        self.layout
    }

    /// The images as an array of their own, without copying. The loader
    /// allocates other memory for a later batch, which costs a page fault for
    /// every 4 KiB of it.
    #[must_use]
    pub fn into_array(self) -> Array4<T> {
        self.into_parts().images
    }

    /// The images, the labels, the targets and the samples, without copying.
    #[must_use]
    pub fn into_parts(self) -> BatchParts<T> {
        let (values, targets_shape) = (self.values(), self.targets_shape());
        let Batch { buffer, shape, labels, targets, samples, .. } = self;
        let mut memory = buffer.into_vec();
        memory.truncate(values);
        let images = Array4::from_shape_vec(shape, memory);
        let targets = Array2::from_shape_vec(targets_shape, targets.into_vec());
        match (images, targets) {
            (Ok(images), Ok(targets)) => BatchParts { images, labels, targets, samples },
            #[allow(clippy::unreachable, reason = "this file sees to it, whatever the input")]
            _ => unreachable!("the vectors are as long as the shapes say"),
        }
    }

    fn values(&self) -> usize {
        self.shape.iter().product()
    }

    fn targets_shape(&self) -> [usize; 2] {
        [self.len(), self.samples.first().map_or(0, |sample| sample.target.len())]
    }
}

fn view<T>(shape: [usize; 4], values: &[T]) -> ArrayView4<'_, T> {
    match ArrayView4::from_shape(shape, values) {
        Ok(view) => view,
        #[allow(clippy::unreachable, reason = "this file sees to it, whatever the input")]
        Err(_) => unreachable!("the slice is as long as the shape says"),
    }
}

impl<T: Element> fmt::Debug for Batch<T> {
    /// Without the pixels.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("epoch", &self.epoch)
            .field("index", &self.index)
            .field("shape", &self.shape)
            .field("dtype", &T::DTYPE)
            .field("layout", &self.layout)
            .field("samples", &self.samples.len())
            .finish_non_exhaustive()
    }
}
