//! Cases that are drawn: how fast a loader goes, and many of them under one
//! deadline.

use infeed::LoaderBuilder;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use super::{Watch, within};

/// What cannot change the items.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Speed {
    pub(crate) threads: usize,
    pub(crate) readers: usize,
    pub(crate) prefetch: usize,
    pub(crate) jitter: u64,
}

impl Speed {
    pub(crate) fn of(self, builder: LoaderBuilder<u8>) -> LoaderBuilder<u8> {
        builder.threads(self.threads).readers(self.readers).prefetch(self.prefetch)
    }
}

pub(crate) fn speed() -> impl Strategy<Value = Speed> {
    (1_usize..=8, 1_usize..=6, 1_usize..=8, any::<u64>()).prop_map(
        |(threads, readers, prefetch, jitter)| Speed { threads, readers, prefetch, jitter },
    )
}

/// Runs `test` for so many cases, all under one deadline.
pub(crate) fn check<S>(cases: u32, strategy: S, test: impl Fn(&Watch, S::Value) + Send + 'static)
where
    S: Strategy + Send + 'static,
{
    within(move |watch| {
        let config = ProptestConfig { cases, failure_persistence: None, ..Default::default() };
        let result = TestRunner::new(config).run(&strategy, |value| {
            test(watch, value);
            Ok(())
        });
        if let Err(error) = result {
            panic!("{error}");
        }
    });
}
