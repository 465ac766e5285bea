//! `/debug/api_priority_and_fairness/…`: who waits where, as tables for people.

use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use flow_control::Nanos;
use jiff::Timestamp;

use super::Fairness;
use super::active::ActiveLevel;

impl Fairness {
    /// A page by its name; none if there is no such page.
    pub(crate) fn dump(&self, page: &str) -> Option<String> {
        match page {
            "dump_priority_levels" => Some(self.dump_levels()),
            "dump_queues" => Some(self.dump_queues()),
            "dump_requests" => Some(self.dump_requests()),
            _ => None,
        }
    }

    fn dump_levels(&self) -> String {
        let mut rows = vec![row([
            "PriorityLevelName",
            "ActiveQueues",
            "IsIdle",
            "IsQuiescing",
            "WaitingRequests",
            "ExecutingRequests",
            "DispatchedRequests",
            "RejectedRequests",
            "TimedoutRequests",
            "CancelledRequests",
        ])];
        self.each(|level| {
            let counts = &level.level.counts;
            let count = |value: &std::sync::atomic::AtomicU64| value.load(Ordering::Relaxed).to_string();
            let state = level.level.lock();
            rows.push(vec![
                level.config.name.clone(),
                state.set.queues().filter(|queue| queue.waiting > 0).count().to_string(),
                state.set.is_idle().to_string(),
                level.ends.to_string(),
                state.set.waiting().requests.to_string(),
                state.set.executing().requests.to_string(),
                count(&counts.dispatched),
                count(&counts.rejected),
                // Those that have waited too long are taken out of their queues.
                "0".to_owned(),
                count(&counts.timed_out),
            ]);
        });
        table(&rows)
    }

    fn dump_queues(&self) -> String {
        let mut rows = vec![row([
            "PriorityLevelName",
            "Index",
            "PendingRequests",
            "ExecutingRequests",
            "SeatsInUse",
            "NextDispatchR",
            "InitialSeatsSum",
            "MaxSeatsSum",
            "TotalWorkSum",
        ])];
        self.each(|level| {
            for (at, queue) in level.level.lock().set.queues().enumerate() {
                rows.push(vec![
                    level.config.name.clone(),
                    at.to_string(),
                    queue.waiting.to_string(),
                    queue.executing.to_string(),
                    queue.seats.to_string(),
                    seat_seconds(queue.next),
                    queue.first_seats.to_string(),
                    queue.most_seats.to_string(),
                    seat_seconds(queue.work),
                ]);
            }
        });
        table(&rows)
    }

    /// Those that wait: who runs is counted, not kept.
    fn dump_requests(&self) -> String {
        let mut rows = vec![row([
            "PriorityLevelName",
            "FlowSchemaName",
            "QueueIndex",
            "RequestIndexInQueue",
            "FlowDistingsher",
            "ArriveTime",
            "InitialSeats",
            "FinalSeats",
            "AdditionalLatency",
            "StartTime",
        ])];
        self.each(|level| {
            for (queue, at, came, work, waiter) in level.level.lock().set.tokens() {
                rows.push(vec![
                    level.config.name.clone(),
                    waiter.flow.schema.name.clone(),
                    queue.to_string(),
                    at.to_string(),
                    waiter.distinguisher.to_string(),
                    self.time(came),
                    work.seats.to_string(),
                    work.last_seats.to_string(),
                    format!("{}ms", work.linger / 1_000_000),
                    "0001-01-01T00:00:00Z".to_owned(),
                ]);
            }
        });
        table(&rows)
    }

    fn each(&self, mut visit: impl FnMut(&ActiveLevel)) {
        let active = self.active();
        let mut levels: Vec<&ActiveLevel> = active.levels.iter().collect();
        levels.sort_by(|a, b| a.config.name.cmp(&b.config.name));
        levels.into_iter().for_each(&mut visit);
    }

    fn time(&self, at: Nanos) -> String {
        let ago = self.shared.began.elapsed().saturating_sub(Duration::from_nanos(at));
        let time = SystemTime::now().checked_sub(ago).and_then(|time| Timestamp::try_from(time).ok());
        time.unwrap_or_default().to_string()
    }
}

/// Seat-nanoseconds as upstream writes them.
fn seat_seconds(value: i128) -> String {
    let units = value.max(0) / 10;
    format!("{}.{:08}ss", units / 100_000_000, units % 100_000_000)
}

fn row<const N: usize>(cells: [&str; N]) -> Vec<String> {
    cells.map(str::to_owned).to_vec()
}

/// Cells with commas between them, and blanks so that columns stand below each other.
fn table(rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count() + 2).max().unwrap_or_default().max(8)
    };
    let widths: Vec<usize> = (0..rows.first().map_or(0, Vec::len)).map(width).collect();
    let mut out = String::new();
    for row in rows {
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if at + 1 == row.len() {
                out.push_str(cell);
            } else {
                out.push_str(&format!("{:<width$}", format!("{cell},")));
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_stand_below_each_other() {
        let rows = [row(["Name", "Index"]), row(["a-long-name", "1"])];
        assert_eq!(table(&rows), "Name,        Index\na-long-name, 1\n");
        assert_eq!(seat_seconds(3_000_000_050), "3.00000005ss");
    }
}
