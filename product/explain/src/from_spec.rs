//! What an OCI `config.json` asks for, as facts: the specification is the record of a
//! container's limits and rights that both engine and runtime act on.

use oci_spec::runtime::{Linux, LinuxResources, LinuxSeccomp, Spec};

use crate::facts::{ContainerFacts, LimitFacts, SeccompFacts};

impl ContainerFacts {
    /// Takes over the limits and rights that `spec` asks for.
    pub fn take_spec(&mut self, spec: &Spec) {
        self.read_only_root = spec.root().as_ref().and_then(|root| root.readonly()).unwrap_or(false);
        if let Some(process) = spec.process() {
            self.no_new_privs = process.no_new_privileges();
            let bounding = process.capabilities().as_ref().and_then(|sets| sets.bounding().as_ref());
            let mut names: Vec<String> =
                bounding.into_iter().flatten().map(|one| format!("CAP_{one}")).collect();
            names.sort();
            self.capabilities = Some(names);
        }
        let Some(linux) = spec.linux() else { return };
        self.take_linux(linux);
    }

    fn take_linux(&mut self, linux: &Linux) {
        self.masked_paths = linux.masked_paths().clone().unwrap_or_default();
        self.read_only_paths = linux.readonly_paths().clone().unwrap_or_default();
        self.seccomp = match linux.seccomp() {
            None => SeccompFacts::Unconfined,
            Some(section) => seccomp(section),
        };
        if let Some(resources) = linux.resources() {
            self.limits = limits(resources);
        }
        if let Some(path) = linux.cgroups_path() {
            let path = path.to_string_lossy();
            // systemd's form `slice:prefix:name` is no path.
            self.cgroup = path.starts_with('/').then(|| path.into_owned());
        }
    }
}

/// Compiles the section as the runtime does and counts what the program refuses.
fn seccomp(section: &LinuxSeccomp) -> SeccompFacts {
    let Ok(filter) = oci_runtime::seccomp::compile(section) else {
        return SeccompFacts::Filter { denied: None, conditional: None, known: None };
    };
    let counted = filter.verdicts();
    let number = |count: usize| u32::try_from(count).ok();
    SeccompFacts::Filter {
        denied: number(counted.denied.len()),
        conditional: number(counted.conditional.len()),
        known: number(counted.total),
    }
}

fn limits(resources: &LinuxResources) -> LimitFacts {
    let positive = |value: i64| u64::try_from(value).ok().filter(|value| *value > 0);
    let memory = resources.memory().as_ref();
    let cpu = resources.cpu().as_ref();
    LimitFacts {
        memory_bytes: memory.and_then(|memory| memory.limit()).and_then(positive),
        cpu_quota_micros: cpu.and_then(|cpu| cpu.quota()).and_then(positive),
        cpu_period_micros: cpu.and_then(|cpu| cpu.period()),
        cpu_shares: cpu.and_then(|cpu| cpu.shares()),
        pids: resources.pids().as_ref().and_then(|pids| positive(pids.limit())),
    }
}
