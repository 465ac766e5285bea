//! A watch as a place in the ring of recent changes: it holds no queue.
//!
//! ```text
//! what is there ─▶ ring ◀──────── caught up ────────┐
//!                   └─ the ring has moved on ─▶ history of the store ─▶ 410, when it is compacted
//! ```
//! A watcher whose client does not read stays where it is and costs nothing.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use client::{BoxFuture, Change, EventKind, INITIAL_EVENTS_END, Item};
use futures_util::Stream;
use kube_object::resource::GroupVersionKind;
use kube_object::status::Status;
use serde_json::json;
use store::{KeyRange, WatchRequest};
use tokio::task::unconstrained;
use tokio::time::{Instant, Sleep};

use super::Cache;
use super::collection::{Collection, Look, Waits};
use super::event::{Event, Frame};
use super::selector::Selector;
use super::wakers::Scope;
use crate::storage::{encode, prefix, refusal};

/// Where a watch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Begin {
    /// With all objects that are there.
    State {
        /// A bookmark behind them says so.
        marks_end: bool,
    },
    /// With the next change.
    Now,
    /// With the first change behind a revision.
    After(u64),
}

/// What a watch is to do.
pub(crate) struct WatchPlan {
    pub selector: Selector,
    pub begin: Begin,
    pub bookmarks: bool,
    pub timeout: Duration,
    /// The kind that bookmarks have.
    pub gvk: GroupVersionKind,
    /// How stored objects are shown, where they are not shown as they are.
    pub show: Option<Show>,
}

/// Makes of a stored object what the watch shows.
pub(crate) type Show = Arc<dyn Fn(Arc<Item>) -> Shown + Send + Sync>;

/// An object on its way to being shown.
type Shown = BoxFuture<'static, Result<Arc<Item>, Status>>;

/// A stream of frames. It ends at the watch's time-out or the server's end; an error is its last item.
pub struct Watcher {
    cache: Arc<Cache>,
    collection: Arc<Collection>,
    selector: Selector,
    scope: Scope,
    gvk: GroupVersionKind,
    initial: std::vec::IntoIter<Arc<Item>>,
    marks_end: bool,
    source: Source,
    /// Changes up to here are not for this watch.
    from: u64,
    /// Everything up to this revision has been looked at.
    progress: u64,
    wait: Wait,
    end: Pin<Box<Sleep>>,
    bookmark: Option<Pin<Box<Sleep>>>,
    /// Whom the timers wake.
    asked: Option<Waker>,
    show: Option<Show>,
    showing: Option<(EventKind, Shown)>,
    done: bool,
}

enum Source {
    Ring { place: u64 },
    History { changes: Box<dyn store::Watch>, frames: VecDeque<Frame> },
}

/// The entry among those that wait for a change.
struct Wait {
    id: u64,
    waits: bool,
    /// The place of what woke it, or [`NOWHERE`].
    woken_at: Arc<AtomicU64>,
}

impl Wait {
    fn new(collection: &Collection) -> Self {
        Self { id: collection.watcher_id(), waits: false, woken_at: Arc::new(AtomicU64::new(NOWHERE)) }
    }

    /// Whether it waits and nothing that concerns it has happened.
    fn goes_on(&self) -> bool {
        self.waits && !self.woken()
    }

    /// Waits no longer. Where to look from, if it waited.
    fn end(&mut self, collection: &Collection, scope: &Scope) -> Option<u64> {
        if !std::mem::take(&mut self.waits) {
            return None;
        }
        // Who was woken is out of the others already.
        let waited = if self.woken() { None } else { collection.stop_waiting(scope, self.id) };
        let place = waited.unwrap_or_else(|| self.woken_at.load(Ordering::Acquire));
        self.woken_at.store(NOWHERE, Ordering::Relaxed);
        Some(place)
    }

    fn woken(&self) -> bool {
        self.woken_at.load(Ordering::Acquire) != NOWHERE
    }

    /// The place in a look.
    fn waits<'a>(&'a self, scope: &'a Scope, waker: &'a Waker) -> Waits<'a> {
        Waits { scope, id: self.id, waker, at: &self.woken_at }
    }
}

