//! The command line: runc's options, accepted before and after the container's id.

use std::fmt;

/// Options before the command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Globals {
    pub(crate) root: Option<String>,
    pub(crate) log: Option<String>,
    pub(crate) log_format: Option<String>,
    pub(crate) debug: bool,
    pub(crate) systemd_cgroup: bool,
    pub(crate) rootless: Option<String>,
    /// `disabled`, when containers get no cgroups.
    pub(crate) cgroup_manager: Option<String>,
    /// A name or a path.
    pub(crate) criu: Option<String>,
}

/// A parsed command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Invocation {
    pub(crate) globals: Globals,
    pub(crate) command: String,
    pub(crate) wants_help: bool,
    pub(crate) wants_version: bool,
    flags: Vec<&'static str>,
    values: Vec<(&'static str, String)>,
    /// What is neither an option nor its value.
    pub(crate) operands: Vec<String>,
    /// Descriptors that are to be passed on, and that nobody opened.
    pub(crate) absent: Vec<i32>,
}

impl Invocation {
    /// Whether the switch was given.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.flags.contains(&name)
    }

    /// The last value of the option.
    pub(crate) fn value(&self, name: &str) -> Option<&str> {
        self.values.iter().rev().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    /// All values of the option, in order.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + 'a {
        self.values.iter().filter(move |(known, _)| *known == name).map(|(_, value)| value.as_str())
    }
}

/// The command line makes no sense.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UsageError {
    UnknownCommand(String),
    UnknownOption { command: String, option: String },
    NoValue(String),
    Value { option: String, value: String, expected: &'static str },
    Operands { command: String, expected: &'static str },
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownCommand(name) => write!(f, "No help topic for '{name}'"),
            Self::UnknownOption { command, option } => {
                let option = option.trim_start_matches('-');
                let option = option.split_once('=').map_or(option, |(name, _)| name);
                match command.as_str() {
                    "" => write!(f, "flag provided but not defined: -{option}: it is no global option"),
                    _ => write!(f, "flag provided but not defined: -{option}: {command} has no such option"),
                }
            }
            Self::NoValue(option) => {
                write!(f, "flag needs an argument: {option}: option {option} needs a value")
            }
            Self::Value { option, value, expected } => {
                write!(f, "invalid {}: {value}: {expected}", option.trim_start_matches('-'))
            }
            Self::Operands { command, expected } => write!(f, "{command:?} requires {expected}"),
        }
    }
}

/// An option: its long name, its short one, whether it takes a value, what it does.
pub(crate) struct Opt {
    pub(crate) long: &'static str,
    pub(crate) short: Option<char>,
    pub(crate) value: Option<&'static str>,
    pub(crate) help: &'static str,
}

/// A command with its options.
pub(crate) struct CommandSpec {
    pub(crate) name: &'static str,
    pub(crate) operands: &'static str,
    pub(crate) count: std::ops::RangeInclusive<usize>,
    pub(crate) help: &'static str,
    pub(crate) options: &'static [Opt],
    /// After the id everything belongs to the program (`exec`).
    pub(crate) program: bool,
}

const fn switch(long: &'static str, short: Option<char>, help: &'static str) -> Opt {
    Opt { long, short, value: None, help }
}

const fn value(long: &'static str, short: Option<char>, name: &'static str, help: &'static str) -> Opt {
    Opt { long, short, value: Some(name), help }
}

const BUNDLE: Opt = value("bundle", Some('b'), "DIR", "the bundle, by default the current directory");
const CONSOLE: Opt = value("console-socket", None, "PATH", "unix socket that gets the terminal's master");
const PID_FILE: Opt = value("pid-file", None, "PATH", "file for the process id");
const NO_PIVOT: Opt = switch("no-pivot", None, "don't use pivot_root (for hosts that run from a ramdisk)");
const NO_KEYRING: Opt = switch("no-new-keyring", None, "keep the caller's session keyring");
const PRESERVE: Opt = value("preserve-fds", None, "N", "pass descriptors 3 to 2+N to the process");
const DETACH: Opt = switch("detach", Some('d'), "don't wait for the process");
const ALL: Opt = switch("all", Some('a'), "signal every process of the container");
const FORCE: Opt = switch("force", Some('f'), "kill it first; a missing container is no error");
const QUIET: Opt = switch("quiet", Some('q'), "print ids only");
const FORMAT: Opt = value("format", Some('f'), "table|json", "form of the output");
const PIDFD: Opt = value("pidfd-socket", None, "PATH", "unix socket that gets the process's pidfd");
const ROOTLESS: Opt = switch("rootless", None, "for a user without privileges");

