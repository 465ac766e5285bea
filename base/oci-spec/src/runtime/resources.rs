//! `linux.resources`: what the cgroup limits.

use std::collections::HashMap;

use super::LinuxDeviceType;
use super::forms::record;

record! {
    /// Limits: `config-linux.md`, "Control groups".
    LinuxResources
    may {
        /// Which devices may be used.
        by devices set_devices: Vec<LinuxDeviceCgroup>;
        /// Memory.
        by memory set_memory: LinuxMemory;
        /// Processor time.
        by cpu set_cpu: LinuxCpu;
        /// Processes.
        by pids set_pids: LinuxPids;
        /// Input and output.
        by block_io set_block_io: LinuxBlockIo = "blockIO";
        /// Huge pages.
        by hugepage_limits set_hugepage_limits: Vec<LinuxHugepageLimit>;
        /// Marks of packets.
        by network set_network: LinuxNetwork;
        /// RDMA, by device.
        by rdma set_rdma: HashMap<String, LinuxRdma>;
        /// Files of cgroup v2.
        by unified set_unified: HashMap<String, String>;
    }
}

record! {
    /// One rule about devices.
    LinuxDeviceCgroup
    fills {
        /// Whether it allows.
        copy allow set_allow: bool;
    }
    may {
        /// Of which kind.
        copy typ set_typ: LinuxDeviceType = "type";
        /// The major number; all when missing.
        copy major set_major: i64;
        /// The minor number; all when missing.
        copy minor set_minor: i64;
        /// Letters of `rwm`.
        by access set_access: String;
    }
}

record! {
    /// Memory, in bytes; -1 is no limit.
    #[derive(Copy)]
    LinuxMemory
    may {
        /// Memory at most.
        copy limit set_limit: i64;
        /// What is kept when memory is short.
        copy reservation set_reservation: i64;
        /// Memory and swap together.
        copy swap set_swap: i64;
        /// The kernel's memory; nothing since Linux 5.4.
        copy kernel set_kernel: i64;
        /// The kernel's memory for TCP; nothing since Linux 5.4.
        copy kernel_tcp set_kernel_tcp: i64 = "kernelTCP";
        /// How eagerly it is swapped.
        copy swappiness set_swappiness: u64;
        /// Whether processes wait rather than be killed.
        copy disable_oom_killer set_disable_oom_killer: bool = "disableOOMKiller";
        /// Whether children count.
        copy use_hierarchy set_use_hierarchy: bool;
        /// Whether a limit below what is used is refused.
        copy check_before_update set_check_before_update: bool;
    }
}

record! {
    /// Processor time.
    LinuxCpu
    may {
        /// Relative share.
        copy shares set_shares: u64;
        /// Microseconds in each period, -1 for no limit.
        copy quota set_quota: i64;
        /// Whether it runs only when nobody else wants to.
        copy idle set_idle: i64;
        /// Unused microseconds that may be used later.
        copy burst set_burst: u64;
        /// Length of a period in microseconds.
        copy period set_period: u64;
        /// Realtime in each period.
        copy realtime_runtime set_realtime_runtime: i64;
        /// Length of a realtime period.
        copy realtime_period set_realtime_period: u64;
        /// CPUs, as a list.
        by cpus set_cpus: String;
        /// Memory nodes, as a list.
        by mems set_mems: String;
    }
}

record! {
    /// Processes.
    #[derive(Copy)]
    LinuxPids
    fills {
        /// At most; below 0 for no limit.
        copy limit set_limit: i64;
    }
}

record! {
    /// Input and output of block devices.
    LinuxBlockIo
    may {
        /// Share.
        copy weight set_weight: u16;
        /// Share of the cgroup's own processes.
        copy leaf_weight set_leaf_weight: u16;
        /// Shares of single devices.
        by weight_device set_weight_device: Vec<LinuxWeightDevice>;
        /// Bytes read a second.
        by throttle_read_bps_device set_throttle_read_bps_device: Vec<LinuxThrottleDevice>;
        /// Bytes written a second.
        by throttle_write_bps_device set_throttle_write_bps_device: Vec<LinuxThrottleDevice>;
        /// Reads a second.
        by throttle_read_iops_device set_throttle_read_iops_device: Vec<LinuxThrottleDevice> = "throttleReadIOPSDevice";
        /// Writes a second.
        by throttle_write_iops_device set_throttle_write_iops_device: Vec<LinuxThrottleDevice> = "throttleWriteIOPSDevice";
    }
}

record! {
    /// A device's share.
    #[derive(Copy)]
    LinuxWeightDevice
    fills {
        /// Its major number.
        copy major set_major: i64;
        /// Its minor number.
        copy minor set_minor: i64;
    }
    may {
        /// Share.
        copy weight set_weight: u16;
        /// Share of the cgroup's own processes.
        copy leaf_weight set_leaf_weight: u16;
    }
}

record! {
    /// A device's limit.
    #[derive(Copy)]
    LinuxThrottleDevice
    fills {
        /// Its major number.
        copy major set_major: i64;
        /// Its minor number.
        copy minor set_minor: i64;
        /// A second.
        copy rate set_rate: u64;
    }
}

record! {
    /// Huge pages of one size.
    LinuxHugepageLimit
    fills {
        /// The size, as `2MB`.
        by page_size set_page_size: String;
        /// Bytes at most.
        copy limit set_limit: i64;
    }
}

record! {
    /// Marks of packets.
    LinuxNetwork
    may {
        /// Their class.
        copy class_id set_class_id: u32 = "classID";
        /// Their priorities.
        by priorities set_priorities: Vec<LinuxInterfacePriority>;
    }
}

record! {
    /// The priority of packets through an interface.
    LinuxInterfacePriority
    fills {
        /// The interface.
        by name set_name: String;
        /// The priority.
        copy priority set_priority: u32;
    }
}

record! {
    /// RDMA of one device.
    #[derive(Copy)]
    LinuxRdma
    may {
        /// Handles at most.
        copy hca_handles set_hca_handles: u32;
        /// Objects at most.
        copy hca_objects set_hca_objects: u32;
    }
}
