//! `--network`: which networks a container is in, and as whom.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::{InvalidOption, NetworkMode};

/// One network that a container is in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct NetworkJoin {
    /// Its name, or its id until the container is made.
    pub network: String,
    /// Further names of the container there.
    pub aliases: Vec<String>,
    /// The address wanted.
    pub ip: Option<Ipv4Addr>,
    /// The IPv6 address wanted.
    pub ip6: Option<Ipv6Addr>,
    /// The hardware address wanted.
    pub mac_address: Option<String>,
    /// Preference of its gateway among those of the container's networks.
    pub gateway_priority: i32,
    /// Options for the driver.
    pub driver_options: BTreeMap<String, String>,
}

/// What is asked of the first network beside its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JoinOptions {
    /// `--network-alias`.
    pub aliases: Vec<String>,
    /// `--ip`.
    pub ip: Option<Ipv4Addr>,
    /// `--ip6`.
    pub ip6: Option<Ipv6Addr>,
    /// `--mac-address`.
    pub mac_address: Option<String>,
}

impl NetworkJoin {
    /// A network, and nothing asked of it.
    pub fn of(network: &str) -> Self {
        Self { network: network.to_owned(), ..Self::default() }
    }

    /// Reads docker's form: a name, or `name=NAME,alias=ALIAS,ip=ADDRESS,…`.
    pub fn parse(text: &str) -> Result<Self, InvalidOption> {
        if !text.contains('=') {
            return Ok(Self::of(text));
        }
        let wrong = |why: String| InvalidOption::new("--network", text, why);
        let mut join = Self::default();
        for field in text.split(',') {
            let (key, value) = field
                .split_once('=')
                .ok_or_else(|| wrong(format!("invalid field {field}: use KEY=VALUE")))?;
            let bad = || wrong(format!("invalid value for {key}: {value}"));
            match key.trim().to_ascii_lowercase().as_str() {
                "name" => value.trim().clone_into(&mut join.network),
                "alias" => join.aliases.push(value.trim().to_ascii_lowercase()),
                "ip" => join.ip = Some(value.trim().parse().map_err(|_| bad())?),
                "ip6" => join.ip6 = Some(value.trim().parse().map_err(|_| bad())?),
                "mac-address" => join.mac_address = Some(mac_address(value.trim())?),
                "gw-priority" => join.gateway_priority = value.trim().parse().map_err(|_| bad())?,
                "link-local-ip" => {
                    value.trim().parse::<IpAddr>().map_err(|_| bad())?;
                    return Err(wrong("further link-local addresses are not given; leave it out".to_owned()));
                }
                "driver-opt" => {
                    let (key, value) = value.split_once('=').ok_or_else(bad)?;
                    join.driver_options.insert(key.to_owned(), value.to_owned());
                }
                other => return Err(wrong(format!("invalid field key {other}"))),
            }
        }
        match join.network.is_empty() {
            true => Err(wrong("network name/id is not specified".to_owned())),
            false => Ok(join),
        }
    }
}

/// The network mode and the networks that `--network` and its sisters ask for.
pub fn networks(
    texts: &[String],
    first: JoinOptions,
) -> Result<(NetworkMode, Option<Vec<NetworkJoin>>), InvalidOption> {
    let mut joins = texts.iter().map(|text| NetworkJoin::parse(text)).collect::<Result<Vec<_>, _>>()?;
    if joins.is_empty() {
        joins.push(NetworkJoin::of(attach::DEFAULT_NETWORK));
    }
    let mode = NetworkMode::parse(&joins[0].network)?;
    let asked = first != JoinOptions::default();
    for join in &joins {
        let own = NetworkMode::parse(&join.network)?;
        let is_bridged = matches!(own, NetworkMode::Bridge | NetworkMode::Named(_));
        if joins.len() > 1 && !is_bridged {
            let why =
                "conflicting options: cannot attach both user-defined and non-user-defined network-modes";
            return Err(InvalidOption::new("--network", &join.network, why));
        }
        if own == NetworkMode::Bridge && !join.aliases.is_empty() {
            return Err(alias_conflict(&join.aliases));
        }
        if own == NetworkMode::Bridge
            && let Some(address) = by_hand(join.ip, join.ip6)
        {
            return Err(address_conflict(address));
        }
    }
    match &mode {
        NetworkMode::Named(_) => {}
        _ if !first.aliases.is_empty() => return Err(alias_conflict(&first.aliases)),
        other => {
            if let Some(address) = by_hand(first.ip, first.ip6) {
                return Err(address_conflict(address));
            }
            if *other != NetworkMode::Bridge {
                return Ok((mode, None));
            }
        }
    }
    if joins.len() == 1 && mode == NetworkMode::Bridge && !asked && joins[0].gateway_priority == 0 {
        return Ok((mode, None));
    }
    let head = &mut joins[0];
    head.aliases.extend(first.aliases);
    for (option, twice) in [
        ("--ip", head.ip.is_some() && first.ip.is_some()),
        ("--ip6", head.ip6.is_some() && first.ip6.is_some()),
        ("--mac-address", head.mac_address.is_some() && first.mac_address.is_some()),
    ] {
        if twice {
            let why = "conflicting options: it is given for the network, too; leave one of the two out";
            return Err(InvalidOption::new(option, &head.network, why));
        }
    }
    head.ip = head.ip.or(first.ip);
    head.ip6 = head.ip6.or(first.ip6);
    head.mac_address = head.mac_address.take().or(first.mac_address);
    for join in &mut joins {
        if join.network == "default" {
            attach::DEFAULT_NETWORK.clone_into(&mut join.network);
        }
    }
    Ok((mode, Some(joins)))
}