pub(crate) const GLOBALS: &[Opt] = &[
    value(
        "root",
        None,
        "DIR",
        "state directory [/run/strake-runtime, for a user $XDG_RUNTIME_DIR/strake-runtime]",
    ),
    value("log", None, "PATH", "file for messages instead of stderr"),
    value("log-format", None, "text|json", "form of messages [text]"),
    switch("debug", None, "print more"),
    switch("systemd-cgroup", None, "let systemd make cgroups; cgroupsPath is slice:prefix:name"),
    value("cgroup-manager", None, "MANAGER", "cgroupfs, systemd, or disabled for no cgroups [cgroupfs]"),
    value("rootless", None, "true|false|auto", "go without the host's root privileges [auto]"),
    value("criu", None, "PATH", "the CRIU of checkpoint and restore [criu, in $PATH]"),
];

pub(crate) const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "create",
        operands: "<container-id>",
        count: 1..=1,
        help: "make a container; its program waits for start",
        options: &[BUNDLE, CONSOLE, PID_FILE, PIDFD, NO_PIVOT, NO_KEYRING, PRESERVE],
        program: false,
    },
    CommandSpec {
        name: "start",
        operands: "<container-id>",
        count: 1..=1,
        help: "let the program of a created container run",
        options: &[],
        program: false,
    },
    CommandSpec {
        name: "run",
        operands: "<container-id>",
        count: 1..=1,
        help: "create and start, wait, delete",
        options: &[
            BUNDLE,
            CONSOLE,
            PID_FILE,
            PIDFD,
            NO_PIVOT,
            NO_KEYRING,
            PRESERVE,
            DETACH,
            switch("keep", None, "don't delete it after its end"),
            switch("no-subreaper", None, "don't adopt orphans of the container"),
        ],
        program: false,
    },
    CommandSpec {
        name: "state",
        operands: "<container-id>",
        count: 1..=1,
        help: "print the state as JSON",
        options: &[],
        program: false,
    },
    CommandSpec {
        name: "kill",
        operands: "<container-id> [signal]",
        count: 1..=2,
        help: "send a signal to the init process [SIGTERM]",
        options: &[ALL],
        program: false,
    },
    CommandSpec {
        name: "delete",
        operands: "<container-id>",
        count: 1..=1,
        help: "remove what is left of a stopped container",
        options: &[FORCE],
        program: false,
    },
    CommandSpec {
        name: "exec",
        operands: "<container-id> <command> [args...]",
        count: 1..=usize::MAX,
        help: "run a further process in a container",
        options: &[
            CONSOLE,
            PID_FILE,
            PIDFD,
            PRESERVE,
            DETACH,
            value("cwd", None, "DIR", "working directory"),
            value("env", Some('e'), "NAME=VALUE", "set a variable (repeatable)"),
            switch("tty", Some('t'), "give it a terminal"),
            value("user", Some('u'), "UID[:GID]", "user and group"),
            value("additional-gids", Some('g'), "GID", "supplementary group (repeatable)"),
            value("process", Some('p'), "FILE", "process.json with everything"),
            value("process-label", None, "LABEL", "SELinux label"),
            value("apparmor", None, "PROFILE", "AppArmor profile"),
            switch("no-new-privs", None, "no gain of privileges by exec"),
            value("cap", Some('c'), "CAP", "add a capability (repeatable)"),
            value("cgroup", None, "[CONTROLLER[,...]:]PATH", "cgroup below the container's (repeatable)"),
            switch("ignore-paused", None, "allow it in a paused container"),
        ],
        program: true,
    },
    CommandSpec {
        name: "ps",
        operands: "<container-id>",
        count: 1..=usize::MAX,
        help: "list the processes of a container",
        options: &[FORMAT],
        program: true,
    },
    CommandSpec {
        name: "list",
        operands: "",
        count: 0..=0,
        help: "list containers",
        options: &[FORMAT, QUIET],
        program: false,
    },
    CommandSpec {
        name: "pause",
        operands: "<container-id>",
        count: 1..=1,
        help: "freeze all processes",
        options: &[],
        program: false,
    },
    CommandSpec {
        name: "resume",
        operands: "<container-id>",
        count: 1..=1,
        help: "let a paused container go on",
        options: &[],
        program: false,
    },
    CommandSpec {
        name: "update",
        operands: "<container-id>",
        count: 1..=1,
        help: "change the resources of a container",
        options: &[
            value(
                "resources",
                Some('r'),
                "FILE",
                "resources of the runtime-spec as JSON, - for standard input",
            ),
            value("blkio-weight", None, "N", "weight of its input and output, 10 to 1000"),
            value("cpu-period", None, "MICROSECONDS", "length of a period"),
            value("cpu-quota", None, "MICROSECONDS", "CPU time in each period, -1 for no limit"),
            value("cpu-burst", None, "MICROSECONDS", "unused CPU time that may be used later"),
            value("cpu-share", None, "N", "relative share of CPU time"),
            value("cpu-rt-period", None, "MICROSECONDS", "length of a realtime period"),
            value("cpu-rt-runtime", None, "MICROSECONDS", "realtime in each period"),
            value("cpuset-cpus", None, "LIST", "CPUs that may be used"),
            value("cpuset-mems", None, "LIST", "memory nodes that may be used"),
            value("kernel-memory", None, "BYTES", "accepted for compatibility, without effect"),
            value("kernel-memory-tcp", None, "BYTES", "accepted for compatibility, without effect"),
            value("memory", None, "BYTES", "limit of memory, -1 for none"),
            value("cpu-idle", None, "0|1", "run only when nobody else wants the CPU"),
            value("memory-reservation", None, "BYTES", "memory that it keeps when memory is short"),
            value("memory-swap", None, "BYTES", "limit of memory and swap together, -1 for none"),
            value("pids-limit", None, "N", "limit of processes, -1 for none"),
            value("l3-cache-schema", None, "SCHEMA", "Intel RDT: L3 cache"),
            value("mem-bw-schema", None, "SCHEMA", "Intel RDT: memory bandwidth"),
        ],
        program: false,
    },
    CommandSpec {
        name: "events",
        operands: "<container-id>",
        count: 1..=1,
        help: "print statistics and lack of memory as they happen",
        options: &[
            value("interval", None, "DURATION", "time between statistics [5s]"),
            switch("stats", None, "print statistics once and end"),
        ],
        program: false,
    },
    CommandSpec {
        name: "checkpoint",
        operands: "<container-id>",
        count: 1..=1,
        help: "save a running container (needs CRIU)",
        options: CHECKPOINT,
        program: false,
    },
    CommandSpec {
        name: "restore",
        operands: "<container-id>",
        count: 1..=1,
        help: "go on with a saved container (needs CRIU)",
        options: RESTORE,
        program: false,
    },
    CommandSpec {
        name: "spec",
        operands: "",
        count: 0..=0,
        help: "write an example config.json",
        options: &[BUNDLE, ROOTLESS],
        program: false,
    },
    CommandSpec {
        name: "features",
        operands: "",
        count: 0..=0,
        help: "print what this runtime can do",
        options: &[],
        program: false,
    },
];

