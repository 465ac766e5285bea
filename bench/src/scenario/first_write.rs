//! What the first write to a file costs: in the container's layer, where overlayfs copies the file
//! up, and in a volume, which is beside the overlay.

use std::time::Duration;

use anyhow::{Context, Result};
use testkit::Strake;

use super::quietly;
use crate::{Candidate, Options, Table, Turns};

/// Measures the write of one byte, each in a container of its own.
pub(crate) fn measure(options: &Options) -> Result<Turns> {
    let strake = Strake::new().with_busybox();
    let ok = |args: &[&str]| quietly(&mut strake.command(args)).with_context(|| format!("{args:?}"));
    let make = format!("mkdir /big; dd if=/dev/zero of=/big/file bs=1M count={MIB}");
    ok(&["run", "--name", "maker", "--network", "none", "busybox", "sh", "-c", &make])?;
    ok(&["commit", "maker", "big"])?;
    ok(&["rm", "maker"])?;
    // The volume has the same file.
    ok(&["run", "--rm", "--network", "none", "-v", "data:/big", "big", "true"])?;
    let run = |options: &[&str], script: &str| {
        let head = ["run", "--rm", "--network", "none"];
        quietly(&mut strake.command(&[&head[..], options, &["big", "sh", "-c", script]].concat()))
    };
    let mut candidates = [
        Candidate::new("first write of a byte, in a volume", || run(&["-v", "data:/big"], WRITE)),
        Candidate::new("first write of a byte, in the layer", || run(&[], WRITE)),
        Candidate::new("no write", || run(&[], "true")),
    ];
    let table = Table::measure(&mut candidates, options.rounds, Duration::from_millis(200))?;
    drop(candidates);
    let of = |at: usize| table.costs()[at].1.p50;
    let net = |at: usize| of(at).saturating_sub(of(2)).as_secs_f64() * 1e3;
    let note = format!(
        "Without the container's start and end, the first write to a file of {MIB} MiB takes {:.1} ms in the layer \
         and {:.1} ms in a volume.",
        net(1),
        net(0)
    );
    let kernel = format!("Linux {}", rustix::system::uname().release().to_string_lossy());
    let title = "the first write to a file of 1 GiB";
    Ok(Turns { title, versions: vec![kernel], notes: vec![note], table })
}

const MIB: u32 = 1024;
const WRITE: &str = "printf x | dd of=/big/file bs=1 count=1 conv=notrunc";
