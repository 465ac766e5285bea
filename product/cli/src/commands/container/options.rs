//! The options that `run` and `create` share, as docker spells them.

use std::time::Duration;

use clap::{ArgAction, Args};
use engine::PublishPolicy;

use super::foreign::ForeignOptions;
use crate::humanize::duration_argument;

/// What container is to be made.
#[derive(Clone, Debug, Args)]
pub struct ContainerOptions {
    /// Image to run, then the command and its arguments (the image's own when left out)
    #[arg(required = true, num_args = 1.., trailing_var_arg = true, value_names = ["IMAGE", "COMMAND"])]
    pub image_and_command: Vec<String>,

    /// Name of the container [default: made up]
    #[arg(long, value_name = "NAME")]
    pub name: Option<String>,
    /// Remove the container when it ends
    #[arg(long)]
    pub rm: bool,
    /// Give it a terminal
    #[arg(short = 't', long)]
    pub tty: bool,
    /// Keep standard input open, also with nobody attached
    #[arg(short = 'i', long)]
    pub interactive: bool,
    /// Attach to STDIN, STDOUT or STDERR only
    #[arg(short = 'a', long, value_name = "STREAM")]
    pub attach: Vec<String>,
    /// Write the container's id to this file
    #[arg(long, value_name = "FILE")]
    pub cidfile: Option<String>,
    /// When to pull the image: always, missing or never
    #[arg(long, value_name = "WHEN", default_value = "missing")]
    pub pull: String,
    /// Say less while pulling
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// Platform of the image, as in linux/arm64
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// OCI runtime: strake's own; docker's default name, runc, means it too
    #[arg(long, value_name = "RUNTIME")]
    pub runtime: Option<String>,
    /// Isolation technology: default
    #[arg(long, value_name = "TECHNOLOGY")]
    pub isolation: Option<String>,
    /// Keep a note with the container that its OCI specification carries
    #[arg(long, value_name = "KEY=VALUE")]
    pub annotation: Vec<String>,
    /// Start it again when it ends: no, on-failure[:N], always, unless-stopped or on-unhealthy
    #[arg(long, value_name = "POLICY", default_value = "no")]
    pub restart: String,

    #[allow(missing_docs, reason = "a doc comment would become help text")]
    #[command(flatten)]
    pub health: HealthOptions,
    #[allow(missing_docs, reason = "a doc comment would become help text")]
    #[command(flatten)]
    pub process: ProcessOptions,
    #[allow(missing_docs, reason = "a doc comment would become help text")]
    #[command(flatten)]
    pub storage: StorageOptions,
    #[allow(missing_docs, reason = "a doc comment would become help text")]
    #[command(flatten)]
    pub network: NetworkOptions,
    #[allow(missing_docs, reason = "a doc comment would become help text")]
    #[command(flatten)]
    pub resources: ResourceOptions,
    #[allow(missing_docs, reason = "a doc comment would become help text")]
    #[command(flatten)]
    pub security: SecurityOptions,
    #[allow(missing_docs, reason = "a doc comment would become help text")]
    #[command(flatten)]
    pub foreign: ForeignOptions,

    /// Print help
    #[arg(long, action = ArgAction::Help)]
    pub help: Option<bool>,
}

/// How its health is checked.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Health")]
pub struct HealthOptions {
    /// Check its health with this line in its shell
    #[arg(long, value_name = "COMMAND")]
    pub health_cmd: Option<String>,
    /// Time from one check to the next [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration_argument)]
    pub health_interval: Option<Duration>,
    /// Time that a check may take [default: 30s]
    #[arg(long, value_name = "DURATION", value_parser = duration_argument)]
    pub health_timeout: Option<Duration>,
    /// Time after the start in which failures do not count
    #[arg(long, value_name = "DURATION", value_parser = duration_argument)]
    pub health_start_period: Option<Duration>,
    /// Time between checks in the start period [default: 5s]
    #[arg(long, value_name = "DURATION", value_parser = duration_argument)]
    pub health_start_interval: Option<Duration>,
    /// So many failures in a row make it unhealthy [default: 3]
    #[arg(long, value_name = "N")]
    pub health_retries: Option<u32>,
    /// Check nothing, whatever the image says
    #[arg(long)]
    pub no_healthcheck: bool,
}