const IMAGES: Opt = value("image-path", None, "DIR", "where the saved container is [checkpoint]");
const WORK: Opt = value("work-path", None, "DIR", "where work files and logs go [DIR of the images]");
const TCP: Opt = switch("tcp-established", None, "keep open connections");
const UNIX: Opt = switch("ext-unix-sk", None, "allow connected unix sockets");
const SHELL: Opt = switch("shell-job", None, "allow a terminal of ours");
const LAZY: Opt = switch("lazy-pages", None, "bring memory on demand");
const LOCKS: Opt = switch("file-locks", None, "keep file locks");
const CGROUPS: Opt = value("manage-cgroups-mode", None, "MODE", "soft, full, strict or ignore [soft]");
const EMPTY_NS: Opt = value("empty-ns", None, "KIND", "namespace that is made without its properties");
const DEDUP: Opt = switch("auto-dedup", None, "drop memory that a later dump has");

const CHECKPOINT: &[Opt] = &[
    IMAGES,
    WORK,
    value("parent-path", None, "DIR", "an earlier dump that this one adds to, relative to the images"),
    switch("leave-running", None, "let the container go on"),
    TCP,
    switch("tcp-skip-in-flight", None, "leave out connections that are not established yet"),
    switch("link-remap", None, "allow files that were unlinked to be linked again"),
    UNIX,
    SHELL,
    LAZY,
    value("status-fd", None, "N", "descriptor that is told when the server of pages is ready"),
    value("page-server", None, "ADDRESS:PORT", "where memory is sent"),
    LOCKS,
    switch("pre-dump", None, "save memory only, and let the container go on"),
    CGROUPS,
    EMPTY_NS,
    DEDUP,
];

