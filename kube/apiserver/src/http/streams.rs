//! The watches of a connection, polled where the connection is.
//!
//! As tasks of their own they would all be woken by a change, each would lock the connection to say
//! its piece, and the connection would be woken to write what the first of them has said. Here one
//! task hears of the change, asks all of its watches, and writes once what they have to say. Other
//! requests are tasks as ever: what takes long must not hold up the connection.

use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use client::BoxFuture;
use futures_util::stream::{FuturesUnordered, Stream as _};
use futures_util::task::AtomicWaker;
use hyper::rt::Executor;

/// Runs what a connection asks to be run.
#[derive(Clone, Default)]
pub(super) struct Streams(Arc<Arrivals>);

#[derive(Default)]
struct Arrivals {
    /// Whether the next one stays with the connection.
    stays: AtomicBool,
    arrived: Mutex<Vec<BoxFuture<'static, ()>>>,
}

impl Streams {
    /// Says of the request whose stream is run next whether it stays with the connection.
    pub(super) fn expect(&self, stays: bool) {
        self.0.stays.store(stays, Ordering::Relaxed);
    }

    fn arrived(&self) -> Vec<BoxFuture<'static, ()>> {
        std::mem::take(&mut *self.0.arrived.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Streams {
    fn execute(&self, stream: F) {
        if self.0.stays.swap(false, Ordering::Relaxed) {
            self.0.arrived.lock().unwrap_or_else(PoisonError::into_inner).push(Box::pin(stream));
        } else {
            tokio::spawn(stream);
        }
    }
}

/// A connection with the streams that stay with it.
pub(super) struct Driver<C> {
    connection: Pin<Box<C>>,
    streams: Streams,
    open: FuturesUnordered<BoxFuture<'static, ()>>,
    woken: Arc<Woken>,
    waker: Waker,
}

/// Whether the connection wants to be polled; while its task is at it this wakes nobody.
#[derive(Default)]
struct Woken {
    task: AtomicWaker,
    polling: AtomicBool,
    again: AtomicBool,
}

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.again.store(true, Ordering::SeqCst);
        if !self.polling.load(Ordering::SeqCst) {
            self.task.wake();
        }
    }
}

impl<C: Future> Driver<C> {
    pub(super) fn new(connection: C, streams: Streams) -> Self {
        let woken = Arc::<Woken>::default();
        let waker = Waker::from(Arc::clone(&woken));
        Self { connection: Box::pin(connection), streams, open: FuturesUnordered::new(), woken, waker }
    }

    /// The connection itself.
    pub(super) fn connection(&mut self) -> Pin<&mut C> {
        self.connection.as_mut()
    }

    /// Polls the streams, and the connection behind them. It is ready when the connection is.
    pub(super) fn poll(&mut self, context: &mut Context<'_>) -> Poll<C::Output> {
        self.woken.task.register(context.waker());
        self.woken.polling.store(true, Ordering::SeqCst);
        let polled = self.poll_in_turn(context);
        self.woken.polling.store(false, Ordering::SeqCst);
        if polled.is_pending() && self.woken.again.load(Ordering::SeqCst) {
            context.waker().wake_by_ref();
        }
        polled
    }

    fn poll_in_turn(&mut self, context: &mut Context<'_>) -> Poll<C::Output> {
        let mut connection = Context::from_waker(&self.waker);
        for _ in 0..TURNS_MAX {
            while let Poll::Ready(Some(())) = Pin::new(&mut self.open).poll_next(context) {}
            // What the streams have said until now is heard by this poll.
            self.woken.again.store(false, Ordering::SeqCst);
            if let Poll::Ready(ended) = self.connection.as_mut().poll(&mut connection) {
                return Poll::Ready(ended);
            }
            let arrived = self.streams.arrived();
            if arrived.is_empty() && !self.woken.again.load(Ordering::SeqCst) {
                return Poll::Pending;
            }
            self.open.extend(arrived);
        }
        // Others want the thread too; streams that are new must be polled once to be woken.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// Turns of the streams and the connection before others get the thread.
const TURNS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::atomic::AtomicUsize;

    use super::*;

    /// A connection that ends when its `streams` streams have said their last word, and counts how often it is polled.
    struct Talk {
        said: Arc<AtomicUsize>,
        waker: Arc<AtomicWaker>,
        polls: Arc<AtomicUsize>,
        streams: Option<(Streams, usize)>,
        words: usize,
    }

    impl Future for Talk {
        type Output = usize;

        fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<usize> {
            self.polls.fetch_add(1, Ordering::Relaxed);
            self.waker.register(context.waker());
            if let Some((streams, count)) = self.streams.take() {
                for _ in 0..count {
                    let (said, waker) = (Arc::clone(&self.said), Arc::clone(&self.waker));
                    streams.expect(true);
                    streams.execute(async move {
                        for _ in 0..3 {
                            said.fetch_add(1, Ordering::Relaxed);
                            waker.wake();
                            tokio::task::yield_now().await;
                        }
                    });
                }
            }
            let said = self.said.load(Ordering::Relaxed);
            if said == self.words { Poll::Ready(said) } else { Poll::Pending }
        }
    }

    #[tokio::test]
    async fn many_streams_are_one_poll_of_the_connection() {
        let (streams, polls) = (Streams::default(), Arc::<AtomicUsize>::default());
        let talk = Talk {
            said: Arc::default(),
            waker: Arc::default(),
            polls: Arc::clone(&polls),
            streams: Some((streams.clone(), 100)),
            words: 300,
        };
        let mut driver = Driver::new(talk, streams);
        assert_eq!(poll_fn(|context| driver.poll(context)).await, 300);
        let polls = polls.load(Ordering::Relaxed);
        assert!(polls <= 8, "{polls}");
    }

    #[tokio::test]
    async fn others_are_tasks_and_wake_the_connection() {
        let streams = Streams::default();
        let (said, waker) = (Arc::<AtomicUsize>::default(), Arc::<AtomicWaker>::default());
        let talk = Talk {
            said: Arc::clone(&said),
            waker: Arc::clone(&waker),
            polls: Arc::default(),
            streams: None,
            words: 50,
        };
        for _ in 0..50 {
            let (said, waker) = (Arc::clone(&said), Arc::clone(&waker));
            streams.execute(async move {
                tokio::task::yield_now().await;
                said.fetch_add(1, Ordering::Relaxed);
                waker.wake();
            });
        }
        assert!(streams.arrived().is_empty());
        let mut driver = Driver::new(talk, streams);
        assert_eq!(poll_fn(|context| driver.poll(context)).await, 50);
    }
}
