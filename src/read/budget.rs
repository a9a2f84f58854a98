//! A byte budget with memory in it: buffers are lent within a fixed number of
//! bytes and used again.
//!
//! Two of them bound what is in flight beside the batches: encoded files, and
//! decoded pixels with what decoders allocate. Idle buffers count as used only
//! until somebody needs their room, so the budget is never exceeded and a
//! request that fits the whole budget is granted once enough has come back.

use std::ops::{Deref, DerefMut, RangeInclusive};
use std::sync::{Arc, PoisonError};

use crate::memory::{Refused, zeroed};
use crate::stats::Level;
use crate::sync::{Condvar, Mutex, MutexGuard, Notify};

/// Buffers are made in steps of so many bytes, so that files of nearly one size
/// share them.
const STEPS: RangeInclusive<u64> = 512..=64 << 10;
/// Within those, a step is this part of the budget: small files must not use a
/// small budget up.
const SHARES: u64 = 16;

/// A buffer above this part of the budget is lent only to requests that need at
/// least a quarter of it.
const LARGE_SHARE: u64 = 8;

#[derive(Debug)]
pub(crate) struct ByteBudget {
    limit: u64,
    state: Mutex<State>,
    /// Wakes threads that wait.
    returned: Condvar,
    /// Wakes tasks that wait.
    notify: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes that leases hold.
    lent: u64,
    /// Buffers that nobody holds, warmest last.
    idle: Vec<Vec<u8>>,
    idle_bytes: u64,
    /// Threads that wait.
    waiting: usize,
    /// The most that was lent or idle at once.
    peak: u64,
    /// Leases so far, and the bytes that they were for.
    leases: u64,
    leased: u64,
}

impl ByteBudget {
    pub(crate) fn new(limit: u64) -> Arc<Self> {
        let (state, returned, notify) = (Mutex::default(), Condvar::new(), Notify::new());
        Arc::new(ByteBudget { limit, state, returned, notify })
    }

    pub(crate) fn limit(&self) -> u64 {
        self.limit
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A buffer of `len` bytes of no particular content, and the right to
    /// `extra` bytes that somebody else allocates; now or not at all.
    pub(crate) fn try_take(
        self: &Arc<Self>,
        len: usize,
        extra: u64,
    ) -> Result<Option<Lease>, Refused> {
        let charged = self.lock().lend(self.limit, len, extra);
        charged.map(|(buffer, charge)| self.lease(buffer, charge, len)).transpose()
    }

    /// The same, waiting as a task. `len + extra` must fit the limit.
    ///
    /// One return wakes one who waits, and who was served wakes the next: as
    /// long as somebody finds no room, something is lent and will come back.
    pub(crate) async fn take(self: &Arc<Self>, len: usize, extra: u64) -> Result<Lease, Refused> {
        loop {
            let notified = self.notify.notified();
            tokio::pin!(notified);
            // From here on no return is missed.
            notified.as_mut().enable();
            if let Some(lease) = self.try_take(len, extra).transpose() {
                self.notify.notify_one();
                return lease;
            }
            notified.await;
        }
    }

    /// The same, waiting as a thread. `len + extra` must fit the limit.
    pub(crate) fn take_waiting(self: &Arc<Self>, len: usize, extra: u64) -> Result<Lease, Refused> {
        let mut state = self.lock();
        loop {
            if let Some((buffer, charge)) = state.lend(self.limit, len, extra) {
                self.wake_one(state);
                return self.lease(buffer, charge, len);
            }
            state.waiting += 1;
            state = self.returned.wait(state).unwrap_or_else(PoisonError::into_inner);
            state.waiting -= 1;
        }
    }

    /// Wakes a thread that waits. Without one it costs nothing, which a
    /// condition variable does not promise.
    fn wake_one(&self, state: MutexGuard<'_, State>) {
        let waiting = state.waiting > 0;
        drop(state);
        if waiting {
            self.returned.notify_one();
        }
    }

    fn lease(
        self: &Arc<Self>,
        buffer: Option<Vec<u8>>,
        charge: Charge,
        len: usize,
    ) -> Result<Lease, Refused> {
        let mut lease = Lease { buffer: Vec::new(), len, charge, budget: Arc::clone(self) };
        lease.buffer = match buffer {
            Some(buffer) => buffer,
            // Refused, the lease gives its charge back.
            None => zeroed(charge.buffer as usize)?,
        };
        Ok(lease)
    }

    fn give_back(&self, buffer: Vec<u8>, charge: Charge) {
        let mut state = self.lock();
        state.lent -= charge.buffer + charge.extra;
        state.idle_bytes += buffer.len() as u64;
        if !buffer.is_empty() {
            state.idle.push(buffer);
        }
        self.wake_one(state);
        self.notify.notify_one();
    }

    /// How much of it is in use.
    pub(crate) fn level(&self) -> Level {
        let State { lent, peak, leases, leased, .. } = *self.lock();
        let mean_bytes = leased.checked_div(leases).unwrap_or(0);
        Level { bytes: lent, peak_bytes: peak, limit_bytes: self.limit, mean_bytes }
    }
}

/// What a lease counts for.
#[derive(Clone, Copy, Debug)]
struct Charge {
    buffer: u64,
    extra: u64,
}

impl State {
    /// Charges a request; the buffer is `None` where one has to be made.
    fn lend(&mut self, limit: u64, len: usize, extra: u64) -> Option<(Option<Vec<u8>>, Charge)> {
        let room = limit.checked_sub(self.lent)?.checked_sub(extra)?;
        if len as u64 > room {
            return None;
        }
        // A buffer that is a good part of the budget must not be spent on a
        // small request: after one huge picture, decoders would take turns.
        let fits = |buffer: &Vec<u8>| {
            let bytes = buffer.len() as u64;
            let fair = bytes <= limit / LARGE_SHARE || buffer.len() / 4 <= len;
            buffer.len() >= len && bytes <= room && fair
        };
        let found = self.idle.iter().rposition(fits).map(|at| self.idle.remove(at));
        let bytes = match &found {
            Some(buffer) => {
                self.idle_bytes -= buffer.len() as u64;
                buffer.len() as u64
            }
            None => {
                // The new one takes the place of the smallest that was too small, so
                // buffers do not add up, and in the end are as large as any request.
                // One that was too large for this request stays for its like.
                let sizes = self.idle.iter().map(Vec::len).enumerate();
                let too_small = sizes.filter(|&(_, size)| size < len).min_by_key(|&(_, size)| size);
                if let Some((smallest, _)) = too_small {
                    self.idle_bytes -= self.idle.remove(smallest).len() as u64;
                }
                rounded(len as u64, limit).min(room)
            }
        };
        self.lent += bytes + extra;
        self.leases += 1;
        self.leased += bytes + extra;
        while self.lent + self.idle_bytes > limit && !self.idle.is_empty() {
            self.idle_bytes -= self.idle.remove(0).len() as u64;
        }
        self.peak = self.peak.max(self.lent + self.idle_bytes);
        Some((found, Charge { buffer: bytes, extra }))
    }
}

/// The size of a new buffer for `len` bytes.
fn rounded(len: u64, limit: u64) -> u64 {
    len.next_multiple_of((limit / SHARES).clamp(*STEPS.start(), *STEPS.end()))
}

/// Bytes within a budget; goes back when dropped.
#[derive(Debug)]
pub(crate) struct Lease {
    /// As long as its charge says; `len` of it are asked for.
    buffer: Vec<u8>,
    len: usize,
    charge: Charge,
    budget: Arc<ByteBudget>,
}

impl Lease {
    /// Bytes of the budget that it counts for.
    pub(crate) fn charged(&self) -> u64 {
        self.charge.buffer + self.charge.extra
    }
}

impl Deref for Lease {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.buffer[..self.len]
    }
}

