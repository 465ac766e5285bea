//! Addresses and networks: `ip('10.0.0.1')`, `cidr('10.0.0.0/8')`.

use std::fmt;
use std::net::IpAddr;

use super::{Opaque, Result, opaque};
use crate::error::EvalError;
use crate::val::Val;

/// An address with the length of its network's prefix.
#[derive(Debug, PartialEq, Eq)]
pub struct Cidr {
    ip: IpAddr,
    prefix: u32,
}

/// The function of this name over a string.
pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    let [Val::Text(text)] = args else { return None };
    let text = text.as_str();
    Some(match name {
        "ip" => parse_ip(text).map(|ip| opaque(Opaque::Ip(ip))),
        "isIP" => Ok(Val::Bool(parse_ip(text).is_ok())),
        "ip.isCanonical" => parse_ip(text).map(|ip| Val::Bool(ip.to_string() == text)),
        "cidr" => parse_cidr(text).map(|cidr| opaque(Opaque::Cidr(cidr))),
        "isCIDR" => Ok(Val::Bool(parse_cidr(text).is_ok())),
        _ => return None,
    })
}

fn parse_ip(text: &str) -> std::result::Result<IpAddr, EvalError> {
    if text.contains('%') {
        return Err(EvalError::said(format!("IP address {text:?} with zone value is not allowed")));
    }
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(ip)) if ip.to_ipv4_mapped().is_some() => {
            Err(EvalError::said(format!("IPv4-mapped IPv6 address {text:?} is not allowed")))
        }
        Ok(ip) => Ok(ip),
        Err(_) => Err(EvalError::said(format!(
            "IP Address {text:?} parse error during conversion from string: ParseAddr({text:?}): unable to parse IP"
        ))),
    }
}

fn parse_cidr(text: &str) -> std::result::Result<Cidr, EvalError> {
    let wrong = |why: &str| {
        EvalError::said(format!(
            "network address parse error during conversion from string: netip.ParsePrefix({text:?}): {why}"
        ))
    };
    let (address, prefix) = text.rsplit_once('/').ok_or_else(|| wrong("no '/'"))?;
    let ip: IpAddr = address.parse().map_err(|_| wrong("unable to parse IP"))?;
    if matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some()) {
        return Err(EvalError::said(format!("IPv4-mapped IPv6 address {address:?} is not allowed")));
    }
    let plain = prefix == "0" || (!prefix.starts_with('0') && prefix.bytes().all(|b| b.is_ascii_digit()));
    let length: u32 = prefix.parse().ok().filter(|_| plain).ok_or_else(|| wrong("bad bits after slash"))?;
    if length > width(ip) {
        return Err(wrong("prefix length out of range"));
    }
    Ok(Cidr { ip, prefix: length })
}

fn width(ip: IpAddr) -> u32 {
    if ip.is_ipv4() { 32 } else { 128 }
}

fn masked(ip: IpAddr, prefix: u32) -> IpAddr {
    match ip {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - prefix.min(32)).unwrap_or(0);
            IpAddr::V4((u32::from(ip) & mask).into())
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - prefix.min(128)).unwrap_or(0);
            IpAddr::V6((u128::from(ip) & mask).into())
        }
    }
}

/// A member function of an address.
pub(super) fn of_ip<'a>(name: &str, ip: IpAddr) -> Option<Result<'a>> {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    let link_multicast = match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    };
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    Some(Ok(match name {
        "family" => Val::Int(if ip.is_ipv4() { 4 } else { 6 }),
        "isUnspecified" => Val::Bool(ip.is_unspecified()),
        "isLoopback" => Val::Bool(ip.is_loopback()),
        "isLinkLocalMulticast" => Val::Bool(link_multicast),
        "isLinkLocalUnicast" => Val::Bool(link_local),
        "isGlobalUnicast" => Val::Bool(
            !(broadcast || ip.is_unspecified() || ip.is_loopback() || ip.is_multicast() || link_local),
        ),
        _ => return None,
    }))
}

impl Cidr {
    pub(super) fn bits(&self) -> u32 {
        self.prefix
    }

    fn holds(&self, ip: IpAddr) -> bool {
        ip.is_ipv4() == self.ip.is_ipv4() && masked(ip, self.prefix) == masked(self.ip, self.prefix)
    }

    fn holds_network(&self, other: &Self) -> bool {
        other.prefix >= self.prefix && self.holds(other.ip)
    }

    /// A member function.
    pub(super) fn call<'a>(&self, name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
        Some(match (name, args) {
            ("ip", []) => Ok(opaque(Opaque::Ip(self.ip))),
            ("prefixLength", []) => Ok(Val::Int(i64::from(self.prefix))),
            ("masked", []) => {
                let ip = masked(self.ip, self.prefix);
                Ok(opaque(Opaque::Cidr(Cidr { ip, prefix: self.prefix })))
            }
            ("containsIP", [Val::Text(text)]) => parse_ip(text.as_str()).map(|ip| Val::Bool(self.holds(ip))),
            ("containsCIDR", [Val::Text(text)]) => {
                parse_cidr(text.as_str()).map(|other| Val::Bool(self.holds_network(&other)))
            }
            ("containsIP" | "containsCIDR", [Val::Opaque(other)]) => match (name, &**other) {
                ("containsIP", Opaque::Ip(ip)) => Ok(Val::Bool(self.holds(*ip))),
                ("containsCIDR", Opaque::Cidr(other)) => Ok(Val::Bool(self.holds_network(other))),
                _ => return None,
            },
            _ => return None,
        })
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}
