//! Who waits for whom, and what a change would bring: in figures, and in a sentence.

use std::fmt;

use serde::Serialize;

use super::Stats;
use super::sight::{FED, FOR_MEMORY, Shares, Sight};

/// What holds the others back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Bound {
    /// Too little has happened to tell.
    Starting,
    /// The consumer: the loader keeps it fed.
    Consumer,
    /// Decoding and transform: every thread is busy.
    Decode,
    /// Reading: the decoders wait for files.
    Read,
    /// Order: finished samples wait for one in front of them.
    Order,
    /// The prefetch depth: there is no room to work ahead.
    Prefetch,
    /// The memory limit: threads or reads wait for a byte budget.
    Memory,
    /// Listing the source.
    Walk,
}

impl Bound {
    /// In two words, for a progress bar.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Bound::Starting => "starting",
            Bound::Consumer => "consumer-bound",
            Bound::Decode => "decode-bound",
            Bound::Read => "read-bound",
            Bound::Order => "order-bound",
            Bound::Prefetch => "prefetch-bound",
            Bound::Memory => "memory-bound",
            Bound::Walk => "walk-bound",
        }
    }
}

/// What could be set otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Change {
    /// So many decoder threads.
    Threads(usize),
    /// So many reads in flight.
    Readers(usize),
    /// So many batches ahead.
    Prefetch(usize),
    /// Batches in the order in which they become ready.
    Unordered,
    /// So many bytes more of memory.
    Memory(u64),
}

/// A change, and what it would bring.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Advice {
    /// What to set.
    pub change: Change,
    /// The part of its time that the consumer would wait then.
    pub wait: f64,
    /// Images that would be delivered a second.
    pub images_per_second: f64,
}

/// Who waits for whom, with numbers. [`Display`](fmt::Display) has it as a
/// sentence.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// What holds the others back.
    pub bound: Bound,
    /// The part of its time that the consumer waits, in `0.0..=1.0`.
    pub wait: f64,
    /// Images delivered a second.
    pub images_per_second: f64,
    /// Images a second that the loader could deliver to a consumer that never
    /// lets it wait.
    pub capacity: f64,
    /// What to change; `None` where nothing that can be set would help.
    pub advice: Option<Advice>,
    /// What would limit behind that, and at how many images a second.
    pub next: Option<(Bound, f64)>,
    /// The figures behind the words.
    #[serde(skip)]
    pub(super) shares: Shares,
}

impl Stats {
    /// Who waited for whom since the loader was built.
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        self.verdict_since(&Stats::default())
    }

    /// What held the others back since `earlier`, which are figures of the same
    /// loader: the first word of the [verdict](Self::verdict_since), which takes
    /// milliseconds to find what a change would bring.
    #[must_use]
    pub fn bound_since(&self, earlier: &Stats) -> Bound {
        Sight::new(earlier, self).map_or(Bound::Starting, |sight| sight.bound(FED))
    }

    /// Who waited for whom since `earlier`, which are figures of the same loader.
    #[must_use]
    pub fn verdict_since(&self, earlier: &Stats) -> Verdict {
        Sight::new(earlier, self).map_or_else(Verdict::starting, |sight| sight.judge())
    }
}

impl Verdict {
    pub(super) fn starting() -> Self {
        Verdict {
            bound: Bound::Starting,
            wait: 0.0,
            images_per_second: 0.0,
            capacity: 0.0,
            advice: None,
            next: None,
            shares: Shares::default(),
        }
    }
}

/// A consumer that waits more than this has hardly a step of its own: what it
/// would wait then says nothing, what it would get does.
const NO_STEP: f64 = 0.9;

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shares { threads, readers, prefetch, cores, .. } = self.shares;
        let (words, wait) = (self.bound.words(), percent(self.wait));
        let shares = &self.shares;
        match self.bound {
            Bound::Starting => return f.write_str("starting: nothing to judge yet"),
            Bound::Consumer => {
                write!(f, "{words}: the step waits {wait} of the time; ")?;
                write!(f, "the loader could deliver {:.0} images/s", self.capacity)?;
                if let Some(Advice { change: Change::Threads(threads), .. }) = self.advice {
                    write!(f, ", and {} would do", counted(threads, "thread"))?;
                }
                return Ok(());
            }
            Bound::Decode => {
                let threads = counted(threads, "thread");
                write!(f, "{words}: {threads} busy {}, ", percent(shares.busy))?;
            }
            Bound::Read => {
                let starved = percent(shares.starved);
                write!(f, "{words}: decoders wait {starved} of the time for files, ")?;
                write!(f, "{} busy {}, ", counted(readers, "reader"), percent(shares.reading))?;
            }
            Bound::Order => {
                let reorder = percent(shares.reorder);
                write!(
                    f,
                    "{words}: finished images wait {reorder} of the time for one in front, "
                )?;
            }
            Bound::Prefetch => {
                let prefetch = counted(prefetch, "batch");
                write!(f, "{words}: with {prefetch} ahead there is no room to work in, ")?;
            }
            Bound::Memory if shares.for_memory >= FOR_MEMORY => {
                let waits = percent(shares.for_memory);
                write!(f, "{words}: decoders wait {waits} of the time for memory, ")?;
            }
            Bound::Memory => {
                let waits = percent(shares.reads_for_memory);
                write!(f, "{words}: reads wait {waits} of the time for memory, ")?;
            }
            Bound::Walk => write!(f, "{words}: samples are not listed as fast as they are used, ")?,
        }
        write!(f, "the step waits {wait} of the time")?;
        if let Some(Advice { change, wait, images_per_second }) = self.advice {
            match change {
                Change::Threads(more) => {
                    let s = if more - threads == 1 { "" } else { "s" };
                    write!(f, "; with {} more thread{s}", more - threads)?;
                }
                Change::Readers(readers) => write!(f, "; with {readers} readers")?,
                Change::Prefetch(prefetch) => write!(f, "; with prefetch {prefetch}")?,
                Change::Unordered => write!(f, "; unordered")?,
                Change::Memory(bytes) => {
                    write!(f, "; with {} MiB more", bytes.div_ceil(1 << 20))?;
                }
            }
            match self.wait > NO_STEP {
                true => write!(f, " it would get about {images_per_second:.0} images/s")?,
                false if wait < 0.01 => f.write_str(" it would hardly wait")?,
                false => write!(f, " it would wait about {}", percent(wait))?,
            }
        } else if self.bound == Bound::Decode && threads >= cores {
            let cores = if cores == 1 {
                "the one core is".to_owned()
            } else {
                format!("all {cores} cores are")
            };
            write!(f, "; {cores} in use: smaller images or a cache would help")?;
        }
        let advised = |bound| match (bound, self.advice) {
            (Bound::Decode, None) => self.bound == Bound::Decode,
            _ => self.advice.is_none(),
        };
        match self.next {
            Some((bound, rate)) if !advised(bound) => {
                let what = if bound == Bound::Read { "reads limit" } else { "decoding limits" };
                write!(f, "; beyond that, {what} at {rate:.0} images/s")
            }
            _ => Ok(()),
        }
    }
}

fn percent(share: f64) -> String {
    match share * 100.0 {
        low if low < 1.0 => "less than 1 %".to_owned(),
        other => format!("{other:.0} %"),
    }
}

fn counted(number: usize, what: &str) -> String {
    match (number, what) {
        (1, what) => format!("1 {what}"),
        (number, "batch") => format!("{number} batches"),
        (number, what) => format!("{number} {what}s"),
    }
}
