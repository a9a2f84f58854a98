//! What the consumer iterates: one epoch, or several, blocking or as a stream.

use std::fmt;
use std::iter::FusedIterator;
use std::marker::PhantomData;
use std::pin::Pin;
use std::task::{Context, Poll};

use futures_core::Stream;

use crate::batch::Batch;
use crate::deliver::{Delivery, Patience, Step};
use crate::element::Element;
use crate::error::{Result, SampleError};
use crate::stats::EpochStats;

/// The batches of one epoch: an iterator of `Result<Batch>`.
///
/// An `Err` whose [`sample`](crate::Error::sample) is `Some` is one failed
/// sample ([`OnError::Fail`](crate::OnError::Fail)); calling `next` again goes
/// on. Any other `Err` is the last item. Dropping the iterator early cancels the
/// rest of the epoch.
pub struct Epoch<'a, T: Element = f32> {
    delivery: Held<'a, T>,
    number: u64,
    done: bool,
}

/// A delivery of one's own, or that of [`Epochs`] for the time of one epoch.
enum Held<'a, T: Element> {
    Own(Box<Delivery<T>>, PhantomData<&'a mut ()>),
    Lent(&'a mut Delivery<T>),
}

impl<'a, T: Element> Epoch<'a, T> {
    pub(crate) fn new(delivery: Delivery<T>) -> Self {
        let number = delivery.current_epoch();
        Epoch { delivery: Held::Own(Box::new(delivery), PhantomData), number, done: false }
    }

    fn delivery(&self) -> &Delivery<T> {
        match &self.delivery {
            Held::Own(delivery, _) => delivery,
            Held::Lent(delivery) => delivery,
        }
    }

    fn delivery_mut(&mut self) -> &mut Delivery<T> {
        match &mut self.delivery {
            Held::Own(delivery, _) => delivery,
            Held::Lent(delivery) => delivery,
        }
    }

    /// The number of the epoch.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.number
    }

    /// The figures of this epoch so far. Iterate `&mut epoch` to have them at
    /// the end:
    ///
    /// ```
    /// # let photos = infeed::doc::photos();
    /// # let mut loader = infeed::Loader::folder(&photos).size(32, 32).build()?;
    /// let mut epoch = loader.epoch(0)?;
    /// for batch in &mut epoch {
    ///     batch?;
    /// }
    /// println!("{:.0} images/s", epoch.stats().images_per_second());
    /// # Ok::<(), infeed::Error>(())
    /// ```
    #[must_use]
    pub fn stats(&self) -> EpochStats {
        self.delivery().stats(self.number)
    }

    /// The samples that were skipped or replaced so far, in the order in which
    /// their batches came; at most `failures_kept`. Of an epoch that
    /// [`Epochs::next_epoch`] lent, those of the epochs before it come first. With
    /// [`OnError::Fail`](crate::OnError::Fail) they are yielded instead.
    #[must_use]
    pub fn failures(&self) -> &[SampleError] {
        self.delivery().failures()
    }

    /// The same batches as a [`Stream`], for an async program: polling never
    /// blocks. It needs no particular runtime.
    ///
    /// ```
    /// # let photos = infeed::doc::photos();
    /// use futures_util::StreamExt;
    ///
    /// # let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    /// # runtime.block_on(async {
    /// let mut loader = infeed::Loader::folder(&photos).size(32, 32).build()?;
    /// let mut batches = loader.epoch(0)?.into_stream();
    /// while let Some(batch) = batches.next().await {
    ///     println!("{} images", batch?.len());
    /// }
    /// # Ok::<(), infeed::Error>(())
    /// # }).unwrap();
    /// ```
    pub fn into_stream(self) -> EpochStream<'a, T> {
        EpochStream(self)
    }

    fn advance(&mut self, patience: &Patience<'_>) -> Poll<Option<Result<Batch<T>>>> {
        if self.done {
            return Poll::Ready(None);
        }
        match self.delivery_mut().step(patience) {
            None => Poll::Pending,
            Some(Step::Item(item)) => Poll::Ready(Some(item)),
            Some(Step::EpochEnd | Step::End) => {
                self.done = true;
                Poll::Ready(None)
            }
        }
    }
}

impl<T: Element> Iterator for Epoch<'_, T> {
    type Item = Result<Batch<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        ready(self.advance(&Patience::Wait))
    }
}

impl<T: Element> FusedIterator for Epoch<'_, T> {}

impl<T: Element> Drop for Epoch<'_, T> {
    fn drop(&mut self) {
        if let (Held::Lent(delivery), false) = (&mut self.delivery, self.done) {
            delivery.skip_epoch();
        }
    }
}

impl<T: Element> fmt::Debug for Epoch<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Epoch").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

