//! The loop: what wakes it, and who is told.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::fs::inotify;

use crate::control::{self, Request};
use crate::device::{PACKET_MAX, Tun};
use crate::echo::Ping;
use crate::error::Error;
use crate::host;
use crate::packet::{self, Kind, Packet};
use crate::plan::{Plan, Port, Transport, first_name_server};
use crate::tcp::{self, Ends, Fate, Flow};
use crate::udp::{BATCH, Exchange, Way};

/// The process of a user's network.
pub struct Stack {
    plan: Plan,
    tun: Tun,
    epoll: OwnedFd,
    control: OwnedFd,
    /// When one of these polls readable, the stack is needed no more.
    watched: Vec<OwnedFd>,
    /// Has an entry for each container that runs.
    users: PathBuf,
    changes: OwnedFd,
    /// It was told to end.
    ended: bool,
    /// When to end, if nobody comes.
    ends_at: Option<Instant>,
    slots: Slots,
    /// By protocol, so that the same ends may talk by several.
    flows: HashMap<Ends, usize>,
    exchanges: HashMap<Ends, usize>,
    pings: HashMap<Ends, usize>,
    timers: crate::timers::Timers,
    start: Instant,
    /// Room for a packet that is being made.
    room: Vec<u8>,
}

/// What the kernel may wake us for.
enum Entry {
    Flow(Box<Flow>),
    Exchange(Exchange),
    Ping(Ping),
    Listener { owners: Vec<String>, port: Port, socket: OwnedFd },
    Caller(OwnedFd),
}

struct Slot {
    entry: Option<Entry>,
    /// Counts its entries: an event that waited may be a predecessor's.
    generation: u32,
    armed: Option<Instant>,
}

#[derive(Default)]
struct Slots {
    all: Vec<Slot>,
    free: Vec<usize>,
}

impl Slots {
    fn put(&mut self, entry: Entry) -> usize {
        let id = self.free.pop().unwrap_or(self.all.len());
        match self.all.get_mut(id) {
            Some(slot) => slot.entry = Some(entry),
            None => self.all.push(Slot { entry: Some(entry), generation: 0, armed: None }),
        }
        id
    }

    fn take(&mut self, id: usize) -> Option<Entry> {
        let slot = self.all.get_mut(id)?;
        let entry = slot.entry.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(id);
        Some(entry)
    }

    fn get(&mut self, id: usize) -> Option<&mut Entry> {
        self.all.get_mut(id)?.entry.as_mut()
    }

    fn token(&self, id: usize) -> u64 {
        let generation = self.all.get(id).map_or(0, |slot| slot.generation);
        (u64::from(generation) << 32) | (id as u64 + SLOTS_FROM)
    }

    /// The slot that a token means, if it still has the same entry.
    fn find(&self, token: u64) -> Option<usize> {
        let id = usize::try_from((token & 0xffff_ffff).checked_sub(SLOTS_FROM)?).ok()?;
        let slot = self.all.get(id)?;
        (u64::from(slot.generation) == token >> 32 && slot.entry.is_some()).then_some(id)
    }
}

impl Stack {
    /// A stack on the device `tun` that is asked in `directory`. It ends with any of `watched`, and when for some
    /// seconds the directory `users` has had no entry and nobody has held a line.
    pub fn new(
        plan: Plan,
        tun: OwnedFd,
        directory: &Path,
        watched: Vec<OwnedFd>,
        users: &Path,
    ) -> Result<Self, Error> {
        host::raise_descriptor_limit();
        let epoll = epoll::create(CreateFlags::CLOEXEC).map_err(Error::step("make an epoll instance"))?;
        let changes = inotify::init(inotify::CreateFlags::CLOEXEC | inotify::CreateFlags::NONBLOCK)
            .map_err(Error::step("make an inotify instance"))?;
        let interest = inotify::WatchFlags::DELETE | inotify::WatchFlags::MOVED_FROM;
        inotify::add_watch(&changes, users, interest)
            .map_err(Error::step("watch the directory of containers"))?;
        let stack = Self {
            plan,
            tun: Tun::new(tun),
            epoll,
            control: control::listen(directory)?,
            watched,
            users: users.to_owned(),
            changes,
            ended: false,
            ends_at: Some(Instant::now() + IDLE_MAX),
            slots: Slots::default(),
            flows: HashMap::new(),
            exchanges: HashMap::new(),
            pings: HashMap::new(),
            timers: crate::timers::Timers::default(),
            start: Instant::now(),
            room: Vec::with_capacity(PACKET_MAX),
        };
        stack.watch(stack.tun.fd(), TUN, EventFlags::IN)?;
        stack.watch(&stack.control, CONTROL, EventFlags::IN)?;
        stack.watch(&stack.changes, CHANGES, EventFlags::IN)?;
        for descriptor in &stack.watched {
            stack.watch(descriptor, END, EventFlags::IN)?;
        }
        Ok(stack)
    }