impl DerefMut for Lease {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.buffer[..self.len]
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.budget.give_back(std::mem::take(&mut self.buffer), self.charge);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_buffer_is_used_again() {
        let budget = ByteBudget::new(1 << 20);
        let mut lease = budget.try_take(1000, 0).unwrap().unwrap();
        lease[0] = 42;
        drop(lease);
        assert_eq!(budget.try_take(900, 0).unwrap().unwrap()[0], 42);
    }

    #[test]
    fn the_whole_budget_can_be_had_when_all_is_back() {
        let budget = ByteBudget::new(1_000_000);
        drop((budget.try_take(300_000, 0), budget.try_take(300_000, 5)));
        assert!(budget.try_take(1_000_000, 0).unwrap().is_some());
        assert!(budget.try_take(400_000, 600_000).unwrap().is_some());
        assert!(budget.try_take(400_000, 600_001).unwrap().is_none());
    }

    #[test]
    fn as_many_small_files_fit_as_the_budget_has_room_for() {
        let budget = ByteBudget::new(16 * 4096);
        let held: Vec<_> = (0..17).map_while(|_| budget.try_take(4096, 0).unwrap()).collect();
        assert_eq!(held.len(), 16);
    }

    #[test]
    fn a_huge_buffer_is_not_spent_on_a_small_request() {
        let budget = ByteBudget::new(100_000_000);
        drop(budget.try_take(99_000_000, 0));
        let small = budget.try_take(500_000, 0).unwrap();
        assert!(small.is_some());
        assert!(budget.try_take(90_000_000, 0).unwrap().is_some());
    }

    #[test]
    fn what_is_refused_is_not_charged() {
        let budget = ByteBudget::new(1 << 60);
        assert!(budget.try_take(1 << 59, 7).is_err());
        assert!(budget.take_waiting(1 << 59, 7).is_err());
        assert_eq!(budget.level().bytes, 0);
        assert!(budget.try_take(1 << 10, (1 << 60) - (1 << 20)).unwrap().is_some());
    }

    #[test]
    fn a_waiting_thread_is_woken() {
        let budget = ByteBudget::new(1000);
        let lease = budget.try_take(1000, 0).unwrap().unwrap();
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| budget.take_waiting(600, 400).unwrap().len());
            drop(lease);
            assert_eq!(waiting.join().unwrap(), 600);
        });
    }

    #[tokio::test]
    async fn a_waiting_task_is_woken() {
        let budget = ByteBudget::new(1000);
        let lease = budget.try_take(1000, 0).unwrap().unwrap();
        let waiting = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move { budget.take(600, 0).await.unwrap().len() }
        });
        tokio::task::yield_now().await;
        drop(lease);
        assert_eq!(waiting.await.unwrap(), 600);
    }

    proptest! {
        #[test]
        fn the_limit_holds(requests in proptest::collection::vec((0_usize..400_000, 0_u64..50_000, 0_usize..4), 1..60)) {
            let budget = ByteBudget::new(1_000_000);
            let mut held = Vec::new();
            for (len, extra, drops) in requests {
                match budget.try_take(len, extra).unwrap() {
                    Some(lease) => {
                        prop_assert_eq!(lease.len(), len);
                        held.push(lease);
                    }
                    None => prop_assert!(!held.is_empty()),
                }
                for _ in 0..drops {
                    if !held.is_empty() {
                        held.swap_remove(0);
                    }
                }
                prop_assert!(budget.level().peak_bytes <= 1_000_000);
            }
        }
    }
}
