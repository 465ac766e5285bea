//! Packet forwarding of the host: turned on when it is off, and noted.

use std::path::Path;

use sys::procfs::Procfs;

use crate::attachment::Decision;
use crate::error::Error;
use crate::ledger::Ledger;

const SYSCTL: &str = "sys/net/ipv4/ip_forward";
const SYSCTL6: &str = "sys/net/ipv6/conf/all/forwarding";

/// Turns `net.ipv4.ip_forward` on if it is off.
///
/// A host that did not forward must not become a router for its neighbours, so the
/// ledger remembers that it was us: our rules then pass on containers' packets only.
pub(crate) fn ensure(ledger: &mut Ledger, ipv6: bool) -> Result<Decision, Error> {
    if ipv6 {
        ensure6(ledger)?;
    }
    let on = std::fs::read("/proc/sys/net/ipv4/ip_forward").is_ok_and(|text| text.starts_with(b"1"));
    if !on {
        write("1")?;
        ledger.forwarding_turned_on = true;
    }
    let (value, why) = if ledger.forwarding_turned_on {
        (
            "1, was 0",
            "turned on for containers; packets of others are still not passed on (nft chain isolate)",
        )
    } else {
        ("1", "it was on before; nothing was changed")
    };
    Ok(Decision {
        what: "forwarding".to_owned(),
        value: value.to_owned(),
        held_in: "sysctl net.ipv4.ip_forward".to_owned(),
        why: why.to_owned(),
    })
}

/// Turns it off again if it was us who turned it on: without our rules the host would
/// pass on what it did not before. Returns whether it did.
pub(crate) fn restore(ledger: &mut Ledger) -> Result<bool, Error> {
    if !ledger.forwarding_turned_on {
        return Ok(false);
    }
    write("0")?;
    ledger.forwarding_turned_on = false;
    Ok(true)
}

/// Turns forwarding of IPv6 packets on if it is off.
///
/// A host that forwards no longer listens to its router's advertisements, unless it is told
/// to (`accept_ra` 2): links that listened go on doing so, or the host would lose its own
/// default route some time later.
fn ensure6(ledger: &mut Ledger) -> Result<(), Error> {
    let on = std::fs::read("/proc/sys/net/ipv6/conf/all/forwarding").is_ok_and(|text| text.starts_with(b"1"));
    if on {
        return Ok(());
    }
    let proc = Procfs::host().map_err(failed6)?;
    let links = std::fs::read_dir("/proc/sys/net/ipv6/conf").map_err(failed6)?;
    for link in links.flatten() {
        let listens = std::fs::read(link.path().join("accept_ra")).is_ok_and(|text| text.starts_with(b"1"));
        if listens {
            let path = Path::new("sys/net/ipv6/conf").join(link.file_name()).join("accept_ra");
            // A link may go away while we look.
            let _ = proc.write(&path, b"2");
        }
    }
    proc.write(Path::new(SYSCTL6), b"1").map_err(failed6)?;
    ledger.forwarding6_turned_on = true;
    Ok(())
}

/// Turns it off again if it was us who turned it on.
pub(crate) fn restore6(ledger: &mut Ledger) -> Result<bool, Error> {
    if !ledger.forwarding6_turned_on {
        return Ok(false);
    }
    let proc = Procfs::host().map_err(failed6)?;
    proc.write(Path::new(SYSCTL6), b"0").map_err(failed6)?;
    ledger.forwarding6_turned_on = false;
    Ok(true)
}

fn failed6(source: std::io::Error) -> Error {
    Error::Sysctl { sysctl: "net.ipv6.conf.all.forwarding", value: "1", source }
}

fn write(value: &'static str) -> Result<(), Error> {
    let written = Procfs::host().and_then(|proc| proc.write(Path::new(SYSCTL), value.as_bytes()));
    written.map_err(|source| Error::Sysctl { sysctl: "net.ipv4.ip_forward", value, source })
}
