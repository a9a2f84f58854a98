//! One case: a work, how fast, and what a program does with the loader.

use crate::draws::Draws;
use crate::plan::{EPOCHS, Speed, Work};
use crate::tree::Trees;

/// Works are in use for a while, so that caches are met again.
const WORKS: u64 = 32;
/// Cases after which the oldest work gives way to a new one.
const CASES_A_WORK: u64 = 12;

#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) seed: u64,
    pub(crate) number: u64,
    pub(crate) way: Way,
    pub(crate) work: Work,
    pub(crate) rank: u32,
    pub(crate) speed: Speed,
    /// Of a second loader, where there is one.
    pub(crate) other: Speed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Built and dropped.
    Nothing,
    One,
    Several,
    EachEpoch,
    /// Dropped after a few batches.
    Early,
    Forget,
    Stop,
    Stream,
    Hold,
    Resume,
    Ranks,
    Beside,
}

impl Case {
    pub(crate) fn new(seed: u64, number: u64, trees: &Trees) -> Self {
        let draws = &mut Draws::new(&[seed, 2, number]);
        let work = Work::new(seed, Case::oldest_work(number) + draws.below(WORKS), trees);
        let rank = draws.below(work.world.into()) as u32;
        let (speed, other) = (Speed::new(draws), Speed::new(draws));
        let way = match draws.below(64) {
            // What is forgotten is leaked: early, so that it does not hide what else is.
            0 if number < 500 => Way::Forget,
            0..3 => Way::Nothing,
            3..13 => Way::One,
            13..19 => Way::Several,
            19..27 => Way::EachEpoch,
            27..33 => Way::Early,
            33..39 => Way::Stop,
            39..45 => Way::Stream,
            45..49 => Way::Hold,
            49..57 => Way::Resume,
            57..60 => Way::Ranks,
            _ => Way::Beside,
        };
        Case { seed, number, way, work, rank, speed, other }
    }

    /// The lowest number of a work that this case and later ones may draw.
    pub(crate) fn oldest_work(number: u64) -> u64 {
        number / CASES_A_WORK
    }

    /// For what is drawn on the way.
    pub(crate) fn draws(&self) -> Draws {
        Draws::new(&[self.seed, 3, self.number])
    }

    pub(crate) fn epochs(&self) -> (u64, u64) {
        (self.work.first, self.work.first + EPOCHS)
    }
}