const RESTORE: &[Opt] = &[
    CONSOLE,
    IMAGES,
    WORK,
    TCP,
    UNIX,
    SHELL,
    LOCKS,
    CGROUPS,
    BUNDLE,
    DETACH,
    PID_FILE,
    PIDFD,
    switch("no-subreaper", None, "don't adopt orphans of the container"),
    NO_PIVOT,
    EMPTY_NS,
    DEDUP,
    LAZY,
    value("lsm-profile", None, "TYPE:NAME", "profile of the restored processes"),
    value("lsm-mount-context", None, "CONTEXT", "label of the restored mounts"),
];

/// Parses what follows the program's name.
pub(crate) fn parse(args: &[String]) -> Result<Invocation, UsageError> {
    let mut invocation = Invocation::default();
    let mut args = args.iter();
    let command = loop {
        let Some(arg) = args.next() else { break None };
        match arg.as_str() {
            "-h" | "--help" | "help" => invocation.wants_help = true,
            "-v" | "--version" => invocation.wants_version = true,
            _ if arg.starts_with('-') => take_option(&mut invocation, "", GLOBALS, arg, &mut args)?,
            _ => break Some(arg),
        }
    };
    let Some(name) = command else {
        set_globals(&mut invocation)?;
        invocation.wants_help |= !invocation.wants_version;
        return Ok(invocation);
    };
    let spec = COMMANDS.iter().find(|spec| spec.name == name);
    let spec = spec.ok_or_else(|| UsageError::UnknownCommand(name.clone()))?;
    invocation.command = name.clone();
    parse_command(&mut invocation, spec, &mut args)?;
    set_globals(&mut invocation)?;
    Ok(invocation)
}

fn parse_command<'a>(
    invocation: &mut Invocation,
    spec: &CommandSpec,
    args: &mut impl Iterator<Item = &'a String>,
) -> Result<(), UsageError> {
    while let Some(arg) = args.next() {
        let is_program = spec.program && !invocation.operands.is_empty();
        match arg.as_str() {
            "--" => {
                invocation.operands.extend(args.cloned());
                break;
            }
            // After the id of exec comes the program; but options may stand between them.
            _ if is_program && (!arg.starts_with('-') || invocation.operands.len() > 1) => {
                invocation.operands.push(arg.clone());
                invocation.operands.extend(args.cloned());
                break;
            }
            "-h" | "--help" => invocation.wants_help = true,
            // Those of ps(1) begin with a dash.
            _ if is_program && spec.name == "ps" && !knows(spec.options, arg) => {
                invocation.operands.push(arg.clone());
                invocation.operands.extend(args.cloned());
                break;
            }
            _ if arg.starts_with('-') && arg.len() > 1 => {
                // The program's own may stand behind the command, too; `spec` has a `--rootless` of its own.
                let is_global = !knows(spec.options, arg) && knows(GLOBALS, arg);
                let options = if is_global { GLOBALS } else { spec.options };
                take_option(invocation, spec.name, options, arg, args)?;
            }
            _ => invocation.operands.push(arg.clone()),
        }
    }
    if !invocation.wants_help && !spec.count.contains(&invocation.operands.len()) {
        let expected = match spec.count.clone().into_inner() {
            (1, 1) => "exactly 1 argument(s)",
            (0, 0) => "exactly 0 argument(s)",
            (_, most) if invocation.operands.len() > most => "a maximum of 2 argument(s)",
            _ => "a minimum of 1 argument(s)",
        };
        return Err(UsageError::Operands {
            command: format!("{} {}", crate::name::name(), spec.name),
            expected,
        });
    }
    Ok(())
}