/// What runs in it.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Process")]
pub struct ProcessOptions {
    /// Set a variable; NAME alone takes its value from here
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Read variables from a file
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<String>,
    /// Directory that the command starts in
    #[arg(short = 'w', long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// User, and group, by name or number
    #[arg(short = 'u', long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// Further groups of the user
    #[arg(long, value_name = "GROUP")]
    pub group_add: Vec<String>,
    /// Program instead of the image's entrypoint; empty for none
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,
    /// Run an init as process 1 that forwards signals and reaps
    #[arg(long)]
    pub init: bool,
    /// Label the container
    #[arg(short = 'l', long = "label", value_name = "KEY[=VALUE]")]
    pub label: Vec<String>,
    /// Read labels from a file
    #[arg(long, value_name = "FILE")]
    pub label_file: Vec<String>,
    /// Signal that asks the container to stop
    #[arg(long, value_name = "SIGNAL")]
    pub stop_signal: Option<String>,
    /// Seconds between that signal and SIGKILL [default: 10]
    #[arg(long, value_name = "SECONDS", allow_negative_numbers = true)]
    pub stop_timeout: Option<i64>,
    /// Where the output goes: json-file, local or none
    #[arg(long, value_name = "DRIVER", default_value = "json-file")]
    pub log_driver: String,
    /// Option of the log: max-size=10m, max-file=3, compress=true, labels=, env=, tag=
    #[arg(long, value_name = "KEY=VALUE")]
    pub log_opt: Vec<String>,
}

/// What it sees of files.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Files")]
pub struct StorageOptions {
    /// Mount a host directory or a volume
    #[arg(short = 'v', long = "volume", value_name = "[SOURCE:]TARGET[:OPTIONS]")]
    pub volume: Vec<String>,
    /// Mount something, spelled out: type=bind,source=…,target=…
    #[arg(long, value_name = "KEY=VALUE,…")]
    pub mount: Vec<String>,
    /// Mount an empty file system in memory
    #[arg(long, value_name = "TARGET[:OPTIONS]")]
    pub tmpfs: Vec<String>,
    /// Make the root file system read-only
    #[arg(long)]
    pub read_only: bool,
    /// Mount the volumes of another container
    #[arg(long, value_name = "CONTAINER[:OPTIONS]")]
    pub volumes_from: Vec<String>,
    /// Size of /dev/shm
    #[arg(long, value_name = "BYTES")]
    pub shm_size: Option<String>,
    /// Driver of the volumes that are made: local
    #[arg(long, value_name = "DRIVER")]
    pub volume_driver: Option<String>,
    /// Limit the container's layer, as size=10G; needs a disk with project quotas
    #[arg(long, value_name = "KEY=VALUE")]
    pub storage_opt: Vec<String>,
}

/// What it sees of the network.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Network")]
pub struct NetworkOptions {
    /// Network: one of `network ls`, container:NAME, or name=NETWORK,alias=NAME,ip=ADDRESS,…; may be repeated [default: bridge]
    #[arg(long, visible_alias = "net", value_name = "NETWORK")]
    pub network: Vec<String>,
    /// Further name of the container in its network
    #[arg(long, visible_alias = "net-alias", value_name = "NAME")]
    pub network_alias: Vec<String>,
    /// Publish a port of the container on the host
    #[arg(short = 'p', long = "publish", value_name = "[[IP:]PORT:]PORT[/PROTOCOL]")]
    pub publish: Vec<String>,
    /// Publish all exposed ports on free ports
    #[arg(short = 'P', long)]
    pub publish_all: bool,
    /// Who decides about who may reach the published ports: the host's own input rules, or
    /// nobody, as with docker [default: $STRAKE_PUBLISH_POLICY or host]
    #[arg(long, value_name = "host|docker")]
    pub publish_policy: Option<PublishPolicy>,
    /// Let other containers that say so too publish on the same host ports: new connections
    /// are spread over all of them
    #[arg(long)]
    pub publish_shared: bool,
    /// Note a port that the container listens on
    #[arg(long, value_name = "PORT[/PROTOCOL]")]
    pub expose: Vec<String>,
    /// Host name inside
    #[arg(short = 'h', long, value_name = "NAME")]
    pub hostname: Option<String>,
    /// NIS domain name inside
    #[arg(long, value_name = "NAME")]
    pub domainname: Option<String>,
    /// Add a line to /etc/hosts
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub add_host: Vec<String>,
    /// Name server to use
    #[arg(long, value_name = "ADDRESS")]
    pub dns: Vec<String>,
    /// Domain to search
    #[arg(long, value_name = "DOMAIN")]
    pub dns_search: Vec<String>,
    /// Resolver option
    #[arg(long, visible_alias = "dns-opt", value_name = "OPTION")]
    pub dns_option: Vec<String>,
    /// Address on the network
    #[arg(long, value_name = "ADDRESS")]
    pub ip: Option<String>,
    /// IPv6 address on the network
    #[arg(long, value_name = "ADDRESS")]
    pub ip6: Option<String>,
    /// Hardware address
    #[arg(long, value_name = "ADDRESS")]
    pub mac_address: Option<String>,
}

