//! What a run must deliver: that of a plain run of the same work, with one thread, one
//! reader, one batch ahead and no cache.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use infeed::{Batch, Digest, Dtype, Element, Epoch, ErrorKind, Order, SampleError, bf16, f16};

use crate::failed::Failed;
use crate::plan::{EPOCHS, Speed, Work};
use crate::tree::Trees;

/// What is wrong, in words.
pub(crate) type Checked<V = ()> = Result<V, String>;

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Item {
    Batch {
        epoch: u64,
        index: u64,
        rows: Vec<u64>,
        digest: Digest,
    },
    Failed(Failed),
    /// The run has ended before the end of its epochs.
    End(ErrorKind),
}

impl<T: Element> From<&infeed::Result<Batch<T>>> for Item {
    fn from(item: &infeed::Result<Batch<T>>) -> Self {
        match item {
            Ok(batch) => Item::Batch {
                epoch: batch.epoch(),
                index: batch.index(),
                rows: rows(batch),
                digest: batch.digest(),
            },
            Err(error) => match error.sample() {
                Some(sample) => Item::Failed(sample.into()),
                None => Item::End(error.kind()),
            },
        }
    }
}

/// A hash of each row: its sample, its label and its pixels.
pub(crate) fn rows<T: Element>(batch: &Batch<T>) -> Vec<u64> {
    let each = batch.as_slice().len() / batch.len();
    let labels = batch.labels();
    let shape = batch.images().dim();
    let rows = batch.samples().iter().zip(labels).zip(batch.as_slice().chunks_exact(each));
    let row = |((sample, &label), values): ((&infeed::Sample, &i64), &[T])| {
        let path = sample.path().as_os_str().as_encoded_bytes();
        let words = [
            batch.epoch(),
            sample.index(),
            sample.position(),
            u64::from(sample.is_padding()),
            sample.replaces().map_or(u64::MAX, |index| index),
            label as u64,
            (shape.1 << 40 | shape.2 << 20 | shape.3) as u64,
        ];
        let hash = words.into_iter().chain(path.iter().map(|&byte| byte.into())).fold(0, step);
        values.iter().map(|value| value.to_f32().to_bits().into()).fold(hash, step)
    };
    rows.map(row).collect()
}

fn step(hash: u64, word: u64) -> u64 {
    (hash.rotate_left(23) ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ (hash >> 29)
}

/// What one epoch, or several one after the other, come to.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plain {
    pub(crate) ordered: bool,
    pub(crate) items: Vec<Item>,
    /// Skipped or replaced.
    pub(crate) skipped: Vec<Failed>,
    /// Behind the last item.
    digest: Digest,
    /// What may come unordered before the run ends early; `None` where that is not
    /// known either.
    may_come: Option<Vec<u64>>,
}

impl Plain {
    pub(crate) fn ends_early(&self) -> bool {
        self.end().is_some()
    }

    fn end(&self) -> Option<ErrorKind> {
        match self.items.last() {
            Some(Item::End(kind)) => Some(*kind),
            _ => None,
        }
    }

    /// Those behind so many items.
    pub(crate) fn rows_from(&self, at: usize) -> Vec<u64> {
        let rows = self.items[at..].iter().filter_map(|item| match item {
            Item::Batch { rows, .. } => Some(rows),
            _ => None,
        });
        rows.flatten().copied().collect()
    }

    /// Sorted.
    fn rows(&self) -> Vec<u64> {
        sorted(self.rows_from(0))
    }

    fn failures(&self) -> Vec<Failed> {
        let told = self.items.iter().filter_map(|item| match item {
            Item::Failed(failed) => Some(failed.clone()),
            _ => None,
        });
        let mut failures = sorted(told.chain(self.skipped.iter().cloned()).collect());
        failures.dedup();
        failures
    }
}

fn sorted<V: Ord>(mut values: Vec<V>) -> Vec<V> {
    values.sort();
    values
}

/// Whether all of `some` are there, each as often at the most.
fn is_part(some: &[u64], all: &[u64]) -> bool {
    let mut counts: HashMap<u64, i64> = HashMap::new();
    all.iter().for_each(|row| *counts.entry(*row).or_default() += 1);
    some.iter().all(|row| {
        let count = counts.entry(*row).or_default();
        *count -= 1;
        *count >= 0
    })
}

/// The epochs of one work on one rank, each run by itself.
#[derive(Debug)]
pub(crate) struct Expected(Vec<Plain>);

impl Expected {
    pub(crate) fn new(work: &Work, rank: u32, trees: &Trees) -> Checked<Self> {
        match work.dtype {
            Dtype::U8 => Self::of::<u8>(work, rank, trees),
            Dtype::F16 => Self::of::<f16>(work, rank, trees),
            Dtype::Bf16 => Self::of::<bf16>(work, rank, trees),
            _ => Self::of::<f32>(work, rank, trees),
        }
    }

