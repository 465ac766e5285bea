//! The eight namespaces of a process, and who else is in each: `namespaces(7)`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::error::{Error, Malformed};
use crate::mounts;
use crate::procfs::{Proc, Process};
use crate::sourced::Sourced;

/// The kinds of namespace, in the order in which we print them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum NamespaceKind {
    /// Mount tables.
    Mnt,
    /// Process numbers.
    Pid,
    /// Interfaces, addresses, routes, ports.
    Net,
    /// User and group ids, and what capabilities are worth.
    User,
    /// Host name.
    Uts,
    /// System V IPC and POSIX queues.
    Ipc,
    /// The root of the cgroup tree.
    Cgroup,
    /// Offsets of the monotonic and boot clocks.
    Time,
}

impl NamespaceKind {
    /// All eight.
    pub const ALL: [Self; 8] =
        [Self::Mnt, Self::Pid, Self::Net, Self::User, Self::Uts, Self::Ipc, Self::Cgroup, Self::Time];

    /// Its name in `/proc/PID/ns` and in `lsns`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Mnt => "mnt",
            Self::Pid => "pid",
            Self::Net => "net",
            Self::User => "user",
            Self::Uts => "uts",
            Self::Ipc => "ipc",
            Self::Cgroup => "cgroup",
            Self::Time => "time",
        }
    }

    /// The kind of that name; the OCI names `mount` and `network` are taken too.
    pub fn parse(name: &str) -> Option<Self> {
        match name {
            "mount" => Some(Self::Mnt),
            "network" => Some(Self::Net),
            _ => Self::ALL.into_iter().find(|kind| kind.as_str() == name),
        }
    }

    /// Below `/proc/PID`.
    pub fn link(self) -> &'static str {
        match self {
            Self::Mnt => "ns/mnt",
            Self::Pid => "ns/pid",
            Self::Net => "ns/net",
            Self::User => "ns/user",
            Self::Uts => "ns/uts",
            Self::Ipc => "ns/ipc",
            Self::Cgroup => "ns/cgroup",
            Self::Time => "ns/time",
        }
    }

    fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for NamespaceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// One namespace: the kernel names it by kind and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub struct Namespace {
    /// What it isolates.
    pub kind: NamespaceKind,
    /// Unique while the namespace lives.
    pub inode: u64,
}

impl Namespace {
    /// Reads a link's target: `net:[4026531840]`.
    pub fn parse(target: &str) -> Result<Self, Malformed> {
        let bad = |what| Malformed { line: 1, what };
        let (name, rest) = target.split_once(":[").ok_or(bad("expected KIND:[INODE]"))?;
        let inode = rest.strip_suffix(']').ok_or(bad("expected ] after the inode"))?;
        Ok(Self {
            kind: NamespaceKind::parse(name).ok_or(bad("unknown kind of namespace"))?,
            inode: inode.parse().map_err(|_| bad("the inode is not a number"))?,
        })
    }
}

impl Process {
    /// One of its namespaces.
    pub fn namespace(&self, kind: NamespaceKind) -> Result<Sourced<Namespace>, Error> {
        let link = self.link(kind.link())?;
        match Namespace::parse(&link.value) {
            Ok(value) => Ok(Sourced::new(value, link.source)),
            Err(at) => Err(Error::Malformed { path: link.source, at }),
        }
    }