    fn watch(&self, descriptor: impl AsFd, token: u64, events: EventFlags) -> Result<(), Error> {
        epoll::add(&self.epoll, descriptor, EventData::new_u64(token), events)
            .map_err(Error::step("watch a descriptor"))
    }

    /// Opens ports for `owner`, in place of those that it had: all or none.
    pub fn open(&mut self, owner: &str, ports: &[Port]) -> Result<(), Error> {
        self.close(owner);
        for port in ports {
            if self.join(owner, port) {
                continue;
            }
            let opened = host::listen(port).and_then(|socket| {
                let copy = socket.try_clone().map_err(Error::step("copy a descriptor"))?;
                let entry = Entry::Listener { owners: vec![owner.to_owned()], port: *port, socket };
                let id = self.slots.put(entry);
                self.watch(&copy, self.slots.token(id), EventFlags::IN)
            });
            if let Err(error) = opened {
                if host::is_dispensable(port, ports, &error) {
                    continue;
                }
                self.close(owner);
                return Err(error);
            }
        }
        Ok(())
    }

    /// Closes the ports of `owner`; connections that came through them go on.
    pub fn close(&mut self, owner: &str) {
        for id in 0..self.slots.all.len() {
            let Some(Entry::Listener { owners, .. }) = self.slots.get(id) else { continue };
            let before = owners.len();
            owners.retain(|known| known != owner);
            if owners.is_empty() && before > 0 {
                self.remove(id);
            }
        }
    }

    /// Makes `owner` one more of a port that several share; the user's network spreads what comes.
    fn join(&mut self, owner: &str, wanted: &Port) -> bool {
        let mut entries = self.slots.all.iter_mut().filter_map(|slot| slot.entry.as_mut());
        entries.any(|entry| match entry {
            Entry::Listener { owners, port, .. } if port.shared && port == wanted => {
                owners.push(owner.to_owned());
                true
            }
            _ => false,
        })
    }

