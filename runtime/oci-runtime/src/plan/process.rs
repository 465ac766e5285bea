//! The program: arguments, environment, identity, privileges and limits.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::PathBuf;

use oci_spec::runtime::{
    IOPriorityClass, Linux, LinuxPersonalityDomain, LinuxSchedulerFlag, LinuxSchedulerPolicy, Process,
};
use sys::CapSet;
use sys::rlimit::{self, Limit};
use sys::scheduling::{IoClass, MemoryPolicy, PER_LINUX, PER_LINUX32, SchedAttr};

use super::{SpecError, memory};

/// A process, decided.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessPlan {
    /// Arguments; the first is the program. None: there is nothing to execute.
    pub args: Vec<String>,
    /// Environment, `NAME=value`.
    pub env: Vec<String>,
    /// Working directory in the container, absolute.
    pub cwd: PathBuf,
    /// User.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// File mode mask.
    pub umask: Option<u32>,
    /// The five sets; `None` leaves them as they are.
    pub capabilities: Option<Capabilities>,
    /// Limits.
    pub rlimits: Vec<RlimitPlan>,
    /// No gain of privileges by exec.
    pub no_new_privileges: bool,
    /// Preference of the out-of-memory killer.
    pub oom_score_adj: Option<i32>,
    /// A pseudo-terminal, and its size in columns and rows.
    pub terminal: Option<Option<(u16, u16)>>,
    /// AppArmor profile, changed to at exec.
    pub apparmor: Option<String>,
    /// SELinux label, changed to at exec.
    pub selinux: Option<String>,
    /// Scheduling.
    pub scheduling: SchedulingPlan,
}

impl ProcessPlan {
    /// No program, in the root directory.
    pub(super) fn nothing() -> Self {
        Self { cwd: PathBuf::from("/"), ..Self::default() }
    }
}

/// The five capability sets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities {
    /// The limit for all.
    pub bounding: CapSet,
    /// What is checked.
    pub effective: CapSet,
    /// What may become effective.
    pub permitted: CapSet,
    /// What passes an exec with the file's help.
    pub inheritable: CapSet,
    /// What passes an exec by itself.
    pub ambient: CapSet,
}

/// One limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RlimitPlan {
    /// `RLIMIT_*`.
    pub resource: u32,
    /// The values.
    pub limit: Limit,
}

/// How the process is scheduled.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SchedulingPlan {
    /// CPU scheduler.
    pub scheduler: Option<SchedAttr>,
    /// I/O class and level.
    pub io: Option<(IoClass, u16)>,
    /// Execution domain.
    pub personality: Option<u64>,
    /// CPUs before the cgroup is joined (`execCPUAffinity.initial`).
    pub affinity_initial: Vec<usize>,
    /// CPUs after it (`execCPUAffinity.final`).
    pub affinity_final: Vec<usize>,
    /// NUMA nodes that memory comes from.
    pub memory: Option<MemoryPolicy>,
    /// Whether the cgroup has less CPUs than the machine, which some schedulers refuse.
    pub has_cpuset: bool,
}

/// Decides about a process of the spec, or of `exec`.
pub fn process(
    process: &Process,
    linux: &Linux,
    warnings: &mut Vec<String>,
) -> Result<ProcessPlan, SpecError> {
    let args = process.args().clone().unwrap_or_default();
    if args.first().is_none_or(String::is_empty) {
        return Err(SpecError::Missing {
            field: "process.args",
            hint: "the first argument is the program to run",
        });
    }
    if !process.cwd().is_absolute() {
        return Err(SpecError::invalid(
            "process.cwd",
            process.cwd().display(),
            "Cwd must be an absolute path",
        ));
    }
    let env = last_of_each(process.env().as_deref().unwrap_or_default());
    if let Some(bad) = args.iter().chain(&env).find(|text| text.contains('\0')) {
        return Err(SpecError::invalid("process.args or process.env", bad, "a NUL byte cannot be passed"));
    }
    let user = process.user();
    Ok(ProcessPlan {
        args,
        env,
        cwd: process.cwd().clone(),
        uid: id("process.user.uid", user.uid())?,
        gid: id("process.user.gid", user.gid())?,
        groups: groups(user.additional_gids().as_deref().unwrap_or_default())?,
        umask: user.umask(),
        capabilities: capabilities(process, warnings),
        rlimits: rlimits(process)?,
        no_new_privileges: process.no_new_privileges().unwrap_or(false),
        oom_score_adj: oom_score_adj(process)?,
        terminal: process.terminal().unwrap_or(false).then(|| console_size(process)),
        apparmor: process.apparmor_profile().clone().filter(|profile| !profile.is_empty()),
        selinux: process.selinux_label().clone().filter(|label| !label.is_empty()),
        scheduling: scheduling(process, linux)?,
    })
}

