//! The rights to reads in progress, of which there can come to be more or fewer.

use crate::sync::atomic::{AtomicIsize, Ordering};

/// So many reads may be in progress. Only the granter takes rights, so what is free
/// stays free until it does.
#[derive(Debug)]
pub(crate) struct Permits {
    /// Below zero where there are fewer than are in use: who gives one back then pays
    /// that debt first.
    free: AtomicIsize,
}

/// A right that goes back when dropped, unless it is kept.
#[derive(Debug)]
pub(crate) struct Permitted<'a>(&'a Permits);

impl Permits {
    pub(crate) fn new(readers: usize) -> Self {
        Permits { free: AtomicIsize::new(readers as isize) }
    }

    /// A right, if one is free.
    pub(crate) fn take(&self) -> Option<Permitted<'_>> {
        let take = |free: isize| (free > 0).then_some(free - 1);
        let taken = self.free.fetch_update(Ordering::AcqRel, Ordering::Acquire, take);
        // Made only when it was taken: dropped, it would be given back.
        taken.is_ok().then(|| Permitted(self))
    }

    pub(crate) fn give_back(&self) {
        self.free.fetch_add(1, Ordering::AcqRel);
    }

    /// There are so many more, or fewer, of them.
    pub(crate) fn change(&self, by: isize) {
        self.free.fetch_add(by, Ordering::AcqRel);
    }
}

impl Permitted<'_> {
    /// It is somebody else's now, who gives it back.
    pub(crate) fn keep(self) {
        std::mem::forget(self);
    }
}

impl Drop for Permitted<'_> {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_take_effect_when_those_in_use_come_back() {
        let permits = Permits::new(4);
        (0..3).for_each(|_| permits.take().unwrap().keep());
        drop(permits.take().unwrap());
        permits.change(-3);
        assert!(permits.take().is_none());
        permits.give_back();
        permits.give_back();
        assert!(permits.take().is_none(), "one is in use, and there is one");
        permits.give_back();
        assert!(permits.take().is_some());
        permits.change(1);
        permits.take().unwrap().keep();
        permits.take().unwrap().keep();
        assert!(permits.take().is_none());
    }
}
