//! When the operating system has no file descriptor or no thread left for a read:
//! others give theirs back soon, so a read waits for a while before it fails.

use std::io;
use std::time::Duration;

use tokio::time::Instant;

use super::Admission;
use crate::error::{Cause, CauseKind};

/// How long a read waits. Other programs' files may stay open for ever.
const PATIENCE: Duration = Duration::from_secs(5);

/// The first pause, doubled each time up to the longest.
const SHORTEST_PAUSE: Duration = Duration::from_millis(2);
const LONGEST_PAUSE: Duration = Duration::from_millis(128);

/// What is to be done about it, where `error` is one.
pub(super) fn remedy(error: &io::Error) -> Option<&'static str> {
    #[cfg(unix)]
    if let Some(libc::EMFILE | libc::ENFILE) = error.raw_os_error() {
        return Some("Raise the limit on open files (ulimit -n), or close some");
    }
    (error.kind() == io::ErrorKind::WouldBlock)
        .then_some("Raise the limit on threads (ulimit -u, or the container's), or lower readers")
}

/// No thread could be started for a read; `message` is what the runtime says.
pub(super) fn no_thread(message: &str) -> Cause {
    let error = io::Error::new(io::ErrorKind::WouldBlock, message);
    Cause::new(CauseKind::Io, error.to_string()).caused_by(error)
}

fn of(cause: &Cause) -> Option<&'static str> {
    std::error::Error::source(cause)?.downcast_ref().and_then(remedy)
}

/// Tries again and again for as long as `attempt` fails for want of a descriptor or a
/// thread.
pub(super) async fn waited_out<R, F: Future<Output = Result<R, Cause>>>(
    admission: &Admission,
    mut attempt: impl FnMut() -> F,
) -> Result<R, Cause> {
    let (mut since, mut pause) = (None, SHORTEST_PAUSE);
    loop {
        let cause = match attempt().await {
            Err(cause) => cause,
            done => return done,
        };
        let Some(remedy) = of(&cause) else { return Err(cause) };
        if since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE {
            let message = format!("{} for {PATIENCE:?}. {remedy}", cause.message());
            return Err(Cause::new(CauseKind::Io, message).caused_by(cause));
        }
        // It is not the storage that keeps the read waiting.
        let _waiting = admission.clock.wait();
        tokio::time::sleep(pause).await;
        pause = LONGEST_PAUSE.min(2 * pause);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::budget::ByteBudget;

    fn admission() -> Admission {
        Admission::new(ByteBudget::new(1 << 10), 1 << 10, std::time::Instant::now())
    }

    #[tokio::test]
    async fn a_shortage_that_ends_is_waited_out_and_other_errors_are_not() {
        let (admission, mut attempts) = (admission(), 0);
        let done = waited_out(&admission, || {
            attempts += 1;
            let left = attempts < 4;
            async move { if left { Err(no_thread("none")) } else { Ok(7) } }
        });
        assert_eq!(done.await.unwrap(), 7);
        assert_eq!(attempts, 4);

        let mut attempts = 0;
        let failed = waited_out(&admission, || {
            attempts += 1;
            async { Err::<(), _>(Cause::from(io::Error::from(io::ErrorKind::NotFound))) }
        });
        assert_eq!(failed.await.unwrap_err().kind(), CauseKind::NotFound);
        assert_eq!(attempts, 1);
    }

    #[tokio::test]
    async fn a_shortage_that_stays_says_what_to_do() {
        tokio::time::pause();
        let admission = admission();
        let failed = waited_out(&admission, || async {
            Err::<(), _>(no_thread("the operating system refuses a thread"))
        });
        let cause = failed.await.unwrap_err();
        assert_eq!(cause.kind(), CauseKind::Io);
        assert!(cause.message().ends_with("lower readers"), "{cause}");
    }
}
