//! Pace, as ratios of times taken in turn: the gap between announced epochs, and
//! what order costs. Reads and decodes take a scripted time and no core, so what
//! else the machine does matters little; figures are medians.

#![allow(clippy::unwrap_used)]

mod common;

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::within;
use infeed::decode::{Decode, Picture};
use infeed::source::{Admission, Listing, ReadFuture, Source};
use infeed::stats::EpochStats;
use infeed::{Cause, Limits, Loader, LoaderBuilder, Order, Size};

/// Samples that take their time.
#[derive(Clone, Copy, Debug)]
struct Paced {
    samples: u32,
    read: Duration,
    decode: Duration,
    /// One sample in so many takes so many times as long to decode.
    slow: Option<(u32, u32)>,
}

impl Paced {
    fn loader(self) -> LoaderBuilder<u8> {
        Loader::source(self).decoder(self).dtype::<u8>().size(2, 2)
    }
}

impl Source for Paced {
    fn root(&self) -> PathBuf {
        "paced".into()
    }

    fn list(&self, listing: &mut Listing<'_>) -> infeed::Result<()> {
        let mut numbers = (0..self.samples).map(|number| number.to_string());
        while let Some(name) = numbers.next()
            && listing.push(Path::new(&name), None).is_continue()
        {}
        Ok(())
    }

    fn read(&self, path: &Path, admission: Admission) -> ReadFuture {
        let number: u32 = path.to_str().unwrap().parse().unwrap();
        let read = self.read;
        Box::pin(async move {
            if !read.is_zero() {
                tokio::time::sleep(read).await;
            }
            let mut encoded = admission.admit(4).await?;
            encoded.copy_from_slice(&number.to_le_bytes());
            Ok(encoded)
        })
    }
}

impl Decode for Paced {
    fn open<'a>(&self, encoded: &'a [u8], _: &Limits) -> Result<Box<dyn Picture + 'a>, Cause> {
        let number = u32::from_le_bytes(encoded.try_into().unwrap());
        let slow = self.slow.filter(|(every, _)| number % every == every / 2);
        Ok(Box::new(Taking(self.decode * slow.map_or(1, |(_, times)| times))))
    }
}

struct Taking(Duration);

impl Picture for Taking {
    fn size(&self) -> Size {
        Size { width: 2, height: 2 }
    }

    fn working_bytes(&self) -> u64 {
        0
    }

    #[allow(clippy::disallowed_methods, reason = "it is the work that takes its time")]
    fn read(self: Box<Self>, _: infeed::decode::Channels, out: &mut [u8]) -> Result<(), Cause> {
        std::thread::sleep(self.0);
        out.fill(7);
        Ok(())
    }
}

/// Gaps between batches, in seconds: inside epochs, ascending, and the median of
/// those between two.
#[derive(Default)]
struct Gaps {
    inside: Vec<f64>,
    between: Vec<f64>,
    last: Option<(u64, Instant)>,
}

impl Gaps {
    fn batch(&mut self, epoch: u64) {
        let now = Instant::now();
        if let Some((before, then)) = self.last.replace((epoch, now)) {
            let gaps = if before == epoch { &mut self.inside } else { &mut self.between };
            gaps.push((now - then).as_secs_f64());
        }
    }

    /// The gap between epochs over the 90th percentile inside.
    fn ratio(mut self) -> f64 {
        self.inside.sort_by(f64::total_cmp);
        self.between.sort_by(f64::total_cmp);
        let inside = self.inside[self.inside.len() * 9 / 10];
        self.between[self.between.len() / 2] / inside
    }
}

#[test]
fn between_announced_epochs_there_is_no_bubble() {
    // A read takes longer than decoding a batch does, but not than decoding all
    // that the window has room for.
    let (read, decode) = (Duration::from_millis(12), Duration::from_millis(1));
    let paced = Paced { samples: 48, read, decode, slow: None };
    const EPOCHS: Range<u64> = 0..10;
    within(move |watch| {
        for order in [Order::Ordered, Order::Unordered] {
            let builder = || paced.loader().order(order).threads(2).readers(64);
            let mut loader = builder().batch_size(8).prefetch(6).build().unwrap();
            watch.on(&loader);
            let mut announced = Gaps::default();
            for batch in loader.epochs(EPOCHS).unwrap() {
                announced.batch(batch.unwrap().epoch());
            }
            let ratio = announced.ratio();
            assert!(ratio < 1.5, "{order}: {ratio:.2} times the gap inside");
            // Told one by one, an epoch's first reads are waited for.
            let mut alone = Gaps::default();
            for epoch in EPOCHS {
                for batch in loader.epoch(epoch).unwrap() {
                    alone.batch(batch.unwrap().epoch());
                }
            }
            let ratio = alone.ratio();
            assert!(ratio > 1.5, "{order}: a bubble is seen, {ratio:.2} times the gap inside");
        }
    });
}

fn epoch(paced: Paced, order: Order) -> EpochStats {
    let builder = paced.loader().order(order).threads(4).batch_size(8).prefetch(2);
    let mut loader = builder.build().unwrap();
    let mut epoch = loader.epoch(0).unwrap();
    for batch in &mut epoch {
        batch.unwrap();
    }
    epoch.stats()
}

#[test]
fn the_price_of_order_is_paid_by_ordered_epochs_and_named() {
    let (read, decode) = (Duration::ZERO, Duration::from_micros(400));
    let even = Paced { samples: 400, read, decode, slow: None };
    let uneven = Paced { slow: Some((50, 50)), ..even };
    within(move |_| {
        let share = |stats: &EpochStats| stats.stages.reorder_wait.as_secs_f64() / stats.seconds;
        let (mut ratios, mut shares) = (Vec::new(), Vec::new());
        for _ in 0..5 {
            let (ordered, unordered) =
                (epoch(uneven, Order::Ordered), epoch(uneven, Order::Unordered));
            assert_eq!((ordered.images, unordered.images), (400, 400));
            assert!(unordered.stages.reorder_wait.is_zero());
            ratios.push(ordered.seconds / unordered.seconds);
            shares.push(share(&ordered));
        }
        ratios.sort_by(f64::total_cmp);
        shares.sort_by(f64::total_cmp);
        // Twice as long, and half of the time, on a machine with nothing to do.
        assert!(ratios[2] > 1.2, "ordered over unordered: {ratios:?}");
        assert!(shares[2] > 0.2, "named as reorder_wait: {shares:?}");
        // Where all take the same time there is nothing to name, and nothing to
        // gain or to lose.
        let mut ratios = Vec::new();
        for _ in 0..5 {
            let (ordered, unordered) = (epoch(even, Order::Ordered), epoch(even, Order::Unordered));
            assert!(share(&ordered) < shares[2] / 2.0, "{ordered:?}");
            ratios.push(unordered.seconds / ordered.seconds);
        }
        ratios.sort_by(f64::total_cmp);
        assert!(ratios[2] < 1.15, "unordered over ordered: {ratios:?}");
    });
}