fn knows(options: &[Opt], arg: &str) -> bool {
    let name = arg.trim_start_matches('-');
    let name = name.split_once('=').map_or(name, |(name, _)| name);
    let short = |opt: &Opt| opt.short.is_some_and(|short| name.len() == 1 && name.starts_with(short));
    options.iter().any(|opt| opt.long == name || short(opt))
}

/// `--long`, `--long value`, `--long=value`, `-s value`, `-svalue`, `-ab` for switches.
/// One dash before a long name is also taken, as the Go programs do.
fn take_option<'a>(
    invocation: &mut Invocation,
    command: &str,
    options: &'static [Opt],
    arg: &str,
    rest: &mut impl Iterator<Item = &'a String>,
) -> Result<(), UsageError> {
    let unknown = || UsageError::UnknownOption { command: command.to_owned(), option: arg.to_owned() };
    let body = arg.trim_start_matches('-');
    let (name, inline) = match body.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (body, None),
    };
    let is_long = |opt: &&Opt| opt.long == name;
    let is_short = |opt: &&Opt| opt.short.is_some_and(|short| name.len() == 1 && name.starts_with(short));
    if let Some(opt) = options.iter().find(is_long).or_else(|| options.iter().find(is_short)) {
        return take_value(invocation, opt, arg, inline, rest);
    }
    if arg.starts_with("--") {
        return Err(unknown());
    }
    // Several switches in one word, the last of which may take a value.
    for (at, short) in body.char_indices() {
        let opt = options.iter().find(|opt| opt.short == Some(short)).ok_or_else(unknown)?;
        if opt.value.is_some() {
            let value = body.get(at + short.len_utf8()..).filter(|value| !value.is_empty());
            return take_value(invocation, opt, arg, value.map(str::to_owned), rest);
        }
        invocation.flags.push(opt.long);
    }
    Ok(())
}

fn take_value<'a>(
    invocation: &mut Invocation,
    opt: &'static Opt,
    arg: &str,
    inline: Option<String>,
    rest: &mut impl Iterator<Item = &'a String>,
) -> Result<(), UsageError> {
    match (opt.value, inline) {
        (None, None) => invocation.flags.push(opt.long),
        (None, Some(value)) => match value.as_str() {
            "true" => invocation.flags.push(opt.long),
            "false" => invocation.flags.retain(|flag| *flag != opt.long),
            _ => {
                let expected = "use true or false";
                return Err(UsageError::Value { option: format!("--{}", opt.long), value, expected });
            }
        },
        (Some(_), Some(value)) => invocation.values.push((opt.long, value)),
        (Some(_), None) => {
            let value = rest.next().ok_or_else(|| UsageError::NoValue(arg.to_owned()))?;
            invocation.values.push((opt.long, value.clone()));
        }
    }
    Ok(())
}