/// A variable that is given twice has its last value; the place of its first, so that order is
/// kept. A text without `=` is no variable: it is passed as it is.
fn last_of_each(env: &[String]) -> Vec<String> {
    let mut places: HashMap<&str, usize> = HashMap::new();
    let mut kept: Vec<String> = Vec::with_capacity(env.len());
    for variable in env {
        let Some((name, _)) = variable.split_once('=') else {
            kept.push(variable.clone());
            continue;
        };
        match places.entry(name) {
            Entry::Occupied(place) => kept[*place.get()].clone_from(variable),
            Entry::Vacant(place) => {
                place.insert(kept.len());
                kept.push(variable.clone());
            }
        }
    }
    kept
}

/// The kernel takes -1 for "unchanged": as an id it would leave root in place.
fn id(field: &'static str, id: u32) -> Result<u32, SpecError> {
    // CVE-2024-40635: ids above 2^31 - 1 wrap in tools that use signed numbers.
    if id > i32::MAX as u32 {
        return Err(SpecError::invalid(field, id, "an id is 0 to 2147483647"));
    }
    Ok(id)
}

fn groups(groups: &[u32]) -> Result<Vec<u32>, SpecError> {
    groups.iter().map(|gid| id("process.user.additionalGids", *gid)).collect()
}

fn console_size(process: &Process) -> Option<(u16, u16)> {
    let size = process.console_size()?;
    Some((u16::try_from(size.width()).ok()?, u16::try_from(size.height()).ok()?))
}

fn oom_score_adj(process: &Process) -> Result<Option<i32>, SpecError> {
    match process.oom_score_adj() {
        Some(value) if !(-1000..=1000).contains(&value) => {
            Err(SpecError::invalid("process.oomScoreAdj", value, "use -1000 to 1000"))
        }
        value => Ok(value),
    }
}

fn capabilities(process: &Process, warnings: &mut Vec<String>) -> Option<Capabilities> {
    let given = process.capabilities().as_ref()?;
    let mut set = |names: &Option<oci_spec::runtime::Capabilities>| {
        let numbers = names.iter().flatten().filter_map(|capability| {
            let name = capability.to_string();
            let number = sys::capability::parse(&name);
            if number.is_none() {
                warnings.push(format!("capability {name} is not known and left out"));
            }
            number
        });
        numbers.collect::<CapSet>()
    };
    Some(Capabilities {
        bounding: set(given.bounding()),
        effective: set(given.effective()),
        permitted: set(given.permitted()),
        inheritable: set(given.inheritable()),
        ambient: set(given.ambient()),
    })
}

fn rlimits(process: &Process) -> Result<Vec<RlimitPlan>, SpecError> {
    let mut plan: Vec<RlimitPlan> = Vec::new();
    for limit in process.rlimits().as_deref().unwrap_or_default() {
        let name = limit.typ().to_string();
        let Some(resource) = rlimit::resource(&name) else {
            return Err(SpecError::invalid("process.rlimits", name, "use a name of getrlimit(2)"));
        };
        if plan.iter().any(|known| known.resource == resource) {
            return Err(SpecError::invalid("process.rlimits", name, "each type may be listed once"));
        }
        if limit.soft() > limit.hard() {
            return Err(SpecError::invalid("process.rlimits", name, "the soft limit is above the hard one"));
        }
        plan.push(RlimitPlan { resource, limit: Limit { soft: limit.soft(), hard: limit.hard() } });
    }
    Ok(plan)
}

