//! Which process has a port: from `/proc/net` to the socket's inode to the descriptor.

use std::fs;
use std::path::Path;

use crate::error::PortOwner;
use crate::publish::Protocol;

/// The process that listens on `port`, as far as it can be seen from here.
pub(crate) fn process_on(protocol: Protocol, port: u16) -> PortOwner {
    let name = protocol.to_string();
    let inodes: Vec<u64> = [name.clone(), format!("{name}6")]
        .iter()
        .filter_map(|table| fs::read_to_string(Path::new("/proc/net").join(table)).ok())
        .flat_map(|table| listeners(&table, protocol, port))
        .collect();
    inodes.iter().find_map(|inode| holder_of(*inode)).unwrap_or(PortOwner::Unknown)
}

/// The inodes of the sockets in a `/proc/net/{tcp,udp}` table that wait on `port`.
fn listeners(table: &str, protocol: Protocol, port: u16) -> Vec<u64> {
    const TCP_LISTEN: &str = "0A";
    let inode = |line: &str| -> Option<u64> {
        let words: Vec<&str> = line.split_whitespace().collect();
        let local = words.get(1)?.rsplit_once(':')?.1;
        let waits = protocol != Protocol::Tcp || *words.get(3)? == TCP_LISTEN;
        let same = u16::from_str_radix(local, 16).ok()? == port;
        (waits && same).then(|| words.get(9)?.parse().ok())?
    };
    table.lines().skip(1).filter_map(inode).collect()
}

fn holder_of(inode: u64) -> Option<PortOwner> {
    let wanted = format!("socket:[{inode}]");
    let processes = fs::read_dir("/proc").ok()?;
    let pids = processes.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    for pid in pids {
        let Ok(descriptors) = fs::read_dir(format!("/proc/{pid}/fd")) else { continue };
        let holds = descriptors
            .flatten()
            .filter_map(|entry| fs::read_link(entry.path()).ok())
            .any(|target| target.as_os_str() == wanted.as_str());
        if holds {
            let command = fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
            return Some(PortOwner::Process { pid, command: command.trim().to_owned() });
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    const TABLE: &str = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4242 1 0 100 0 0 10 0
   1: 0100007F:1F90 0100007F:8AB2 01 00000000:00000000 00:00000000 00000000     0        0 4243 1 0 100 0 0 10 0
   2: broken
";

    #[test]
    fn finds_listeners_only() {
        assert_eq!(listeners(TABLE, Protocol::Tcp, 8080), [4242]);
        assert_eq!(listeners(TABLE, Protocol::Udp, 8080), [4242, 4243]);
        assert_eq!(listeners(TABLE, Protocol::Tcp, 8081), Vec::<u64>::new());
    }

    #[test]
    fn finds_this_process() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        let port = listener.local_addr().expect("bound").port();
        let PortOwner::Process { pid, .. } = process_on(Protocol::Tcp, port) else { panic!("not found") };
        assert_eq!(pid, std::process::id());
    }
}
