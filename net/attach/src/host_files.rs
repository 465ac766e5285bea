//! The contents of `/etc/hosts`, `/etc/resolv.conf` and `/etc/hostname` in a
//! container, by docker's rules. Pure: the caller reads the host's and writes these.

use std::fmt::Write as _;
use std::net::IpAddr;

/// What the three files are made from.
#[derive(Clone, Debug, Default)]
pub struct HostFilesRequest<'a> {
    /// The container's host name.
    pub hostname: &'a str,
    /// Its domain name; may be empty.
    pub domainname: &'a str,
    /// Its addresses; without any its name is `127.0.1.1`, or the host's with `host`.
    pub addresses: &'a [IpAddr],
    /// It is in a network with names: it asks us at 127.0.0.11, and we ask others.
    pub names: bool,
    /// `--network host`: the host's files are the base.
    pub host_network: bool,
    /// The host's `/etc/hosts`, used with the host's network.
    pub host_hosts: &'a str,
    /// The host's `/etc/resolv.conf`.
    pub host_resolv_conf: &'a str,
    /// systemd-resolved's `/run/systemd/resolve/resolv.conf`, when it exists: used when the
    /// host's own file names only its stub at 127.0.0.53.
    pub resolved_resolv_conf: Option<&'a str>,
    /// `--add-host NAME:IP`.
    pub extra_hosts: &'a [(String, IpAddr)],
    /// `--dns`.
    pub dns: &'a [IpAddr],
    /// `--dns-search`; a lone `.` means none.
    pub dns_search: &'a [String],
    /// `--dns-option`.
    pub dns_options: &'a [String],
}

/// The contents of the three files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFiles {
    /// `/etc/hosts`.
    pub hosts: String,
    /// `/etc/resolv.conf`.
    pub resolv_conf: String,
    /// `/etc/hostname`.
    pub hostname: String,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// Where containers of users' networks ask, in their own namespace.
const OWN_SERVER: &str = "127.0.0.11";
/// Name servers when the host names none that a container can reach, as docker's.
const FALLBACK_SERVERS: [&str; 2] = ["8.8.8.8", "8.8.4.4"];

impl HostFiles {
    /// Makes the three files.
    pub fn make(request: &HostFilesRequest<'_>) -> Self {
        let mut warnings = Vec::new();
        let resolv_conf = resolv_conf(request, &mut warnings);
        Self { hosts: hosts(request), resolv_conf, hostname: format!("{}\n", request.hostname), warnings }
    }
}

fn hosts(request: &HostFilesRequest<'_>) -> String {
    let mut out = String::new();
    if request.host_network {
        out.push_str(request.host_hosts);
        if !out.is_empty() && !out.ends_with('\n') {
            out.push('\n');
        }
    } else {
        out.push_str(
            "127.0.0.1\tlocalhost\n\
             ::1\tlocalhost ip6-localhost ip6-loopback\n\
             fe00::\tip6-localnet\n\
             ff00::\tip6-mcastprefix\n\
             ff02::1\tip6-allnodes\n\
             ff02::2\tip6-allrouters\n",
        );
    }
    for (name, address) in request.extra_hosts {
        let _ = writeln!(out, "{address}\t{name}");
    }
    if request.hostname.is_empty() || request.host_network {
        return out;
    }
    let full = match request.domainname {
        "" => request.hostname.to_owned(),
        domain => format!("{}.{domain}", request.hostname),
    };
    let names = match full.split_once('.') {
        Some((short, _)) => format!("{full} {short}"),
        None => full,
    };
    if request.addresses.is_empty() {
        let _ = writeln!(out, "127.0.1.1\t{names}");
    }
    for address in request.addresses {
        let _ = writeln!(out, "{address}\t{names}");
    }
    out
}

/// What a `resolv.conf(5)` says.
#[derive(Default)]
struct Resolver<'a> {
    servers: Vec<&'a str>,
    search: Vec<&'a str>,
    options: Vec<&'a str>,
}

fn read_resolver(text: &str) -> Resolver<'_> {
    let mut resolver = Resolver::default();
    for line in text.lines() {
        let line = line.split(['#', ';']).next().unwrap_or_default();
        let mut words = line.split_whitespace();
        match words.next() {
            Some("nameserver") => resolver.servers.extend(words.next()),
            // The last of several wins: resolv.conf(5).
            Some("search" | "domain") => resolver.search = words.collect(),
            Some("options") => resolver.options.extend(words),
            _ => {}
        }
    }
    resolver
}

fn resolv_conf(request: &HostFilesRequest<'_>, warnings: &mut Vec<String>) -> String {
    let only_stub = |r: &Resolver<'_>| !r.servers.is_empty() && r.servers.iter().all(|s| *s == "127.0.0.53");
    let mut host = read_resolver(request.host_resolv_conf);
    if only_stub(&host)
        && !request.host_network
        && let Some(real) = request.resolved_resolv_conf
    {
        host = read_resolver(real);
    }
    let given: Vec<String> = request.dns.iter().map(IpAddr::to_string).collect();
    let given = if request.names { vec![OWN_SERVER.to_owned()] } else { given };
    let mut servers: Vec<&str> = if given.is_empty() {
        let reachable = |s: &&str| request.host_network || !is_loopback(s);
        host.servers.iter().copied().filter(reachable).collect()
    } else {
        given.iter().map(String::as_str).collect()
    };
    if servers.is_empty() && !request.host_network {
        servers = FALLBACK_SERVERS.to_vec();
        warnings.push(format!(
            "the host's resolv.conf names no server that a container can reach: {} are used; choose others with --dns",
            FALLBACK_SERVERS.join(" and ")
        ));
    }
    let search: Vec<&str> = match request.dns_search {
        [] => host.search,
        [dot] if dot == "." => Vec::new(),
        given => given.iter().map(String::as_str).collect(),
    };
    let mut options: Vec<&str> = match request.dns_options {
        [] => host.options,
        given => given.iter().map(String::as_str).collect(),
    };
    if request.names && !options.iter().any(|option| option.starts_with("ndots:")) {
        // Names of containers have no dot, and are asked for as they are.
        options.push("ndots:0");
    }
    let mut out = String::new();
    for server in servers {
        let _ = writeln!(out, "nameserver {server}");
    }
    for (word, values) in [("search", search), ("options", options)] {
        if !values.is_empty() {
            let _ = writeln!(out, "{word} {}", values.join(" "));
        }
    }
    out
}

