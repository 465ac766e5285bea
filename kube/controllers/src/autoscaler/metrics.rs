//! What each metric proposes.

use std::collections::BTreeMap;
use std::sync::Arc;

use base::Quantity;
use kube_object::resource::GroupKind;
use serde_json::{Value, json};

use crate::conditions;
use crate::object::{at, is_deleting, items, name, namespace, number, text, text_map, time};
use crate::observed::Observed;
use crate::plan::Ask;

/// What the metrics are of.
pub(super) struct Source<'a> {
    pub(super) observed: &'a Observed<'a>,
    pub(super) hpa: &'a Value,
    /// The size that the target is told to have.
    pub(super) current: i64,
    /// The size that it has.
    pub(super) has: i64,
    pub(super) selector: &'a str,
    pub(super) pods: Vec<Arc<Value>>,
}

/// What a metric proposes.
#[derive(Debug)]
pub(super) struct Proposal {
    pub(super) replicas: i64,
    /// The metric's name for people.
    pub(super) metric: String,
    /// What is told of it.
    pub(super) status: Value,
}

/// Why a metric proposes nothing.
pub(super) enum Trouble {
    /// What is at this path has to be asked for.
    Asks(String),
    /// It cannot be had: the condition's reason, and what is wrong.
    Fails(&'static str, String),
}

/// A pod's value in thousandths, and when and over which time it was measured.
#[derive(Clone, Copy, Debug)]
struct Sample {
    milli: i64,
    at: i64,
    window_seconds: i64,
}

type Samples = BTreeMap<String, Sample>;

/// What a resource is to be: a share of what is requested, or so much a pod.
enum Target {
    Share(i64),
    Each(i64),
}

/// Pods by what their samples are worth.
#[derive(Default)]
struct Groups {
    ready: i64,
    unready: Vec<String>,
    missing: Vec<String>,
    ignored: Vec<String>,
}

impl Source<'_> {
    pub(super) fn propose(&self, spec: &Value) -> Result<Proposal, Trouble> {
        match text(spec, &["type"]) {
            "Resource" => self.resource(&spec["resource"], None),
            "ContainerResource" => {
                let container = text(spec, &["containerResource", "container"]).to_owned();
                self.resource(&spec["containerResource"], Some(&container))
            }
            "Pods" => self.of_pods(&spec["pods"]),
            "Object" => self.of_object(&spec["object"]),
            "External" => self.external(&spec["external"]),
            other => Err(Trouble::Fails(
                "InvalidMetricSourceType",
                format!("unknown metric source type {other:?}"),
            )),
        }
    }

    fn resource(&self, metric: &Value, container: Option<&str>) -> Result<Proposal, Trouble> {
        let resource = text(metric, &["name"]);
        let (reason, kind) = match container {
            None => ("FailedGetResourceMetric", format!("{resource} resource")),
            Some(_) => ("FailedGetContainerResourceMetric", format!("{resource} container resource")),
        };
        let share = number(metric, &["target", "averageUtilization"]);
        let each = milli(metric, &["target", "averageValue"]);
        let target = share.map(Target::Share).or(each.map(Target::Each));
        let what = if share.is_some() {
            format!("{resource} utilization")
        } else {
            format!("{resource} resource metric value")
        };
        let fails = |why: String| Trouble::Fails(reason, format!("failed to get {what}: {why}"));
        let target = target.ok_or_else(|| {
            fails(
                "invalid resource metric source: neither a utilization target nor a value target was set"
                    .to_owned(),
            )
        })?;
        let list = self.ask(&format!("/apis/metrics.k8s.io/v1beta1/namespaces/{}/pods?labelSelector={}", namespace(self.hpa), escaped(self.selector)))
            .map_err(|trouble| trouble.within(&fails, &format!("unable to get metrics for resource {resource}: unable to fetch metrics from resource metrics API")))?;
        let samples = resource_samples(&list, resource, container);
        if samples.is_empty() {
            let why = "no metrics returned from resource metrics API";
            return Err(fails(format!("unable to get metrics for resource {resource}: {why}")));
        }
        let requests = match target {
            Target::Share(_) => Some(self.requests(resource, container).map_err(&fails)?),
            Target::Each(_) => None,
        };
        let (replicas, ratio_of) =
            self.replicas(samples, &target, requests.as_ref(), resource == "cpu").map_err(&fails)?;
        let mut current = json!({"averageValue": Quantity::from_milli(ratio_of.average_milli).to_string()});
        if let Some(share) = ratio_of.share {
            current["averageUtilization"] = json!(share);
        }
        let mut told = json!({"name": resource, "current": current});
        let (member, metric) = match container {
            None => ("resource", kind),
            Some(container) => {
                told["container"] = json!(container);
                ("containerResource", kind)
            }
        };
        let metric =
            if share.is_some() { format!("{metric} utilization (percentage of request)") } else { metric };
        let kind = if container.is_some() { "ContainerResource" } else { "Resource" };
        Ok(Proposal { replicas, metric, status: json!({"type": kind, member: told}) })
    }