impl Watcher {
    /// Begins a watch; the cache has reached the revision that it begins at.
    pub(crate) fn begin(
        cache: &Arc<Cache>,
        collection: Arc<Collection>,
        plan: WatchPlan,
    ) -> Result<Self, Status> {
        let scope = plan.selector.scope();
        let mut initial = Vec::new();
        // Read before the place: every change up to this revision lies before the place.
        let now = cache.revision();
        let (place, progress) = match plan.begin {
            Begin::State { .. } => {
                let (items, place) =
                    collection.snapshot(plan.selector.part(), |item| plan.selector.fits(item));
                initial = items;
                (Some(place), now)
            }
            Begin::Now => (collection.place_after(now), now),
            Begin::After(revision) => (collection.place_after(revision), revision),
        };
        let wait = Wait::new(&collection);
        let end = Box::pin(tokio::time::sleep(plan.timeout));
        let mut watcher = Self {
            cache: Arc::clone(cache),
            source: Source::Ring { place: place.unwrap_or(0) },
            collection,
            scope,
            gvk: plan.gvk,
            initial: initial.into_iter(),
            marks_end: plan.begin == Begin::State { marks_end: true },
            from: if matches!(plan.begin, Begin::After(_)) { progress } else { 0 },
            progress,
            wait,
            end,
            bookmark: plan.bookmarks.then(|| Box::pin(tokio::time::sleep(BOOKMARK_EVERY))),
            selector: plan.selector,
            asked: None,
            show: plan.show,
            showing: None,
            done: false,
        };
        if place.is_none() {
            watcher.source = watcher.history()?;
        }
        Ok(watcher)
    }

    /// The revision up to which the client has been told everything.
    pub fn progress(&self) -> u64 {
        self.progress
    }

    /// Goes on in the store's history, behind what has been looked at.
    fn history(&self) -> Result<Source, Status> {
        let range = prefix(&self.collection.resource, &self.selector.namespace);
        let from = store::Revision(self.progress + 1);
        let request = WatchRequest::new(KeyRange::prefix(range)).from(from).prev_kv();
        let changes = self.cache.storage.store().watch(request).map_err(|error| self.broken(&error))?;
        Ok(Source::History { changes, frames: VecDeque::new() })
    }

    fn broken(&self, error: &store::Error) -> Status {
        match error {
            store::Error::Compacted { compacted, .. } => {
                Status::expired(format!("too old resource version: {} ({compacted})", self.progress))
            }
            error => refusal(error),
        }
    }

    /// The next frame of the ring; `None` when the source changed and one has to look again.
    fn poll_ring(&mut self, place: u64, context: &mut Context<'_>) -> Poll<Option<Result<Frame, Status>>> {
        let place = self.wait.end(&self.collection, &self.scope).unwrap_or(place);
        let known = self.cache.revision();
        let indexed = self.collection.indexed;
        let concerns = |event: &Event| {
            event.revision > self.from
                && event.change(indexed).is_some_and(|change| self.scope.concerns(&change))
        };
        let waits = self.wait.waits(&self.scope, context.waker());
        match self.collection.look(place, LOOK_MAX, concerns, waits) {
            Look::Found(event, next) => {
                self.source = Source::Ring { place: next };
                self.progress = self.progress.max(event.revision);
                Poll::Ready(event.frame(|item| self.selector.fits(item)).map(Ok))
            }
            Look::UpTo(next) => {
                self.source = Source::Ring { place: next };
                Poll::Ready(None)
            }
            Look::Waits(next) => {
                self.source = Source::Ring { place: next };
                self.wait.waits = true;
                self.progress = self.progress.max(known);
                Poll::Pending
            }
            Look::Behind => match self.history() {
                Ok(source) => {
                    self.source = source;
                    Poll::Ready(None)
                }
                Err(status) => Poll::Ready(Some(Err(status))),
            },
            Look::Closed => {
                self.done = true;
                Poll::Ready(None)
            }
        }
    }

