//! `probe`: is it there? Ends with 0 when it is, with 1 when it is not.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

use super::{Outcome, wrong};

const TIMEOUT: Duration = Duration::from_secs(5);
const USAGE: &str = "use: probe tcp HOST:PORT | http URL | dns NAME | file PATH";

pub(super) fn run(args: &[String]) -> Outcome {
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["tcp", address] => connect(address).and_then(|_| say(&format!("{address} accepts connections"))),
        ["http", url] => http(url),
        ["dns", name] => {
            let found: Vec<String> =
                (name, 0).to_socket_addrs()?.map(|address| address.ip().to_string()).collect();
            say(&found.join("\n"))
        }
        ["file", path] => {
            fs::metadata(path).and_then(|metadata| say(&format!("{path}: {} bytes", metadata.len())))
        }
        _ => Err(wrong(USAGE)),
    }
}

fn say(text: &str) -> Outcome {
    writeln!(std::io::stdout(), "{text}")?;
    Ok(0)
}

fn connect(address: &str) -> std::io::Result<TcpStream> {
    let mut last = wrong(format!("{address} has no address"));
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, TIMEOUT) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// GET; a status from 200 to 399 is good, as a kubelet's probe has it.
fn http(url: &str) -> Outcome {
    let rest = url.strip_prefix("http://").ok_or_else(|| wrong("only http:// can be probed"))?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = if host.contains(':') { host.to_owned() } else { format!("{host}:80") };
    let mut stream = connect(&address)?;
    stream.set_read_timeout(Some(TIMEOUT))?;
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(16 << 20).read_to_end(&mut answer)?;
    let text = String::from_utf8_lossy(&answer);
    let status: u16 = text.split_whitespace().nth(1).and_then(|code| code.parse().ok()).unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map_or("", |(_, body)| body);
    std::io::stdout().write_all(body.as_bytes())?;
    if (200..400).contains(&status) { Ok(0) } else { Err(wrong(format!("{url} answered {status}"))) }
}
