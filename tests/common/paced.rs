//! A source and a decoder that take a set time, and a consumer that does.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use infeed::decode::{Channels, Decode, Picture};
use infeed::source::{Admission, Listing, ReadFuture, Source};
use infeed::stats::Stats;
use infeed::{Cause, Limits, Loader, LoaderBuilder, Size};

/// How long each part takes for one sample, without using a core.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    pub(crate) samples: usize,
    pub(crate) read: Duration,
    pub(crate) decode: Duration,
    /// Of the samples, one in so many takes `slow` to decode instead; 0: none.
    pub(crate) one_in: usize,
    pub(crate) slow: Duration,
    /// What decoding says that it allocates.
    pub(crate) working_bytes: u64,
}

/// Nothing else uses the thread meanwhile, and no core is used.
pub(crate) fn pass(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()).filter(|t| !t.is_zero()) {
        std::thread::park_timeout(left);
    }
}

impl Pace {
    pub(crate) fn loader(self) -> LoaderBuilder<u8> {
        let loader = Loader::source(self).dtype::<u8>().decoder(self).size(2, 2);
        loader.max_file_bytes(1 << 20).max_pixels(1_000_000)
    }
}

impl Source for Pace {
    fn root(&self) -> PathBuf {
        PathBuf::from("paced")
    }

    fn list(&self, listing: &mut Listing<'_>) -> infeed::Result<()> {
        for index in 0..self.samples {
            if listing.push(&PathBuf::from(index.to_string()), None).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn read(&self, path: &Path, admission: Admission) -> ReadFuture {
        let index: u64 = path.to_str().unwrap().parse().unwrap();
        let time = self.read;
        Box::pin(async move {
            let mut encoded = admission.admit(8).await?;
            if !time.is_zero() {
                tokio::time::sleep(time).await;
            }
            encoded.copy_from_slice(&index.to_le_bytes());
            Ok(encoded)
        })
    }
}

impl Decode for Pace {
    fn open<'a>(&self, encoded: &'a [u8], _: &Limits) -> Result<Box<dyn Picture + 'a>, Cause> {
        let index = u64::from_le_bytes(encoded.try_into().unwrap()) as usize;
        let slow = self.one_in > 0 && index % self.one_in == self.one_in - 1;
        Ok(Box::new(Slow(*self, if slow { self.slow } else { self.decode })))
    }
}

struct Slow(Pace, Duration);

impl Picture for Slow {
    fn size(&self) -> Size {
        Size { width: 2, height: 2 }
    }

    fn working_bytes(&self) -> u64 {
        self.0.working_bytes
    }

    fn read(self: Box<Self>, _: Channels, out: &mut [u8]) -> Result<(), Cause> {
        pass(self.1);
        out.fill(7);
        Ok(())
    }
}

/// Takes the batches of an epoch, one every `step`; the loader's figures at the
/// end, and without the first few batches.
pub(crate) fn consume(mut loader: Loader<u8>, step: Duration) -> (Stats, Stats) {
    let monitor = loader.monitor();
    let mut warm = Stats::default();
    for (number, batch) in loader.epoch(0).unwrap().enumerate() {
        if number == 5 {
            warm = monitor.stats();
        }
        drop(batch.unwrap());
        pass(step);
    }
    (warm, monitor.stats())
}