    fn of_pods(&self, metric: &Value) -> Result<Proposal, Trouble> {
        let (called, selector) = identity(metric);
        let fails = |why: String| {
            Trouble::Fails("FailedGetPodsMetric", format!("failed to get pods metric value: {why}"))
        };
        let target =
            milli(metric, &["target", "averageValue"]).ok_or_else(|| fails("no target".to_owned()))?;
        let path = format!(
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{}/pods/*/{called}?labelSelector={}&metricLabelSelector={}",
            namespace(self.hpa),
            escaped(self.selector),
            escaped(&selector)
        );
        let list = self.ask(&path).map_err(|trouble| {
            trouble.within(
                &fails,
                &format!("unable to get metric {called}: unable to fetch metrics from custom metrics API"),
            )
        })?;
        let samples: Samples = items(&list, &["items"]).iter().filter_map(custom_sample).collect();
        let (replicas, found) = self.replicas(samples, &Target::Each(target), None, false).map_err(&fails)?;
        let average = Quantity::from_milli(found.average_milli).to_string();
        let status = json!({"type": "Pods", "pods": {"metric": metric["metric"], "current": {"averageValue": average}}});
        Ok(Proposal { replicas, metric: format!("pods metric {called}"), status })
    }

    fn of_object(&self, metric: &Value) -> Result<Proposal, Trouble> {
        let (called, selector) = identity(metric);
        let fails = |why: String| {
            Trouble::Fails("FailedGetObjectMetric", format!("failed to get object metric value: {why}"))
        };
        let object = &metric["describedObject"];
        let group = text(object, &["apiVersion"]).split_once('/').map_or("", |(group, _)| group);
        let kind = GroupKind::new(group, text(object, &["kind"]));
        let resources = self.observed.view.resources();
        let found = resources.iter().find(|found| found.group_kind() == kind);
        let found =
            found.ok_or_else(|| fails(format!("no matches for kind {:?} in group {group:?}", kind.kind)))?;
        let resource = if group.is_empty() {
            found.gvr.resource.clone()
        } else {
            format!("{}.{group}", found.gvr.resource)
        };
        let path = format!(
            "/apis/custom.metrics.k8s.io/v1beta2/namespaces/{}/{resource}/{}/{called}?metricLabelSelector={}",
            namespace(self.hpa),
            text(object, &["name"]),
            escaped(&selector)
        );
        let list = self.ask(&path).map_err(|trouble| {
            trouble.within(
                &fails,
                &format!("unable to get metric {called}: unable to fetch metrics from custom metrics API"),
            )
        })?;
        let value = items(&list, &["items"]).first().and_then(|found| milli(found, &["value"]));
        let value =
            value.ok_or_else(|| fails(format!("unable to get metric {called}: no metrics returned")))?;
        let (replicas, current) = self.by_value(value, &metric["target"]).map_err(&fails)?;
        let status = json!({"type": "Object", "object": {"metric": metric["metric"], "describedObject": object, "current": current}});
        let metric = format!("{} metric {called}", text(object, &["kind"]));
        Ok(Proposal { replicas, metric, status })
    }

    fn external(&self, metric: &Value) -> Result<Proposal, Trouble> {
        let (called, selector) = identity(metric);
        let fails = |why: String| {
            Trouble::Fails(
                "FailedGetExternalMetric",
                format!("failed to get {called} external metric value: {why}"),
            )
        };
        let path = format!(
            "/apis/external.metrics.k8s.io/v1beta1/namespaces/{}/{called}?labelSelector={}",
            namespace(self.hpa),
            escaped(&selector)
        );
        let list = self.ask(&path).map_err(|trouble| trouble.within(&fails, &format!("unable to get external metric {}/{called}: unable to fetch metrics from external metrics API", namespace(self.hpa))))?;
        let values: Vec<i64> =
            items(&list, &["items"]).iter().filter_map(|found| milli(found, &["value"])).collect();
        if values.is_empty() {
            return Err(fails(format!(
                "unable to get external metric {}/{called}: no metrics returned from external metrics API",
                namespace(self.hpa)
            )));
        }
        let (replicas, current) = self.by_value(values.iter().sum(), &metric["target"]).map_err(&fails)?;
        let status =
            json!({"type": "External", "external": {"metric": metric["metric"], "current": current}});
        Ok(Proposal { replicas, metric: format!("external metric {called}"), status })
    }

    /// By one value for all: so much, or so much for each.
    fn by_value(&self, value: i64, target: &Value) -> Result<(i64, Value), String> {
        if let Some(each) = milli(target, &["averageValue"]).filter(|each| *each > 0) {
            let ratio = value as f64 / (each as f64 * self.has.max(1) as f64);
            let replicas =
                if self.is_near(ratio) && self.has > 0 { self.has } else { ceil(value as f64 / each as f64) };
            let average = if self.has > 0 { ceil(value as f64 / self.has as f64) } else { 0 };
            return Ok((replicas, json!({"averageValue": Quantity::from_milli(average).to_string()})));
        }
        let wanted = milli(target, &["value"])
            .filter(|wanted| *wanted > 0)
            .ok_or("invalid metric source: neither a value target nor an average value target was set")?;
        let ratio = value as f64 / wanted as f64;
        let ready = self
            .pods
            .iter()
            .filter(|pod| text(pod, &["status", "phase"]) == "Running" && crate::pods::is_ready(pod))
            .count();
        let replicas = match self.current {
            0 => ceil(ratio),
            current if self.is_near(ratio) => current,
            _ => ceil(ratio * ready as f64),
        };
        Ok((replicas, json!({"value": Quantity::from_milli(value).to_string()})))
    }

    /// By the values of pods; those that say nothing yet are taken so that less changes.
    fn replicas(
        &self,
        mut samples: Samples,
        target: &Target,
        requests: Option<&BTreeMap<String, i64>>,
        is_cpu: bool,
    ) -> Result<(i64, Found), String> {
        if self.pods.is_empty() {
            return Err("no pods returned by selector while calculating replica count".to_owned());
        }
        let groups = self.group(&samples, is_cpu);
        samples.retain(|pod, _| !groups.ignored.contains(pod) && !groups.unready.contains(pod));
        if samples.is_empty() {
            return Err("did not receive metrics for targeted pods (pods might be unready)".to_owned());
        }
        let found = ratio(&samples, target, requests)?;
        let rises = found.ratio > 1.0;
        if (groups.unready.is_empty() || !rises) && groups.missing.is_empty() {
            let count = if self.is_near(found.ratio) {
                self.current
            } else {
                ceil(found.ratio * groups.ready as f64)
            };
            return Ok((count, found));
        }
        let assumed = |milli: i64| Sample { milli, at: 0, window_seconds: 0 };
        for pod in &groups.missing {
            let milli = match (target, found.ratio < 1.0) {
                (_, false) => 0,
                (Target::Share(share), true) => {
                    let request = requests.and_then(|requests| requests.get(pod)).copied().unwrap_or(0);
                    request * (*share).max(100) / 100
                }
                (Target::Each(each), true) => *each,
            };
            samples.insert(pod.clone(), assumed(milli));
        }
        if rises {
            samples.extend(groups.unready.iter().map(|pod| (pod.clone(), assumed(0))));
        }
        let again = ratio(&samples, target, requests)?;
        let turned = (found.ratio < 1.0 && again.ratio > 1.0) || (found.ratio > 1.0 && again.ratio < 1.0);
        let count = ceil(again.ratio * samples.len() as f64);
        let against =
            (again.ratio < 1.0 && count > self.current) || (again.ratio > 1.0 && count < self.current);
        let keeps = self.is_near(again.ratio) || turned || against;
        Ok((if keeps { self.current } else { count }, found))
    }

    fn group(&self, samples: &Samples, is_cpu: bool) -> Groups {
        let settings = &self.observed.settings.autoscaler;
        let now = self.observed.seconds();
        let mut groups = Groups::default();
        for pod in &self.pods {
            let called = name(pod).to_owned();
            let phase = text(pod, &["status", "phase"]);
            if is_deleting(pod) || phase == "Failed" {
                groups.ignored.push(called);
                continue;
            }
            let Some(sample) = samples.get(&called).filter(|_| phase != "Pending") else {
                let group = if phase == "Pending" { &mut groups.unready } else { &mut groups.missing };
                group.push(called);
                continue;
            };
            let ready = conditions::find(pod, "Ready");
            let since = ready.and_then(|found| time(found, &["lastTransitionTime"])).unwrap_or(0);
            let is_false = ready.is_some_and(|found| text(found, &["status"]) == "False");
            let is_unready = is_cpu
                && match (ready, time(pod, &["status", "startTime"])) {
                    (Some(_), Some(start)) if start + settings.cpu_initialization_seconds > now => {
                        is_false || sample.at < since + sample.window_seconds
                    }
                    (Some(_), Some(start)) => is_false && start + settings.initial_readiness_seconds > since,
                    _ => true,
                };
            if is_unready {
                groups.unready.push(called);
            } else {
                groups.ready += 1;
            }
        }
        groups
    }

    /// What each pod requests of a resource, in thousandths.
    fn requests(&self, resource: &str, container: Option<&str>) -> Result<BTreeMap<String, i64>, String> {
        let mut requests = BTreeMap::new();
        for pod in &self.pods {
            let sidecars = items(pod, &["spec", "initContainers"]).iter();
            let sidecars = sidecars.filter(|found| text(found, &["restartPolicy"]) == "Always");
            let all = items(pod, &["spec", "containers"]).iter().chain(sidecars);
            let mut sum = 0;
            for found in all.filter(|found| container.is_none_or(|wanted| text(found, &["name"]) == wanted)) {
                sum += milli(found, &["resources", "requests", resource]).ok_or_else(|| {
                    format!(
                        "missing request for {resource} in container {} of Pod {}",
                        text(found, &["name"]),
                        name(pod)
                    )
                })?;
            }
            requests.insert(name(pod).to_owned(), sum);
        }
        Ok(requests)
    }

    fn is_near(&self, ratio: f64) -> bool {
        let of = |way: &str| {
            let own = at(self.hpa, &["spec", "behavior", way, "tolerance"]).and_then(Value::as_str);
            let own = own.and_then(|text| Quantity::parse(text).ok()).map(|found| found.to_f64());
            own.unwrap_or(self.observed.settings.autoscaler.tolerance)
        };
        (1.0 - of("scaleDown")..=1.0 + of("scaleUp")).contains(&ratio)
    }

    fn ask(&self, path: &str) -> Result<Value, Refused> {
        let ask = Ask::Path(path.to_owned());
        match self.observed.answer(&ask) {
            None => Err(Refused::NotAsked(path.to_owned())),
            Some(Ok(answer)) => Ok(answer.clone()),
            Some(Err(status)) => Err(Refused::By(status.message.clone())),
        }
    }
}

enum Refused {
    NotAsked(String),
    By(String),
}

impl Refused {
    fn within(self, fails: &impl Fn(String) -> Trouble, what: &str) -> Trouble {
        match self {
            Self::NotAsked(path) => Trouble::Asks(path),
            Self::By(why) => fails(format!("{what}: {why}")),
        }
    }
}

/// How the use is to the target.
struct Found {
    ratio: f64,
    share: Option<i64>,
    average_milli: i64,
}

fn ratio(
    samples: &Samples,
    target: &Target,
    requests: Option<&BTreeMap<String, i64>>,
) -> Result<Found, String> {
    let counted =
        samples.iter().filter(|(pod, _)| requests.is_none_or(|requests| requests.contains_key(*pod)));
    let counted: Vec<_> = counted.collect();
    let used: i64 = counted.iter().map(|(_, sample)| sample.milli).sum();
    let average_milli = used / (counted.len().max(1) as i64);
    match (target, requests) {
        (Target::Share(share), Some(requests)) => {
            let wanted: i64 = counted.iter().filter_map(|(pod, _)| requests.get(*pod)).sum();
            if wanted == 0 {
                return Err("no metrics returned matched known pods".to_owned());
            }
            let current = used * 100 / wanted;
            Ok(Found { ratio: current as f64 / (*share).max(1) as f64, share: Some(current), average_milli })
        }
        (Target::Share(each) | Target::Each(each), _) => {
            Ok(Found { ratio: average_milli as f64 / (*each).max(1) as f64, share: None, average_milli })
        }
    }
}

fn resource_samples(list: &Value, resource: &str, container: Option<&str>) -> Samples {
    let of = |pod: &Value| {
        let all = items(pod, &["containers"]).iter();
        let all = all.filter(|found| container.is_none_or(|wanted| text(found, &["name"]) == wanted));
        let uses: Option<Vec<i64>> = all.map(|found| milli(found, &["usage", resource])).collect();
        let uses = uses.filter(|uses| !uses.is_empty())?;
        let window_seconds =
            text(pod, &["window"]).trim_end_matches('s').parse::<f64>().unwrap_or(60.0) as i64;
        let at = time(pod, &["timestamp"]).unwrap_or(0);
        Some((name(pod).to_owned(), Sample { milli: uses.iter().sum(), at, window_seconds }))
    };
    items(list, &["items"]).iter().filter_map(of).collect()
}

fn custom_sample(found: &Value) -> Option<(String, Sample)> {
    let window_seconds = number(found, &["windowSeconds"]).unwrap_or(60);
    let sample = Sample {
        milli: milli(found, &["value"])?,
        at: time(found, &["timestamp"]).unwrap_or(0),
        window_seconds,
    };
    Some((text(found, &["describedObject", "name"]).to_owned(), sample))
}

/// A metric's name, and the text of its selector.
fn identity(metric: &Value) -> (String, String) {
    let labels = text_map(metric, &["metric", "selector", "matchLabels"]);
    let mut parts: Vec<String> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
    if parts.is_empty() && at(metric, &["metric", "selector", "matchExpressions"]).is_some() {
        parts.push(crate::object::selector(metric, &["metric", "selector"]).to_string());
    }
    (text(metric, &["metric", "name"]).to_owned(), parts.join(","))
}

/// A quantity at a path, in thousandths.
fn milli(value: &Value, path: &[&str]) -> Option<i64> {
    let found = at(value, path)?;
    match found.as_str() {
        Some(text) => Quantity::parse(text).ok().map(|found| found.milli_value()),
        None => found.as_i64().and_then(|number| number.checked_mul(1000)),
    }
}

fn ceil(value: f64) -> i64 {
    value.ceil() as i64
}

/// A value in a query.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02X}"));
        }
    }
    escaped
}
