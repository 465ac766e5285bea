//! What bodies that mean harm cost the server in processor time, each alone, and how much memory a
//! hundred of the largest take at once.

use std::fmt;

use anyhow::Result;
use testkit::kube::KubeServer;
use wire::campaign::{Campaign, Struck};

/// What was measured.
#[derive(Clone, Debug)]
pub struct BodiesReport {
    struck: Vec<Struck>,
    alone_mib: f64,
    together_mib: f64,
}

impl BodiesReport {
    fn beyond(&self, refused: bool) -> usize {
        let slow = self.struck.iter().filter(|struck| struck.computed.as_millis() > GOAL_MS);
        slow.filter(|struck| (struck.code >= 400) == refused).count()
    }
}

impl fmt::Display for BodiesReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| {} hostile bodies, the dearest | answer | processor time |\n|---|---|---|",
            self.struck.len()
        )?;
        let mut dearest: Vec<&Struck> = self.struck.iter().collect();
        dearest.sort_by_key(|struck| std::cmp::Reverse(struck.computed));
        for Struck { what, code, computed, .. } in dearest.into_iter().take(SHOWN) {
            writeln!(f, "| {what} | {code} | {:.0} ms |", computed.as_secs_f64() * 1e3)?;
        }
        writeln!(f, "| refusals above {GOAL_MS} ms | | {} |", self.beyond(true))?;
        writeln!(f, "| answers in full above {GOAL_MS} ms | | {} |", self.beyond(false))?;
        writeln!(f, "| memory at most, one after the other | | {:.0} MiB |", self.alone_mib)?;
        writeln!(f, "| memory at most, {AT_ONCE} of the largest at once | | {:.0} MiB |", self.together_mib)
    }
}

/// Starts servers and measures them.
///
/// # Errors
/// When a server gives no answer.
pub(crate) fn measure() -> Result<BodiesReport> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let most = |campaign: &Campaign<'_>| Ok::<_, anyhow::Error>(campaign.memory_max_kib()? as f64 / 1024.0);
    let server = KubeServer::start();
    let (struck, alone_mib) = runtime.block_on(async {
        let campaign = Campaign::start(&server).await?;
        let struck = campaign.bombs().await?;
        Ok::<_, anyhow::Error>((struck, most(&campaign)?))
    })?;
    let server = KubeServer::start();
    let together_mib = runtime.block_on(async {
        let campaign = Campaign::start(&server).await?;
        campaign.all_at_once(AT_ONCE).await?;
        most(&campaign)
    })?;
    Ok(BodiesReport { struck, alone_mib, together_mib })
}

/// Lines of the table.
const SHOWN: usize = 20;
/// What a refusal may take.
const GOAL_MS: u128 = 100;
/// Bodies at once.
const AT_ONCE: usize = 100;
