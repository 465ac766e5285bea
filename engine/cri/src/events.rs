//! What happens to containers and sandboxes, told to whoever listens.
//!
//! Ends are heard from the shims: each running container has a connection on which its shim
//! answers when it has ended. Nothing is asked twice and nothing is polled.

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use base::ContainerId;
use engine::Engine;
use futures_util::Stream;
use rpc::cri::{BoxStream, ContainerEventResponse, ContainerEventType, Status};
use shim::Waiter;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::kept::Kept;
use crate::work::blocking;

/// Events that wait for a listener. One that is further behind is cut off and lists anew.
const BACKLOG: usize = 1024;
/// How often a supervisor that cannot be reached is looked for anew before it is given up.
const LOST_MAX: u32 = 8;

/// Makes the event about a container or a sandbox.
type Describe = dyn Fn(&Kept, ContainerEventType) -> ContainerEventResponse + Send + Sync;

/// The listeners, and the watches over what runs.
pub(crate) struct Events {
    engine: Arc<Engine>,
    describe: Box<Describe>,
    listeners: Mutex<Vec<mpsc::Sender<ContainerEventResponse>>>,
    watches: Mutex<HashMap<ContainerId, JoinHandle<()>>>,
}

impl Events {
    pub(crate) fn new(
        engine: Arc<Engine>,
        describe: impl Fn(&Kept, ContainerEventType) -> ContainerEventResponse + Send + Sync + 'static,
    ) -> Self {
        Self { engine, describe: Box::new(describe), listeners: Mutex::default(), watches: Mutex::default() }
    }

    /// Everything that happens from now on.
    pub(crate) fn listen(&self) -> BoxStream<ContainerEventResponse> {
        let (sender, receiver) = mpsc::channel(BACKLOG);
        locked(&self.listeners).push(sender);
        Box::pin(Listener(receiver))
    }

    /// Tells of an event. Blocks for what describes it.
    pub(crate) fn tell(&self, kept: &Kept, kind: ContainerEventType) {
        if locked(&self.listeners).is_empty() {
            return;
        }
        let event = (self.describe)(kept, kind);
        // Who has gone, or is too far behind to learn all, hears no more.
        locked(&self.listeners).retain(|listener| listener.try_send(event.clone()).is_ok());
    }

    /// Watches over a container that runs, until it ends. Must be called in the runtime.
    pub(crate) fn watch(self: &Arc<Self>, id: ContainerId) {
        let mut watches = locked(&self.watches);
        if watches.get(&id).is_some_and(|watch| !watch.is_finished()) {
            return;
        }
        let events = Arc::clone(self);
        let watched = id.clone();
        watches.insert(id, tokio::spawn(async move { events.until_end(watched).await }));
    }

    /// Waits until the end of a container that was stopped has been told of.
    pub(crate) async fn settle(&self, id: &ContainerId) {
        let watch = locked(&self.watches).remove(id);
        if let Some(watch) = watch {
            // A watch that panicked has told nothing, and nothing is left to wait for.
            let _ = watch.await;
        }
    }

    async fn until_end(self: Arc<Self>, id: ContainerId) {
        let mut lost = 0;
        while lost < LOST_MAX {
            let (engine, watched) = (Arc::clone(&self.engine), id.clone());
            let waiter = blocking(move || engine.waiter(&watched).map_err(crate::error::status)).await;
            // Without one it has ended already, or is gone.
            let Ok(waiter) = waiter else { break };
            if answered(&waiter).await.is_ok()
                && blocking(move || Ok(waiter.finish().is_ok())).await.is_ok_and(|ended| ended)
            {
                break;
            }
            // Its supervisor was killed: the next look gives the container a new one.
            lost += 1;
        }
        let _ = blocking(move || {
            self.record_end(&id);
            Ok(())
        })
        .await;
    }

    fn record_end(&self, id: &ContainerId) {
        // What cannot be recorded now is found by the next look.
        let _ = self.engine.after_exit(id);
        let Ok(record) = self.engine.look(id) else { return };
        if record.lifecycle.is_running() {
            return;
        }
        if let Some(kept) = Kept::of(record) {
            self.tell(&kept, ContainerEventType::ContainerStoppedEvent);
        }
    }
}

/// Waits until the shim has answered, or is gone.
async fn answered(waiter: &Waiter) -> io::Result<()> {
    let socket = std::os::unix::net::UnixStream::from(waiter.as_fd().try_clone_to_owned()?);
    // Whoever reads the answer polls before, so this is no change for it.
    socket.set_nonblocking(true)?;
    UnixStream::from_std(socket)?.readable().await
}

/// Events for one listener.
struct Listener(mpsc::Receiver<ContainerEventResponse>);

impl Stream for Listener {
    type Item = Result<ContainerEventResponse, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_recv(context).map(|event| event.map(Ok))
    }
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
