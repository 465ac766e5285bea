//! `serve`: tells over HTTP and UDP who answered and who asked.

use std::net::SocketAddr;

use tokio::net::UdpSocket;

use crate::http::{self, Answered, Asked};

/// Serves both until the process ends.
pub(crate) async fn run(tcp: u16, udp: u16) -> anyhow::Result<()> {
    tokio::try_join!(http::serve(tcp, answer), datagrams(udp)).map(|_| ())
}

/// The name that this machine goes by.
pub(crate) fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}

async fn answer(request: Asked, peer: SocketAddr) -> Answered {
    let text = match request.uri().path() {
        "/clientip" => peer.to_string(),
        "/healthz" => "ok".to_owned(),
        "/echo" => {
            let query = request.uri().query().unwrap_or_default();
            query.split('&').find_map(|pair| pair.strip_prefix("msg=")).unwrap_or_default().to_owned()
        }
        _ => hostname(),
    };
    http::text(200, text)
}

/// Answers `hostname`, `clientip` and `echo TEXT`.
async fn datagrams(port: u16) -> anyhow::Result<()> {
    let socket = UdpSocket::bind(("0.0.0.0", port)).await?;
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        let asked = String::from_utf8_lossy(&buffer[..length]).trim().to_lowercase();
        let answer = match asked.split_once(' ') {
            Some(("echo", text)) => text.to_owned(),
            _ if asked == "clientip" => from.to_string(),
            _ => hostname(),
        };
        socket.send_to(answer.as_bytes(), from).await?;
    }
}