/// The batches of several epochs: an iterator of `Result<Batch>` over all of
/// them, or [`next_epoch`](Epochs::next_epoch) for one [`Epoch`] at a time.
pub struct Epochs<'a, T: Element = f32> {
    delivery: Delivery<T>,
    loader: PhantomData<&'a mut ()>,
}

impl<'a, T: Element> Epochs<'a, T> {
    pub(crate) fn new(delivery: Delivery<T>) -> Self {
        Epochs { delivery, loader: PhantomData }
    }

    /// The next epoch, or `None` after the last one, and after an error that
    /// ended the run. An epoch that is dropped before its end is skipped; the
    /// ones behind it come whole.
    pub fn next_epoch(&mut self) -> Option<Epoch<'_, T>> {
        if self.delivery.is_over() {
            return None;
        }
        let number = self.delivery.current_epoch();
        Some(Epoch { delivery: Held::Lent(&mut self.delivery), number, done: false })
    }

    /// The samples that were skipped or replaced so far; at most
    /// `failures_kept`.
    #[must_use]
    pub fn failures(&self) -> &[SampleError] {
        self.delivery.failures()
    }

    /// The same batches as a [`Stream`]; see [`Epoch::into_stream`].
    pub fn into_stream(self) -> EpochsStream<'a, T> {
        EpochsStream(self)
    }

    fn advance(&mut self, patience: &Patience<'_>) -> Poll<Option<Result<Batch<T>>>> {
        loop {
            match self.delivery.step(patience) {
                None => return Poll::Pending,
                Some(Step::Item(item)) => return Poll::Ready(Some(item)),
                Some(Step::EpochEnd) => {}
                Some(Step::End) => return Poll::Ready(None),
            }
        }
    }
}

impl<T: Element> Iterator for Epochs<'_, T> {
    type Item = Result<Batch<T>>;

    fn next(&mut self) -> Option<Self::Item> {
        ready(self.advance(&Patience::Wait))
    }
}

impl<T: Element> FusedIterator for Epochs<'_, T> {}

impl<T: Element> fmt::Debug for Epochs<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stats = self.delivery.stats(self.delivery.current_epoch());
        f.debug_struct("Epochs").field("stats", &stats).finish_non_exhaustive()
    }
}

/// Waiting with [`Patience::Wait`] never comes back empty-handed.
fn ready<V>(poll: Poll<Option<V>>) -> Option<V> {
    match poll {
        Poll::Ready(value) => value,
        Poll::Pending => None,
    }
}

/// [`Epoch`] as a [`Stream`].
#[derive(Debug)]
#[must_use = "a stream does nothing until it is polled"]
pub struct EpochStream<'a, T: Element = f32>(Epoch<'a, T>);

impl<T: Element> EpochStream<'_, T> {
    /// As [`Epoch::stats`].
    #[must_use]
    pub fn stats(&self) -> EpochStats {
        self.0.stats()
    }

    /// As [`Epoch::failures`].
    #[must_use]
    pub fn failures(&self) -> &[SampleError] {
        self.0.failures()
    }
}

impl<T: Element> Stream for EpochStream<'_, T> {
    type Item = Result<Batch<T>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.advance(&Patience::Wake(context.waker()))
    }
}

/// [`Epochs`] as a [`Stream`].
#[derive(Debug)]
#[must_use = "a stream does nothing until it is polled"]
pub struct EpochsStream<'a, T: Element = f32>(Epochs<'a, T>);

impl<T: Element> EpochsStream<'_, T> {
    /// As [`Epochs::failures`].
    #[must_use]
    pub fn failures(&self) -> &[SampleError] {
        self.0.failures()
    }
}

impl<T: Element> Stream for EpochsStream<'_, T> {
    type Item = Result<Batch<T>>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.advance(&Patience::Wake(context.waker()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test says no more than that it failed")]

    use crate::{ErrorKind, Loader};

    #[test]
    fn an_epoch_that_another_one_took_the_place_of_says_so_and_leaves_it_alone() {
        let photos = crate::doc::photos();
        let builder = Loader::folder(&photos).size(4, 4).batch_size(2).shuffle(3);
        let loader = builder.build().unwrap();
        let mut first = loader.begin_epoch(0).unwrap();
        assert_eq!(first.next().unwrap().unwrap().epoch(), 0);
        let mut second = loader.begin_epoch(1).unwrap();
        assert_eq!(second.next().unwrap().unwrap().index(), 0);
        assert_eq!(first.next().unwrap().unwrap_err().kind(), ErrorKind::Superseded);
        assert!(first.next().is_none());
        assert!(first.next().is_none());
        let third = loader.begin_epoch(2).unwrap();
        // Dropped before its end: that cancels nothing of the third.
        drop((first, second));
        let rows: usize = third.map(|batch| batch.unwrap().len()).sum();
        assert_eq!(rows, 10);
    }
}
