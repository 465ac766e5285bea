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
        let counted = Counted(Rc::clone(&room));
        let Some(target) = targets.next() else { continue };
        let to = target.clone();
        targets.spawn(&target, async move {
            let _counted = counted;
            match connect(&to).await {
                Some(server) => carry(client, server).await,
                None => reset(&client),
            }
        });
    }
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
