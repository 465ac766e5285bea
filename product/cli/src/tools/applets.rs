//! The applets of the toolbox: each a few lines, for looking around where no shell is.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Duration;

use super::{Outcome, wrong};

pub(super) fn run(name: &str, args: &[String]) -> Outcome {
    match name {
        "true" => Ok(0),
        "false" => Ok(1),
        "echo" => print(&(args.join(" ") + "\n")),
        "cat" => cat(args),
        "ls" => ls(args),
        "id" => id(),
        "ps" => ps(),
        "sleep" => sleep(args),
        "hostname" => print(&format!("{}\n", rustix::system::uname().nodename().to_string_lossy())),
        "mount" => print(&fs::read_to_string("/proc/self/mounts")?),
        _ => Err(wrong("there is no such tool")),
    }
}

pub(super) fn env(variables: &BTreeMap<String, String>) -> Outcome {
    let lines: String = variables.iter().map(|(name, value)| format!("{name}={value}\n")).collect();
    print(&lines)
}

fn print(text: &str) -> Outcome {
    io::stdout().write_all(text.as_bytes())?;
    Ok(0)
}

fn cat(paths: &[String]) -> Outcome {
    let mut out = io::stdout().lock();
    if paths.is_empty() {
        io::copy(&mut io::stdin().lock(), &mut out)?;
    }
    for path in paths {
        let mut file = fs::File::open(path).map_err(|error| wrong(format!("{path}: {error}")))?;
        // By pieces: files of /proc say that they are empty.
        let mut buffer = [0; 16 << 10];
        loop {
            match file.read(&mut buffer)? {
                0 => break,
                count => out.write_all(&buffer[..count])?,
            }
        }
    }
    out.flush()?;
    Ok(0)
}

fn ls(args: &[String]) -> Outcome {
    let long = args.iter().any(|arg| arg.starts_with('-') && arg.contains('l'));
    let here = ".".to_owned();
    let paths: Vec<&String> = args.iter().filter(|arg| !arg.starts_with('-')).collect();
    let paths = if paths.is_empty() { vec![&here] } else { paths };
    let mut text = String::new();
    for path in paths {
        let at = |error: io::Error| wrong(format!("{path}: {error}"));
        let metadata = fs::symlink_metadata(path).map_err(at)?;
        if !metadata.is_dir() {
            text += &line(Path::new(path), path, long).map_err(at)?;
            continue;
        }
        let mut names: Vec<_> =
            fs::read_dir(path).map_err(at)?.filter_map(|entry| Some(entry.ok()?.file_name())).collect();
        names.sort();
        for name in names {
            text += &line(&Path::new(path).join(&name), &name.to_string_lossy(), long).map_err(at)?;
        }
    }
    print(&text)
}

fn line(path: &Path, name: &str, long: bool) -> io::Result<String> {
    if !long {
        return Ok(format!("{name}\n"));
    }
    let metadata = fs::symlink_metadata(path)?;
    let target = fs::read_link(path).map_or_else(|_| String::new(), |to| format!(" -> {}", to.display()));
    let (mode, uid, gid, size) = (metadata.mode(), metadata.uid(), metadata.gid(), metadata.len());
    let kind = match mode & 0o170_000 {
        0o040_000 => 'd',
        0o120_000 => 'l',
        0o020_000 => 'c',
        0o060_000 => 'b',
        0o010_000 => 'p',
        0o140_000 => 's',
        _ => '-',
    };
    let bits: String =
        (0..9).map(|bit| if mode & (0o400 >> bit) == 0 { '-' } else { ['r', 'w', 'x'][bit % 3] }).collect();
    Ok(format!("{kind}{bits} {uid:>5} {gid:>5} {size:>9} {name}{target}\n"))
}

fn id() -> Outcome {
    let status = fs::read_to_string("/proc/self/status")?;
    let field =
        |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or("").trim().to_owned();
    let effective = |text: String| text.split_whitespace().nth(1).unwrap_or("").to_owned();
    let (uid, gid) = (effective(field("Uid:")), effective(field("Gid:")));
    // As id(1) prints it: the group itself first, then the supplementary ones.
    let others = field("Groups:");
    let groups = others
        .split_whitespace()
        .filter(|group| *group != gid)
        .fold(gid.clone(), |all, group| all + "," + group);
    print(&format!("uid={uid} gid={gid} groups={groups}\n"))
}

fn ps() -> Outcome {
    let mut pids: Vec<i32> =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    pids.sort_unstable();
    let mut text = "  PID  PPID STAT COMMAND\n".to_owned();
    for pid in pids {
        let Ok(stat) = sys::process::ProcStat::read(pid) else { continue };
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = command.trim_end_matches('\0').replace('\0', " ");
        let command = if command.is_empty() { format!("[{}]", stat.comm) } else { command };
        text += &format!("{pid:>5} {:>5} {:<4} {command}\n", stat.ppid, stat.state);
    }
    print(&text)
}

fn sleep(args: &[String]) -> Outcome {
    let text = args.first().ok_or_else(|| wrong("use: sleep SECONDS|infinity"))?;
    if text == "infinity" {
        return super::pause::run();
    }
    let seconds: f64 = text.parse().map_err(|_| wrong(format!("{text:?} is not a number of seconds")))?;
    let duration = Duration::try_from_secs_f64(seconds).map_err(|error| wrong(error.to_string()))?;
    std::thread::sleep(duration);
    Ok(0)
}