fn scheduling(process: &Process, linux: &Linux) -> Result<SchedulingPlan, SpecError> {
    let mut plan = SchedulingPlan::default();
    if let Some(io) = process.io_priority() {
        let class = match io.class() {
            IOPriorityClass::IoprioClassRt => IoClass::RealTime,
            IOPriorityClass::IoprioClassBe => IoClass::BestEffort,
            IOPriorityClass::IoprioClassIdle => IoClass::Idle,
        };
        let level = u16::try_from(io.priority()).ok().filter(|level| *level <= 7);
        let hint = "use 0 to 7";
        let level = level.ok_or_else(|| SpecError::invalid("process.ioPriority", io.priority(), hint))?;
        plan.io = Some((class, level));
    }
    plan.scheduler = process.scheduler().as_ref().map(scheduler);
    if let Some(affinity) = process.exec_cpu_affinity() {
        plan.affinity_initial = cpus(affinity.initial().as_deref())?;
        plan.affinity_final = cpus(affinity.cpu_affinity_final().as_deref())?;
    }
    plan.memory = linux.memory_policy().as_ref().map(memory::policy).transpose()?;
    let cpu = linux.resources().as_ref().and_then(|resources| resources.cpu().as_ref());
    plan.has_cpuset = cpu.and_then(|cpu| cpu.cpus().as_ref()).is_some_and(|cpus| !cpus.is_empty());
    if let Some(personality) = linux.personality() {
        if let Some(flag) = personality.flags().iter().flatten().next() {
            return Err(SpecError::invalid("linux.personality.flags", flag, "there are none yet"));
        }
        plan.personality = Some(match personality.domain() {
            LinuxPersonalityDomain::PerLinux => PER_LINUX,
            LinuxPersonalityDomain::PerLinux32 => PER_LINUX32,
        });
    }
    Ok(plan)
}

fn scheduler(given: &oci_spec::runtime::Scheduler) -> SchedAttr {
    let policy = match given.policy() {
        LinuxSchedulerPolicy::SchedOther => 0,
        LinuxSchedulerPolicy::SchedFifo => 1,
        LinuxSchedulerPolicy::SchedRr => 2,
        LinuxSchedulerPolicy::SchedBatch => 3,
        LinuxSchedulerPolicy::SchedIso => 4,
        LinuxSchedulerPolicy::SchedIdle => 5,
        LinuxSchedulerPolicy::SchedDeadline => 6,
    };
    let flags = given.flags().iter().flatten().fold(0, |flags, flag| {
        flags
            | match flag {
                LinuxSchedulerFlag::SchedResetOnFork => 0x01,
                LinuxSchedulerFlag::SchedFlagReclaim => 0x02,
                LinuxSchedulerFlag::SchedFlagDLOverrun => 0x04,
                LinuxSchedulerFlag::SchedFlagKeepPolicy => 0x08,
                LinuxSchedulerFlag::SchedFlagKeepParams => 0x10,
                LinuxSchedulerFlag::SchedFlagUtilClampMin => 0x20,
                LinuxSchedulerFlag::SchedFlagUtilClampMax => 0x40,
            }
    });
    SchedAttr {
        policy,
        flags,
        nice: given.nice().unwrap_or(0),
        priority: u32::try_from(given.priority().unwrap_or(0)).unwrap_or(0),
        runtime: given.runtime().unwrap_or(0),
        deadline: given.deadline().unwrap_or(0),
        period: given.period().unwrap_or(0),
        ..SchedAttr::default()
    }
}

/// `0-3,7` as in cpuset(7), "List format".
pub fn cpus(list: Option<&str>) -> Result<Vec<usize>, SpecError> {
    let Some(list) = list.filter(|list| !list.is_empty()) else { return Ok(Vec::new()) };
    let invalid = || SpecError::invalid("process.execCPUAffinity", list, "write CPUs as 0-3,7");
    let mut cpus = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.trim().parse().map_err(|_| invalid())?;
        let last: usize = last.trim().parse().map_err(|_| invalid())?;
        if first > last || last > 8191 {
            return Err(invalid());
        }
        cpus.extend(first..=last);
    }
    Ok(cpus)
}
