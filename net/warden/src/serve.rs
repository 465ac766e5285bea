//! The process: locks, the loop of events, and a task for each container that asks.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::net::IpAddr;
use std::os::fd::{AsFd as _, OwnedFd};
use std::os::unix::fs::DirBuilderExt as _;
use std::process::Child;
use std::rc::Rc;
use std::time::{Duration, Instant};

use attach::{Networks, Process, Rewritten, RuleWatch};
use base::ContainerId;
use names::{Code, Transport};
use resolver::{read_message, write_message};
use sys::lock::FileLock;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream, UdpSocket, UnixListener, UnixStream};
use tokio::task::{AbortHandle, JoinSet, LocalSet};
use tokio::time::timeout;

use crate::book::Book;
use crate::records::{Changed, RecordWatch};
use crate::relay::Relays;
use crate::resolve::{Answer, answer};
use crate::upstream::Upstream;
use crate::{Error, Place, namespace, summon};

/// What others should hear of.
#[derive(Debug)]
pub enum Happened {
    /// Somebody had changed the host's rules, and ours were written anew.
    RulesMended(Rewritten),
}

/// Becomes the warden of a place: its worker, its standby, or nothing when it has both.
/// Returns when no container needs it.
pub fn run(place: &Place, tell: &mut dyn FnMut(Happened)) -> Result<(), Error> {
    // The terminal that started us is not ours; who leads a group already has left it.
    let _ = rustix::process::setsid();
    let directory = place.directory();
    let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(&directory);
    made.map_err(Error::file("make the directory", &directory))?;
    let Some(_lock) = take_over(place)? else { return Ok(()) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let runtime = runtime.map_err(Error::runtime("make a runtime"))?;
    LocalSet::new().block_on(&runtime, work(place, tell))
}

/// The lock of the worker, at once or when the present one dies; `None` when somebody waits
/// for it already.
fn take_over(place: &Place) -> Result<Option<FileLock>, Error> {
    let failed = |path: std::path::PathBuf| move |errno| Error::file("lock", &path)(errno);
    if let Some(lock) = FileLock::try_exclusive(&place.lock()).map_err(failed(place.lock()))? {
        return Ok(Some(lock));
    }
    let standby = FileLock::try_exclusive(&place.standby()).map_err(failed(place.standby()))?;
    let Some(_standby) = standby else { return Ok(None) };
    release_starter();
    FileLock::exclusive(&place.lock()).map(Some).map_err(failed(place.lock()))
}

/// Who started us waits until standard output is closed.
fn release_starter() {
    if let Ok(null) = File::options().read(true).write(true).open("/dev/null") {
        let _ = sys::fd::become_standard(&null, 1);
    }
}

/// What wakes the worker.
enum Event {
    /// Records of attachments have changed.
    Records,
    /// Somebody wants to know that a container is served.
    Asked(UnixStream),
    /// Somebody changed rules of nf_tables.
    Rules,
    /// The process of a container that publishes ports has ended.
    Ended(ContainerId, Process),
    /// A connection that was relayed to a container that has ended is over.
    Lingered,
    /// The standby has ended.
    StandbyEnded,
}

async fn work(place: &Place, tell: &mut dyn FnMut(Happened)) -> Result<(), Error> {
    let networks = Networks::open(&place.data_root, &place.state_root)?;
    let records = networks.records();
    // Before the first look, so that nothing is missed in between.
    let watch = RecordWatch::open(&records).map_err(Error::file("watch", &records))?;
    let mut watch = readable(watch)?;
    let mut rules = readable(RuleWatch::open()?)?;
    let mut worker = Worker::new(networks);
    worker.look_at_all()?;
    if !worker.is_needed() {
        return Ok(());
    }
    // Before any other socket: who finds a port taken asks by whom.
    let listener = bind(place)?;
    worker.relay();
    worker.mend(tell);
    release_starter();
    let mut standby = Standby::start(place);
    loop {
        let event = tokio::select! {
            ready = watch.readable() => { drop(ready); Event::Records }
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => Event::Asked(stream),
                Err(error) => return Err(Error::file("accept at", &place.socket())(error)),
            },
            ready = rules.readable() => { drop(ready); Event::Rules }
            (id, process) = worker.ends.next() => Event::Ended(id, process),
            () = worker.relays.lingered() => Event::Lingered,
            () = standby.ended() => Event::StandbyEnded,
        };
        match event {
            Event::Records | Event::Lingered => {}
            Event::Asked(stream) => {
                worker.catch_up(&mut watch)?;
                worker.shared.tasks.borrow_mut().spawn_local(reply(stream, Rc::clone(&worker.shared)));
            }
            Event::Rules => {
                let changed = taken(&mut rules, RuleWatch::changed)?;
                if changed {
                    worker.mend(tell);
                }
            }
            Event::Ended(id, process) => worker.withdraw(&id, process),
            Event::StandbyEnded => standby = standby.again(place),
        }
        worker.catch_up(&mut watch)?;
        while worker.shared.tasks.borrow_mut().try_join_next().is_some() {}
        if !worker.is_needed() {
            let _ = fs::remove_file(place.socket());
            return Ok(());
        }
    }
}

