//! Cron jobs.

use kube_object::field_error::FieldError;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::job;
use crate::cron::Schedule;
use crate::time_zones;
use crate::validation::common::subdomain_name;
use crate::validation::pod::words;
use crate::validation::{Errors, PathRef, Rules};
use crate::value::text;

/// Rules of CronJob.
pub(super) const RULES: Rules =
    Rules { name: subdomain_name, create, update, subresource: |_, _, _, _, _| {} };

/// What is left of a job's name for its cron job's, beside the time.
const NAME_LEN_MAX: usize = 52;

fn create(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    specification(&object["spec"], None, errors);
    let name = text(&object["metadata"]["name"]);
    if name.len() > NAME_LEN_MAX {
        let why = format!("must be no more than {NAME_LEN_MAX} characters");
        errors.push(FieldError::invalid("metadata.name", name, why));
    }
}

fn update(_: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    specification(&new["spec"], Some(&old["spec"]), errors);
}

fn specification(spec: &Value, old: Option<&Value>, errors: &mut Errors) {
    let path = PathRef::Root("spec");
    let at = path.child("schedule");
    if text(&spec["schedule"]).is_empty() {
        errors.push(FieldError::required(at, ""));
    } else {
        when(spec, old, &at, errors);
    }
    words::nonnegative(&spec["startingDeadlineSeconds"], &path.child("startingDeadlineSeconds"), errors);
    if old.is_none_or(|old| old["timeZone"] != spec["timeZone"])
        && let Some(zone) = spec["timeZone"].as_str()
    {
        time_zone(zone, &path.child("timeZone"), errors);
    }
    let known = ["Allow", "Forbid", "Replace"];
    words::one_of(&spec["concurrencyPolicy"], &known, &path.child("concurrencyPolicy"), errors);
    let template = path.child("jobTemplate");
    job_template(&spec["jobTemplate"]["spec"], &template.child("spec"), errors);
    for name in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        words::nonnegative(&spec[name], &path.child(name), errors);
    }
}

fn when(spec: &Value, old: Option<&Value>, path: &PathRef<'_>, errors: &mut Errors) {
    let schedule = text(&spec["schedule"]);
    if let Err(why) = Schedule::parse(schedule) {
        errors.push(FieldError::invalid(path, schedule, why));
    }
    if !schedule.contains("TZ") {
        return;
    }
    let had_one = old.is_some_and(|old| text(&old["schedule"]).contains("TZ"));
    if !had_one {
        let why = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        errors.push(FieldError::invalid(path, schedule, why));
    } else if !spec["timeZone"].is_null() {
        let why = "cannot use both timeZone field and TZ or CRON_TZ in schedule";
        errors.push(FieldError::invalid(path, schedule, why));
    }
}

/// The longest part of a zone's name.
const ZONE_PART_LEN_MAX: usize = 14;

fn time_zone(zone: &str, path: &PathRef<'_>, errors: &mut Errors) {
    if zone.is_empty() {
        errors.push(FieldError::invalid(path, zone, "timeZone must be nil or non-empty string"));
        return;
    }
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".-_+".contains(&byte);
    let sound = |part: &str| {
        part != "."
            && part != ".."
            && !part.starts_with('-')
            && (1..=ZONE_PART_LEN_MAX).contains(&part.len())
            && part.bytes().all(plain)
    };
    let unknown = format!("unknown time zone {zone}");
    if !zone.split('/').all(sound) {
        errors.push(FieldError::invalid(path, zone, unknown));
        return;
    }
    if zone.eq_ignore_ascii_case("local") {
        let why = "timeZone must be an explicit time zone as defined in https://www.iana.org/time-zones";
        errors.push(FieldError::invalid(path, zone, why));
    }
    if zone != "Local" && !time_zones::is_known(zone) {
        errors.push(FieldError::invalid(path, zone, unknown));
    }
}

/// A job whose selector is made when the job is.
fn job_template(spec: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    job::specification(spec, path, errors);
    if !spec["selector"].is_null() {
        let why = "`selector` will be auto-generated";
        errors.push(FieldError::invalid(path.child("selector"), spec["selector"].clone(), why));
    }
    if spec["manualSelector"].as_bool() == Some(true) {
        let at = path.child("manualSelector");
        errors.push(FieldError::not_supported(at, true, &["nil", "false"]));
    }
}
