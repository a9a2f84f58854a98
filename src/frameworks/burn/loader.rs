//! burn's own `DataLoader`, fed by a [`Loader`].

use std::error::Error as StdError;
use std::fmt;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex, PoisonError};

use burn_core::data::dataloader::{DataLoader, DataLoaderIterator, Progress};
use burn_core::data::dataset::DatasetError;
use burn_core::tensor::Device;

use super::{BurnElement, TensorBatch};
use crate::batch::Batch;
use crate::element::Element;
use crate::epoch::Epoch;
use crate::error::Error;
use crate::loader::Loader;

/// A [`Loader`] as burn's [`DataLoader`], for its `Learner` or a loop of one's own.
///
/// burn names no epoch when it asks for one: each [`iter`](DataLoader::iter) is the
/// next, from [`Loader::first_epoch`] on (0, or where the loader was resumed), or
/// from [`starting_at`](Self::starting_at). A new `iter` cancels the one before,
/// whose next item is then an error.
///
/// A failure arrives as burn's [`DatasetError`] with the whole message, paths
/// included, and ends a training of the `Learner`: skip or replace bad files
/// ([`on_error`](crate::LoaderBuilder::on_error)) where it is to go on.
///
/// [`to_device`](DataLoader::to_device) shares the loader and its count of epochs,
/// and brings batches to another device. [`slice`](DataLoader::slice), with which
/// burn cuts one loader for several devices, is refused: what it gives fails with
/// its first item, unless it is all of it. Train on several devices by a process
/// and a [`shard`](crate::LoaderBuilder::shard) for each.
///
/// Dropping it, and what `to_device` made of it, drops the loader.
pub struct BurnLoader<T: Element, O> {
    shared: Arc<Shared<T, O>>,
    device: Device,
}

struct Shared<T: Element, O> {
    loader: Loader<T>,
    batcher: Box<Batcher<T, O>>,
    /// The epoch of the next `iter`; locked while it begins, so that of two at
    /// once the one with the later epoch is the one that stays.
    next: Mutex<u64>,
}

type Batcher<T, O> = dyn Fn(Batch<T>, &Device) -> O + Send + Sync;

impl<T: BurnElement> BurnLoader<T, TensorBatch<T::Kind>> {
    /// Batches as [`TensorBatch`], without a copy of the images
    /// ([`Batch::into_burn`]).
    #[must_use]
    pub fn new(loader: Loader<T>, device: &Device) -> Self {
        BurnLoader::with_batcher(loader, device, |batch, device| batch.into_burn(device))
    }
}

impl<T: Element, O> BurnLoader<T, O> {
    /// Batches as `batcher` makes them, on the thread that iterates. What the
    /// training keeps of a batch besides tensors (its [`state`](Batch::state), the
    /// paths of its samples) it takes here.
    #[must_use]
    pub fn with_batcher(
        loader: Loader<T>,
        device: &Device,
        batcher: impl Fn(Batch<T>, &Device) -> O + Send + Sync + 'static,
    ) -> Self {
        let next = Mutex::new(loader.first_epoch());
        let shared = Arc::new(Shared { loader, batcher: Box::new(batcher), next });
        BurnLoader { shared, device: device.clone() }
    }

    /// The epoch of the next [`iter`](DataLoader::iter), as a training says that goes
    /// on from its own checkpoint.
    #[must_use]
    pub fn starting_at(self, epoch: u64) -> Self {
        *self.shared.next.lock().unwrap_or_else(PoisonError::into_inner) = epoch;
        self
    }

    /// The loader, for its figures and classes.
    #[must_use]
    pub fn loader(&self) -> &Loader<T> {
        &self.shared.loader
    }
}

impl<T: Element, O> Shared<T, O> {
    fn begin(&self) -> Result<Epoch<'_, T>, Error> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        let epoch = self.loader.begin_epoch(*next)?;
        *next += 1;
        Ok(epoch)
    }
}

