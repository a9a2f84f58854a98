//! A source in memory and a decoder, both by script.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use infeed::decode::{Decode, Picture};
use infeed::source::{Admission, Listing, ReadFuture, Source, blocking};
use infeed::{Cause, CauseKind, Error, Limits, Loader, LoaderBuilder, Size};

use super::{Counter, Gate};

/// Values of one picture: 2 x 2 pixels, RGB.
pub(crate) const VALUES: usize = 12;

/// What happens to a sample.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Act {
    #[default]
    Good,
    /// Reading fails.
    ReadError,
    /// The future of the read panics.
    ReadPanic,
    /// The call for the future panics.
    ReadPanicAtOnce,
    /// Opening the picture fails.
    OpenError,
    OpenPanic,
    /// Decoding its pixels fails.
    PixelsError,
    PixelsPanic,
    /// The task of the read waits at the gate.
    HeldTask,
    /// A thread of the blocking pool waits at the gate.
    HeldThread,
    /// The decoder thread waits at the gate.
    HeldDecode,
    /// A thread of the blocking pool waits at the gate, with the memory for the file.
    HeldFilling,
}

impl Act {
    const ALL: [Act; 12] = [
        Act::Good,
        Act::ReadError,
        Act::ReadPanic,
        Act::ReadPanicAtOnce,
        Act::OpenError,
        Act::OpenPanic,
        Act::PixelsError,
        Act::PixelsPanic,
        Act::HeldTask,
        Act::HeldThread,
        Act::HeldDecode,
        Act::HeldFilling,
    ];

    /// Those that fail.
    pub(crate) const FAILING: [Act; 7] = [
        Act::ReadError,
        Act::ReadPanic,
        Act::ReadPanicAtOnce,
        Act::OpenError,
        Act::OpenPanic,
        Act::PixelsError,
        Act::PixelsPanic,
    ];

    pub(crate) fn fails(self) -> bool {
        Act::FAILING.contains(&self)
    }
}

/// What listing does besides telling all samples.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Walk {
    #[default]
    Whole,
    /// An error after so many samples.
    FailsAfter(usize),
    PanicsAfter(usize),
    /// Waits at the walk's gate after so many samples, then goes on.
    HeldAfter(usize),
}

/// A source in memory; clones are the same source.
#[derive(Clone, Debug)]
pub(crate) struct Scripted(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    acts: Vec<Act>,
    walk: Walk,
    /// Of how often each read and decode yields its thread.
    jitter: u64,
    opened: Counter,
    decoded: Counter,
    /// Reads that are under way, and the most of them that were.
    reading: (AtomicUsize, AtomicUsize),
    gate: Gate,
    walk_gate: Gate,
    dropped: Counter,
}

impl Scripted {
    pub(crate) fn new(acts: Vec<Act>) -> Self {
        Scripted::with(acts, Walk::Whole, 0)
    }

    pub(crate) fn good(samples: usize) -> Self {
        Scripted::new(vec![Act::Good; samples])
    }

    pub(crate) fn with(acts: Vec<Act>, walk: Walk, jitter: u64) -> Self {
        let (opened, decoded, reading, dropped) = Default::default();
        let (gate, walk_gate) = (Gate::closed(), Gate::closed());
        Scripted(Arc::new(Inner {
            acts,
            walk,
            jitter,
            opened,
            decoded,
            reading,
            gate,
            walk_gate,
            dropped,
        }))
    }

    /// Reads that were begun.
    pub(crate) fn opened(&self) -> &Counter {
        &self.0.opened
    }

    /// The most reads that were under way at once.
    pub(crate) fn most_reading(&self) -> usize {
        self.0.reading.1.load(Relaxed)
    }

    /// Pictures that were opened by a decoder.
    pub(crate) fn decoded(&self) -> &Counter {
        &self.0.decoded
    }

    /// Futures of held reads that were dropped, done or not.
    pub(crate) fn dropped(&self) -> &Counter {
        &self.0.dropped
    }

    /// Where the held samples wait.
    pub(crate) fn gate(&self) -> &Gate {
        &self.0.gate
    }

    /// Where the walk waits.
    pub(crate) fn walk_gate(&self) -> &Gate {
        &self.0.walk_gate
    }

    /// A loader over this source with its decoder: 2 x 2 pixels, levels.
    pub(crate) fn loader(&self) -> LoaderBuilder<u8> {
        Loader::source(self.clone())
            .dtype::<u8>()
            .decoder(self.clone())
            .size(2, 2)
            .layout(infeed::Layout::Hwc)
            .max_file_bytes(64)
            .max_pixels(64)
    }

    pub(crate) fn path(index: u64) -> PathBuf {
        PathBuf::from(format!("class{}/{index}", index % 3))
    }

    pub(crate) fn label(index: u64) -> Option<u32> {
        (index % 4 != 3).then_some((index % 3) as u32)
    }

