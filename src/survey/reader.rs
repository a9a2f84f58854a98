//! One thread's reads, one after the other.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;

use crate::config::Resolved;
use crate::error::{Cause, CauseKind, Error, Result};
use crate::fence::{fence, fenced};
use crate::read::budget::ByteBudget;
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
}

impl Reader {
    pub(crate) fn new(config: &Resolved) -> Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .thread_name("infeed-read")
            .max_blocking_threads(THREADS)
            .build()
            .map_err(|error| Error::system("the readers' runtime cannot be made", error))?;
        let max_file_bytes = config.limits.max_file_bytes;
        let budget = ByteBudget::new(max_file_bytes);
        let timeout = config.read_timeout;
        Ok(Reader { runtime: Some(runtime), budget, max_file_bytes, timeout })
    }

    /// The encoded bytes of a sample.
    pub(crate) fn read(&mut self, source: &dyn Source, path: &Path) -> Result<Encoded, Cause> {
        let Some(runtime) = &self.runtime else { unreachable!("taken when dropped") };
        let start = Instant::now();
        let admission = Admission::new(Arc::clone(&self.budget), self.max_file_bytes, start);
        let timeout = self.timeout;
        let read = fence(|| source.read(path, admission))?;
        let done = runtime.block_on(async move {
            match timeout {
                Some(timeout) => tokio::time::timeout(timeout, fenced(read)).await.ok(),
                None => Some(fenced(read).await),
            }
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
