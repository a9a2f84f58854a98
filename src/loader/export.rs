//! What an export asks of a loader.

use super::{Loader, Shared};
use crate::element::Element;
use crate::epoch::Epoch;
use crate::error::Result;
use crate::plan::Begun;
use crate::source::{Index, Print};

/// What an export writes down before it begins.
pub(crate) struct Listed<'a> {
    pub(crate) index: &'a Index,
    pub(crate) print: Print,
    /// Of the epoch, padding included.
    pub(crate) positions: u64,
    /// A hash of the weights that samples are drawn by; 0 without any.
    pub(crate) weights: u64,
}

impl<T: Element> Loader<T> {
    /// What decides an epoch's order and is known at the end of the walk, for which this
    /// waits.
    pub(crate) fn listed(&self) -> Result<Listed<'_>> {
        let Shared { plan, index, .. } = &*self.shared;
        index.wait_for_end()?;
        plan.prepare(index);
        if let Some(error) = plan.error() {
            return Err(error);
        }
        let print = index.print();
        let weights = plan.weights_hash().unwrap_or_default();
        Ok(Listed { index, print, positions: plan.length(print.samples), weights })
    }

    /// The batches of what `begun` leaves of an epoch: once, before any other. A batch of
    /// which every sample failed is passed over.
    pub(crate) fn rest(&mut self, begun: Begun) -> Result<Epoch<'_, T>> {
        let number = begun.epoch;
        self.shared.plan.begun.get_or_init(|| begun);
        let delivery = self.begin(number..number + 1)?;
        Ok(Epoch::new(delivery.pass_over_empty_batches()))
    }
}
