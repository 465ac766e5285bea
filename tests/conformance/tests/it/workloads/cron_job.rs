//! Cron jobs. Each of these takes until the next minute of the clock, or the one after it.

use serde_json::{Value, json};

use super::{container, name, wait_long};
use crate::faked::{Shared, cluster};

struct Made {
    api: Shared,
    namespace: String,
    path: String,
}

fn make(policy: &str) -> Made {
    let api = cluster();
    let namespace = api.namespace();
    let path = format!("/apis/batch/v1/namespaces/{namespace}/cronjobs");
    let pod = json!({ "spec": { "restartPolicy": "OnFailure", "containers": [container()] } });
    let object = json!({
        "apiVersion": "batch/v1", "kind": "CronJob", "metadata": { "name": "cron" },
        "spec": {
            "schedule": "*/1 * * * *", "concurrencyPolicy": policy,
            "jobTemplate": { "spec": { "parallelism": 1, "completions": 1, "template": pod } },
        },
    });
    api.post(&path, &object);
    Made { api, path: format!("{path}/cron"), namespace }
}

impl Made {
    fn active(&self) -> Vec<String> {
        let found = self.api.get(&self.path);
        let all = found["status"]["active"].as_array().cloned().unwrap_or_default();
        all.iter().map(|job| job["name"].as_str().unwrap_or_default().to_owned()).collect()
    }

    fn jobs(&self) -> Vec<String> {
        let list = self.api.get(&format!("/apis/batch/v1/namespaces/{}/jobs", self.namespace));
        list["items"].as_array().map_or_else(Vec::new, |all| all.iter().map(name).collect())
    }

    fn told(&self, reason: &str) -> bool {
        let list = self.api.get(&format!("/api/v1/namespaces/{}/events", self.namespace));
        let all = list["items"].as_array().cloned().unwrap_or_default();
        all.iter().any(|event: &Value| event["reason"] == reason && event["involvedObject"]["name"] == "cron")
    }
}

/// `[sig-apps] CronJob should schedule multiple jobs concurrently [Conformance]`
#[test]
fn cron_job_should_schedule_multiple_jobs_concurrently() {
    let made = make("Allow");
    wait_long("two active jobs", || made.active().len() > 1);
    assert!(made.jobs().len() > 1);
    made.api.delete(&made.path);
    made.api.gone(&made.path);
}

/// `[sig-apps] CronJob should not schedule new jobs when ForbidConcurrent [Slow] [Conformance]`
#[test]
fn cron_job_should_not_schedule_new_jobs_when_forbid_concurrent() {
    let made = make("Forbid");
    wait_long("an active job", || made.active().len() == 1);
    wait_long("a job that is not made", || made.told("JobAlreadyActive"));
    assert_eq!((made.active().len(), made.jobs().len()), (1, 1));
    made.api.delete(&made.path);
    made.api.gone(&made.path);
}

/// `[sig-apps] CronJob should replace jobs when ReplaceConcurrent [Conformance]`
#[test]
fn cron_job_should_replace_jobs_when_replace_concurrent() {
    let made = make("Replace");
    wait_long("an active job", || made.active().len() == 1);
    let first = made.active();
    wait_long("another job in its place", || made.active().len() == 1 && made.active() != first);
    wait_long("the end of the first job", || !made.jobs().contains(&first[0]));
    made.api.delete(&made.path);
    made.api.gone(&made.path);
}