fn bind(place: &Place) -> Result<UnixListener, Error> {
    let socket = place.socket();
    let failed = |operation| Error::file(operation, &socket);
    match fs::remove_file(&socket) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed("remove")(error)),
        _ => {}
    }
    UnixListener::bind(&socket).map_err(failed("listen at"))
}

#[allow(deprecated, reason = "its successor is unsafe; ours own one descriptor as long as they live")]
fn readable<T: std::os::fd::AsRawFd>(source: T) -> Result<AsyncFd<T>, Error> {
    let interest = tokio::io::Interest::READABLE;
    AsyncFd::with_interest(source, interest).map_err(Error::runtime("wait for events"))
}

/// Takes all that has come, and waits for more from then on.
fn taken<T: std::os::fd::AsRawFd, R, E>(
    source: &mut AsyncFd<T>,
    take: impl FnOnce(&mut T) -> Result<R, E>,
) -> Result<R, E> {
    if let Some(Ok(mut ready)) = poll_once(source) {
        ready.clear_ready();
    }
    take(source.get_mut())
}

/// The readiness that is there now, if any.
fn poll_once<T: std::os::fd::AsRawFd>(
    source: &AsyncFd<T>,
) -> Option<io::Result<tokio::io::unix::AsyncFdReadyGuard<'_, T>>> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match source.poll_read_ready(&mut context) {
        std::task::Poll::Ready(ready) => Some(ready),
        std::task::Poll::Pending => None,
    }
}

/// What all tasks look at.
struct Shared {
    book: RefCell<Book>,
    upstream: Upstream,
    /// Containers that cannot be served, and why.
    troubled: RefCell<BTreeMap<ContainerId, String>>,
    /// Which of several addresses comes first.
    turn: Cell<usize>,
    /// Questions on their way.
    pending: Cell<usize>,
    /// Answers to those who ask whether a container is served.
    tasks: RefCell<JoinSet<()>>,
}

impl Shared {
    fn new() -> Self {
        Self {
            book: RefCell::default(),
            upstream: Upstream::new(),
            troubled: RefCell::default(),
            turn: Cell::new(0),
            pending: Cell::new(0),
            tasks: RefCell::default(),
        }
    }
}

struct Worker {
    networks: Networks,
    shared: Rc<Shared>,
    served: BTreeMap<ContainerId, Served>,
    ends: Ends,
    /// Processes that have ended and whose container nobody has released yet.
    ended: BTreeMap<ContainerId, Process>,
    relays: Relays,
}

/// A container that is answered. Dropping it closes its sockets, and with them goes what
/// keeps its namespace.
struct Served {
    namespace: u64,
    _tasks: JoinSet<()>,
}

impl Worker {
    fn new(networks: Networks) -> Self {
        Self {
            networks,
            shared: Rc::new(Shared::new()),
            served: BTreeMap::new(),
            ends: Ends::default(),
            ended: BTreeMap::new(),
            relays: Relays::new(),
        }
    }

    fn is_needed(&self) -> bool {
        self.shared.book.borrow().is_needed() || self.relays.is_lingering()
    }

    /// Takes in what has changed.
    fn catch_up(&mut self, watch: &mut AsyncFd<RecordWatch>) -> Result<(), Error> {
        let changed = taken(watch, RecordWatch::take);
        match changed.map_err(Error::runtime("hear of changed records"))? {
            Changed::Some(ids) if ids.is_empty() => return Ok(()),
            Changed::Some(ids) => ids.iter().for_each(|id| self.look_at(id)),
            Changed::Anything => self.look_at_all()?,
        }
        self.relay();
        Ok(())
    }

    /// Listens on the ports that are relayed now, and on no others.
    fn relay(&mut self) {
        let wanted = self.shared.book.borrow().relayed(&self.ended);
        for trouble in self.relays.settle(wanted) {
            let mut troubled = self.shared.troubled.borrow_mut();
            for id in trouble.ids {
                troubled.entry(id).or_insert_with(|| trouble.why.clone());
            }
        }
    }

    fn look_at_all(&mut self) -> Result<(), Error> {
        let mut ids: Vec<ContainerId> = self.shared.book.borrow().ids().cloned().collect();
        ids.extend(self.networks.attached()?);
        ids.sort_unstable();
        ids.dedup();
        ids.iter().for_each(|id| self.look_at(id));
        Ok(())
    }

