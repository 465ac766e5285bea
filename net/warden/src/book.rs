//! Who is attached to what, and by which names. Pure.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use attach::{Attachment, Process};
use base::ContainerId;

use crate::relay::{Key, Target};

/// All attachments, and an index of their names.
#[derive(Debug, Default)]
pub(crate) struct Book {
    containers: BTreeMap<ContainerId, Vec<Attachment>>,
    /// By network and name in small letters.
    names: HashMap<(String, String), Vec<Entry>>,
    /// By network and address.
    addresses: HashMap<(String, IpAddr), String>,
}

/// A holder of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    id: ContainerId,
    address: Ipv4Addr,
    address6: Option<Ipv6Addr>,
}

/// The addresses behind a name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Addresses {
    pub(crate) four: Vec<Ipv4Addr>,
    pub(crate) six: Vec<Ipv6Addr>,
}

impl Book {
    /// What a container is attached to now; nothing takes it out.
    pub(crate) fn put(&mut self, id: &ContainerId, attachments: Vec<Attachment>) {
        self.take_out(id);
        if attachments.is_empty() {
            return;
        }
        for attachment in attachments.iter().filter(|attachment| attachment.has_names()) {
            let address6 = attachment.ipv6.map(|six| six.address);
            for name in names(attachment) {
                let entry = Entry { id: id.clone(), address: attachment.address, address6 };
                self.names.entry((attachment.network.clone(), name)).or_default().push(entry);
            }
            let own = [Some(IpAddr::V4(attachment.address)), address6.map(IpAddr::V6)];
            for address in own.into_iter().flatten() {
                self.addresses.insert((attachment.network.clone(), address), attachment.name.clone());
            }
        }
        self.containers.insert(id.clone(), attachments);
    }

    fn take_out(&mut self, id: &ContainerId) {
        for attachment in self.containers.remove(id).unwrap_or_default() {
            for name in names(&attachment) {
                let key = (attachment.network.clone(), name);
                if let Some(entries) = self.names.get_mut(&key) {
                    entries.retain(|entry| entry.id != *id);
                    if entries.is_empty() {
                        self.names.remove(&key);
                    }
                }
            }
            let own = [Some(IpAddr::V4(attachment.address)), attachment.ipv6.map(|six| six.address.into())];
            for address in own.into_iter().flatten() {
                self.addresses.remove(&(attachment.network.clone(), address));
            }
        }
    }

    /// What a container is attached to.
    pub(crate) fn of(&self, id: &ContainerId) -> &[Attachment] {
        self.containers.get(id).map_or(&[], Vec::as_slice)
    }

    /// All containers that are attached to something.
    pub(crate) fn ids(&self) -> impl Iterator<Item = &ContainerId> {
        self.containers.keys()
    }

    /// The addresses of a name in small letters in a network.
    pub(crate) fn find(&self, network: &str, name: &str) -> Option<Addresses> {
        let entries = self.names.get(&(network.to_owned(), name.to_owned()))?;
        let four = entries.iter().map(|entry| entry.address).collect();
        let six = entries.iter().filter_map(|entry| entry.address6).collect();
        Some(Addresses { four, six })
    }

    /// The container that has an address in a network.
    pub(crate) fn owner(&self, network: &str, address: IpAddr) -> Option<&str> {
        self.addresses.get(&(network.to_owned(), address)).map(String::as_str)
    }

    /// The ports of `[::1]` that are relayed, and whom to: not to processes that have ended.
    pub(crate) fn relayed(&self, ended: &BTreeMap<ContainerId, Process>) -> BTreeMap<Key, Vec<Target>> {
        let mut all: BTreeMap<Key, Vec<Target>> = BTreeMap::new();
        for attachment in self.containers.values().flatten().filter(|attachment| attachment.relayed) {
            let process = attachment.process;
            if process.is_some() && ended.get(&attachment.id).copied() == process {
                continue;
            }
            let address = attachment.ipv6.map_or(IpAddr::V4(attachment.address), |six| six.address.into());
            for port in attachment.ports.iter().filter(|port| port.is_on_loopback6()) {
                let at = |address| SocketAddr::new(address, port.container_port);
                let or = attachment.ipv6.map(|_| at(attachment.address.into()));
                let target = Target { id: attachment.id.clone(), process, address: at(address), or };
                all.entry((port.protocol, port.host_port)).or_default().push(target);
            }
        }
        all
    }

    /// Whether somebody needs us: for names, or for rules about published ports.
    pub(crate) fn is_needed(&self) -> bool {
        self.containers
            .values()
            .flatten()
            .any(|attachment| attachment.has_names() || !attachment.ports.is_empty())
    }
}