    fn list_whole(&self, listing: &mut Listing<'_>) -> infeed::Result<()> {
        for index in 0..=self.0.acts.len() {
            match self.0.walk {
                Walk::FailsAfter(at) if at == index => {
                    return Err(Error::source_unusable("scripted", "scripted failure"));
                }
                Walk::PanicsAfter(at) if at == index => panic!("scripted panic of the walk"),
                Walk::HeldAfter(at) if at == index => self.0.walk_gate.pass(),
                _ => {}
            }
            let number = index as u64;
            let at_end = index == self.0.acts.len();
            if at_end || listing.push(&Self::path(number), Self::label(number)).is_break() {
                break;
            }
        }
        Ok(())
    }
}

/// The values of sample `index`, `[2, 2, 3]`.
pub(crate) fn picture(index: u64) -> [u8; VALUES] {
    std::array::from_fn(|at| ((index * 31 + at as u64 * 7 + index / 8) % 251) as u8)
}

impl Source for Scripted {
    fn root(&self) -> PathBuf {
        PathBuf::from("scripted")
    }

    fn list(&self, listing: &mut Listing<'_>) -> infeed::Result<()> {
        listing.classes(vec!["class0".into(), "class1".into(), "class2".into()]);
        self.list_whole(listing)
    }

    fn read(&self, path: &Path, admission: Admission) -> ReadFuture {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap();
        let index: u64 = name.parse().unwrap();
        self.0.opened.add();
        let (this, act) = (self.clone(), self.0.acts[index as usize]);
        if act == Act::ReadPanicAtOnce {
            panic!("scripted panic of read({index})");
        }
        Box::pin(async move {
            let _reading = Reading::begin(&this);
            let _dropped = DropCounted(matches!(act, Act::HeldTask).then(|| this.clone()));
            for _ in 0..yields(this.0.jitter, index) {
                tokio::task::yield_now().await;
            }
            match act {
                Act::ReadError => return Err(Cause::new(CauseKind::Io, "scripted error")),
                Act::ReadPanic => panic!("scripted panic of the read of {index}"),
                Act::HeldTask => this.0.gate.pass_task().await,
                Act::HeldThread => {
                    let gate = this.0.gate.clone();
                    blocking(move || {
                        gate.pass();
                        Ok(())
                    })
                    .await?;
                }
                _ => {}
            }
            let mut encoded = admission.admit(9).await?;
            if act == Act::HeldFilling {
                let gate = this.0.gate.clone();
                encoded = blocking(move || {
                    gate.pass();
                    Ok(encoded)
                })
                .await?;
            }
            encoded[..8].copy_from_slice(&index.to_le_bytes());
            encoded[8] = act as u8;
            Ok(encoded)
        })
    }
}

/// A read that is under way.
struct Reading(Scripted);

impl Reading {
    fn begin(source: &Scripted) -> Self {
        let (now, most) = &source.0.reading;
        most.fetch_max(now.fetch_add(1, Relaxed) + 1, Relaxed);
        Reading(source.clone())
    }
}

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.0.reading.0.fetch_sub(1, Relaxed);
    }
}

struct DropCounted(Option<Scripted>);

impl Drop for DropCounted {
    fn drop(&mut self) {
        if let Some(source) = &self.0 {
            source.0.dropped.add();
        }
    }
}

fn yields(jitter: u64, index: u64) -> u64 {
    match jitter {
        0 => 0,
        _ => jitter.wrapping_add(index).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 61,
    }
}

impl Decode for Scripted {
    fn open<'a>(&self, encoded: &'a [u8], _: &Limits) -> Result<Box<dyn Picture + 'a>, Cause> {
        self.0.decoded.add();
        let index = u64::from_le_bytes(encoded[..8].try_into().unwrap());
        let act = Act::ALL[usize::from(encoded[8])];
        for _ in 0..yields(self.0.jitter.rotate_left(7), index) {
            std::thread::yield_now();
        }
        match act {
            Act::OpenError => return Err(Cause::new(CauseKind::Corrupt, "scripted error")),
            Act::OpenPanic => panic!("scripted panic of open({index})"),
            Act::HeldDecode => self.0.gate.pass(),
            _ => {}
        }
        Ok(Box::new(Tiny { index, act }))
    }
}

struct Tiny {
    index: u64,
    act: Act,
}

impl Picture for Tiny {
    fn size(&self) -> Size {
        Size { width: 2, height: 2 }
    }

    fn working_bytes(&self) -> u64 {
        0
    }

    fn read(self: Box<Self>, _: infeed::decode::Channels, out: &mut [u8]) -> Result<(), Cause> {
        match self.act {
            Act::PixelsError => return Err(Cause::new(CauseKind::Truncated, "scripted error")),
            Act::PixelsPanic => panic!("scripted panic of the pixels of {}", self.index),
            _ => out.copy_from_slice(&picture(self.index)),
        }
        Ok(())
    }
}
