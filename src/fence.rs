//! A fence against panics of code that is not ours: decoders, sources, user
//! transforms. With `panic = "abort"` no fence can help.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::error::Cause;

/// Runs `work`; a panic becomes a cause. What `work` left half done must not be
/// used again.
pub(crate) fn fence<R>(work: impl FnOnce() -> R) -> Result<R, Cause> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|payload| {
        let cause = Cause::panicked(&*payload);
        // What a panic carries may panic again when it is dropped. What that one carries is
        // left alone.
        if let Err(again) = catch_unwind(AssertUnwindSafe(move || drop(payload))) {
            std::mem::forget(again);
        }
        cause
    })
}

/// The same for a future.
pub(crate) fn fenced<R>(future: Pin<Box<dyn Future<Output = R> + Send>>) -> Fenced<R> {
    Fenced(future)
}

pub(crate) struct Fenced<R>(Pin<Box<dyn Future<Output = R> + Send>>);

impl<R> Future for Fenced<R> {
    type Output = Result<R, Cause>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match fence(|| self.0.as_mut().poll(context)) {
            Ok(poll) => poll.map(Ok),
            Err(cause) => Poll::Ready(Err(cause)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::CauseKind;

    #[test]
    fn a_panic_becomes_a_cause_with_its_message() {
        let cause = fence(|| panic!("number {}", 7)).map(|()| 0).unwrap_err();
        assert_eq!(cause.kind(), CauseKind::Panicked);
        assert_eq!(cause.message(), "number 7");
        assert_eq!(fence(|| 3).unwrap(), 3);
    }

    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            std::panic::panic_any(Bomb);
        }
    }

    #[test]
    fn so_does_one_that_carries_another() {
        let cause = fence(|| std::panic::panic_any(Bomb)).unwrap_err();
        assert_eq!(cause.kind(), CauseKind::Panicked);
    }

    #[tokio::test]
    async fn so_does_a_panic_in_a_future() {
        let cause = fenced::<u32>(Box::pin(async { panic!("later") })).await.unwrap_err();
        assert_eq!(cause.message(), "later");
    }
}