    fn of<T: Element>(work: &Work, rank: u32, trees: &Trees) -> Checked<Self> {
        let mut epochs = plain::<T>(work, rank, trees)?;
        if work.order == Order::Unordered && epochs.iter().any(|plain| plain.end().is_some()) {
            let free = plain::<T>(&work.without_budget(), rank, trees)?;
            for (plain, free) in epochs.iter_mut().zip(free) {
                plain.may_come = free.end().is_none().then(|| free.rows());
            }
        }
        Ok(Expected(epochs))
    }

    /// Epochs from the one of this place on, so many, in one run.
    pub(crate) fn joined(&self, from: u64, epochs: u64) -> Plain {
        let all = &self.0[from as usize..(from + epochs) as usize];
        let mut joined = Plain { ordered: all.iter().all(|plain| plain.ordered), ..all[0].clone() };
        for plain in &all[1..] {
            if joined.end().is_some() {
                break;
            }
            joined.items.extend(plain.items.iter().cloned());
            joined.skipped.extend(plain.skipped.iter().cloned());
            joined.digest = plain.digest;
        }
        if joined.end().is_some() && all.len() > 1 {
            // Where unordered ends is not known; all that might come before may.
            let may_come = all.iter().map(|plain| match plain.end() {
                None => Some(plain.rows()),
                Some(_) => plain.may_come.clone(),
            });
            joined.may_come = may_come.collect::<Option<Vec<_>>>().map(|rows| rows.concat());
        }
        joined
    }

    pub(crate) fn digest(&self, epoch: u64) -> Option<Digest> {
        let plain = &self.0[epoch as usize];
        plain.end().is_none().then_some(plain.digest)
    }
}

fn plain<T: Element>(work: &Work, rank: u32, trees: &Trees) -> Checked<Vec<Plain>> {
    let builder = work.builder::<T>(trees, rank);
    let builder = Speed::PLAIN.of(work, &trees.cache(work.number), builder);
    let mut loader = builder.build().map_err(|error| format!("the plain run: {error}"))?;
    let mut epochs = Vec::new();
    for epoch in work.first..work.first + EPOCHS {
        let mut epoch = loader.epoch(epoch).map_err(|error| format!("the plain run: {error}"))?;
        let items: Vec<Item> = epoch.by_ref().map(|item| Item::from(&item)).collect();
        let skipped = epoch.failures().iter().map(Failed::from).collect();
        let ordered = work.order == Order::Ordered;
        let digest = epoch.stats().digest;
        epochs.push(Plain { ordered, items, skipped, digest, may_come: None });
    }
    Ok(epochs)
}

/// What is known of the latest works.
#[derive(Default)]
pub(crate) struct Table(BTreeMap<(u64, u32), Arc<Expected>>);

impl Table {
    pub(crate) fn expected(
        &mut self,
        work: &Work,
        rank: u32,
        trees: &Trees,
    ) -> Checked<Arc<Expected>> {
        if let Some(known) = self.0.get(&(work.number, rank)) {
            return Ok(Arc::clone(known));
        }
        let expected = Arc::new(Expected::new(work, rank, trees)?);
        self.0.insert((work.number, rank), Arc::clone(&expected));
        Ok(expected)
    }

    /// Works below this number do not come again.
    pub(crate) fn forget_below(&mut self, number: u64, trees: &Trees) {
        while let Some((&(work, rank), _)) =
            self.0.first_key_value().filter(|((work, _), _)| *work < number)
        {
            self.0.remove(&(work, rank));
            // There is none where no loader had one.
            drop(std::fs::remove_dir_all(trees.cache(work)));
        }
    }
}

/// Compares a run with what it must come to, item by item.
pub(crate) struct Check<'p> {
    plain: &'p Plain,
    /// Items that came, those before a resumed run included.
    at: usize,
    rows: Vec<u64>,
    failures: Vec<Failed>,
    ended: Option<ErrorKind>,
    /// The epoch and number of the last batch.
    last: Option<(u64, u64)>,
    /// A stop handle is at work.
    pub(crate) may_stop: bool,
    /// Behind the last batch.
    digest: Option<Digest>,
}

impl<'p> Check<'p> {
    pub(crate) fn new(plain: &'p Plain) -> Self {
        let (rows, failures) = Default::default();
        let (at, may_stop, ended, last, digest) = Default::default();
        Check { plain, at, rows, failures, ended, last, may_stop, digest }
    }

