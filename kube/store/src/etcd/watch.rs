//! A watch on etcd: a task that reads the stream, and a short queue between it and its owner.
//!
//! The task goes on from the next revision when a member is lost. It stops reading while the queue
//! is full, so that a stalled owner costs a bounded amount; etcd then keeps the place.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use futures_util::stream;
use rpc::etcd::watch_client::WatchClient;
use rpc::etcd::watch_request::RequestUnion;
use rpc::etcd::{self as wire, WatchCreateRequest, WatchProgressRequest, WatchResponse};
use tokio::runtime::Handle;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;

use super::{Link, convert};
use crate::api::{Batch, Watch, WatchRequest};
use crate::error::Error;
use crate::types::Revision;

/// The owner's end.
pub(super) struct Watching {
    queue: Arc<Queue>,
    delivered: u64,
    task: JoinHandle<()>,
}

/// What the task hands over.
enum Item {
    Batch(Batch),
    /// Nothing of ours happened up to here.
    Progress(u64),
    End(Error),
}

#[derive(Default)]
struct Queue {
    state: Mutex<State>,
    filled: Condvar,
    emptied: Notify,
}

#[derive(Default)]
struct State {
    items: VecDeque<Item>,
    waker: Option<Waker>,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn push(&self, item: Item) {
        loop {
            let emptied = self.emptied.notified();
            if self.lock().items.len() < QUEUE_MAX {
                break;
            }
            emptied.await;
        }
        let mut state = self.lock();
        state.items.push_back(item);
        if let Some(waker) = state.waker.take() {
            waker.wake();
        }
        self.filled.notify_all();
    }
}

impl Watching {
    pub(super) fn start(runtime: &Handle, link: Link, request: WatchRequest, from: Revision) -> Self {
        let queue = Arc::new(Queue::default());
        let task = Task { queue: Arc::clone(&queue), link, request, next: from.0 };
        Self { queue, delivered: from.0.saturating_sub(1), task: runtime.spawn(task.run()) }
    }

    fn take(&mut self) -> Result<Option<Batch>, Error> {
        loop {
            let item = {
                let mut state = self.queue.lock();
                // The end stays, for whoever asks again.
                if let Some(Item::End(error)) = state.items.front() {
                    return Err(error.clone());
                }
                state.items.pop_front()
            };
            self.queue.emptied.notify_one();
            match item {
                None => return Ok(None),
                Some(Item::End(error)) => return Err(error),
                Some(Item::Progress(revision)) => self.delivered = self.delivered.max(revision),
                Some(Item::Batch(batch)) => {
                    self.delivered = batch.revision.0;
                    return Ok(Some(batch));
                }
            }
        }
    }
}

impl Watch for Watching {
    fn poll(&mut self) -> Result<Option<Batch>, Error> {
        self.take()
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Batch, Error>> {
        if let Some(batch) = self.take().transpose() {
            return Poll::Ready(batch);
        }
        self.queue.lock().waker = Some(context.waker().clone());
        // What came before the waker was there wakes nobody.
        self.take().transpose().map_or(Poll::Pending, Poll::Ready)
    }

    fn wait(&mut self, timeout: Duration) -> Result<Option<Batch>, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(batch) = self.take()? {
                return Ok(Some(batch));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            let state = self.queue.lock();
            if state.items.is_empty() {
                drop(self.queue.filled.wait_timeout(state, left));
            }
        }
    }

    fn progress(&self) -> Revision {
        Revision(self.delivered)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.task.abort();
    }
}

struct Task {
    queue: Arc<Queue>,
    link: Link,
    request: WatchRequest,
    next: u64,
}

impl Task {
    async fn run(mut self) {
        let mut pause = RETRY_FIRST;
        loop {
            let before = self.next;
            if let Some(error) = self.follow().await {
                self.queue.push(Item::End(error)).await;
                return;
            }
            pause = if self.next > before { RETRY_FIRST } else { (pause * 2).min(RETRY_MAX) };
            tokio::time::sleep(pause).await;
        }
    }

    /// Reads one stream to its end; an error only when going on is no use.
    async fn follow(&mut self) -> Option<Error> {
        let (send, mut receive) = mpsc::channel(REQUESTS_MAX);
        let (key, range_end) = convert::bounds(&self.request.range);
        let create = WatchCreateRequest {
            key,
            range_end,
            start_revision: convert::signed(Revision(self.next)),
            progress_notify: true,
            prev_kv: self.request.prev_kv,
            ..WatchCreateRequest::default()
        };
        let request = |union| wire::WatchRequest { request_union: Some(union) };
        send.try_send(request(RequestUnion::CreateRequest(create))).ok()?;
        let requests = stream::poll_fn(move |context| receive.poll_recv(context));
        let client = WatchClient::new(self.link.channel.clone());
        let mut client = client.max_decoding_message_size(super::MESSAGE_MAX);
        let mut answers = client.watch(requests).await.ok()?.into_inner();
        let mut wanted = self.link.wanted.subscribe();
        loop {
            tokio::select! {
                answer = answers.message() => {
                    if let Some(error) = self.take_in(answer.ok()??).await {
                        return Some(error);
                    }
                }
                changed = wanted.changed() => {
                    changed.ok()?;
                    // A full queue holds requests of the same kind already.
                    if *wanted.borrow_and_update() >= self.next {
                        let _ = send.try_send(request(RequestUnion::ProgressRequest(WatchProgressRequest {})));
                    }
                }
            }
        }
    }

    async fn take_in(&mut self, answer: WatchResponse) -> Option<Error> {
        if answer.compact_revision > 0 {
            let compacted = Revision(convert::unsigned(answer.compact_revision));
            self.link.known.compacted.fetch_max(compacted.0, Ordering::AcqRel);
            return Some(Error::Compacted { requested: Revision(self.next), compacted });
        }
        if answer.canceled {
            let cause = tonic::Status::aborted(answer.cancel_reason);
            return Some(super::error::of("watch etcd", cause));
        }
        let header = self.link.saw(answer.header.as_ref());
        let quiet = answer.events.is_empty() && !answer.created;
        for batch in convert::batches(answer.events) {
            self.next = batch.revision.0 + 1;
            self.queue.push(Item::Batch(batch)).await;
        }
        if quiet && header.0 >= self.next {
            self.next = header.0 + 1;
            self.queue.push(Item::Progress(header.0)).await;
        }
        None
    }
}

/// Answers that wait for the owner; each may hold many events.
const QUEUE_MAX: usize = 64;
/// One to create, the others ask for progress.
const REQUESTS_MAX: usize = 4;
const RETRY_FIRST: Duration = Duration::from_millis(100);
const RETRY_MAX: Duration = Duration::from_secs(5);