/// By which names members of a network know a container: its name, its short id, its aliases.
fn names(attachment: &Attachment) -> Vec<String> {
    let own = [attachment.name.as_str(), attachment.id.short()];
    let all = own.into_iter().chain(attachment.aliases.iter().map(String::as_str));
    let mut names: Vec<String> = all.map(str::to_ascii_lowercase).collect();
    names.sort_unstable();
    names.dedup();
    names
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// `id name network address aliases…`
    pub(crate) fn attachment(text: &str) -> Attachment {
        let words: Vec<&str> = text.split(' ').collect();
        let subnet: attach::Cidr = format!("{}/16", words[3]).parse().expect("an address");
        let mut attachment = Attachment::bare(
            ContainerId::parse(words[0]).expect("an id"),
            words[1],
            words[2],
            words[3].parse().expect("an address"),
            subnet,
        );
        attachment.aliases = words[4..].iter().map(|word| (*word).to_owned()).collect();
        attachment
    }

    pub(crate) fn book(lines: &[&str]) -> Book {
        let mut all: BTreeMap<ContainerId, Vec<Attachment>> = BTreeMap::new();
        for attachment in lines.iter().map(|line| attachment(line)) {
            all.entry(attachment.id.clone()).or_default().push(attachment);
        }
        let mut book = Book::default();
        for (id, attachments) in all {
            book.put(&id, attachments);
        }
        book
    }

    fn four(book: &Book, network: &str, name: &str) -> String {
        book.find(network, name).map_or_else(String::new, |found| {
            found.four.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
        })
    }

    #[test]
    fn what_is_relayed_follows_from_the_records() {
        use attach::{Protocol, PublishedPort};
        let port = |ip: &str, port| PublishedPort::new(Protocol::Tcp, ip.parse().expect("address"), port, 80);
        let mut one = attachment("aaaa one bridge 172.30.0.2");
        one.relayed = true;
        one.process = Some(Process { pid: 7, start_time: 8 });
        one.ports = vec![port("0.0.0.0", 8080), port("::1", 8080), port("::", 8081), port("127.0.0.1", 8082)];
        let mut other = attachment("bbbb other bridge 172.30.0.3");
        other.ports = vec![port("::1", 9090)];
        let mut book = Book::default();
        for attachment in [&one, &other] {
            book.put(&attachment.id, vec![attachment.clone()]);
        }
        let shown = |ended: &BTreeMap<ContainerId, Process>| -> Vec<String> {
            let all = book.relayed(ended);
            all.iter().map(|((_, port), targets)| format!("{port} {}", targets[0].address)).collect()
        };
        assert_eq!(shown(&BTreeMap::new()), ["8080 172.30.0.2:80", "8081 172.30.0.2:80"]);
        let before = Process { pid: 7, start_time: 1 };
        assert_eq!(shown(&[(one.id.clone(), before)].into()).len(), 2, "another process ended");
        assert!(shown(&[(one.id.clone(), Process { pid: 7, start_time: 8 })].into()).is_empty());
    }

    #[test]
    fn names_are_of_a_network() {
        let mut book = book(&[
            "0123456789abcdef Web a 10.1.0.2 www",
            "0123456789abcdef Web b 10.2.0.2",
            "fedcba9876543210 db a 10.1.0.3 www",
            "aaaa plain bridge 172.30.0.2",
        ]);
        assert_eq!(four(&book, "a", "web"), "10.1.0.2");
        assert_eq!(four(&book, "b", "web"), "10.2.0.2");
        assert_eq!(four(&book, "a", "0123456789ab"), "10.1.0.2");
        assert_eq!(four(&book, "a", "www"), "10.1.0.2 10.1.0.3");
        assert_eq!(four(&book, "b", "www"), "");
        assert_eq!(four(&book, "bridge", "plain"), "", "the default network has no names");
        assert_eq!(book.owner("a", "10.1.0.3".parse().expect("address")), Some("db"));
        let id = ContainerId::parse("fedcba9876543210").expect("id");
        book.put(&id, Vec::new());
        assert_eq!((four(&book, "a", "db").as_str(), four(&book, "a", "www").as_str()), ("", "10.1.0.2"));
        assert_eq!(book.owner("a", "10.1.0.3".parse().expect("address")), None);
        assert!(book.is_needed());
        let id = ContainerId::parse("0123456789abcdef").expect("id");
        book.put(&id, Vec::new());
        assert!(!book.is_needed(), "who is in the default network needs nobody");
        assert!(book.names.is_empty() && book.addresses.is_empty());
    }
}
