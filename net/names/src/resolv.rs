//! `resolv.conf(5)`.

use std::net::IpAddr;

/// Whom a host asks, and what it puts behind short names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolv {
    /// Servers, in their order.
    pub servers: Vec<IpAddr>,
    /// Domains for short names.
    pub search: Vec<String>,
}

impl Resolv {
    /// Reads the file; what it does not know it leaves out, as resolvers do.
    pub fn parse(text: &str) -> Self {
        let mut resolv = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_whitespace();
            match words.next() {
                Some("nameserver") => {
                    let address = words.next().and_then(|text| text.split('%').next());
                    let address: Option<IpAddr> = address.and_then(|text| text.parse().ok());
                    resolv.servers.extend(address);
                }
                // The last one counts.
                Some("search" | "domain") => resolv.search = words.map(str::to_owned).collect(),
                _ => {}
            }
        }
        resolv
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_resolvers_read() {
        let text = "# a\ndomain x\nnameserver 10.0.0.2 # two\nnameserver fe80::1%eth0\nnameserver bad\n\
                    search corp.example lab.example\noptions ndots:5\n";
        let resolv = Resolv::parse(text);
        assert_eq!(resolv.servers, ["10.0.0.2".parse::<IpAddr>().unwrap(), "fe80::1".parse().unwrap()]);
        assert_eq!(resolv.search, ["corp.example", "lab.example"]);
    }
}