/// How much it may use.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Resources")]
pub struct ResourceOptions {
    /// Limit memory
    #[arg(short = 'm', long, value_name = "BYTES")]
    pub memory: Option<String>,
    /// Limit memory and swap together; -1 for no limit on swap
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// Soft limit on memory
    #[arg(long, value_name = "BYTES")]
    pub memory_reservation: Option<String>,
    /// How readily to swap, 0 to 100
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub memory_swappiness: Option<i64>,
    /// Never kill it for lack of memory
    #[arg(long)]
    pub oom_kill_disable: bool,
    /// How readily the kernel kills it for lack of memory, -1000 to 1000
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub oom_score_adj: Option<i32>,
    /// File of cgroup v2 and what to write to it, as in memory.oom.group=1
    #[arg(long, value_name = "FILE=VALUE")]
    pub cgroup_conf: Vec<String>,
    /// Number of processors, as in 0.5; 0 for no limit
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub cpus: Option<String>,
    /// Weight against other containers [default: 1024]
    #[arg(short = 'c', long, value_name = "N")]
    pub cpu_shares: Option<u64>,
    /// Length of a scheduling period in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_period: Option<u64>,
    /// Microseconds of processor in each period
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    pub cpu_quota: Option<i64>,
    /// Processors to run on, as in 0-2,4
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// Weight of block I/O, 10 to 1000
    #[arg(long, value_name = "N")]
    pub blkio_weight: Option<u16>,
    /// Weight of block I/O on a device
    #[arg(long, value_name = "DEVICE:N")]
    pub blkio_weight_device: Vec<String>,
    /// Limit what is read from a device in a second
    #[arg(long, value_name = "DEVICE:BYTES")]
    pub device_read_bps: Vec<String>,
    /// Limit what is written to a device in a second
    #[arg(long, value_name = "DEVICE:BYTES")]
    pub device_write_bps: Vec<String>,
    /// Limit the reads from a device in a second
    #[arg(long, value_name = "DEVICE:N")]
    pub device_read_iops: Vec<String>,
    /// Limit the writes to a device in a second
    #[arg(long, value_name = "DEVICE:N")]
    pub device_write_iops: Vec<String>,
    /// Length of a real-time scheduling period in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_rt_period: Option<u64>,
    /// Microseconds of real-time scheduling in each period
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    pub cpu_rt_runtime: Option<i64>,
    /// Limit the number of processes; -1 for none
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub pids_limit: Option<i64>,
    /// Limit as setrlimit(2) knows it, as in nofile=1024:2048
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub ulimit: Vec<String>,
    /// Control group below which the container's is made
    #[arg(long, value_name = "PATH")]
    pub cgroup_parent: Option<String>,
}

/// What it may do.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "Security")]
pub struct SecurityOptions {
    /// Give all capabilities and devices, and no filter: root as on the host
    #[arg(long)]
    pub privileged: bool,
    /// Add a capability, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_add: Vec<String>,
    /// Take a capability away, or ALL
    #[arg(long, value_name = "CAPABILITY")]
    pub cap_drop: Vec<String>,
    /// seccomp=FILE|unconfined, no-new-privileges, apparmor=PROFILE, systempaths=unconfined
    #[arg(long, value_name = "OPTION")]
    pub security_opt: Vec<String>,
    /// Process namespace: private, host or container:NAME
    #[arg(long, value_name = "MODE")]
    pub pid: Option<String>,
    /// IPC namespace: private, host, none, shareable or container:NAME
    #[arg(long, value_name = "MODE")]
    pub ipc: Option<String>,
    /// UTS namespace: private or host
    #[arg(long, value_name = "MODE")]
    pub uts: Option<String>,
    /// User namespace: host, or private[:BASE[:SIZE]] for ids of its own
    #[arg(long, value_name = "MODE")]
    pub userns: Option<String>,
    /// Control group namespace: private or host
    #[arg(long, value_name = "MODE")]
    pub cgroupns: Option<String>,
    /// Make a device of the host available
    #[arg(long, value_name = "HOST[:CONTAINER[:rwm]]")]
    pub device: Vec<String>,
    /// Allow a class of devices, as in 'c 1:3 rwm'
    #[arg(long, value_name = "RULE")]
    pub device_cgroup_rule: Vec<String>,
    /// Set a kernel parameter of the container's namespaces
    #[arg(long, value_name = "NAME=VALUE")]
    pub sysctl: Vec<String>,
}