    pub(crate) fn item<T: Element>(&mut self, item: &infeed::Result<Batch<T>>) -> Checked {
        if let Some(kind) = self.ended {
            return Err(format!("{item:?} behind the end of the run by {kind:?}"));
        }
        let item = Item::from(item);
        if item == Item::End(ErrorKind::Stopped) && self.may_stop {
            self.ended = Some(ErrorKind::Stopped);
            return Ok(());
        }
        if let Item::Batch { digest, .. } = &item {
            self.digest = Some(*digest);
        }
        if self.plain.ordered {
            let expected = self.plain.items.get(self.at);
            if expected != Some(&item) {
                return Err(format!("item {}: {item:?} instead of {expected:?}", self.at));
            }
            if let Item::End(kind) = item {
                self.ended = Some(kind);
            }
            self.at += 1;
            return Ok(());
        }
        match item {
            Item::Batch { epoch, index, rows, .. } => {
                let begins = self.last.is_none_or(|(last, _)| last != epoch);
                if let Some((_, last)) = self.last.filter(|_| !begins)
                    && index != last + 1
                {
                    return Err(format!("batch {index} behind batch {last} of epoch {epoch}"));
                }
                self.last = Some((epoch, index));
                self.rows.extend(rows);
            }
            Item::Failed(failed) => self.failures.push(failed),
            Item::End(kind) => self.ended = Some(kind),
        }
        Ok(())
    }

    /// What an epoch says that was skipped or replaced, and what it delivered.
    pub(crate) fn figures<T: Element>(&mut self, epoch: &Epoch<'_, T>) -> Checked {
        self.skipped(epoch.failures());
        let told = epoch.stats();
        let last = self.digest.take();
        match last.is_none_or(|digest| digest == told.digest) {
            true => Ok(()),
            false => Err(format!("the epoch's {} behind a batch's {last:?}", told.digest)),
        }
    }

    pub(crate) fn skipped(&mut self, failures: &[SampleError]) {
        self.failures.extend(failures.iter().map(Failed::from));
    }

    /// Begins behind what another run delivered.
    pub(crate) fn resumed(self, plain: &'p Plain) -> Self {
        Check { plain, digest: None, ended: None, last: None, ..self }
    }

    /// Items that came so far.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn was_stopped(&self) -> bool {
        self.ended == Some(ErrorKind::Stopped)
    }

    /// At the end; `complete` where the iterator had come to its own.
    pub(crate) fn end(self, complete: bool) -> Checked {
        let complete = complete && !self.was_stopped();
        match self.plain.ordered {
            true => self.end_ordered(complete),
            false => self.end_unordered(complete),
        }
    }

    fn end_ordered(self, complete: bool) -> Checked {
        let (came, all) = (self.at, self.plain.items.len());
        if complete && came != all {
            let missing = &self.plain.items[came];
            return Err(format!("{came} items of {all}; the next would be {missing:?}"));
        }
        let skipped = &self.plain.skipped;
        let known = self.failures.len() <= skipped.len()
            && self.failures[..] == skipped[..self.failures.len()];
        if !known || complete && self.failures.len() != skipped.len() {
            return Err(format!("skipped: {:?} instead of {skipped:?}", self.failures));
        }
        Ok(())
    }

    fn end_unordered(mut self, complete: bool) -> Checked {
        use ErrorKind::{EmptyBatch, FailureBudget, NoSubstitute};
        let fits = match self.plain.end() {
            // Which of them comes first may depend on what was ready.
            Some(_) => matches!(self.ended, None | Some(EmptyBatch | FailureBudget | NoSubstitute)),
            None => self.ended.is_none(),
        };
        if !(fits || self.was_stopped())
            || complete && self.ended.is_some() != self.plain.end().is_some()
        {
            return Err(format!("ended by {:?} instead of {:?}", self.ended, self.plain.end()));
        }
        let all = match self.plain.end() {
            Some(_) => self.plain.may_come.clone(),
            None => Some(self.plain.rows()),
        };
        if all.as_ref().is_some_and(|all| !is_part(&self.rows, all)) {
            return Err("rows that do not belong there, or twice".to_owned());
        }
        if !complete || self.plain.end().is_some() {
            return Ok(());
        }
        self.rows.sort_unstable();
        if Some(&self.rows) != all.as_ref() {
            let (came, all) = (self.rows.len(), all.map(|all| all.len()));
            return Err(format!("{came} rows of {all:?}"));
        }
        self.failures.sort();
        self.failures.dedup();
        let expected = self.plain.failures();
        match self.failures == expected {
            true => Ok(()),
            false => Err(format!("failed: {:?} instead of {expected:?}", self.failures)),
        }
    }

    /// The digest of the whole, where nothing ended it.
    pub(crate) fn digest(&self, digest: Digest) -> Checked {
        let (expected, ended) = (self.plain.digest, self.plain.end().is_some());
        let same = match self.plain.ordered {
            true => digest == expected,
            false => (digest.set(), digest.samples()) == (expected.set(), expected.samples()),
        };
        match same || ended || self.was_stopped() {
            true => Ok(()),
            false => Err(format!("digest {digest} instead of {expected}")),
        }
    }
}

/// The samples of all ranks, and how many they are.
pub(crate) fn together(digests: &[Digest]) -> (u64, u64) {
    let digest = Digest::combined(digests.iter().copied());
    (digest.set(), digest.samples())
}
