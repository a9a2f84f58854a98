//! Tickets: one for each sample that is granted.

use std::sync::Arc;

use super::{Arrived, EpochId, Inner, Place, Window};
use crate::batch::{Row, Rows};
use crate::element::Element;
use crate::error::{Error, SampleError};
use crate::stats::EpochCounters;
use crate::sync::MutexGuard;

/// The right to settle one key of an epoch exactly once. Dropped
/// unsettled, it ends the run, since a sample has been lost; in a cancelled
/// epoch it counts for nothing.
#[derive(Debug)]
pub(crate) struct Ticket<T: Element> {
    window: Arc<Window<T>>,
    id: EpochId,
    pub(crate) epoch: u64,
    /// Its number in this run of the epoch.
    pub(crate) key: u64,
    pub(crate) counters: Arc<EpochCounters>,
    settled: bool,
}

impl<T: Element> Ticket<T> {
    pub(super) fn new(
        window: Arc<Window<T>>,
        id: EpochId,
        key: u64,
        counters: Arc<EpochCounters>,
    ) -> Self {
        Ticket { window, id, epoch: counters.number, key, counters, settled: false }
    }

    pub(crate) fn epoch_id(&self) -> EpochId {
        self.id
    }

    pub(crate) fn is_live(&self) -> bool {
        self.window.is_live(self.id)
    }

    /// The row for this sample; `None` when the epoch has been cancelled, or ends
    /// here since there is no memory for the batch. Never waits.
    pub(crate) fn claim(&self) -> Option<(Place, Row<T>)> {
        let Window { pool, row_len, .. } = &*self.window;
        let mut inner = self.window.lock();
        let mut refused = None;
        let bind = || {
            let taken = pool.take().map_err(|why| refused = Some(why)).ok()?;
            Some(Arc::new(Rows::new(taken, *row_len)))
        };
        let claimed = inner.state.claim(self.id, self.key, bind);
        let claimed = claimed.map(|(place, rows)| (place, Arc::clone(rows)));
        if let Some(refused) = refused {
            // Before the ticket is missed, if it comes back unsettled.
            inner.error.get_or_insert(refused.into());
            self.window.wake(inner);
        } else {
            drop(inner);
        }
        let (place, rows) = claimed?;
        Some((place, rows.claim(place.row)?))
    }

    /// Gives a claimed row back; the sample goes on, as a substitute.
    pub(crate) fn unclaim(&self, place: Place) {
        self.window.lock().state.unclaim(self.id, place);
    }

    /// The row is filled.
    pub(crate) fn ready(mut self, place: Place, row: Row<T>, arrived: Arrived) {
        // Before the batch can be taken, which needs its memory back.
        drop(row);
        self.settled = true;
        let mut inner = self.window.lock();
        inner.state.ready(self.id, place, arrived);
        self.after_settling(inner);
    }

    /// The sample failed; `place` is its row, if it had claimed one.
    pub(crate) fn fail(mut self, place: Option<Place>, error: SampleError) {
        self.settled = true;
        let mut inner = self.window.lock();
        inner.state.fail(self.id, self.key, place, error);
        let makes_room = inner.state.failures_make_room();
        self.after_settling(inner);
        if makes_room {
            self.window.changed.notify_one();
        }
    }

    fn after_settling(&self, mut inner: MutexGuard<'_, Inner<T>>) {
        inner.look_for_held_back();
        // The last ticket of a cancelled epoch makes room for the next.
        let cancelled = !self.is_live();
        let low = inner.calls_granter(|state| state.runs_low() && state.has_room());
        self.window.wake_if_takeable(inner);
        if low || cancelled {
            self.window.changed.notify_one();
        }
    }
}

impl<T: Element> Drop for Ticket<T> {
    fn drop(&mut self) {
        if self.settled {
            return;
        }
        let mut inner = self.window.lock();
        if inner.state.give_up(self.id) {
            let what = format!("sample {} of epoch {} was lost", self.key, self.epoch);
            inner.error.get_or_insert_with(|| Error::lost(what));
            self.window.wake(inner);
        } else {
            self.after_settling(inner);
        }
    }
}