fn set_globals(invocation: &mut Invocation) -> Result<(), UsageError> {
    let text = |name: &str| invocation.value(name).map(str::to_owned);
    let globals = Globals {
        root: text("root"),
        log: text("log"),
        log_format: text("log-format"),
        debug: invocation.has("debug"),
        systemd_cgroup: invocation.has("systemd-cgroup"),
        rootless: text("rootless"),
        cgroup_manager: text("cgroup-manager"),
        criu: text("criu"),
    };
    for (option, value, allowed, expected) in [
        ("log-format", &globals.log_format, &["text", "json"][..], "use text or json"),
        ("rootless", &globals.rootless, &["true", "false", "auto"][..], "use true, false or auto"),
        (
            "cgroup-manager",
            &globals.cgroup_manager,
            &["cgroupfs", "systemd", "disabled"][..],
            "use cgroupfs, systemd or disabled",
        ),
    ] {
        if let Some(value) = value
            && !allowed.contains(&value.as_str())
        {
            return Err(UsageError::Value { option: option.to_owned(), value: value.clone(), expected });
        }
    }
    invocation.globals = globals;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Invocation, UsageError> {
        parse(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn options_stand_before_and_after_the_id() {
        for line in [
            "--root /r create --bundle /b --pid-file=/p web",
            "--root=/r create web -b /b --pid-file /p",
            "-root /r create --bundle=/b web --pid-file /p",
        ] {
            let got = parse_line(line).unwrap();
            assert_eq!(got.globals.root.as_deref(), Some("/r"), "{line}");
            assert_eq!((got.value("bundle"), got.value("pid-file")), (Some("/b"), Some("/p")), "{line}");
            assert_eq!(got.operands, ["web"], "{line}");
        }
    }

    #[test]
    fn the_programs_own_options_may_stand_behind_the_command_too() {
        let got = parse_line("create --root /r --debug -b /b web --log-format=json").unwrap();
        assert_eq!(got.globals.root.as_deref(), Some("/r"));
        assert!(got.globals.debug);
        assert_eq!(got.globals.log_format.as_deref(), Some("json"));
        assert_eq!((got.value("bundle"), got.operands.len()), (Some("/b"), 1));
        assert!(parse_line("list --log-format xml").is_err());
        // The command's own of that name comes first, and the program's arguments are not looked at.
        let got = parse_line("spec --rootless").unwrap();
        assert!(got.has("rootless") && got.globals.rootless.is_none());
        let got = parse_line("exec web ls --root /x").unwrap();
        assert_eq!((got.globals.root, got.operands.len()), (None, 4));
    }

    #[test]
    fn the_programs_options_are_its_own() {
        let got = parse_line("exec -t -e A=b --env C=d -u1:2 web ls -l --bundle x").unwrap();
        assert!(got.has("tty"));
        assert_eq!(got.values("env").collect::<Vec<_>>(), ["A=b", "C=d"]);
        assert_eq!(got.value("user"), Some("1:2"));
        assert_eq!(got.operands, ["web", "ls", "-l", "--bundle", "x"]);
        let got = parse_line("exec web -d -t sh -c true").unwrap();
        assert!(got.has("detach") && got.has("tty"));
        assert_eq!(got.operands, ["web", "sh", "-c", "true"]);
        let got = parse_line("exec -dt web -- -x").unwrap();
        assert_eq!(got.operands, ["web", "-x"]);
        let got = parse_line("ps -f json web").unwrap();
        assert_eq!((got.value("format"), got.operands.len()), (Some("json"), 1));
        let got = parse_line("ps web -e -x").unwrap();
        assert_eq!(got.operands, ["web", "-e", "-x"]);
    }

    #[test]
    fn nonsense_is_named() {
        for (line, part) in [
            ("frob", "No help topic for 'frob'"),
            ("create --frob x", "flag provided but not defined: -frob"),
            ("create", "exactly 1 argument(s)"),
            ("create a b", "exactly 1 argument(s)"),
            ("create x --bundle", "needs a value"),
            ("--log-format xml list", "use text or json"),
            ("--nope list", "flag provided but not defined: -nope"),
            ("--log-format xml list", "invalid log-format: xml"),
            ("--cgroup-manager crun list", "use cgroupfs, systemd or disabled"),
            ("kill web TERM 9", "a maximum of 2 argument(s)"),
            ("list web", "exactly 0 argument(s)"),
            ("exec", "a minimum of 1"),
        ] {
            let error = parse_line(line).unwrap_err().to_string();
            assert!(error.contains(part), "{line}: {error}");
        }
    }

    #[test]
    fn help_and_version_need_no_command() {
        assert!(parse_line("").unwrap().wants_help);
        assert!(parse_line("--version").unwrap().wants_version);
        assert!(parse_line("create --help").unwrap().wants_help);
    }
}
