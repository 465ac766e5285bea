//! An answer that comes later, as a future of any runtime.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::error::Error;

/// A future on the heap, for the trait.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The two ends of one answer.
pub(crate) fn reply<T>() -> (Sender<T>, Reply<T>) {
    let slot = Arc::new(Mutex::new(Slot { answer: None, waker: None, gone: false }));
    (Sender(Arc::clone(&slot)), Reply(slot))
}

struct Slot<T> {
    answer: Option<T>,
    waker: Option<Waker>,
    gone: bool,
}

/// The end that answers; dropping it without an answer closes the other end.
pub(crate) struct Sender<T>(Arc<Mutex<Slot<T>>>);

/// The end that waits.
pub(crate) struct Reply<T>(Arc<Mutex<Slot<T>>>);

impl<T> Sender<T> {
    pub(crate) fn send(self, answer: T) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).answer = Some(answer);
    }
}

impl<T> Drop for Sender<T> {
    fn drop(&mut self) {
        let waker = {
            let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            slot.gone = true;
            slot.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T> Future for Reply<Result<T, Error>> {
    type Output = Result<T, Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match slot.answer.take() {
            Some(answer) => Poll::Ready(answer),
            None if slot.gone => Poll::Ready(Err(Error::Closed)),
            None => {
                slot.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
