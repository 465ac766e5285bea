//! Datagrams: who sends one has a socket of its own to the container, by which answers find back,
//! until neither has said anything for a while.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::AsFd as _;
use std::rc::Rc;
use std::time::{Duration, Instant};

use rustix::net::SendFlags;
use tokio::net::UdpSocket;
use tokio::time::timeout;

use super::{Room, Target, Targets};

/// Who has sent something, and how it goes on.
struct Session {
    target: Target,
    socket: UdpSocket,
    used: Cell<Instant>,
}

type Sessions = Rc<RefCell<HashMap<SocketAddr, Rc<Session>>>>;

pub(super) async fn relay(socket: UdpSocket, targets: Rc<Targets>, room: Rc<Room>) {
    let (socket, sessions) = (Rc::new(socket), Sessions::default());
    loop {
        if socket.readable().await.is_err() {
            tokio::task::yield_now().await;
            continue;
        }
        for _ in 0..BATCH {
            let mut buffer = room.datagram.borrow_mut();
            match socket.try_recv_from(&mut buffer) {
                Ok((count, from)) => {
                    let Some(session) = session(from, (&socket, &sessions), &targets, &room) else {
                        continue;
                    };
                    session.used.set(Instant::now());
                    // A full buffer loses it, as any network may.
                    let bytes = buffer.get(..count).unwrap_or_default();
                    let _ = rustix::net::send(session.socket.as_fd(), bytes, SendFlags::DONTWAIT);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Such as an answer that nobody took.
                Err(_) => {}
            }
        }
    }
}

/// The session of a source: the one that it has, or a new one with the next container.
fn session(
    from: SocketAddr,
    (socket, sessions): (&Rc<UdpSocket>, &Sessions),
    targets: &Targets,
    room: &Rc<Room>,
) -> Option<Rc<Session>> {
    let known = sessions.borrow().get(&from).cloned();
    if let Some(known) = known.filter(|known| targets.has(&known.target)) {
        return Some(known);
    }
    let target = targets.next()?;
    room.sessions.try_acquire().ok()?.forget();
    let counted = Counted(Rc::clone(room));
    let made = Session { socket: connect(target.address).ok()?, target, used: Cell::new(Instant::now()) };
    let made = Rc::new(made);
    sessions.borrow_mut().insert(from, Rc::clone(&made));
    let noted = Noted { from, session: Rc::clone(&made), sessions: Rc::clone(sessions), _counted: counted };
    let (socket, room) = (Rc::clone(socket), Rc::clone(room));
    targets.spawn(&made.target, async move { answers(&noted, &socket, &room).await });
    Some(made)
}

fn connect(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    UdpSocket::from_std(socket)
}

/// Hands answers back until nothing has come or gone for a while.
async fn answers(noted: &Noted, socket: &UdpSocket, room: &Room) {
    let session = &noted.session;
    loop {
        let left = IDLE_MAX.saturating_sub(session.used.get().elapsed());
        match timeout(left, session.socket.readable()).await {
            Err(_) if session.used.get().elapsed() >= IDLE_MAX => return,
            Err(_) | Ok(Err(_)) => continue,
            Ok(Ok(())) => {}
        }
        for _ in 0..BATCH {
            let mut buffer = room.datagram.borrow_mut();
            match session.socket.try_recv(&mut buffer) {
                Ok(count) => {
                    session.used.set(Instant::now());
                    let bytes = buffer.get(..count).unwrap_or_default();
                    let _ = rustix::net::sendto(socket.as_fd(), bytes, SendFlags::DONTWAIT, &noted.from);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Nobody listens in the container yet, or no more.
                Err(_) => {}
            }
        }
    }
}

/// A session that is known by its source as long as somebody waits for its answers.
struct Noted {
    from: SocketAddr,
    session: Rc<Session>,
    sessions: Sessions,
    _counted: Counted,
}

impl Drop for Noted {
    fn drop(&mut self) {
        let mut sessions = self.sessions.borrow_mut();
        // The source may have another one by now.
        if sessions.get(&self.from).is_some_and(|known| Rc::ptr_eq(known, &self.session)) {
            sessions.remove(&self.from);
        }
    }
}

/// One session of those that there may be.
struct Counted(Rc<Room>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.sessions.add_permits(1);
    }
}

/// As long as docker's proxy waits.
const IDLE_MAX: Duration = Duration::from_secs(90);
/// Datagrams in a row before others have their turn.
const BATCH: usize = 64;