    fn look_at(&mut self, id: &ContainerId) {
        // A record that cannot be read is nobody's: its container goes without names.
        let attachments = self.networks.describe_all(id).unwrap_or_default();
        let named = attachments.iter().find(|attachment| attachment.has_names()).cloned();
        let publishing = attachments.iter().find(|attachment| !attachment.ports.is_empty());
        let process = publishing.and_then(|attachment| attachment.process);
        self.ends.watch(id, process);
        if self.ended.get(id).copied() != process {
            self.ended.remove(id);
        }
        self.shared.book.borrow_mut().put(id, attachments);
        self.shared.troubled.borrow_mut().remove(id);
        let Some(named) = named else {
            self.served.remove(id);
            return;
        };
        if self.served.get(id).is_some_and(|served| served.namespace == named.namespace) {
            return;
        }
        self.served.remove(id);
        match serve(id, &named, &self.shared) {
            Ok(served) => drop(self.served.insert(id.clone(), served)),
            Err(error) => {
                let why = format!("container names are not answered: {error}");
                self.shared.troubled.borrow_mut().insert(id.clone(), why);
            }
        }
    }

    /// A container has ended: others who share its ports have them at once, also while it
    /// waits to be started again. Where that fails, its shim's cleaning up does it.
    fn withdraw(&mut self, id: &ContainerId, process: Process) {
        let _ = self.networks.withdraw(id, process);
        self.ended.insert(id.clone(), process);
        self.relay();
    }

    /// Has the rules put right. What cannot be mended now is looked at with the next change.
    fn mend(&self, tell: &mut dyn FnMut(Happened)) {
        if let Ok(Some(rewritten)) = self.networks.mend() {
            tell(Happened::RulesMended(rewritten));
        }
    }
}

/// Says whether the container that is named is served.
async fn reply(stream: UnixStream, shared: Rc<Shared>) {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    let read = timeout(STREAM_WITHIN, stream.read_line(&mut line)).await;
    if !matches!(read, Ok(Ok(_))) {
        return;
    }
    let id = ContainerId::parse(line.trim());
    let trouble = id.ok().and_then(|id| shared.troubled.borrow().get(&id).cloned());
    let answer = trouble.unwrap_or_else(|| summon::OK.to_owned());
    let _ = timeout(STREAM_WITHIN, stream.get_mut().write_all(answer.as_bytes())).await;
}

/// Begins to answer a container.
fn serve(id: &ContainerId, named: &attach::Attachment, shared: &Rc<Shared>) -> io::Result<Served> {
    let namespace = Rc::new(namespace::open(named)?);
    let ears = namespace::listen(namespace.as_fd())?;
    let asker = Rc::new(Asker { id: id.clone(), namespace, shared: Rc::clone(shared) });
    let mut tasks = JoinSet::new();
    tasks.spawn_local(answer_datagrams(UdpSocket::from_std(ears.datagrams)?, Rc::clone(&asker)));
    tasks.spawn_local(accept(TcpListener::from_std(ears.streams)?, asker));
    Ok(Served { namespace: named.namespace, _tasks: tasks })
}

/// Whose questions they are.
struct Asker {
    id: ContainerId,
    namespace: Rc<File>,
    shared: Rc<Shared>,
}

impl Asker {
    /// An answer at once, or what must be asked of others.
    fn begin(&self, message: &[u8], transport: Transport) -> Answer {
        let shared = &self.shared;
        let turn = shared.turn.get();
        shared.turn.set(turn.wrapping_add(1));
        let book = shared.book.borrow();
        answer(message, book.of(&self.id), &book, (transport, turn))
    }

    /// What others say.
    async fn ask(&self, query: &names::Query, transport: Transport) -> Vec<u8> {
        let failure = || names::failure(&[], Some(query), Code::ServerFailure, transport);
        let pending = self.shared.pending.get();
        if pending >= PENDING_MAX {
            return failure();
        }
        self.shared.pending.set(pending + 1);
        let _counted = Counted(&self.shared.pending);
        let servers: Vec<IpAddr> = {
            let book = self.shared.book.borrow();
            book.of(&self.id).iter().flat_map(|attachment| attachment.servers.iter().copied()).collect()
        };
        let own = (!servers.is_empty()).then(|| (servers.as_slice(), self.namespace.as_fd()));
        self.shared.upstream.ask(query, transport, own).await.unwrap_or_else(failure)
    }
}

/// A question that is over also when its task is given up.
struct Counted<'a>(&'a Cell<usize>);

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

