//! `process`, and what of it is a type of its own.

use std::path::PathBuf;

use super::Capabilities;
use super::forms::{record, words};

record! {
    /// The program: `config.md`, "Process".
    Process
    needs {
        /// Its working directory.
        by cwd set_cwd: PathBuf;
    }
    fills {
        /// Who it is.
        by user set_user: User;
    }
    may {
        /// Whether it has a terminal.
        copy terminal set_terminal: bool;
        /// The terminal's size.
        copy console_size set_console_size: Box;
        /// Its arguments; the first is the program.
        by args set_args: Vec<String>;
        /// Its variables.
        by env set_env: Vec<String>;
        /// Its capabilities.
        by capabilities set_capabilities: LinuxCapabilities;
        /// Its limits.
        by rlimits set_rlimits: Vec<PosixRlimit>;
        /// Whether an exec gains no privileges.
        copy no_new_privileges set_no_new_privileges: bool;
        /// AppArmor's profile.
        by apparmor_profile set_apparmor_profile: String;
        /// How soon it is killed when memory is short.
        copy oom_score_adj set_oom_score_adj: i32;
        /// SELinux's label.
        by selinux_label set_selinux_label: String;
        /// Priority of its input and output.
        by io_priority set_io_priority: LinuxIOPriority;
        /// How it is scheduled.
        by scheduler set_scheduler: Scheduler;
        /// CPUs of a process that is run in a container.
        by exec_cpu_affinity set_exec_cpu_affinity: ExecCPUAffinity = "execCPUAffinity";
    }
}

record! {
    /// A terminal's size in characters.
    #[derive(Copy)]
    Box
    fills {
        /// Rows.
        copy height set_height: u64;
        /// Columns.
        copy width set_width: u64;
    }
}

record! {
    /// Ids of a process.
    User
    fills {
        /// The user.
        copy uid set_uid: u32;
        /// The group.
        copy gid set_gid: u32;
    }
    may {
        /// File mode mask.
        copy umask set_umask: u32;
        /// Supplementary groups.
        by additional_gids set_additional_gids: Vec<u32>;
        /// The name, which only other systems take.
        by username set_username: String;
    }
}

record! {
    /// The five sets (`capabilities(7)`).
    LinuxCapabilities
    may {
        /// The limit for all.
        by bounding set_bounding: Capabilities;
        /// What is checked.
        by effective set_effective: Capabilities;
        /// What passes an exec with the file's help.
        by inheritable set_inheritable: Capabilities;
        /// What may become effective.
        by permitted set_permitted: Capabilities;
        /// What passes an exec by itself.
        by ambient set_ambient: Capabilities;
    }
}

record! {
    /// A limit (`getrlimit(2)`).
    #[derive(Copy)]
    PosixRlimit
    needs {
        /// Of what.
        copy typ set_typ: PosixRlimitType = "type";
    }
    fills {
        /// How far it may be raised.
        copy hard set_hard: u64;
        /// What holds.
        copy soft set_soft: u64;
    }
}

words! {
    /// What a limit is of.
    PosixRlimitType {
        RlimitCpu = "RLIMIT_CPU",
        RlimitFsize = "RLIMIT_FSIZE",
        RlimitData = "RLIMIT_DATA",
        RlimitStack = "RLIMIT_STACK",
        RlimitCore = "RLIMIT_CORE",
        RlimitRss = "RLIMIT_RSS",
        RlimitNproc = "RLIMIT_NPROC",
        RlimitNofile = "RLIMIT_NOFILE",
        RlimitMemlock = "RLIMIT_MEMLOCK",
        RlimitAs = "RLIMIT_AS",
        RlimitLocks = "RLIMIT_LOCKS",
        RlimitSigpending = "RLIMIT_SIGPENDING",
        RlimitMsgqueue = "RLIMIT_MSGQUEUE",
        RlimitNice = "RLIMIT_NICE",
        RlimitRtprio = "RLIMIT_RTPRIO",
        RlimitRttime = "RLIMIT_RTTIME",
    }
}

record! {
    /// Priority of input and output (`ioprio_set(2)`).
    #[derive(Copy)]
    LinuxIOPriority
    fills {
        /// The class.
        copy class set_class: IOPriorityClass;
        /// The level in it.
        copy priority set_priority: i64;
    }
}

words! {
    /// Classes of input and output.
    IOPriorityClass {
        IoprioClassBe = "IOPRIO_CLASS_BE",
        IoprioClassRt = "IOPRIO_CLASS_RT",
        IoprioClassIdle = "IOPRIO_CLASS_IDLE",
    }
}

record! {
    /// How a process is scheduled (`sched_setattr(2)`).
    Scheduler
    needs {
        /// The policy.
        by policy set_policy: LinuxSchedulerPolicy;
    }
    may {
        /// Niceness.
        by nice set_nice: i32;
        /// Priority of a realtime process.
        by priority set_priority: i32;
        /// Flags.
        by flags set_flags: Vec<LinuxSchedulerFlag>;
        /// Nanoseconds that a deadline process runs in each period.
        by runtime set_runtime: u64;
        /// Nanoseconds until they are over.
        by deadline set_deadline: u64;
        /// Length of a period.
        by period set_period: u64;
    }
}

words! {
    /// Policies of the scheduler.
    LinuxSchedulerPolicy {
        SchedOther = "SCHED_OTHER",
        SchedFifo = "SCHED_FIFO",
        SchedRr = "SCHED_RR",
        SchedBatch = "SCHED_BATCH",
        SchedIso = "SCHED_ISO",
        SchedIdle = "SCHED_IDLE",
        SchedDeadline = "SCHED_DEADLINE",
    }
}

words! {
    /// Flags of the scheduler.
    LinuxSchedulerFlag {
        SchedResetOnFork = "SCHED_FLAG_RESET_ON_FORK",
        SchedFlagReclaim = "SCHED_FLAG_RECLAIM",
        SchedFlagDLOverrun = "SCHED_FLAG_DL_OVERRUN",
        SchedFlagKeepPolicy = "SCHED_FLAG_KEEP_POLICY",
        SchedFlagKeepParams = "SCHED_FLAG_KEEP_PARAMS",
        SchedFlagUtilClampMin = "SCHED_FLAG_UTIL_CLAMP_MIN",
        SchedFlagUtilClampMax = "SCHED_FLAG_UTIL_CLAMP_MAX",
    }
}

record! {
    /// CPUs of a process that is run in a container, as lists.
    ExecCPUAffinity
    may {
        /// Before it joins the container's cgroup.
        by initial set_initial: String;
        /// After that.
        by cpu_affinity_final set_cpu_affinity_final: String = "final";
    }
}
