//! A plain serial loader: what an epoch over a script must come to.

use infeed::{Batch, Budget, CauseKind, ErrorKind, LastBatch, NO_LABEL, OnError};
use infeed::{Result, Stage};

pub(crate) use super::failed::Failed;
use super::scripted::{Act, Scripted, picture};

/// One item of an iterator, as plain data.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Item {
    Batch { epoch: u64, index: u64, rows: Vec<Row> },
    Failed(Failed),
    Run(String),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Row {
    pub(crate) index: u64,
    pub(crate) position: u64,
    pub(crate) padding: bool,
    pub(crate) replaces: Option<u64>,
    pub(crate) path: String,
    pub(crate) label: Option<u32>,
    pub(crate) number: i64,
    pub(crate) values: Vec<u8>,
}

impl From<Result<Batch<u8>>> for Item {
    fn from(item: Result<Batch<u8>>) -> Self {
        match item {
            Ok(batch) => Item::of(&batch),
            Err(error) => match error.sample() {
                Some(sample) => Item::Failed(sample.into()),
                None => Item::run(error.kind()),
            },
        }
    }
}

impl Item {
    pub(crate) fn of(batch: &Batch<u8>) -> Self {
        Item::Batch { epoch: batch.epoch(), index: batch.index(), rows: rows(batch) }
    }

    pub(crate) fn run(kind: ErrorKind) -> Self {
        Item::Run(format!("{kind:?}"))
    }

    /// The rows of a batch; of anything else, none.
    pub(crate) fn rows(&self) -> &[Row] {
        match self {
            Item::Batch { rows, .. } => rows,
            _ => &[],
        }
    }
}

fn rows(batch: &Batch<u8>) -> Vec<Row> {
    assert_eq!(batch.images().shape()[0], batch.len());
    assert_eq!(batch.labels().len(), batch.len());
    let len = batch.as_slice().len() / batch.len();
    let values = batch.as_slice().chunks(len);
    let rows = batch.samples().iter().zip(batch.labels()).zip(values);
    let row = |((sample, &number), values): ((&infeed::Sample, &i64), &[u8])| Row {
        index: sample.index(),
        position: sample.position(),
        padding: sample.is_padding(),
        replaces: sample.replaces(),
        path: sample.path().display().to_string(),
        label: sample.label(),
        number,
        values: values.to_vec(),
    };
    rows.map(row).collect()
}

/// The row that a good sample becomes.
pub(crate) fn row(index: u64, position: u64, padding: bool) -> Row {
    let label = Scripted::label(index);
    Row {
        index,
        position,
        padding,
        replaces: None,
        path: Scripted::path(index).display().to_string(),
        label,
        number: label.map_or(NO_LABEL, i64::from),
        values: picture(index).to_vec(),
    }
}

pub(crate) fn failed(act: Act, index: u64, position: u64, epoch: u64) -> Failed {
    let (stage, cause) = match act {
        Act::ReadError => (Stage::Read, CauseKind::Io),
        Act::ReadPanic | Act::ReadPanicAtOnce => (Stage::Read, CauseKind::Panicked),
        Act::OpenError => (Stage::Decode, CauseKind::Corrupt),
        Act::OpenPanic | Act::PixelsPanic => (Stage::Decode, CauseKind::Panicked),
        Act::PixelsError => (Stage::Decode, CauseKind::Truncated),
        _ => unreachable!("{act:?} does not fail"),
    };
    let path = Scripted::path(index).display().to_string();
    let (stage, cause) = (stage.to_string(), cause.to_string());
    Failed { epoch, position, index, path, stage, cause, substitute: None }
}

/// The length of an epoch over `samples`.
pub(crate) fn length(samples: usize, batch_size: usize, last: LastBatch) -> usize {
    match last {
        LastBatch::Keep => samples,
        LastBatch::Drop => samples / batch_size * batch_size,
        LastBatch::Pad => samples.div_ceil(batch_size) * batch_size,
    }
}

/// What ordered epochs come to with `Fail` or `Skip`: the items, and the failures
/// that were skipped.
pub(crate) fn serial(
    acts: &[Act],
    batch_size: usize,
    last: LastBatch,
    policy: OnError,
    epochs: std::ops::Range<u64>,
) -> (Vec<Item>, Vec<Failed>) {
    let (mut items, mut skipped) = (Vec::new(), Vec::new());
    let length = length(acts.len(), batch_size, last);
    let allowed = match policy {
        OnError::Skip { max_failures: Budget::Count(count) } => count,
        OnError::Skip { max_failures: Budget::Fraction(fraction) } => {
            (fraction * length as f64).floor() as u64
        }
        _ => u64::MAX,
    };
    for epoch in epochs {
        let (mut failures, mut delivered) = (0, 0);
        for (index, start) in (0..length).step_by(batch_size).enumerate() {
            let (mut rows, before) = (Vec::new(), failures);
            for position in start..length.min(start + batch_size) {
                let at = position % acts.len();
                if !acts[at].fails() {
                    rows.push(row(at as u64, position as u64, position >= acts.len()));
                    continue;
                }
                failures += 1;
                let failed = failed(acts[at], at as u64, position as u64, epoch);
                if policy == OnError::Fail {
                    items.push(Item::Failed(failed));
                } else if failures > allowed {
                    items.push(Item::run(ErrorKind::FailureBudget));
                    return (items, skipped);
                } else {
                    skipped.push(failed);
                }
            }
            if rows.is_empty() {
                assert!(failures > before);
                continue;
            }
            delivered += rows.len();
            items.push(Item::Batch { epoch, index: index as u64, rows });
        }
        if length > 0 && delivered == 0 {
            items.push(Item::run(ErrorKind::EmptyBatch));
            return (items, skipped);
        }
    }
    (items, skipped)
}