impl<T: Element, O: 'static> DataLoader<O> for BurnLoader<T, O> {
    /// The next epoch.
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<O> + 'a> {
        let (epoch, refused) = match self.shared.begin() {
            Ok(epoch) => (Some(epoch), None),
            Err(error) => (None, Some(error)),
        };
        Box::new(BurnBatches { from: self, epoch, refused })
    }

    /// The samples of a whole epoch here: of a shard, its own, padding included.
    /// Waits for the end of the source's walk; 0 if that fails, which the first
    /// item then tells.
    fn num_items(&self) -> usize {
        self.shared.loader.wait_for_samples().map_or(0, items)
    }

    fn to_device(&self, device: &Device) -> Arc<dyn DataLoader<O>> {
        Arc::new(BurnLoader { shared: Arc::clone(&self.shared), device: device.clone() })
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<O>> {
        if start == 0 && end >= self.num_items() {
            return self.to_device(&self.device);
        }
        Arc::new(Refused { start, end })
    }
}

/// An epoch as burn takes it, with its progress in samples.
pub struct BurnBatches<'a, T: Element, O> {
    from: &'a BurnLoader<T, O>,
    epoch: Option<Epoch<'a, T>>,
    /// Why the epoch could not begin.
    refused: Option<Error>,
}

impl<T: Element, O> Iterator for BurnBatches<'_, T, O> {
    type Item = Result<O, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(error) = self.refused.take() {
            return Some(Err(DatasetError::new(Told::new(&error))));
        }
        let BurnLoader { shared, device } = self.from;
        Some(match self.epoch.as_mut()?.next()? {
            Ok(batch) => Ok((shared.batcher)(batch, device)),
            Err(error) => Err(DatasetError::new(Told::new(&error))),
        })
    }
}

impl<T: Element, O> DataLoaderIterator<O> for BurnBatches<'_, T, O> {
    /// Samples delivered or skipped, of those of this epoch; as long as the walk
    /// has not ended, of those that are known to come.
    fn progress(&self) -> Progress {
        let (done, total) = self.epoch.as_ref().map_or((0, 0), |epoch| {
            let stats = epoch.stats();
            let done = stats.images + stats.failed - stats.replaced;
            let total = self.from.shared.loader.samples_of(epoch.number());
            // One more than is done, lest it look complete.
            (done, total.unwrap_or(done + 1))
        });
        Progress::new(items(done), items(total), Some("items".to_owned()))
    }
}

fn items(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// A slice of a loader, which would be another order than the plan's.
struct Refused {
    start: usize,
    end: usize,
}

impl<O: 'static> DataLoader<O> for Refused {
    fn iter<'a>(&'a self) -> Box<dyn DataLoaderIterator<O> + 'a> {
        let told = Told(format!(
            "slice({}..{}): an infeed loader streams one plan and cannot be cut into slices, \
             which burn does to train on several devices in one process; run one process for \
             each device, with shard(rank, world)",
            self.start, self.end
        ));
        Box::new(RefusedOnce(Some(told), PhantomData))
    }

    fn num_items(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    fn to_device(&self, _device: &Device) -> Arc<dyn DataLoader<O>> {
        Arc::new(Refused { start: self.start, end: self.end })
    }

    fn slice(&self, start: usize, end: usize) -> Arc<dyn DataLoader<O>> {
        Arc::new(Refused { start: self.start + start, end: self.start + end })
    }
}

struct RefusedOnce<O>(Option<Told>, PhantomData<fn() -> O>);

impl<O> Iterator for RefusedOnce<O> {
    type Item = Result<O, DatasetError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(|told| Err(DatasetError::new(told)))
    }
}

impl<O> DataLoaderIterator<O> for RefusedOnce<O> {
    fn progress(&self) -> Progress {
        Progress::new(0, 1, Some("items".to_owned()))
    }
}

/// An error with all that led to it in one message: a `Learner` prints no sources.
#[derive(Debug)]
struct Told(String);

impl Told {
    fn new(error: &Error) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            let cause_message = cause.to_string();
            if !message.contains(&cause_message) {
                message = format!("{message}: {cause_message}");
            }
            source = cause.source();
        }
        Told(message)
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl StdError for Told {}

impl<T: Element, O> fmt::Debug for BurnLoader<T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BurnLoader")
            .field("loader", &self.shared.loader)
            .field("device", &self.device)
            .finish_non_exhaustive()
    }
}

impl<T: Element, O> fmt::Debug for BurnBatches<'_, T, O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BurnBatches").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}
