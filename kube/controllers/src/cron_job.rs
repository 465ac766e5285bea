//! `cronjob-controller`: a job at each time of a schedule.
//!
//! A job's name says the minute that it is for, so that none is made twice; that a time was kept is told in the
//! status once its job is there.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use jiff::tz::{TimeZone, TimeZoneDatabase};
use kube_api::cron::Schedule;
use serde_json::{Value, json};

use crate::conditions;
use crate::known::{cron_jobs, jobs};
use crate::object::{
    at, controller_reference, created, flag, is_controlled_by, is_deleting, items, name, namespace, number,
    remove, revision, same, set, text, text_map, time, time_text, uid,
};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};

/// The loop.
pub(crate) const LOOP: Loop = Loop {
    name: "cronjob-controller",
    concurrency: 5,
    watches: Watches::These(&[cron_jobs, jobs]),
    keys,
    reconcile,
};

fn keys(change: &Change<'_>, _: &dyn View) -> Vec<Key> {
    if change.is(cron_jobs()) { vec![change.key()] } else { change.controllers(cron_jobs(), KIND) }
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let Some(cron) = observed.object() else { return Plan::nothing("it is gone") };
    let mut mine = observed.view.owned(jobs(), uid(&cron));
    mine.retain(|job| is_controlled_by(job, uid(&cron)));
    let mut look = Look::new(observed, &cron, mine);
    look.look_over_active();
    let why = if is_deleting(&cron) {
        "it is to go"
    } else {
        look.clean_up();
        look.keep_time()
    };
    let mut actions = look.status().into_iter().collect::<Vec<_>>();
    actions.append(&mut look.plan);
    Plan::of(why, actions).again_after(look.again)
}

struct Look<'a> {
    observed: &'a Observed<'a>,
    cron: &'a Arc<Value>,
    jobs: Vec<Arc<Value>>,
    /// References to jobs that run.
    active: Vec<Value>,
    last_scheduled: Option<i64>,
    last_success: Option<i64>,
    plan: Vec<Action>,
    again: Option<Duration>,
}

/// Times that went by since a job was made last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Missed {
    /// The last of them.
    last: Option<i64>,
    /// Whether there were more than anybody would make up for.
    many: bool,
    /// The next one.
    next: Option<i64>,
}

impl<'a> Look<'a> {
    fn new(observed: &'a Observed<'a>, cron: &'a Arc<Value>, jobs: Vec<Arc<Value>>) -> Self {
        Self {
            observed,
            cron,
            jobs,
            active: items(cron, &["status", "active"]).to_vec(),
            last_scheduled: time(cron, &["status", "lastScheduleTime"]),
            last_success: time(cron, &["status", "lastSuccessfulTime"]),
            plan: Vec::new(),
            again: None,
        }
    }

    /// What runs, what ended and what went missing.
    fn look_over_active(&mut self) {
        for job in self.jobs.clone() {
            let known = self.active.iter().any(|found| text(found, &["uid"]) == uid(&job));
            if let Some(at) = self.time_of(&job).filter(|_| !is_deleting(&job)) {
                self.last_scheduled = self.last_scheduled.max(Some(at));
            }
            match ending(&job) {
                None if known => {}
                // What is on its way out was sent away by a replacement, or by somebody.
                None if is_deleting(&job) => {}
                None if self.time_of(&job).is_some() => self.active.push(reference(&job)),
                None => {
                    let text =
                        format!("Saw a job that the controller did not create or forgot: {}", name(&job));
                    self.plan.push(Action::warning(self.cron, "UnexpectedJob", text));
                }
                Some(condition) => {
                    if known {
                        self.active.retain(|found| text(found, &["uid"]) != uid(&job));
                        let text = format!("Saw completed job: {}, condition: {condition}", name(&job));
                        self.plan.push(Action::event(self.cron, "SawCompletedJob", text));
                    }
                    if condition == "Complete" {
                        self.last_success = self.last_success.max(time(&job, &["status", "completionTime"]));
                    }
                }
            }
        }
        let is_there = |found: &Value| self.jobs.iter().any(|job| uid(job) == text(found, &["uid"]));
        let (there, missing): (Vec<Value>, Vec<Value>) =
            std::mem::take(&mut self.active).into_iter().partition(is_there);
        self.active = there;
        for found in missing {
            let text = format!("Active job went missing: {}", text(&found, &["name"]));
            self.plan.push(Action::event(self.cron, "MissingJob", text));
        }
    }

