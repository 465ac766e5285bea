//! `strake update`.

use base::ByteSize;
use engine::ResourceUpdate;
use engine::request::{InvalidOption, memory_limit, nano_cpus};
use shim::RestartPolicy;

use super::each::each;
use super::foreign::refused;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake update`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake update --cpus 2 -m 1g --memory-swap 2g web\n  strake update --pids-limit 200 web db"
)]
pub struct Args {
    /// Names or ids of containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// Weight of block I/O, 10 to 1000
    #[arg(long, value_name = "N")]
    pub blkio_weight: Option<u16>,
    /// Length of a scheduling period in microseconds
    #[arg(long, value_name = "MICROSECONDS")]
    pub cpu_period: Option<u64>,
    /// Microseconds of processor in each period
    #[arg(long, value_name = "MICROSECONDS", allow_negative_numbers = true)]
    pub cpu_quota: Option<i64>,
    /// Weight against other containers
    #[arg(short = 'c', long, value_name = "N")]
    pub cpu_shares: Option<u64>,
    /// Number of processors, as in 0.5
    #[arg(long, value_name = "N", allow_hyphen_values = true)]
    pub cpus: Option<String>,
    /// Processors to run on, as in 0-2,4
    #[arg(long, value_name = "LIST")]
    pub cpuset_cpus: Option<String>,
    /// Memory nodes to use
    #[arg(long, value_name = "LIST")]
    pub cpuset_mems: Option<String>,
    /// Limit memory
    #[arg(short = 'm', long, value_name = "BYTES")]
    pub memory: Option<String>,
    /// Soft limit on memory
    #[arg(long, value_name = "BYTES")]
    pub memory_reservation: Option<String>,
    /// Limit memory and swap together; -1 for no limit on swap
    #[arg(long, value_name = "BYTES", allow_hyphen_values = true)]
    pub memory_swap: Option<String>,
    /// Limit the number of processes; -1 for none
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub pids_limit: Option<i64>,
    /// What to do when the container ends: no, on-failure[:N], always, unless-stopped or on-unhealthy
    #[arg(long, value_name = "POLICY")]
    pub restart: Option<String>,
    /// Length of a real-time scheduling period in microseconds
    #[arg(long, value_name = "MICROSECONDS", hide = true)]
    pub cpu_rt_period: Option<u64>,
    /// Microseconds of real-time scheduling in each period
    #[arg(long, value_name = "MICROSECONDS", hide = true)]
    pub cpu_rt_runtime: Option<i64>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let real_time = "real-time scheduling is given when a container is made; make it anew";
    refused(args.cpu_rt_period.is_some(), "--cpu-rt-period", real_time)?;
    refused(args.cpu_rt_runtime.is_some(), "--cpu-rt-runtime", real_time)?;
    let update = wanted(args)?;
    let policy = args.restart.as_deref().map(restart_policy).transpose()?;
    let has_limits = update != ResourceUpdate::default();
    if !has_limits && policy.is_none() {
        return Err(CliError::message(
            "you must provide one or more flags when using this command: see --help",
        ));
    }
    let engine = context.engine()?;
    each(context, &args.containers, |name| {
        let id = engine.resolve(name)?;
        if has_limits {
            for warning in engine.update(&id, &update)? {
                context.warn(warning);
            }
        }
        if let Some(policy) = policy {
            engine.set_restart_policy(&id, policy)?;
        }
        Ok(name.to_owned())
    })
}

fn restart_policy(text: &str) -> Result<RestartPolicy, InvalidOption> {
    RestartPolicy::parse(text).map_err(|why| InvalidOption::new("--restart", text, why.to_string()))
}

fn wanted(args: &Args) -> Result<ResourceUpdate, CliError> {
    let size = |option: &str, text: &Option<String>| {
        let size = text.as_deref().map(ByteSize::parse).transpose();
        size.map_err(|error| CliError::message(format!("{option} is not valid: {error}")))
    };
    let memory_swap_bytes = match args.memory_swap.as_deref() {
        Some("-1") => Some(-1),
        _ => size("--memory-swap", &args.memory_swap)?.map(|size| i64::try_from(size.0).unwrap_or(i64::MAX)),
    };
    Ok(ResourceUpdate {
        memory_bytes: args.memory.as_deref().map(memory_limit).transpose()?.flatten(),
        memory_swap_bytes: memory_swap_bytes.filter(|swap| *swap != 0),
        memory_reservation_bytes: size("--memory-reservation", &args.memory_reservation)?.map(|size| size.0),
        nano_cpus: args.cpus.as_deref().map(nano_cpus).transpose()?.flatten(),
        cpu_shares: args.cpu_shares,
        cpu_period_us: args.cpu_period,
        cpu_quota_us: args.cpu_quota,
        cpuset_cpus: args.cpuset_cpus.clone(),
        cpuset_mems: args.cpuset_mems.clone(),
        blkio_weight: args.blkio_weight,
        pids_limit: args.pids_limit,
    })
}
