//! When the operating system has no file descriptor left for a read: others give theirs
//! back soon, so a read tries again for a while before it fails.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use crate::error::{Cause, CauseKind};

/// For how long. Other programs' files may stay open for ever.
const PATIENCE: Duration = Duration::from_secs(5);

/// The first pause, doubled each time up to the longest. Nobody tells when there is one
/// again.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(128);

/// What is to be done about it, where `error` is one.
pub(super) fn remedy(error: &io::Error) -> Option<&'static str> {
    #[cfg(unix)]
    if let Some(libc::EMFILE | libc::ENFILE) = error.raw_os_error() {
        return Some("Raise the limit on open files (ulimit -n), or close some");
    }
    let _ = error;
    None
}

/// How long one call has been trying.
struct Patience {
    since: Instant,
    pause: Duration,
}

impl Patience {
    fn new() -> Self {
        Patience { since: Instant::now(), pause: SHORTEST_PAUSE }
    }

    /// Waits a little; false when it has been long enough.
    async fn pause(&mut self) -> bool {
        if self.since.elapsed() >= PATIENCE {
            return false;
        }
        tokio::time::sleep(self.pause).await;
        self.pause = LONGEST_PAUSE.min(2 * self.pause);
        true
    }
}

/// Tries again and again for as long as `attempt` fails for want of a descriptor.
pub(super) async fn waited_out<R, F: Future<Output = Result<R, Cause>>>(
    mut attempt: impl FnMut() -> F,
) -> Result<R, Cause> {
    let mut patience = None;
    loop {
        let cause = match attempt().await {
            Err(cause) => cause,
            done => return done,
        };
        let io = std::error::Error::source(&cause).and_then(|source| source.downcast_ref());
        let Some(remedy) = io.and_then(remedy) else { return Err(cause) };
        if !patience.get_or_insert_with(Patience::new).pause().await {
            let message = format!("{} for {PATIENCE:?}. {remedy}", cause.message());
            return Err(Cause::new(CauseKind::Io, message).caused_by(cause));
        }
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    fn full() -> Cause {
        io::Error::from_raw_os_error(libc::EMFILE).into()
    }

    #[tokio::test]
    async fn a_shortage_that_ends_is_waited_out_and_other_errors_are_not() {
        let mut attempts = 0;
        let done = waited_out(|| {
            attempts += 1;
            let left = attempts < 4;
            async move { if left { Err(full()) } else { Ok(7) } }
        });
        assert_eq!(done.await.unwrap(), 7);
        assert_eq!(attempts, 4);

        let mut attempts = 0;
        let failed = waited_out(|| {
            attempts += 1;
            async { Err::<(), _>(Cause::from(io::Error::from(io::ErrorKind::NotFound))) }
        });
        assert_eq!(failed.await.unwrap_err().kind(), CauseKind::NotFound);
        assert_eq!(attempts, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_shortage_that_stays_says_what_to_do() {
        let started = Instant::now();
        let cause = waited_out(|| async { Err::<(), _>(full()) }).await.unwrap_err();
        assert_eq!(cause.kind(), CauseKind::Io);
        assert!(cause.message().contains("for 5s. Raise the limit on open files"), "{cause}");
        assert!(started.elapsed() >= PATIENCE);
    }
}
