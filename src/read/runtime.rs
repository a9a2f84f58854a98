//! The runtime of the reads: a thread for the tasks, and a pool of threads that block.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Result};
use crate::fence::fence;

const NAME: &str = "infeed-read";

/// Until the runtime is dropped.
const FOREVER: Duration = Duration::from_secs(u32::MAX as u64);

/// A runtime for the thread that calls. Its pool has one thread from the start, grows to
/// `readers` threads, and keeps them: where the system has no more to give, reads take
/// turns on those that there are.
///
/// # Errors
///
/// [`ErrorKind::System`](crate::ErrorKind::System) when the system has not even one.
pub(crate) fn runtime(readers: usize) -> Result<Runtime> {
    let refused = |error| Error::no_thread(NAME, error);
    // Where it cannot start the first, tokio panics.
    let other = std::thread::Builder::new().name(NAME.to_owned()).spawn(|| ()).map_err(refused)?;
    drop(other.join());
    let runtime = Builder::new_current_thread()
        .enable_time()
        .thread_name(NAME)
        .max_blocking_threads(readers)
        .thread_keep_alive(FOREVER)
        .build()
        .map_err(|error| Error::system("the readers' runtime cannot be made", error))?;
    match fence(|| runtime.spawn_blocking(|| ())) {
        Ok(_) => Ok(runtime),
        Err(panic) => Err(refused(std::io::Error::other(panic))),
    }
}
