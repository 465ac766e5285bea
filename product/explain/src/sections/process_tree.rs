//! The process outside and inside, and its place among others.

use inspect::NamespaceKind;

use crate::report::Section;
use crate::sections::verdict;
use crate::view::View;
use crate::words;

pub(super) fn section(view: &View) -> Section {
    let mut section = Section::new("process_tree", "Process tree");
    section.verdict = verdict(view, NamespaceKind::Pid);
    numbers(&mut section, view);
    program(&mut section, view);
    parents(&mut section, view);
    sees(&mut section, view);
    stop_signal(&mut section, view);
    section
}

fn numbers(section: &mut Section, view: &View) {
    let status = match &view.status {
        Ok(status) => status,
        Err(error) => {
            section.line(
                "pid outside",
                view.pid.to_string(),
                "as asked",
                "The host's number of the process.",
            );
            return section.unread("pid inside", error);
        }
    };
    let outside = "The host's number of the process, the one that ps and kill use out here.";
    section.line("pid outside", view.pid.to_string(), &status.source, outside);
    let inside: Vec<String> = status.value.ns_pids.iter().skip(1).map(i32::to_string).collect();
    let (value, meaning) = match inside.as_slice() {
        [] => (
            "the same".to_owned(),
            "It is in the PID namespace of whoever reads this, so it has one number only.",
        ),
        [one] if one == "1" => {
            (one.clone(), "Inside it is PID 1: when it ends, the kernel ends all of the container.")
        }
        _ => (
            inside.join(" then "),
            "Each nested PID namespace counts for itself; the last one is what it sees.",
        ),
    };
    section.line("pid inside", value, format!("NSpid in {}", status.source), meaning);
    let state = match status.value.state {
        'R' => "running",
        'S' => "sleeping",
        'D' => "in an uninterruptible wait",
        'T' => "stopped by a signal",
        't' => "stopped by a tracer",
        'Z' => "a zombie",
        'I' => "idle (kernel thread)",
        _ => "in an unusual state",
    };
    let threads = words::count(status.value.threads as usize, "thread", "threads");
    let memory = status.value.resident_bytes.map(|bytes| format!(", {} resident", words::bytes(bytes)));
    let value = format!("{state}, {threads}{}", memory.unwrap_or_default());
    section.line(
        "state",
        value,
        &status.source,
        "An ordinary process of the host's kernel, scheduled like any other.",
    );
}

fn program(section: &mut Section, view: &View) {
    match &view.command {
        Ok(command) if command.value.is_empty() => {
            let meaning =
                "Without arguments: a kernel thread, or a process that has ended and waits to be reaped.";
            section.line("command", "none", &command.source, meaning);
        }
        Ok(command) => {
            section.line(
                "command",
                words::command(&command.value),
                &command.source,
                "What it was started with.",
            );
        }
        Err(error) => section.unread("command", error),
    }
    if let Ok(executable) = &view.executable {
        let meaning = "The program file, named as the process itself would name it.";
        section.line("program", words::printable(&executable.value), &executable.source, meaning);
    }
    match &view.started {
        Ok(started) => {
            let meaning = "Start time and PID together name a process for ever; a PID alone is used again.";
            section.line("started", words::time(started.value), &started.source, meaning);
        }
        Err(error) => section.unread("started", error),
    }
}

fn parents(section: &mut Section, view: &View) {
    let chain = match &view.ancestors {
        Ok(chain) => chain,
        Err(error) => return section.unread("parent", error),
    };
    let Some(parent) = chain.value.first() else {
        let meaning = "Its parent is outside of what this procfs shows.";
        return section.line("parent", "none", &chain.source, meaning);
    };
    let names: Vec<String> = chain
        .value
        .iter()
        .map(|ancestor| format!("{} ({})", words::printable(&ancestor.name), ancestor.pid))
        .collect();
    // It may run from a sealed copy, of which the kernel takes the name.
    let is_shim = parent.name == "strake-shim"
        || parent.command.first().is_some_and(|zeroth| zeroth.ends_with("strake-shim"));
    let meaning = if is_shim {
        "The shim is its parent: it holds its output, learns how it ends, and needs no daemon."
    } else if parent.pid == 1 {
        "The host's PID 1 is its parent; it takes over whatever loses its own."
    } else {
        "Who started it, and who started that, up to PID 1."
    };
    section.line("parent", words::list(&names, 6).replace(", ", " ← "), &chain.source, meaning);
}

fn sees(section: &mut Section, view: &View) {
    let Some(namespace) = view.namespace(NamespaceKind::Pid) else { return };
    let others = namespace.insiders.len() + namespace.outsiders.len();
    let value = words::count(others + 1, "process", "processes");
    let meaning = if view.is_hosts(NamespaceKind::Pid) {
        "It can see, and with the right user signal, every process of the host."
    } else {
        "All that it can see or signal; the host's processes do not exist for it."
    };
    section.line("sees", value, &namespace.namespace.source, meaning);
}

/// `pid_namespaces(7)`: signals without a handler are dropped for PID 1.
fn stop_signal(section: &mut Section, view: &View) {
    let (Some(1), Ok(status)) = (view.inner_pid(), &view.status) else { return };
    if view.is_hosts(NamespaceKind::Pid) || view.status.as_ref().is_ok_and(|s| s.value.ns_pids.len() < 2) {
        return;
    }
    let signals = status.value.signals;
    let (value, meaning) = if signals.caught.has(SIGTERM) {
        ("has a handler", "A polite stop works: the program decides how it ends.")
    } else if signals.blocked.has(SIGTERM) {
        ("blocked", "The signal waits until the program asks for it; many servers read signals that way.")
    } else if signals.ignored.has(SIGTERM) {
        ("ignored", "The program throws it away: a stop waits out its grace time and then kills.")
    } else {
        (
            "no handler",
            "The kernel drops it, as for every PID 1: a stop waits out its grace time; --init helps.",
        )
    };
    section.line("SIGTERM", value, format!("SigCgt in {}", status.source), meaning);
}

const SIGTERM: i32 = 15;