    /// The time that a job of ours was made for, as its name says.
    fn time_of(&self, job: &Value) -> Option<i64> {
        let minute = name(job).strip_prefix(name(self.cron))?.strip_prefix('-')?;
        minute.parse::<i64>().ok()?.checked_mul(60)
    }

    /// Ends finished jobs that nobody keeps.
    fn clean_up(&mut self) {
        for (condition, limit) in
            [("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")]
        {
            let Some(limit) = number(self.cron, &["spec", limit]) else { continue };
            let mut ended: Vec<_> = self
                .jobs
                .iter()
                .filter(|job| ending(job) == Some(condition) && !is_deleting(job))
                .cloned()
                .collect();
            ended.sort_by_key(|job| {
                (time(job, &["status", "startTime"]).unwrap_or(i64::MAX), name(job).to_owned())
            });
            let excess = ended.len().saturating_sub(usize::try_from(limit).unwrap_or(0));
            for job in ended.into_iter().take(excess) {
                self.end(&job);
            }
        }
    }

    fn end(&mut self, job: &Value) {
        self.active.retain(|found| text(found, &["uid"]) != uid(job));
        self.plan.push(Action::delete(jobs(), job).told(
            self.cron,
            ("SuccessfulDelete", format!("Deleted job {}", name(job))),
            ("FailedDelete", "Deleted job: {}".to_owned()),
        ));
    }

