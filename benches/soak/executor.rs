//! The smallest of executors.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};

use futures_util::Stream;

use crate::draws::Draws;

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for the next item; now and then another waker was left before.
pub(crate) fn next<S: Stream + Unpin>(stream: &mut S, draws: &mut Draws) -> Option<S::Item> {
    if draws.one_in(3)
        && let Poll::Ready(item) =
            Pin::new(&mut *stream).poll_next(&mut Context::from_waker(Waker::noop()))
    {
        return item;
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    loop {
        match Pin::new(&mut *stream).poll_next(&mut Context::from_waker(&waker)) {
            Poll::Ready(item) => return item,
            Poll::Pending => thread::park(),
        }
    }
}
