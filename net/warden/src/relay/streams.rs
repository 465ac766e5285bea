//! Connections of TCP: bytes both ways, each end told of the other's.

use std::rc::Rc;
use std::time::Duration;

use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{sleep, timeout};

use super::{BREATH, Room, Target, Targets};

pub(super) async fn relay(listener: TcpListener, targets: Rc<Targets>, room: Rc<Room>) {
    loop {
        let Ok((client, _)) = listener.accept().await else {
            // No descriptors are left, say.
            sleep(BREATH).await;
            continue;
        };
        // As many as there may be are there: the next ones wait in the kernel.
        let Ok(permit) = room.connections.acquire().await else { return };
        permit.forget();
        lead(client, targets.count(), &targets, Counted(Rc::clone(&room)));
    }
}

/// Hands a client to the next container, and to another one if that does not answer: it may have ended
/// just now.
fn lead(client: TcpStream, tries: usize, targets: &Rc<Targets>, counted: Counted) {
    let Some(target) = targets.next() else { return reset(&client) };
    let (to, others) = (target.clone(), Rc::clone(targets));
    targets.spawn(&target, async move {
        match connect(&to).await {
            Some(server) => {
                let _counted = counted;
                carry(client, server).await;
            }
            None if tries > 1 => lead(client, tries - 1, &others, counted),
            None => reset(&client),
        }
    });
}

async fn connect(target: &Target) -> Option<TcpStream> {
    for address in std::iter::once(target.address).chain(target.or) {
        if let Ok(Ok(server)) = timeout(CONNECT_WITHIN, TcpStream::connect(address)).await {
            return Some(server);
        }
    }
    None
}

/// Takes bytes both ways until both ends have ended. One that breaks breaks the other.
async fn carry(mut client: TcpStream, mut server: TcpStream) {
    for stream in [&client, &server] {
        // Bytes are handed on as they come: waiting for more was the sender's to decide.
        let _ = stream.set_nodelay(true);
    }
    let copied = copy_bidirectional_with_sizes(&mut client, &mut server, BUFFER_BYTES, BUFFER_BYTES).await;
    if copied.is_err() {
        reset(&client);
        reset(&server);
    }
}

/// Closing it tells the peer that it broke.
fn reset(stream: &TcpStream) {
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}

/// One connection of those that there may be.
struct Counted(Rc<Room>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.add_permits(1);
    }
}

/// A container that is there answers or refuses sooner.
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// For one way of a connection.
const BUFFER_BYTES: usize = 16 << 10;

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use base::ContainerId;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpSocket;

    use super::*;
    use crate::relay::Relays;

    fn target(id: &str, address: SocketAddr) -> Target {
        Target { id: ContainerId::parse(id).expect("id"), process: None, address, or: None }
    }

    async fn asks() {
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        // Bound, and deaf: who connects is refused.
        let deaf = TcpSocket::new_v4().expect("socket");
        deaf.bind(any).expect("bind");
        let (server, front) =
            (TcpListener::bind(any).await.expect("bind"), TcpListener::bind(any).await.expect("bind"));
        let targets = Rc::new(Targets::default());
        let addresses = [deaf.local_addr().expect("bound"), server.local_addr().expect("bound")];
        targets.replace(&[target("deaf", addresses[0]), target("there", addresses[1])]);
        let room = Relays::new().room;
        room.connections.acquire().await.expect("room").forget();
        let before = room.connections.available_permits();
        let mut client = TcpStream::connect(front.local_addr().expect("bound")).await.expect("connect");
        let (taken, _) = front.accept().await.expect("accept");
        lead(taken, targets.count(), &targets, Counted(Rc::clone(&room)));
        let (mut led, _) = server.accept().await.expect("it is led to who is there");
        led.write_all(b"here").await.expect("write");
        drop(led);
        let mut said = String::new();
        client.read_to_string(&mut said).await.expect("read");
        assert_eq!(said, "here");
        drop(client);
        while room.connections.available_permits() == before {
            tokio::task::yield_now().await;
        }
    }

    #[test]
    fn who_does_not_answer_is_passed_over() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("runtime");
        tokio::task::LocalSet::new().block_on(&runtime, asks());
    }
}