    /// Serves until it is needed no more.
    pub fn run(mut self) -> Result<(), Error> {
        let mut events = Vec::with_capacity(EVENTS_MAX);
        let mut packet = vec![0; sys::tun::HEADER_LEN + PACKET_MAX];
        loop {
            let next = [self.timers.next(), self.ends_at].into_iter().flatten().min();
            let timeout = next.map(|at| timespec(at.saturating_duration_since(Instant::now())));
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), timeout.as_ref()) {
                Err(rustix::io::Errno::INTR) => continue,
                waited => waited.map_err(Error::step("wait for events"))?,
            };
            for event in &events {
                match event.data.u64() {
                    END if !self.has_users() => return Ok(()),
                    END => self.forget_watched()?,
                    TUN => self.packets(&mut packet)?,
                    CONTROL => self.callers(),
                    CHANGES => self.users_changed(),
                    token => {
                        if let Some(id) = self.slots.find(token) {
                            self.wake(id, event.flags);
                        }
                    }
                }
            }
            self.times_up();
            if self.ended {
                return Ok(());
            }
            if self.ends_at.is_some_and(|at| at <= Instant::now()) {
                if !self.is_needed() {
                    return Ok(());
                }
                self.ends_at = None;
            }
        }
    }

    /// A container or a line may have been the last.
    fn users_changed(&mut self) {
        let mut bytes = [0; 4096];
        while rustix::io::read(&self.changes, &mut bytes).is_ok_and(|count| count > 0) {}
        self.ends_at = Some(Instant::now() + IDLE_MAX);
    }

    fn is_needed(&self) -> bool {
        let held = self.slots.all.iter().any(|slot| matches!(slot.entry, Some(Entry::Caller(_))));
        held || self.has_users()
    }

    fn has_users(&self) -> bool {
        std::fs::read_dir(&self.users).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// What was watched has ended, but containers run: they hold the network themselves.
    fn forget_watched(&mut self) -> Result<(), Error> {
        for descriptor in self.watched.drain(..) {
            epoll::delete(&self.epoll, &descriptor).map_err(Error::step("forget a descriptor"))?;
        }
        Ok(())
    }

    fn now(&self) -> smoltcp::time::Instant {
        let micros = i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX);
        smoltcp::time::Instant::from_micros(micros)
    }

    /// Packets of the user's network, a batch: what they brought is handed on when all are in.
    fn packets(&mut self, bytes: &mut [u8]) -> Result<(), Error> {
        let mut touched = Vec::new();
        for _ in 0..BATCH {
            let read = self.tun.read(bytes).map_err(Error::step("read from the tun device"))?;
            let Some(length) = read else { break };
            let packet = &bytes[sys::tun::HEADER_LEN..sys::tun::HEADER_LEN + length];
            let Some(parsed) = Packet::parse(packet) else { continue };
            match parsed.kind {
                Kind::Tcp { opens, resets } => {
                    if let Some(id) = self.segment(&parsed, packet, opens, resets)
                        && !touched.contains(&id)
                    {
                        touched.push(id);
                    }
                }
                Kind::Udp => self.datagram(&parsed),
                Kind::Echo => self.echo(&parsed),
            }
        }
        for id in touched {
            self.run_flow(id);
        }
        Ok(())
    }

    fn segment(&mut self, parsed: &Packet<'_>, packet: &[u8], opens: bool, resets: bool) -> Option<usize> {
        let now = self.now();
        let ends = Ends { guest: parsed.source, remote: parsed.destination };
        if let Some(id) = self.flows.get(&ends).copied() {
            if let Some(Entry::Flow(flow)) = self.slots.get(id) {
                flow.take(packet, &mut self.tun, now);
            }
            return Some(id);
        }
        if !is_unicast(parsed) || resets {
            return None;
        }
        let target = opens.then(|| self.plan.route(parsed.destination, name_server)).flatten();
        let Some(socket) = target.and_then(|target| host::connect_tcp(target).ok()) else {
            tcp::refuse(ends.remote, packet, &mut self.tun, now);
            return None;
        };
        let flow = Flow::outbound(ends, socket, packet, &mut self.tun, now);
        self.add_flow(flow);
        None
    }

    fn add_flow(&mut self, flow: Flow) -> Option<usize> {
        let ends = flow.ends;
        let copy = flow.socket.try_clone().ok()?;
        let id = self.slots.put(Entry::Flow(Box::new(flow)));
        let events = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
        if self.watch(&copy, self.slots.token(id), events).is_err() {
            self.slots.take(id);
            return None;
        }
        self.flows.insert(ends, id);
        Some(id)
    }

    fn run_flow(&mut self, id: usize) {
        let now = self.now();
        let Some(slot) = self.slots.all.get_mut(id) else { return };
        let Some(Entry::Flow(flow)) = slot.entry.as_mut() else { return };
        if flow.run(&mut self.tun, now) == Fate::Over {
            self.remove(id);
        } else if let Some(due) = flow.due(now) {
            let at = self.start + Duration::from_micros(u64::try_from(due.total_micros()).unwrap_or(0));
            self.timers.arm(&mut slot.armed, id, at);
        }
    }

    fn datagram(&mut self, parsed: &Packet<'_>) {
        let ends = Ends { guest: parsed.source, remote: parsed.destination };
        if !self.exchanges.contains_key(&ends) {
            let target =
                is_unicast(parsed).then(|| self.plan.route(parsed.destination, name_server)).flatten();
            let Some(socket) = target.and_then(|target| host::connect_udp(target).ok()) else { return };
            let Ok(copy) = socket.try_clone() else { return };
            let id = self.add_exchange(ends, Way::Own(socket));
            if self.watch(&copy, self.slots.token(id), EventFlags::IN).is_err() {
                self.remove(id);
                return;
            }
        }
        let Some(id) = self.exchanges.get(&ends).copied() else { return };
        let Some(Entry::Exchange(exchange)) = self.slots.get(id) else { return };
        exchange.used = Instant::now();
        let flags = rustix::net::SendFlags::empty();
        // A datagram that cannot be sent is lost, as datagrams are.
        match &exchange.way {
            Way::Own(socket) => drop(rustix::net::send(socket, parsed.payload, flags)),
            Way::Listener(listener, client) => {
                let (listener, client) = (*listener, *client);
                let Some(listener) = self.slots.find(listener) else { return };
                if let Some(Entry::Listener { socket, .. }) = self.slots.get(listener) {
                    let _ = rustix::net::sendto(&*socket, parsed.payload, flags, &client);
                }
            }
        }
    }

    fn add_exchange(&mut self, ends: Ends, way: Way) -> usize {
        let exchange = Exchange { ends, way, used: Instant::now() };
        let at = exchange.used + exchange.idle_max();
        let id = self.slots.put(Entry::Exchange(exchange));
        self.exchanges.insert(ends, id);
        if let Some(slot) = self.slots.all.get_mut(id) {
            self.timers.arm(&mut slot.armed, id, at);
        }
        id
    }

    fn echo(&mut self, parsed: &Packet<'_>) {
        let ends = Ends { guest: parsed.source, remote: parsed.destination };
        if [self.plan.gateway, self.plan.names].iter().any(|own| parsed.destination.ip() == *own) {
            let mut reply = parsed.payload.to_vec();
            reply[0] = 0;
            packet::echo_reply(&mut self.room, parsed.destination.ip(), parsed.source, &reply);
            self.tun.send(&self.room);
            return;
        }
        if !self.pings.contains_key(&ends) {
            let target = is_unicast(parsed).then(|| self.plan.route(parsed.destination, || None)).flatten();
            let Some(socket) = target.and_then(|target| host::connect_echo(target).ok()) else { return };
            let Ok(copy) = socket.try_clone() else { return };
            let used = Instant::now();
            let id = self.slots.put(Entry::Ping(Ping { ends, socket, used }));
            self.pings.insert(ends, id);
            if let Some(slot) = self.slots.all.get_mut(id) {
                self.timers.arm(&mut slot.armed, id, used + PING_IDLE_MAX);
            }
            if self.watch(&copy, self.slots.token(id), EventFlags::IN).is_err() {
                self.remove(id);
                return;
            }
        }
        let Some(id) = self.pings.get(&ends).copied() else { return };
        if let Some(Entry::Ping(ping)) = self.slots.get(id) {
            ping.pass_to_host(parsed.payload);
        }
    }

    /// The host's side of an entry has something.
    fn wake(&mut self, id: usize, flags: EventFlags) {
        match self.slots.get(id) {
            Some(Entry::Flow(flow)) => {
                let broken = flags.intersects(EventFlags::ERR | EventFlags::HUP);
                let readable = broken || flags.intersects(EventFlags::IN | EventFlags::RDHUP);
                flow.note(readable, broken || flags.contains(EventFlags::OUT));
                self.run_flow(id);
            }
            Some(Entry::Exchange(exchange)) => {
                let goes_on = exchange.pass_to_guest(&mut self.tun, &mut self.room);
                if !goes_on {
                    self.remove(id);
                }
            }
            Some(Entry::Ping(ping)) => ping.pass_to_guest(&mut self.tun, &mut self.room),
            Some(Entry::Listener { port, .. }) => match port.transport {
                Transport::Tcp => self.connections(id),
                Transport::Udp => self.clients(id),
            },
            Some(Entry::Caller(_)) => self.request(id),
            None => {}
        }
    }

    /// Connections to a published port.
    fn connections(&mut self, id: usize) {
        for _ in 0..BATCH {
            let Some(Entry::Listener { port, socket, .. }) = self.slots.get(id) else { return };
            let port = *port;
            let (socket, client) = match host::accept(socket) {
                Ok((socket, Some(client))) => (socket, client),
                Ok(_) | Err(rustix::io::Errno::CONNABORTED | rustix::io::Errno::INTR) => continue,
                Err(rustix::io::Errno::AGAIN) => return,
                Err(_) => return self.rest(id),
            };
            let ends = self.inbound(port, client, |stack, ends| stack.flows.contains_key(ends));
            let now = self.now();
            // Not to be had: the client is told by a reset.
            host::reset_on_close(&socket);
            let Some(ends) = ends else { continue };
            let Some(flow) = Flow::inbound(ends, socket, &mut self.tun, now) else { continue };
            if let Some(id) = self.add_flow(flow) {
                self.run_flow(id);
            }
        }
    }

    /// There are no more descriptors, or there is no memory: who waits is taken a little later.
    fn rest(&mut self, id: usize) {
        let Some(slot) = self.slots.all.get_mut(id) else { return };
        let Some(Entry::Listener { socket, .. }) = &slot.entry else { return };
        if epoll::delete(&self.epoll, socket).is_ok() {
            self.timers.arm(&mut slot.armed, id, Instant::now() + REST);
        }
    }

    fn take_up(&mut self, id: usize) {
        let token = self.slots.token(id);
        let Some(Entry::Listener { socket, .. }) = self.slots.get(id) else { return };
        let Ok(copy) = socket.try_clone() else { return self.rest(id) };
        let _ = self.watch(&copy, token, EventFlags::IN);
    }

    /// Datagrams to a published port.
    fn clients(&mut self, id: usize) {
        let mut bytes = vec![0; PACKET_MAX];
        for _ in 0..BATCH {
            let Some(Entry::Listener { port, socket, .. }) = self.slots.get(id) else { return };
            let port = *port;
            let flags = rustix::net::RecvFlags::DONTWAIT;
            let Ok((_, count, Some(client))) = rustix::net::recvfrom(&*socket, &mut bytes[..], flags) else {
                return;
            };
            let Ok(client) = SocketAddr::try_from(client) else { continue };
            let token = self.slots.token(id);
            let busy = |stack: &mut Self, ends: &Ends| {
                let known = stack.exchanges.get(ends).copied();
                let known = known.and_then(|known| stack.slots.get(known));
                known.is_some_and(|entry| match entry {
                    Entry::Exchange(exchange) => {
                        !matches!(&exchange.way, Way::Listener(of, whose) if *of == token && *whose == client)
                    }
                    _ => true,
                })
            };
            let Some(ends) = self.inbound(port, client, busy) else { continue };
            let known = self.exchanges.get(&ends).copied();
            let known = known.unwrap_or_else(|| self.add_exchange(ends, Way::Listener(token, client)));
            if let Some(Entry::Exchange(exchange)) = self.slots.get(known) {
                exchange.used = Instant::now();
            }
            packet::datagram(&mut self.room, ends.remote, ends.guest, &bytes[..count]);
            self.tun.send(&self.room);
        }
    }

    /// The ends of what comes from `client` to a published port. Who is seen under another address than
    /// its own may meet another of the same port: the next one does.
    fn inbound(
        &mut self,
        port: Port,
        client: SocketAddr,
        busy: impl Fn(&mut Self, &Ends) -> bool,
    ) -> Option<Ends> {
        let guest = SocketAddr::new(self.plan.guest.into(), port.address.port());
        let mut remote = self.plan.seen(client);
        for _ in 0..PORT_TRIES_MAX {
            let ends = Ends { guest, remote };
            if !busy(self, &ends) {
                return Some(ends);
            }
            remote.set_port(remote.port().checked_add(1).unwrap_or(1024));
        }
        None
    }

    fn callers(&mut self) {
        while let Ok((socket, _)) = host::accept(&self.control) {
            let Ok(copy) = socket.try_clone() else { continue };
            let id = self.slots.put(Entry::Caller(socket));
            if self.watch(&copy, self.slots.token(id), EventFlags::IN).is_err() {
                self.remove(id);
            }
        }
    }

    fn request(&mut self, id: usize) {
        let Some(Entry::Caller(socket)) = self.slots.get(id) else { return };
        let request = control::receive(socket);
        let Some(Entry::Caller(socket)) = self.remove(id) else { return };
        self.ends_at = Some(Instant::now() + IDLE_MAX);
        let outcome = match request {
            Some(Request::Open { owner, ports }) => self.open(&owner, &ports),
            Some(Request::Close { owner }) => {
                self.close(&owner);
                Ok(())
            }
            Some(Request::End) => {
                self.ended = true;
                Ok(())
            }
            None => return,
        };
        control::answer(&socket, &outcome);
    }

    fn times_up(&mut self) {
        while let Some(id) = self.timers.pop(Instant::now()) {
            let Some(slot) = self.slots.all.get_mut(id) else { continue };
            slot.armed = None;
            let idle_until = match &slot.entry {
                Some(Entry::Flow(_)) => {
                    self.run_flow(id);
                    continue;
                }
                Some(Entry::Listener { .. }) => {
                    self.take_up(id);
                    continue;
                }
                Some(Entry::Exchange(exchange)) => exchange.used + exchange.idle_max(),
                Some(Entry::Ping(ping)) => ping.used + PING_IDLE_MAX,
                _ => continue,
            };
            if idle_until <= Instant::now() {
                self.remove(id);
            } else {
                self.timers.arm(&mut slot.armed, id, idle_until);
            }
        }
    }

    /// Forgets an entry. A descriptor leaves the epoll instance with its last copy.
    fn remove(&mut self, id: usize) -> Option<Entry> {
        if let Some(slot) = self.slots.all.get_mut(id) {
            self.timers.disarm(&mut slot.armed, id);
        }
        let entry = self.slots.take(id)?;
        match &entry {
            Entry::Flow(flow) => drop(self.flows.remove(&flow.ends)),
            Entry::Exchange(exchange) => drop(self.exchanges.remove(&exchange.ends)),
            Entry::Ping(ping) => drop(self.pings.remove(&ping.ends)),
            Entry::Listener { .. } | Entry::Caller(_) => {}
        }
        Some(entry)
    }
}