    /// Makes the job whose time has come.
    fn keep_time(&mut self) -> &'static str {
        let zone = match self.zone() {
            Ok(zone) => zone,
            Err(named) => {
                let text = format!("invalid timeZone: {named:?}: unknown time zone {named}");
                self.plan.push(Action::warning(self.cron, "UnknownTimeZone", text));
                return "its time zone is unknown";
            }
        };
        if flag(self.cron, &["spec", "suspend"]) {
            return "it is suspended";
        }
        let wanted = text(self.cron, &["spec", "schedule"]);
        let schedule = match Schedule::parse(wanted) {
            Ok(schedule) => schedule,
            Err(why) => {
                let text = format!("unparseable schedule: {wanted:?} : {why}");
                self.plan.push(Action::warning(self.cron, "UnparseableSchedule", text));
                return "its schedule makes no sense";
            }
        };
        let zone = schedule.zone().and_then(find_zone).unwrap_or(zone);
        let missed = self.missed(&schedule, &zone);
        // A moment late is better than one too early.
        self.again = missed.next.and_then(|next| self.observed.until(next)).map(|wait| wait + LATE);
        let Some(due) = missed.last else { return "its time has not come" };
        if missed.many {
            let text = "too many missed start times. Set or decrease .spec.startingDeadlineSeconds or check clock skew";
            self.plan.push(Action::warning(self.cron, "TooManyMissedTimes", text));
        }
        let deadline = number(self.cron, &["spec", "startingDeadlineSeconds"]);
        if deadline.is_some_and(|seconds| due.saturating_add(seconds) < self.observed.seconds()) {
            let text = format!("Missed scheduled time to start a job: {}", rfc1123(due));
            self.plan.push(Action::warning(self.cron, "MissSchedule", text));
            return "it is too late for a job";
        }
        if self.last_scheduled == Some(due) {
            return "the job of this time was made";
        }
        self.start(due, &zone)
    }

    fn start(&mut self, due: i64, zone: &TimeZone) -> &'static str {
        match text(self.cron, &["spec", "concurrencyPolicy"]) {
            "Forbid" if !self.active.is_empty() => {
                let text =
                    "Not starting job because prior execution is running and concurrency policy is Forbid";
                self.plan.push(Action::event(self.cron, "JobAlreadyActive", text));
                return "the last job runs still";
            }
            "Replace" => {
                let active = self.active.clone();
                let running = self
                    .jobs
                    .iter()
                    .filter(|job| active.iter().any(|found| text(found, &["uid"]) == uid(job)));
                for job in running.cloned().collect::<Vec<_>>() {
                    self.end(&job);
                }
            }
            _ => {}
        }
        self.plan.push(Action::create(jobs(), namespace(self.cron), self.job(due, zone)).told(
            self.cron,
            ("SuccessfulCreate", "Created job {}".to_owned()),
            ("FailedCreate", "Error creating job: {}".to_owned()),
        ));
        "its time has come"
    }

    fn job(&self, due: i64, zone: &TimeZone) -> Value {
        let template = &self.cron["spec"]["jobTemplate"];
        let mut annotations = text_map(template, &["metadata", "annotations"]);
        annotations.insert(SCHEDULED.to_owned(), rfc3339(due, zone));
        json!({
            "apiVersion": "batch/v1", "kind": "Job",
            "metadata": {
                "name": format!("{}-{}", name(self.cron), due.div_euclid(60)), "namespace": namespace(self.cron),
                "labels": text_map(template, &["metadata", "labels"]), "annotations": annotations,
                "ownerReferences": [controller_reference(self.cron, "batch/v1", KIND)],
            },
            "spec": template["spec"],
        })
    }

    /// The times that went by, and the one to come.
    fn missed(&self, schedule: &Schedule, zone: &TimeZone) -> Missed {
        let now = self.observed.seconds();
        let last = self.last_scheduled.unwrap_or_else(|| created(self.cron));
        let deadline = number(self.cron, &["spec", "startingDeadlineSeconds"])
            .map(|seconds| now.saturating_sub(seconds));
        let earliest = deadline.map_or(last, |deadline| deadline.max(last));
        let next = |after: i64| schedule.next(after, zone);
        let Some(first) = next(earliest) else { return Missed::default() };
        if first > now {
            return Missed { next: Some(first), ..Missed::default() };
        }
        let Some(second) = next(first).filter(|second| *second > first) else {
            return Missed { last: Some(first), ..Missed::default() };
        };
        if second > now {
            return Missed { last: Some(first), many: false, next: Some(second) };
        }
        // Not each of perhaps very many times is looked at: from near the end they are.
        let between = second - first;
        let count = (now - first) / between + 1;
        let (mut last, mut at) = (None, next(first.saturating_add((count - 2) * between)));
        while let Some(found) = at.filter(|found| *found <= now) {
            last = Some(found);
            at = next(found);
        }
        Missed { last, many: count > MANY, next: at.or_else(|| next(now)) }
    }

    fn zone(&self) -> Result<TimeZone, String> {
        match at(self.cron, &["spec", "timeZone"]).and_then(Value::as_str) {
            None => Ok(TimeZone::UTC),
            Some(named) => find_zone(named).ok_or_else(|| named.to_owned()),
        }
    }

    /// The status that is true now, if it was not told yet.
    fn status(&self) -> Option<Action> {
        let mut said = Value::clone(self.cron);
        if self.active.is_empty() {
            remove(&mut said, &["status", "active"]);
        } else {
            set(&mut said, &["status", "active"], json!(self.active));
        }
        for (member, at) in
            [("lastScheduleTime", self.last_scheduled), ("lastSuccessfulTime", self.last_success)]
        {
            if let Some(at) = at {
                set(&mut said, &["status", member], json!(time_text(at)));
            }
        }
        (!same(&said, self.cron)).then(|| Action::update_status(cron_jobs(), said))
    }
}