    /// All eight; `None` for a kind that the kernel lacks (time before Linux 5.6).
    pub fn namespaces(&self) -> Result<Vec<Sourced<Namespace>>, Error> {
        let mut all = Vec::with_capacity(8);
        for kind in NamespaceKind::ALL {
            match self.namespace(kind) {
                Ok(namespace) => all.push(namespace),
                Err(Error::Missing { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(all)
    }
}

/// A process as the census saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Member {
    /// PID in the procfs's namespace.
    pub pid: i32,
    /// Its command name.
    pub name: String,
    /// Effective user id.
    pub uid: u32,
    /// Parent.
    pub parent: i32,
    #[serde(skip)]
    inodes: [u64; 8],
}

/// Which process is in which namespace, over all of `/proc`, at one moment.
#[derive(Clone, Debug, Default)]
pub struct Census {
    members: Vec<Member>,
    /// Namespaces that a bind mount keeps, with its path.
    held: Vec<(Namespace, String)>,
    /// Processes whose namespaces we may not read.
    pub unreadable: usize,
}

/// A line of `strake ns ls`: one namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamespaceUse {
    /// Which.
    #[serde(flatten)]
    pub namespace: Namespace,
    /// How many processes are in it.
    pub processes: usize,
    /// The lowest PID in it, `None` if only a mount keeps it.
    pub pid: Option<i32>,
    /// That process's effective user.
    pub uid: Option<u32>,
    /// That process's command name.
    pub command: Option<String>,
    /// Where it is bind-mounted.
    pub mounted_at: Vec<String>,
}

impl Census {
    /// Looks at every process. One that ends meanwhile is simply not in it.
    pub fn take(proc: &Proc) -> Result<Self, Error> {
        let mut census = Self::default();
        for pid in proc.pids()? {
            match Self::look_at(proc, pid) {
                Ok(Some(member)) => census.members.push(member),
                Ok(None) | Err(Error::NoProcess { .. }) => {}
                Err(_) => census.unreadable += 1,
            }
        }
        if let Ok(table) = proc.this().and_then(|this| this.mounts()) {
            let nsfs = table.value.into_iter().filter(|mount| mount.fs_type == "nsfs");
            census.held = nsfs.filter_map(held_namespace).collect();
        }
        Ok(census)
    }

    fn look_at(proc: &Proc, pid: i32) -> Result<Option<Member>, Error> {
        let process = proc.process(pid)?;
        let status = process.status()?.value;
        if status.state == 'Z' {
            return Ok(None); // A zombie has left its namespaces.
        }
        let mut inodes = [0; 8];
        for namespace in process.namespaces()? {
            inodes[namespace.value.kind.index()] = namespace.value.inode;
        }
        Ok(Some(Member { pid, name: status.name, uid: status.uid.effective, parent: status.parent, inodes }))
    }

    /// Every process that was seen, ascending by PID.
    pub fn all(&self) -> &[Member] {
        &self.members
    }

    /// Who is in `namespace`, ascending by PID.
    pub fn members(&self, namespace: Namespace) -> impl Iterator<Item = &Member> {
        self.members.iter().filter(move |member| member.inodes[namespace.kind.index()] == namespace.inode)
    }

    /// Every namespace that is in use, by kind and inode.
    pub fn list(&self) -> Vec<NamespaceUse> {
        let mut uses: BTreeMap<Namespace, NamespaceUse> = BTreeMap::new();
        for member in &self.members {
            for kind in NamespaceKind::ALL {
                let inode = member.inodes[kind.index()];
                if inode == 0 {
                    continue;
                }
                let namespace = Namespace { kind, inode };
                // Members ascend by PID, so the first one met is the lowest.
                let entry = uses.entry(namespace).or_insert_with(|| NamespaceUse {
                    namespace,
                    processes: 0,
                    pid: Some(member.pid),
                    uid: Some(member.uid),
                    command: Some(member.name.clone()),
                    mounted_at: Vec::new(),
                });
                entry.processes += 1;
            }
        }
        for (namespace, path) in &self.held {
            let entry = uses.entry(*namespace).or_insert_with(|| NamespaceUse {
                namespace: *namespace,
                processes: 0,
                pid: None,
                uid: None,
                command: None,
                mounted_at: Vec::new(),
            });
            entry.mounted_at.push(path.clone());
        }
        uses.into_values().collect()
    }
}

fn held_namespace(mount: mounts::Mount) -> Option<(Namespace, String)> {
    Some((Namespace::parse(&mount.root).ok()?, mount.mount_point))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_links() {
        let net = Namespace { kind: NamespaceKind::Net, inode: 4026531840 };
        assert_eq!(Namespace::parse("net:[4026531840]"), Ok(net));
        for bad in
            ["", "net", "net:[", "net:[]", "net:[x]", "net:[1", "moon:[1]", "net:[99999999999999999999]"]
        {
            assert!(Namespace::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn knows_both_spellings() {
        assert_eq!(NamespaceKind::parse("mount"), Some(NamespaceKind::Mnt));
        assert_eq!(NamespaceKind::parse("mnt"), Some(NamespaceKind::Mnt));
        assert_eq!(NamespaceKind::parse("network"), Some(NamespaceKind::Net));
        assert_eq!(NamespaceKind::parse("pod"), None);
    }

    fn member(pid: i32, net: u64) -> Member {
        let mut inodes = [7; 8];
        inodes[NamespaceKind::Net.index()] = net;
        Member { pid, name: format!("p{pid}"), uid: 0, parent: 0, inodes }
    }

    #[test]
    fn counts_members_and_held_ones() {
        let held = (Namespace { kind: NamespaceKind::Net, inode: 30 }, "/run/netns/x".to_owned());
        let census = Census {
            members: vec![member(1, 10), member(5, 20), member(9, 20)],
            held: vec![held],
            unreadable: 0,
        };
        let list = census.list();
        let net: Vec<_> = list.iter().filter(|u| u.namespace.kind == NamespaceKind::Net).collect();
        assert_eq!(
            net.iter().map(|u| (u.namespace.inode, u.processes, u.pid)).collect::<Vec<_>>(),
            [(10, 1, Some(1)), (20, 2, Some(5)), (30, 0, None)]
        );
        assert_eq!(net[2].mounted_at, ["/run/netns/x"]);
        let in_20: Vec<_> = census.members(net[1].namespace).map(|m| m.pid).collect();
        assert_eq!(in_20, [5, 9]);
        assert_eq!(list.len(), 7 + 3);
    }

    #[test]
    fn the_test_itself_is_in_the_census() {
        let proc = Proc::open().unwrap();
        let this = proc.this().unwrap();
        let census = Census::take(&proc).unwrap();
        for namespace in this.namespaces().unwrap() {
            assert!(census.members(namespace.value).any(|member| member.pid == this.pid()), "{namespace:?}");
        }
    }
}
