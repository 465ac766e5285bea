//! Limits and weights, in both directions.

use engine::request::ResourceRequest;
use rpc::cri::{HugepageLimit, LinuxContainerResources};

/// What a container may use. Zero means that it was not asked for.
pub fn requested(resources: &LinuxContainerResources, has_hugetlb: bool) -> ResourceRequest {
    merged(&ResourceRequest::default(), resources, has_hugetlb)
}

/// `old`, with what `resources` asks for over it.
pub fn merged(
    old: &ResourceRequest,
    resources: &LinuxContainerResources,
    has_hugetlb: bool,
) -> ResourceRequest {
    let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    let text = |value: &String| Some(value.clone()).filter(|value| !value.is_empty());
    let mut new = old.clone();
    new.cpu_shares = positive(resources.cpu_shares).or(old.cpu_shares);
    new.cpu_period_us = positive(resources.cpu_period).or(old.cpu_period_us);
    new.cpu_quota_us = Some(resources.cpu_quota).filter(|quota| *quota != 0).or(old.cpu_quota_us);
    new.cpuset_cpus = text(&resources.cpuset_cpus).or(old.cpuset_cpus.clone());
    new.cpuset_mems = text(&resources.cpuset_mems).or(old.cpuset_mems.clone());
    if let Some(limit) = positive(resources.memory_limit_in_bytes) {
        new.memory_bytes = Some(limit);
        // Without a word about swap there is none: the limit of both is that of memory.
        new.memory_swap_bytes = i64::try_from(limit).ok();
    }
    if resources.memory_limit_in_bytes < 0 {
        (new.memory_bytes, new.memory_swap_bytes) = (None, None);
    }
    if resources.memory_swap_limit_in_bytes != 0 && new.memory_bytes.is_some() {
        new.memory_swap_bytes = Some(resources.memory_swap_limit_in_bytes);
    }
    new.oom_score_adj =
        i32::try_from(resources.oom_score_adj).ok().filter(|adj| *adj != 0).or(old.oom_score_adj);
    if has_hugetlb {
        // Where the controller is missing there are no huge pages to limit.
        let limits = resources.hugepage_limits.iter();
        new.hugepage_limits.extend(limits.map(|limit| (limit.page_size.clone(), limit.limit)));
    }
    new.unified.extend(resources.unified.clone());
    new
}

/// What a container may use, as its status tells it.
pub fn reported(request: &ResourceRequest) -> LinuxContainerResources {
    let signed = |value: Option<u64>| value.and_then(|value| i64::try_from(value).ok()).unwrap_or(0);
    LinuxContainerResources {
        cpu_period: signed(request.cpu_period_us),
        cpu_quota: request.cpu_quota_us.unwrap_or(0),
        cpu_shares: signed(request.cpu_shares),
        memory_limit_in_bytes: signed(request.memory_bytes),
        oom_score_adj: i64::from(request.oom_score_adj.unwrap_or(0)),
        cpuset_cpus: request.cpuset_cpus.clone().unwrap_or_default(),
        cpuset_mems: request.cpuset_mems.clone().unwrap_or_default(),
        hugepage_limits: request
            .hugepage_limits
            .iter()
            .map(|(size, limit)| HugepageLimit { page_size: size.clone(), limit: *limit })
            .collect(),
        unified: request.unified.clone(),
        memory_swap_limit_in_bytes: request.memory_swap_bytes.unwrap_or(0),
    }
}
