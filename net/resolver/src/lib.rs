//! Asks other name servers, one after the other, by datagram and where an answer does not fit
//! by stream (RFC 1035, section 4.2). What is asked and what is an answer says `names`.

use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Duration;

use names::Query;
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

/// How long to wait.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// For one server.
    pub one: Duration,
    /// For all of them.
    pub all: Duration,
}

/// The first answer of these servers that says something: the name's records, or that it does
/// not exist. `open` makes the sockets: [`socket`], in whatever network namespace.
pub async fn first_answer<O>(
    servers: impl IntoIterator<Item = SocketAddr>,
    query: &Query,
    patience: Patience,
    open: O,
) -> Option<Vec<u8>>
where
    O: Fn(SocketAddr, SocketType) -> io::Result<OwnedFd>,
{
    let all = async {
        for server in servers {
            if let Ok(Ok(message)) = timeout(patience.one, exchange(server, query, &open)).await {
                let code = message.get(3).map_or(2, |flags| flags & 15);
                // Who refuses or fails may have a better neighbour.
                if matches!(code, 0 | 3) {
                    return Some(message);
                }
            }
        }
        None
    };
    timeout(patience.all, all).await.ok().flatten()
}

/// A socket for asking a server, in the calling thread's network namespace.
pub fn socket(server: SocketAddr, kind: SocketType) -> io::Result<OwnedFd> {
    let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    Ok(rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK, None)?)
}

/// Asks one server, from a port and with a number that nobody can guess.
async fn exchange<O>(server: SocketAddr, query: &Query, open: &O) -> io::Result<Vec<u8>>
where
    O: Fn(SocketAddr, SocketType) -> io::Result<OwnedFd>,
{
    let mut random = [0; 2];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let id = u16::from_be_bytes(random);
    let question = names::question(query, id);
    let socket = UdpSocket::from_std(open(server, SocketType::DGRAM)?.into())?;
    // The kernel chooses the port, at random.
    socket.connect(server).await?;
    socket.send(&question).await?;
    let mut buffer = vec![0; MESSAGE_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let message = buffer.get(..length).unwrap_or_default();
        if !names::is_answer(message, query, id) {
            continue;
        }
        let truncated = message.get(2).is_some_and(|flags| flags & 2 != 0);
        if truncated {
            let socket = TcpSocket::from_std_stream(open(server, SocketType::STREAM)?.into());
            let mut stream = socket.connect(server).await?;
            write_message(&mut stream, &question).await?;
            let message = read_message(&mut stream).await?;
            let fits = names::is_answer(&message, query, id);
            return if fits { Ok(message) } else { Err(io::ErrorKind::InvalidData.into()) };
        }
        return Ok(message.to_vec());
    }
}

/// One message of a stream: two bytes of length before it.
pub async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

/// Writes a message as [`read_message`] reads it.
pub async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await
}

/// More than we say that we take.
const MESSAGE_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use names::{Name, QueryType};
    use tokio::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(30);

    fn query() -> Query {
        let name = Name::parse("db.example").unwrap();
        let (kind, checking_disabled) = (QueryType::A, false);
        Query { id: 7, recursive: true, checking_disabled, name, kind, class: 1, edns: None }
    }

    /// A question as a reply with these flags.
    fn reply(mut question: Vec<u8>, flags: [u8; 2]) -> Vec<u8> {
        question[2] |= 0x80 | flags[0];
        question[3] |= flags[1];
        question
    }

    async fn datagrams(server: UdpSocket, flags: [u8; 2]) {
        let mut buffer = [0; 512];
        loop {
            let (length, from) = server.recv_from(&mut buffer).await.unwrap();
            // Somebody else's answer comes first.
            let mut wrong = reply(buffer[..length].to_vec(), flags);
            wrong[0] ^= 1;
            server.send_to(&wrong, from).await.unwrap();
            server.send_to(&reply(buffer[..length].to_vec(), flags), from).await.unwrap();
        }
    }

    #[tokio::test]
    async fn who_refuses_is_passed_over_and_what_is_cut_off_asked_by_stream() {
        let refusing = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let streams = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let brief = UdpSocket::bind(streams.local_addr().unwrap()).await.unwrap();
        let servers = [refusing.local_addr().unwrap(), brief.local_addr().unwrap()];
        tokio::spawn(datagrams(refusing, [0, 5]));
        tokio::spawn(datagrams(brief, [2, 0]));
        tokio::spawn(async move {
            let (mut stream, _) = streams.accept().await.unwrap();
            let question = read_message(&mut stream).await.unwrap();
            write_message(&mut stream, &reply(question, [0, 3])).await.unwrap();
        });
        let patience = Patience { one: LONG, all: LONG };
        let answer = first_answer(servers, &query(), patience, socket).await.unwrap();
        assert_eq!(answer[2] & 2, 0, "the stream's answer is whole");
        assert_eq!(answer[3] & 15, 3, "that it does not exist is an answer");
        assert_eq!(first_answer([servers[0]], &query(), patience, socket).await, None);
    }
}