async fn answer_datagrams(socket: UdpSocket, asker: Rc<Asker>) {
    let socket = Rc::new(socket);
    let mut asking = JoinSet::new();
    let mut buffer = vec![0; QUERY_MAX];
    loop {
        let Ok((length, from)) = socket.recv_from(&mut buffer).await else {
            // Such as an answer that nobody took: the next question is another one.
            tokio::task::yield_now().await;
            continue;
        };
        while asking.try_join_next().is_some() {}
        let message = buffer.get(..length).unwrap_or_default();
        match asker.begin(message, Transport::Udp) {
            Answer::Silence => {}
            // A full buffer loses it, as any network may.
            Answer::Reply(reply) => drop(socket.try_send_to(&reply, from)),
            Answer::Forward(query) => {
                let (socket, asker) = (Rc::clone(&socket), Rc::clone(&asker));
                asking.spawn_local(async move {
                    let reply = asker.ask(&query, Transport::Udp).await;
                    let _ = socket.send_to(&reply, from).await;
                });
            }
        }
    }
}

async fn accept(listener: TcpListener, asker: Rc<Asker>) {
    let mut streams = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No descriptors are left, say.
            tokio::time::sleep(BREATH).await;
            continue;
        };
        while streams.try_join_next().is_some() {}
        if streams.len() < STREAMS_MAX {
            streams.spawn_local(answer_stream(stream, Rc::clone(&asker)));
        }
    }
}

async fn answer_stream(mut stream: TcpStream, asker: Rc<Asker>) {
    while let Ok(Ok(message)) = timeout(STREAM_WITHIN, read_message(&mut stream)).await {
        let reply = match asker.begin(&message, Transport::Tcp) {
            Answer::Silence => return,
            Answer::Reply(reply) => reply,
            Answer::Forward(query) => asker.ask(&query, Transport::Tcp).await,
        };
        if !matches!(timeout(STREAM_WITHIN, write_message(&mut stream, &reply)).await, Ok(Ok(()))) {
            return;
        }
    }
}

/// The processes whose ends are waited for, one a container.
#[derive(Default)]
struct Ends {
    watched: BTreeMap<ContainerId, (Process, AbortHandle)>,
    tasks: JoinSet<(ContainerId, Process)>,
}

impl Ends {
    /// Waits for the end of this process of a container, and of no other of it.
    fn watch(&mut self, id: &ContainerId, process: Option<Process>) {
        if self.watched.get(id).map(|(process, _)| *process) == process {
            return;
        }
        if let Some((_, task)) = self.watched.remove(id) {
            task.abort();
        }
        let Some(process) = process else { return };
        let container = id.clone();
        let task = self.tasks.spawn_local(async move { (container, end_of(process).await) });
        self.watched.insert(id.clone(), (process, task));
    }

    /// The next one that ends.
    async fn next(&mut self) -> (ContainerId, Process) {
        loop {
            match self.tasks.join_next().await {
                Some(Ok(ended)) => return ended,
                Some(_) => {}
                None => std::future::pending().await,
            }
        }
    }
}

/// Returns when a process has ended.
async fn end_of(process: Process) -> Process {
    let pidfd = sys::pidfd::open(process.pid).ok().and_then(|pidfd| readable(pidfd).ok());
    // Asked after its descriptor is there, which is never another one's.
    let same =
        sys::process::ProcStat::read(process.pid).is_ok_and(|stat| stat.start_time == process.start_time);
    if let (Some(pidfd), true) = (pidfd, same) {
        let _ = pidfd.readable().await;
    }
    process
}

/// The process that takes over when we are killed.
struct Standby {
    /// Its process, and a descriptor that is readable at its end.
    child: Option<(Child, AsyncFd<OwnedFd>)>,
    since: Instant,
}

impl Standby {
    /// Without one we are still of use, and who comes next starts over if we are killed.
    fn start(place: &Place) -> Self {
        let child = summon::spawn(place).ok().and_then(|child| {
            let pidfd = sys::pidfd::open(i32::try_from(child.id()).ok()?).ok()?;
            Some((child, readable(pidfd).ok()?))
        });
        Self { child, since: Instant::now() }
    }

    async fn ended(&self) {
        match &self.child {
            Some((_, pidfd)) => drop(pidfd.readable().await),
            None => std::future::pending().await,
        }
    }

    /// Another one in its place; but one that did not live is not tried for ever.
    fn again(mut self, place: &Place) -> Self {
        if let Some((mut child, _)) = self.child.take() {
            let _ = child.wait();
        }
        if self.since.elapsed() < STANDBY_LIVES { Self { child: None, ..self } } else { Self::start(place) }
    }
}

/// Queries are small; the rest of a larger datagram is no query.
const QUERY_MAX: usize = 4096;
/// Questions to others on their way at a time: a container cannot fill our memory.
const PENDING_MAX: usize = 1024;
/// Streams of a container at a time.
const STREAMS_MAX: usize = 64;
/// Who says nothing for so long is not waited for.
const STREAM_WITHIN: Duration = Duration::from_secs(10);
/// Until the next try when streams cannot be taken.
const BREATH: Duration = Duration::from_millis(100);
/// A standby that ends sooner was never one.
const STANDBY_LIVES: Duration = Duration::from_secs(1);