/// The host's first name server, as it is now.
fn name_server() -> Option<std::net::IpAddr> {
    first_name_server(&std::fs::read_to_string("/etc/resolv.conf").ok()?)
}

/// Neither end may be one that stands for many or for none.
fn is_unicast(parsed: &Packet<'_>) -> bool {
    [parsed.source.ip(), parsed.destination.ip()].iter().all(|ip| match ip {
        std::net::IpAddr::V4(ip) => !(ip.is_multicast() || ip.is_broadcast() || ip.is_unspecified()),
        std::net::IpAddr::V6(ip) => !(ip.is_multicast() || ip.is_unspecified()),
    })
}

fn timespec(duration: Duration) -> rustix::time::Timespec {
    // Rounded up: woken a little early there would be nothing to do yet.
    let duration = duration + Duration::from_micros(1);
    rustix::time::Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}

const TUN: u64 = 0;
const CONTROL: u64 = 1;
const END: u64 = 2;
const CHANGES: u64 = 3;
/// The tokens below are not slots'.
const SLOTS_FROM: u64 = 4;
/// How long it stays when nobody needs it: the next container may come soon.
const IDLE_MAX: Duration = Duration::from_secs(10);
const EVENTS_MAX: usize = 256;
/// Clients that have the same port and are seen under the same address.
const PORT_TRIES_MAX: u32 = 4096;
/// How long a port waits for descriptors to become free.
const REST: Duration = Duration::from_millis(200);
const PING_IDLE_MAX: Duration = Duration::from_secs(30);
