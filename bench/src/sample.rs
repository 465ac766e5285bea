//! Taking turns, and what comes out of it.

use std::fmt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

/// One of those who take turns.
pub struct Candidate<'a> {
    /// Its column's name.
    pub name: String,
    /// What is measured.
    pub body: Box<dyn FnMut() -> Result<()> + 'a>,
    /// What has to be done before, not measured.
    pub before: Box<dyn FnMut() -> Result<()> + 'a>,
}

impl<'a> Candidate<'a> {
    /// A candidate with nothing to prepare.
    pub fn new(name: impl Into<String>, body: impl FnMut() -> Result<()> + 'a) -> Self {
        Self { name: name.into(), body: Box::new(body), before: Box::new(|| Ok(())) }
    }

    /// Adds what has to be done before each measurement.
    pub fn after(mut self, before: impl FnMut() -> Result<()> + 'a) -> Self {
        self.before = Box::new(before);
        self
    }
}

/// What one candidate cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Cost {
    /// Half of the rounds took at most this.
    pub p50: Duration,
    /// All but one in a hundred took at most this.
    pub p99: Duration,
    /// Processor time per round: the candidate's processes and those they waited for.
    pub cpu: Duration,
}

/// Costs side by side. A candidate whose name begins with ours is what those behind it are compared
/// with, up to the next one.
#[derive(Clone, Debug)]
pub struct Table {
    rounds: usize,
    costs: Vec<(String, Cost)>,
}

impl Table {
    /// Measures the candidates in turn, `rounds` times, after one round that warms caches; the
    /// machine has `settle` to itself before each.
    ///
    /// # Errors
    /// The first failure of a candidate.
    pub fn measure(candidates: &mut [Candidate<'_>], rounds: usize, settle: Duration) -> Result<Self> {
        ensure!(rounds > 0, "no rounds");
        let mut walls = vec![Vec::with_capacity(rounds); candidates.len()];
        let mut cpus = vec![Duration::ZERO; candidates.len()];
        for round in 0..=rounds {
            for (index, candidate) in candidates.iter_mut().enumerate() {
                (candidate.before)().with_context(|| format!("prepare {}", candidate.name))?;
                // What the one before left to be done in the background is not this one's.
                std::thread::park_timeout(settle);
                let cpu_before = children_cpu();
                let started = Instant::now();
                (candidate.body)().with_context(|| candidate.name.clone())?;
                let wall = started.elapsed();
                if round > 0 {
                    walls[index].push(wall);
                    cpus[index] += children_cpu().saturating_sub(cpu_before);
                }
            }
        }
        let costs = candidates.iter().zip(walls).zip(cpus).map(|((candidate, mut walls), cpu)| {
            walls.sort();
            let cpu = cpu / u32::try_from(rounds).unwrap_or(u32::MAX);
            (candidate.name.clone(), Cost { p50: percentile(&walls, 50), p99: percentile(&walls, 99), cpu })
        });
        Ok(Self { rounds, costs: costs.collect() })
    }

    /// The costs, in the order of the candidates.
    pub fn costs(&self) -> &[(String, Cost)] {
        &self.costs
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "| {} rounds, in turn | p50 | p99 | CPU | ours / its p50 | ours / its CPU |",
            self.rounds
        )?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        let mut ours = &self.costs[0].1;
        for (name, cost) in &self.costs {
            if name.starts_with("strake") {
                ours = cost;
            }
            let ratio = |a: Duration, b: Duration| a.as_secs_f64() / b.as_secs_f64().max(1e-9);
            writeln!(
                f,
                "| {name} | {} | {} | {} | {:.2} | {:.2} |",
                millis(cost.p50),
                millis(cost.p99),
                millis(cost.cpu),
                ratio(ours.p50, cost.p50),
                ratio(ours.cpu, cost.cpu),
            )?;
        }
        Ok(())
    }
}

fn millis(duration: Duration) -> String {
    format!("{:.2} ms", duration.as_secs_f64() * 1e3)
}

/// Nearest rank on sorted samples.
fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted[rank - 1]
}

/// Processor time of all processes that we have waited for.
fn children_cpu() -> Duration {
    sys::usage::children_cpu_time()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_nearest_rank() {
        let samples: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&samples, 50), Duration::from_millis(50));
        assert_eq!(percentile(&samples, 99), Duration::from_millis(99));
        assert_eq!(percentile(&samples[..1], 99), Duration::from_millis(1));
    }

    #[test]
    fn candidates_take_turns() {
        let order = std::cell::RefCell::new(String::new());
        let push = |name: char| {
            let order = &order;
            move || {
                order.borrow_mut().push(name);
                Ok(())
            }
        };
        let mut candidates =
            [Candidate::new("a", push('a')), Candidate::new("b", push('b')).after(push('-'))];
        let table = Table::measure(&mut candidates, 2, Duration::ZERO).unwrap();
        assert_eq!(*order.borrow(), "a-ba-ba-b");
        assert_eq!(table.costs().len(), 2);
    }

    #[test]
    fn each_is_compared_with_ours_before_it() {
        let cost = |name: &str, millis| {
            let time = Duration::from_millis(millis);
            (name.to_owned(), Cost { p50: time, p99: time, cpu: time })
        };
        let costs =
            vec![cost("strake ps", 1), cost("peer ps", 10), cost("strake run", 2), cost("peer run", 4)];
        let text = Table { rounds: 1, costs }.to_string();
        let ratios: Vec<&str> = text.lines().skip(2).map(|line| line.split(" | ").nth(4).unwrap()).collect();
        assert_eq!(ratios, ["1.00", "0.10", "1.00", "0.50"]);
    }
}