/// Loopback and link-scoped servers: of no use in another network namespace.
fn is_loopback(server: &str) -> bool {
    server.contains('%') || server.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn resolv<'a>(host: &'a str, change: impl FnOnce(&mut HostFilesRequest<'a>), expected: &str) {
        let mut request =
            HostFilesRequest { hostname: "web", host_resolv_conf: host, ..HostFilesRequest::default() };
        change(&mut request);
        assert_eq!(HostFiles::make(&request).resolv_conf, expected);
    }

    #[test]
    fn keeps_the_hosts_resolver() {
        let host = "# made by hand\nnameserver 10.0.0.2 # ours\nsearch old\nsearch a.example b.example\noptions ndots:2\n";
        let expected = "nameserver 10.0.0.2\nsearch a.example b.example\noptions ndots:2\n";
        resolv(host, |_| {}, expected);
    }

    #[test]
    fn strips_what_is_only_on_the_host() {
        let host = "nameserver 127.0.0.1\nnameserver ::1\nnameserver fe80::1%eth0\nnameserver 9.9.9.9\n";
        resolv(host, |_| {}, "nameserver 9.9.9.9\n");
        resolv(host, |r| r.host_network = true, host);
    }

    #[test]
    fn falls_back_with_a_warning() {
        resolv("nameserver 127.0.0.1\n", |_| {}, "nameserver 8.8.8.8\nnameserver 8.8.4.4\n");
        let request = HostFilesRequest::default();
        assert_eq!(HostFiles::make(&request).warnings.len(), 1);
    }

    #[test]
    fn looks_behind_the_stub() {
        let real = "nameserver 192.168.1.1\nsearch lan\n";
        let stub = "nameserver 127.0.0.53\noptions edns0\n";
        resolv(stub, |r| r.resolved_resolv_conf = Some(real), "nameserver 192.168.1.1\nsearch lan\n");
    }

    #[test]
    fn members_of_users_networks_ask_us() {
        let host = "nameserver 127.0.0.1\nsearch lan\noptions edns0\n";
        let dns = ["1.1.1.1".parse().expect("ip")];
        let expected = "nameserver 127.0.0.11\nsearch lan\noptions edns0 ndots:0\n";
        resolv(host, |r| r.names = true, expected);
        resolv(host, |r| (r.names, r.dns) = (true, &dns), expected);
        resolv("options ndots:3\n", |r| r.names = true, "nameserver 127.0.0.11\noptions ndots:3\n");
    }

    #[test]
    fn options_of_the_user_win() {
        let host = "nameserver 10.0.0.2\nsearch lan\noptions ndots:1\n";
        let dns = ["1.1.1.1".parse().expect("ip")];
        let search = [".".to_owned()];
        let options = ["ndots:5".to_owned()];
        let files = HostFiles::make(&HostFilesRequest {
            host_resolv_conf: host,
            dns: &dns,
            dns_search: &search,
            dns_options: &options,
            ..HostFilesRequest::default()
        });
        assert_eq!(files.resolv_conf, "nameserver 1.1.1.1\noptions ndots:5\n");
    }

    #[test]
    fn hosts_names_the_container() {
        let extra = [("db".to_owned(), "10.9.8.7".parse().expect("ip"))];
        let files = HostFiles::make(&HostFilesRequest {
            hostname: "web",
            domainname: "example.org",
            addresses: &["172.30.0.2".parse().expect("ip")],
            extra_hosts: &extra,
            host_hosts: "10.0.0.1 secret\n",
            ..HostFilesRequest::default()
        });
        assert!(files.hosts.starts_with("127.0.0.1\tlocalhost\n::1\tlocalhost"));
        assert!(files.hosts.ends_with("10.9.8.7\tdb\n172.30.0.2\tweb.example.org web\n"));
        assert!(!files.hosts.contains("secret"));
        assert_eq!(files.hostname, "web\n");
    }

    #[test]
    fn a_full_host_name_has_its_short_one_beside_it() {
        for (hostname, domainname, expected) in
            [("web", "", "web"), ("a.b.c", "", "a.b.c a"), ("a.b", "c", "a.b.c a")]
        {
            let files =
                HostFiles::make(&HostFilesRequest { hostname, domainname, ..HostFilesRequest::default() });
            assert_eq!(files.hosts.lines().last(), Some(format!("127.0.1.1\t{expected}").as_str()));
        }
    }

    #[test]
    fn the_hosts_network_has_the_hosts_names() {
        let files = HostFiles::make(&HostFilesRequest {
            hostname: "machine",
            host_network: true,
            host_hosts: "127.0.0.1 localhost\n10.0.0.1 machine",
            ..HostFilesRequest::default()
        });
        assert_eq!(files.hosts, "127.0.0.1 localhost\n10.0.0.1 machine\n");
    }
}
