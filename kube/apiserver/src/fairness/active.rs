//! What is configured now: the flows in the order of matching, and their levels.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use flow_control::CATCH_ALL;
use flow_control::borrow::{Division, divide};
use flow_control::config::{self, Config, Schema, Shape};
use flow_control::demand::Report;
use flow_control::rules::Asked;
use flow_control::shares::{self, Seats};
use http::{HeaderMap, HeaderName, HeaderValue};

use super::Fairness;
use super::level::{Level, Setup};
use super::stats::FlowStats;

/// All of it.
#[derive(Default)]
pub(super) struct Active {
    pub(super) flows: Vec<Arc<Flow>>,
    catch_all: usize,
    pub(super) levels: Vec<ActiveLevel>,
    /// How the seats are divided.
    pub(super) division: Mutex<(Division, Vec<Report>)>,
}

/// A level, and what is configured for it.
pub(super) struct ActiveLevel {
    pub(super) config: config::Level,
    pub(super) seats: Seats,
    pub(super) level: Arc<Level>,
    pub(super) ends: bool,
}

/// A schema, and where its requests go.
pub(super) struct Flow {
    pub(super) schema: Schema,
    pub(super) uids: Uids,
    pub(super) level: Arc<Level>,
    pub(super) stats: Arc<FlowStats>,
    /// Whether it matters which queues a flow has.
    pub(super) hashed: bool,
    /// The most seats of one request.
    pub(super) request_max: Option<usize>,
}

/// The objects that a request belongs to, as its answer names them.
#[derive(Clone, Debug)]
pub(crate) struct Uids {
    schema: HeaderValue,
    level: HeaderValue,
}

impl Uids {
    /// Adds them to an answer.
    pub(crate) fn insert(&self, headers: &mut HeaderMap) {
        headers.insert(HeaderName::from_static("x-kubernetes-pf-flowschema-uid"), self.schema.clone());
        headers.insert(HeaderName::from_static("x-kubernetes-pf-prioritylevel-uid"), self.level.clone());
    }
}

impl Active {
    /// Where a request belongs. There is always a flow: the mandatory ones are imagined if need be.
    pub(super) fn classify(&self, asked: &Asked<'_>) -> &Arc<Flow> {
        let found = self.flows.iter().find(|flow| flow.schema.matches(asked));
        found.unwrap_or_else(|| &self.flows[self.catch_all])
    }

    fn level(&self, name: &str) -> Option<&ActiveLevel> {
        self.levels.iter().find(|level| level.config.name == name)
    }
}

impl Fairness {
    /// From now on this is configured.
    pub(super) fn configure(&self, config: Config) {
        let _one = self.dividing.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.active();
        let mut levels: Vec<ActiveLevel> = config
            .levels
            .into_iter()
            .map(|config| {
                let known = old.level(&config.name).map(|known| Arc::clone(&known.level));
                let level = known.unwrap_or_else(|| Level::new(&config.name, config.shape, &self.shared));
                ActiveLevel { config, seats: Seats::default(), level, ends: false }
            })
            .collect();
        for gone in &old.levels {
            let stays = levels.iter().any(|level| level.config.name == gone.config.name);
            // Whoever is there already is served to the end.
            if !stays && !gone.level.lock().set.is_idle() {
                let (config, level) = (gone.config.clone(), Arc::clone(&gone.level));
                levels.push(ActiveLevel { config, seats: gone.seats, level, ends: true });
            }
        }
        let configs: Vec<&config::Level> = levels.iter().map(|level| &level.config).collect();
        let seats = shares::seats(self.total, &configs);
        for (level, seats) in levels.iter_mut().zip(seats) {
            level.seats = seats;
        }
        let flows = flows(config.schemas, &levels, &old);
        let is_last = |flow: &Arc<Flow>| flow.schema.name == CATCH_ALL;
        let catch_all = flows.iter().position(is_last).unwrap_or_default();
        let active = Active { flows, catch_all, levels, division: Mutex::default() };
        active.divide();
        *self.active.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(active);
    }

    /// Divides the seats anew; true if some level needs more than what nobody can take from it.
    pub(super) fn divide(&self) -> bool {
        let _one = self.dividing.lock().unwrap_or_else(PoisonError::into_inner);
        self.active().divide()
    }
}

impl Active {
    fn divide(&self) -> bool {
        let (needs, reports): (Vec<_>, Vec<_>) =
            self.levels.iter().map(|level| level.level.need(level.seats)).unzip();
        let division = divide(&needs);
        let all: usize = self.levels.iter().map(|level| level.seats.nominal).sum();
        let least: usize = self.levels.iter().map(|level| level.seats.least).sum();
        let mut busy = false;
        for ((level, limit), report) in self.levels.iter().zip(&division.seats).zip(&reports) {
            // Who is exempt takes from others only what they could lend.
            let free = (all - least).saturating_sub(1);
            let busy_above = if level.config.shape == Shape::Exempt { free } else { level.seats.least };
            level.level.configure(&Setup {
                shape: level.config.shape,
                seats: level.seats,
                limit: *limit,
                busy_above,
                ends: level.ends,
            });
            busy |= level.level.is_busy(report);
        }
        *self.division.lock().unwrap_or_else(PoisonError::into_inner) = (division, reports);
        busy
    }
}

fn flows(schemas: Vec<Schema>, levels: &[ActiveLevel], old: &Active) -> Vec<Arc<Flow>> {
    let known: HashMap<(&str, &str), &Arc<FlowStats>> = old
        .flows
        .iter()
        .map(|flow| ((flow.schema.name.as_str(), flow.level.name.as_str()), &flow.stats))
        .collect();
    let flow = |schema: Schema| {
        let found = levels.iter().find(|level| level.config.name == schema.level && !level.ends)?;
        let stats = known.get(&(schema.name.as_str(), schema.level.as_str()));
        let header = |uid: &str| HeaderValue::from_str(uid).unwrap_or(HeaderValue::from_static(""));
        Some(Arc::new(Flow {
            uids: Uids { schema: header(&schema.uid), level: header(&found.config.uid) },
            level: Arc::clone(&found.level),
            stats: stats.map_or_else(Arc::default, |stats| Arc::clone(stats)),
            hashed: matches!(found.config.shape, Shape::Queue(queuing) if queuing.dealer.deck() > 1),
            request_max: shares::request_max(&found.config, found.seats.nominal),
            schema,
        }))
    };
    schemas.into_iter().filter_map(flow).collect()
}
