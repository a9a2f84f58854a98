//! One thread's reads, one after the other.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::config::Resolved;
use crate::error::{Cause, CauseKind, Result};
use crate::fence::{fence, fenced};
use crate::read::budget::ByteBudget;
use crate::read::{StuckReads, runtime};
use crate::source::{Admission, Encoded, Source};

/// Threads of one reader: more than one only where reads do not come back.
const THREADS: usize = 64;

/// Reads samples of a source, as a loader would, but waits for each.
pub(crate) struct Reader {
    /// Taken when dropped.
    runtime: Option<Runtime>,
    budget: Arc<ByteBudget>,
    max_file_bytes: u64,
    timeout: Option<Duration>,
    /// Of all threads.
    stuck: Arc<StuckReads>,
}

impl Reader {
    pub(crate) fn new(config: &Resolved, stuck: &Arc<StuckReads>) -> Result<Self> {
        let runtime = runtime(THREADS)?;
        let max_file_bytes = config.limits.max_file_bytes;
        let budget = ByteBudget::new(max_file_bytes);
        let timeout = config.read_timeout;
        let stuck = Arc::clone(stuck);
        Ok(Reader { runtime: Some(runtime), budget, max_file_bytes, timeout, stuck })
    }

    /// The encoded bytes of a sample.
    pub(crate) fn read(&mut self, source: &dyn Source, path: &Path) -> Result<Encoded, Cause> {
        #[allow(clippy::unreachable, reason = "this crate sees to it, whatever the input")]
        let Some(runtime) = &self.runtime else { unreachable!("taken when dropped") };
        let start = Instant::now();
        let admission = Admission::new(Arc::clone(&self.budget), self.max_file_bytes, start);
        let (timeout, stuck) = (self.timeout, &self.stuck);
        let mut read = fenced(fence(|| source.read(path, admission))?);
        let done = runtime.block_on(async move {
            let Some(timeout) = timeout else { return Some(read.await) };
            let done = tokio::time::timeout(timeout, &mut read).await.ok();
            if done.is_none() {
                let stuck = stuck.add(path.to_owned(), 0);
                // It counts until it comes back, which is seen during a later read.
                tokio::spawn(async move {
                    drop(read.await);
                    drop(stuck);
                });
            }
            done
        });
        done.unwrap_or_else(|| {
            // What the stuck read holds does not come back.
            self.budget = ByteBudget::new(self.max_file_bytes);
            let seconds = timeout.unwrap_or_default().as_secs_f64();
            let message = format!("the read did not come back within {seconds} s (read_timeout)");
            Err(Cause::new(CauseKind::TimedOut, message))
        })?
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            // A read that does not come back is left behind.
            runtime.shutdown_background();
        }
    }
}