fn alias_conflict(aliases: &[String]) -> InvalidOption {
    let why = "network-scoped alias is supported only for containers in user defined networks";
    InvalidOption::new("--network-alias", aliases.first().map_or("", String::as_str), why)
}

/// The address that was asked for, if any.
pub(crate) fn by_hand(ip: Option<Ipv4Addr>, ip6: Option<Ipv6Addr>) -> Option<IpAddr> {
    ip.map(IpAddr::V4).or(ip6.map(IpAddr::V6))
}

pub(crate) fn address_conflict(address: IpAddr) -> InvalidOption {
    let option = if address.is_ipv4() { "--ip" } else { "--ip6" };
    let why = "user specified IP address is supported on user defined networks only";
    InvalidOption::new(option, &address.to_string(), why)
}

/// Six bytes in hexadecimal that name one host.
pub fn mac_address(text: &str) -> Result<String, InvalidOption> {
    let bytes: Vec<&str> = text.split(':').collect();
    let good =
        bytes.len() == 6 && bytes.iter().all(|byte| byte.len() == 2 && u8::from_str_radix(byte, 16).is_ok());
    // The lowest bit of the first byte means a group of hosts.
    let is_group = u8::from_str_radix(bytes[0], 16).is_ok_and(|byte| byte & 1 == 1);
    if good && !is_group {
        return Ok(text.to_owned());
    }
    let why = "use six bytes in hexadecimal, as in 02:42:ac:1e:00:02";
    Err(InvalidOption::new("--mac-address", text, why))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(texts: &[&str], first: JoinOptions, expected: &str) {
        let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
        let said = match networks(&texts, first) {
            Err(error) => error.to_string(),
            Ok((mode, None)) => mode.docker_name(),
            Ok((mode, Some(joins))) => {
                let joins = joins.iter().map(|join| {
                    let ip = join.ip.map_or_else(String::new, |ip| format!("@{ip}"));
                    let six = join.ip6.map_or_else(String::new, |ip| format!("@{ip}"));
                    format!(
                        "{}{ip}{six}{}",
                        join.network,
                        join.aliases.iter().map(|a| format!("+{a}")).collect::<String>()
                    )
                });
                format!("{}: {}", mode.docker_name(), joins.collect::<Vec<_>>().join(" "))
            }
        };
        assert!(said.contains(expected), "{said}");
    }

    #[test]
    fn reads_networks_in_both_forms() {
        let none = JoinOptions::default;
        let ip = |text: &str| JoinOptions { ip: text.parse().ok(), ..none() };
        let alias = |text: &str| JoinOptions { aliases: vec![text.to_owned()], ..none() };
        check(&[], none(), "bridge");
        check(&["host"], none(), "host");
        check(&["container:web"], none(), "container:web");
        check(&["web"], none(), "web: web");
        check(&["web", "db"], alias("www"), "web: web+www db");
        check(
            &["name=web,alias=a,alias=B,ip=10.0.0.9,ip6=fd00::9,gw-priority=3"],
            none(),
            "web: web@10.0.0.9@fd00::9+a+b",
        );
        check(&["web"], ip("10.0.0.9"), "web: web@10.0.0.9");
        check(&["bridge"], ip("172.30.0.9"), "--ip \"172.30.0.9\" is not valid: user specified IP address");
        check(&[], ip("172.30.0.9"), "supported on user defined networks only");
        let ip6 = JoinOptions { ip6: "fd00::9".parse().ok(), ..none() };
        check(&[], ip6, "supported on user defined networks only");
        check(&["web", "name=bridge,ip=172.30.0.9"], none(), "supported on user defined networks only");
        check(&["bridge", "web"], none(), "bridge: bridge web");
        check(&["name=web,ip=10.0.0.9"], ip("10.0.0.8"), "conflicting options");
        check(&["web", "host"], none(), "cannot attach both user-defined and non-user-defined");
        check(&[], alias("www"), "network-scoped alias is supported only");
        check(&["host"], alias("www"), "network-scoped alias is supported only");
        check(&["host"], ip("10.0.0.9"), "supported on user defined networks only");
        check(&["ip=10.0.0.9"], none(), "name/id is not specified");
        check(&["name=web,frob=1"], none(), "invalid field key frob");
        check(&["name=web,ip=x"], none(), "invalid value for ip: x");
    }
}