    fn poll_history(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, Status>>> {
        let Source::History { changes, frames } = &mut self.source else { return Poll::Ready(None) };
        if let Some(frame) = frames.pop_front() {
            return Poll::Ready(Some(Ok(frame)));
        }
        match changes.poll_next(context) {
            Poll::Ready(Ok(batch)) => {
                let selector = &self.selector;
                let found = batch.events.iter().filter(|_| batch.revision.0 > self.from);
                let found = found.filter_map(|event| past(event, batch.revision.0));
                frames.extend(found.filter_map(|event| event.frame(|item| selector.fits(item))));
                self.progress = self.progress.max(batch.revision.0);
                Poll::Ready(None)
            }
            Poll::Ready(Err(error)) => Poll::Ready(Some(Err(self.broken(&error)))),
            Poll::Pending => {
                self.progress = self.progress.max(changes.progress().0);
                match self.collection.place_after(self.progress) {
                    Some(place) => {
                        // The store may be ahead of the cache: what comes into the ring behind this
                        // place can be what the history has already told.
                        self.from = self.progress;
                        self.source = Source::Ring { place };
                        Poll::Ready(None)
                    }
                    None => Poll::Pending,
                }
            }
        }
    }

    /// Whether a timer has run out, or wakes somebody else.
    fn timers_want(&self, waker: &Waker) -> bool {
        let run_out = self.end.is_elapsed() || self.bookmark.as_ref().is_some_and(|timer| timer.is_elapsed());
        run_out || !self.asked.as_ref().is_some_and(|asked| asked.will_wake(waker))
    }

    /// The end or a bookmark, if it is time; else the timers wake the context.
    fn poll_timers(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, Status>>> {
        if !self.timers_want(context.waker()) {
            return Poll::Pending;
        }
        self.asked = Some(context.waker().clone());
        if poll_timer(&mut self.end, context).is_ready() {
            self.done = true;
            return Poll::Ready(None);
        }
        let Some(timer) = &mut self.bookmark else { return Poll::Pending };
        if poll_timer(timer, context).is_pending() {
            return Poll::Pending;
        }
        timer.as_mut().reset(Instant::now() + BOOKMARK_EVERY);
        // The timer must be asked again, or it wakes nobody.
        let _ = poll_timer(timer, context);
        Poll::Ready(Some(Ok(self.bookmark_at(self.progress, false))))
    }

    fn bookmark_at(&self, revision: u64, ends_initial: bool) -> Frame {
        let mut object = json!({"metadata": {"creationTimestamp": null}});
        if ends_initial {
            object =
                json!({"metadata": {"creationTimestamp": null, "annotations": {INITIAL_EVENTS_END: "true"}}});
        }
        let bytes = encode(&object, &self.gvk, Some(revision));
        let item = Item::parse(bytes.into(), revision).or_else(|_| Item::at(b"{\"metadata\":{}}", revision));
        match item {
            Ok(item) => Frame::alone(EventKind::Bookmark, Arc::new(item)),
            Err(_) => unreachable!("an object with metadata was just encoded"),
        }
    }
}

impl Stream for Watcher {
    type Item = Result<Frame, Status>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        let Some(show) = this.show.clone() else { return this.poll_stored(context) };
        loop {
            if let Some((kind, shown)) = &mut this.showing {
                let (kind, shown) = (*kind, std::task::ready!(shown.as_mut().poll(context)));
                this.showing = None;
                // What cannot be shown would be missing from all that comes behind it.
                this.done = shown.is_err();
                return Poll::Ready(Some(shown.map(|object| Frame::alone(kind, object))));
            }
            match std::task::ready!(this.poll_stored(context)) {
                Some(Ok(frame)) if frame.kind != EventKind::Bookmark => {
                    this.showing = Some((frame.kind, show(frame.object)));
                }
                other => return Poll::Ready(other),
            }
        }
    }
}

impl Watcher {
    /// The next frame with the object as the store has it.
    fn poll_stored(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame, Status>>> {
        let this = self;
        if this.done {
            return Poll::Ready(None);
        }
        if let Some(item) = this.initial.next() {
            return Poll::Ready(Some(Ok(Frame::alone(EventKind::Added, item))));
        }
        if std::mem::take(&mut this.marks_end) {
            this.initial = Vec::new().into_iter();
            return Poll::Ready(Some(Ok(this.bookmark_at(this.progress, true))));
        }
        if this.asked.is_none() {
            // From now on the timer runs, even if events never run out.
            let _ = poll_timer(&mut this.end, context);
        }
        if this.end.is_elapsed() {
            this.done = true;
            return Poll::Ready(None);
        }
        if this.wait.goes_on() && !this.timers_want(context.waker()) {
            return Poll::Pending;
        }
        for _ in 0..LOOKS_MAX {
            let found = match this.source {
                Source::Ring { place } => this.poll_ring(place, context),
                Source::History { .. } => this.poll_history(context),
            };
            match found {
                Poll::Ready(Some(Ok(frame))) => return Poll::Ready(Some(Ok(frame))),
                Poll::Ready(Some(Err(status))) => {
                    this.done = true;
                    return Poll::Ready(Some(Err(status)));
                }
                Poll::Ready(None) if this.done => return Poll::Ready(None),
                Poll::Ready(None) => {}
                Poll::Pending => return this.poll_timers(context),
            }
        }
        // Others want the thread too.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let _ = self.wait.end(&self.collection, &self.scope);
    }
}

/// All changes of a collection for what runs in this process.
pub(super) struct Changes {
    collection: Arc<Collection>,
    place: Option<u64>,
    wait: Wait,
}

impl Changes {
    pub(super) fn new(collection: Arc<Collection>) -> Self {
        let wait = Wait::new(&collection);
        Self { collection, place: None, wait }
    }
}

impl Stream for Changes {
    type Item = Change;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Change>> {
        let this = &mut *self;
        loop {
            let Some(place) = this.place else {
                this.place = Some(this.collection.end());
                return Poll::Ready(Some(Change::Resync));
            };
            let place = this.wait.end(&this.collection, &Scope::All).unwrap_or(place);
            let waits = this.wait.waits(&Scope::All, context.waker());
            match this.collection.look(place, LOOK_MAX, |_| true, waits) {
                Look::Found(event, next) => {
                    this.place = Some(next);
                    match (&event.old, &event.new) {
                        (old, Some(new)) => {
                            let (old, new) = (old.clone(), Arc::clone(new));
                            return Poll::Ready(Some(Change::Set { old, new }));
                        }
                        (Some(old), None) => return Poll::Ready(Some(Change::Gone { old: Arc::clone(old) })),
                        (None, None) => {}
                    }
                }
                Look::UpTo(next) => this.place = Some(next),
                Look::Waits(next) => {
                    this.place = Some(next);
                    this.wait.waits = true;
                    return Poll::Pending;
                }
                Look::Behind => this.place = None,
                Look::Closed => return Poll::Ready(None),
            }
        }
    }
}

impl Drop for Changes {
    fn drop(&mut self) {
        let _ = self.wait.end(&self.collection, &Scope::All);
    }
}

/// Polls a timer whatever the task has done before: one that is put off would wake nobody.
fn poll_timer(timer: &mut Pin<Box<Sleep>>, context: &mut Context<'_>) -> Poll<()> {
    Pin::new(&mut unconstrained(timer.as_mut())).poll(context)
}

/// An event of the store's history.
fn past(event: &store::Event, revision: u64) -> Option<Event> {
    let item = |kv: &store::KeyValue| Item::at(&kv.value, kv.mod_revision.0).ok().map(Arc::new);
    let old = event.prev.as_ref().and_then(item);
    let new = match event.kind {
        store::EventKind::Put => Some(item(&event.kv)?),
        store::EventKind::Delete => None,
    };
    Some(Event::new(revision, old, new))
}

/// Upstream's interval; clients resume from there when their watch breaks.
const BOOKMARK_EVERY: Duration = Duration::from_secs(60);
/// Events of others that one look passes over.
const LOOK_MAX: usize = 256;
/// The place of what has not happened.
const NOWHERE: u64 = u64::MAX;
/// Looks without a result before others get the thread.
const LOOKS_MAX: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watcher_is_small() {
        // With two timers and its selector it stays far below the 8 KiB that a watch may cost.
        assert!(size_of::<Watcher>() <= 1024, "{}", size_of::<Watcher>());
    }
}