/// How a job ended, if it did.
fn ending(job: &Value) -> Option<&'static str> {
    ["Complete", "Failed"].into_iter().find(|condition| conditions::holds(job, condition))
}

fn reference(job: &Value) -> Value {
    json!({
        "kind": "Job", "apiVersion": "batch/v1", "namespace": namespace(job), "name": name(job), "uid": uid(job),
        "resourceVersion": revision(job),
    })
}

fn find_zone(named: &str) -> Option<TimeZone> {
    if matches!(named, "" | "UTC" | "Local") {
        return Some(TimeZone::UTC);
    }
    TimeZoneDatabase::bundled().get(named).ok()
}

fn rfc3339(seconds: i64, zone: &TimeZone) -> String {
    let Ok(at) = Timestamp::from_second(seconds) else { return String::new() };
    if zone == &TimeZone::UTC {
        return at.to_string();
    }
    at.display_with_offset(zone.to_offset(at)).to_string()
}

/// `Thu, 01 Jan 2026 00:00:00 +0000`.
fn rfc1123(seconds: i64) -> String {
    let at = Timestamp::from_second(seconds).unwrap_or_default();
    at.strftime("%a, %d %b %Y %H:%M:%S +0000").to_string()
}

const KIND: &str = "CronJob";
const SCHEDULED: &str = "batch.kubernetes.io/cronjob-scheduled-timestamp";
/// More missed times than this are worth a warning.
const MANY: i64 = 100;
const LATE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::World;

    const LOOPS: &[Loop] = &[LOOP];

    fn cron(schedule: &str, more: &[(&str, Value)]) -> Value {
        let mut spec = json!({"schedule": schedule, "concurrencyPolicy": "Allow", "suspend": false,
            "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1,
            "jobTemplate": {"metadata": {"labels": {"a": "b"}}, "spec": {"template": {"spec": {}}}}});
        for (member, value) in more {
            spec[*member] = value.clone();
        }
        json!({"metadata": {"name": "c", "namespace": "a"}, "spec": spec})
    }

    fn world(schedule: &str, more: &[(&str, Value)]) -> World {
        let mut world = World::default();
        world.put("cronjobs", cron(schedule, more));
        world.settle(LOOPS);
        world
    }

    fn end(world: &mut World, job: &str, condition: &str) {
        let now = time_text(world.now);
        world.change("jobs", "a", job, |job| {
            job["status"] = json!({"startTime": now, "completionTime": now,
                "conditions": [{"type": condition, "status": "True"}]});
        });
        world.settle(LOOPS);
    }

    fn names(world: &World) -> Vec<String> {
        world.all("jobs").iter().map(|job| name(job).to_owned()).collect()
    }

    fn status(world: &World) -> Value {
        world.get("cronjobs", "a", "c").unwrap()["status"].clone()
    }

    #[test]
    fn keeps_time() {
        let mut world = world("*/1 * * * *", &[]);
        assert_eq!((names(&world).len(), world.deadlines[0].as_secs()), (0, 60));
        world.pass(60, LOOPS);
        let minute = world.now / 60;
        let first = format!("c-{minute}");
        assert_eq!(names(&world), std::slice::from_ref(&first));
        let job = world.get("jobs", "a", &first).unwrap();
        assert_eq!(job["metadata"]["annotations"][SCHEDULED], time_text(world.now));
        assert_eq!(job["metadata"]["labels"], json!({"a": "b"}));
        assert_eq!(status(&world)["lastScheduleTime"], time_text(world.now));
        assert_eq!(status(&world)["active"][0]["uid"], uid(&job));
        world.pass(1, LOOPS);
        assert_eq!(names(&world).len(), 1);
        end(&mut world, &first, "Complete");
        assert_eq!(status(&world).get("active"), None);
        assert_eq!(status(&world)["lastSuccessfulTime"], time_text(world.now));
        assert_eq!(
            world.events,
            [
                format!("SuccessfulCreate: Created job {first}"),
                format!("SawCompletedJob: Saw completed job: {first}, condition: Complete")
            ]
        );
        // What was missed is made up for once.
        world.pass(600, LOOPS);
        assert_eq!(names(&world).len(), 2);
    }

    #[test]
    fn what_runs_still_is_kept_or_replaced() {
        for (policy, expected, told) in [
            ("Allow", 2, "SuccessfulCreate: Created job "),
            ("Forbid", 1, "JobAlreadyActive: Not starting job because prior execution is running"),
            ("Replace", 1, "SuccessfulDelete: Deleted job c-"),
        ] {
            let mut world = world("* * * * *", &[("concurrencyPolicy", json!(policy))]);
            world.pass(60, LOOPS);
            let first = names(&world)[0].clone();
            world.pass(60, LOOPS);
            let is_there = names(&world).contains(&first);
            assert_eq!((names(&world).len(), is_there), (expected, policy != "Replace"), "{policy}");
            assert_eq!(status(&world)["active"].as_array().unwrap().len(), expected);
            assert!(world.events.iter().any(|event| event.starts_with(told)), "{:?}", world.events);
        }
    }

    #[test]
    fn old_jobs_go() {
        let mut world = world("* * * * *", &[("successfulJobsHistoryLimit", json!(2))]);
        for condition in ["Complete", "Failed", "Complete", "Failed", "Complete"] {
            world.pass(60, LOOPS);
            let newest = names(&world).last().unwrap().clone();
            end(&mut world, &newest, condition);
        }
        let ended: Vec<_> = world.all("jobs").iter().map(|job| ending(job).unwrap()).collect();
        assert_eq!(ended, ["Complete", "Failed", "Complete"]);
    }

    #[test]
    fn may_be_too_late_or_suspended() {
        let mut world =
            world("0 * * * *", &[("startingDeadlineSeconds", json!(30)), ("suspend", json!(true))]);
        world.pass(3600, LOOPS);
        assert_eq!(names(&world).len(), 0);
        world.now += 31;
        world.change("cronjobs", "a", "c", |cron| cron["spec"]["suspend"] = json!(false));
        world.settle(LOOPS);
        assert_eq!((names(&world).len(), world.deadlines[0].as_secs()), (0, 3569));
        world.pass(3569, LOOPS);
        assert_eq!(names(&world).len(), 1);
    }

    #[test]
    fn zones() {
        let mut world = world("0 9 * * *", &[("timeZone", json!("Europe/Berlin"))]);
        assert_eq!(world.deadlines[0].as_secs(), 8 * 3600);
        world.pass(8 * 3600, LOOPS);
        let job = world.all("jobs")[0].clone();
        assert_eq!(job["metadata"]["annotations"][SCHEDULED], "2026-01-01T09:00:00+01:00");
        assert_eq!(rfc1123(world.now), "Thu, 01 Jan 2026 08:00:00 +0000");
        let world = self::world("0 9 * * *", &[("timeZone", json!("Nowhere"))]);
        assert!(world.events[0].starts_with("UnknownTimeZone: invalid timeZone: \"Nowhere\""));
    }

    #[test]
    fn strangers_are_told_of() {
        let mut world = world("0 0 1 1 *", &[]);
        let cron = world.get("cronjobs", "a", "c").unwrap();
        world.put(
            "jobs",
            json!({"metadata": {"name": "mine", "namespace": "a",
            "ownerReferences": [controller_reference(&cron, "batch/v1", KIND)]}}),
        );
        world.settle(LOOPS);
        assert_eq!(
            world.events,
            ["UnexpectedJob: Saw a job that the controller did not create or forgot: mine"]
        );
        assert_eq!(status(&world), Value::Null);
    }
}
