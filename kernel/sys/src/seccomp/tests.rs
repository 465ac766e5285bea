//! The compiler against a naive reading of the policy, and against the kernel.
#![allow(unsafe_code)]

use super::interpret::run;
use super::policy::X32_BIT;
use super::*;

/// What the policy says, read as the module's documentation does.
fn naive(policy: &Policy<'_>, call: &Call) -> Action {
    let listed = |arch: &Arch| *arch == Arch::NATIVE || policy.arches.contains(arch);
    let is_x32 = call.audit == Arch::X86_64.audit() && (X32_BIT..u32::MAX).contains(&call.number);
    let arch = Arch::ALL.into_iter().filter(listed).find(|arch| {
        arch.audit() == call.audit && (call.audit != Arch::X86_64.audit() || (*arch == Arch::X32) == is_x32)
    });
    let allowing = matches!(policy.default, Action::Allow | Action::Log | Action::Trace(_));
    let Some(arch) = arch else {
        let shared = call.audit == Arch::NATIVE.audit() && !allowing;
        return if shared { Action::Errno(38) } else { Action::KillProcess };
    };
    let is_call = |name: &String| number(arch, name) == Some(call.number);
    let newest =
        policy.rules.iter().flat_map(|rule| rule.names.iter()).filter_map(|name| number(arch, name)).max();
    if !allowing && newest.is_some_and(|newest| call.number > newest) && call.number != u32::MAX {
        return Action::Errno(38);
    }
    if call.number == u32::MAX {
        return if allowing || newest.is_none() { policy.default } else { Action::Errno(38) };
    }
    let rules: Vec<&Rule<'_>> = policy.rules.iter().filter(|rule| rule.names.iter().any(is_call)).collect();
    if let Some(rule) = rules.iter().find(|rule| rule.conditions.is_empty()) {
        return rule.action;
    }
    let holds = |condition: &Condition| {
        let argument = call.arguments[usize::from(condition.argument)];
        if arch.is_64_bit() {
            return condition.holds(argument);
        }
        // -1 means -1, and order counts as if both were wide.
        let argument = argument & 0xffff_ffff;
        let value = condition.value & 0xffff_ffff;
        match condition.op {
            Op::Eq => argument == value,
            Op::Ne => argument != value,
            Op::MaskedEq { mask } => value & !mask == 0 && argument & mask & 0xffff_ffff == value,
            _ => condition.holds(argument),
        }
    };
    for rule in rules {
        let mut arguments: Vec<u8> = rule.conditions.iter().map(|condition| condition.argument).collect();
        arguments.sort_unstable();
        let twice = arguments.windows(2).any(|pair| pair[0] == pair[1]);
        let matches =
            if twice { rule.conditions.iter().any(holds) } else { rule.conditions.iter().all(holds) };
        if matches {
            return rule.action;
        }
    }
    policy.default
}

/// xorshift64*: a failing seed is in the message.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    fn value(&mut self) -> u64 {
        let high = self.pick(&[0, 0, 0, 1, 2, 0x7fff_ffff, 0xffff_ffff]);
        let low =
            self.pick(&[0, 1, 2, 3, 40, 0x7e02_0000, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff]);
        high << 32 | low
    }

    fn action(&mut self) -> Action {
        self.pick(&[
            Action::Allow,
            Action::Errno(1),
            Action::Errno(38),
            Action::KillProcess,
            Action::KillThread,
            Action::Trap,
            Action::Log,
            Action::Trace(7),
            Action::Notify,
        ])
    }

    fn condition(&mut self) -> Condition {
        let (value, mask) = (self.value(), self.value());
        let ops = [Op::Ne, Op::Lt, Op::Le, Op::Eq, Op::Ge, Op::Gt, Op::MaskedEq { mask }];
        let op = self.pick(&ops);
        let value = if matches!(op, Op::MaskedEq { .. }) && self.below(4) > 0 { value & mask } else { value };
        Condition { argument: self.below(3) as u8, op, value }
    }

    fn policy(&mut self) -> Policy<'static> {
        let names: Vec<&str> = names(Arch::X86_64).chain(names(Arch::X86)).map(|(name, _)| name).collect();
        let pool: Vec<&str> = (0..40).map(|_| self.pick(&names)).collect();
        let rules = (0..self.below(12))
            .map(|_| {
                let many = self.pick(&[1, 1, 2, 30]);
                let conditions = self.pick(&[0, 0, 1, 1, 1, 2, 3]);
                Rule {
                    // Multiplexers have a test of their own.
                    names: (0..many)
                        .map(|_| self.pick(&pool).to_owned())
                        .filter(|name| multiplex::multiplexed(Arch::X86, name).is_none())
                        .collect(),
                    action: self.action(),
                    conditions: (0..conditions).map(|_| self.condition()).collect(),
                }
            })
            .collect();
        let mut default = self.action();
        if default == Action::Notify {
            default = Action::Errno(1);
        }
        let arches = Arch::ALL.into_iter().filter(|_| self.below(2) == 0).collect();
        Policy { default, arches, rules, flags: Flags::default() }
    }
}

#[test]
fn program_does_what_the_policy_says() {
    for seed in 1..30u64 {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let policy = random.policy();
        let filter = compile(&policy).unwrap();
        let audits = Arch::ALL.map(Arch::audit).into_iter().chain([0, 0xc000_0015]);
        for audit in audits {
            let native = (0..600).chain(X32_BIT..X32_BIT + 600);
            for number in native.chain([X32_BIT - 1, 0x7fff_ffff, u32::MAX - 1, u32::MAX, 0x000f_0005]) {
                let tries = if random.below(8) == 0 { 6 } else { 1 };
                for _ in 0..tries {
                    let arguments = std::array::from_fn(|_| random.value());
                    let call = Call { number, audit, arguments };
                    let (is, should) = (filter.evaluate(&call), naive(&policy, &call));
                    assert_eq!(is, should, "seed {seed}: {call:x?} in {policy:#x?}");
                }
            }
        }
    }
}

#[test]
fn conditional_calls_agree_for_many_arguments() {
    for seed in 1..200u64 {
        let mut random = Random(seed.wrapping_mul(0xd134_2543_de82_ef95));
        let rule = |random: &mut Random| Rule {
            names: vec!["lseek".to_owned()].into(),
            action: random.action(),
            conditions: (0..random.pick(&[1, 1, 1, 2])).map(|_| random.condition()).collect(),
        };
        let rules = (0..1 + random.below(6)).map(|_| rule(&mut random)).collect();
        let policy =
            Policy { default: Action::Allow, arches: Arch::ALL.to_vec(), rules, flags: Flags::default() };
        let filter = compile(&policy).unwrap();
        for arch in Arch::ALL {
            let lseek = number(arch, "lseek").unwrap();
            for _ in 0..40 {
                let arguments =
                    std::array::from_fn(|_| random.value().wrapping_add(random.pick(&[0, 0, 1, u64::MAX])));
                let call = Call { number: lseek, audit: arch.audit(), arguments };
                assert_eq!(
                    filter.evaluate(&call),
                    naive(&policy, &call),
                    "seed {seed}: {call:x?} in {policy:#x?}"
                );
            }
        }
    }
}

fn allow_list(names: &[&str]) -> Policy<'static> {
    let rule = Rule {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        action: Action::Allow,
        conditions: Vec::new(),
    };
    let arches = vec![Arch::X86_64, Arch::X86, Arch::X32];
    Policy { default: Action::Errno(1), arches, rules: vec![rule], flags: Flags::default() }
}

#[test]
fn a_denied_call_is_denied_through_its_multiplexer() {
    let deny = |name: &str| Policy {
        default: Action::Allow,
        arches: vec![Arch::X86],
        rules: vec![Rule {
            names: vec![name.to_owned()].into(),
            action: Action::Errno(1),
            conditions: Vec::new(),
        }],
        flags: Flags::default(),
    };
    for (name, through, first, denied) in [
        ("socket", "socketcall", 1, true),
        ("socket", "socketcall", 2, false),
        ("shmat", "ipc", 21, true),
        ("shmat", "ipc", 0x1_0015, true),
        ("shmat", "ipc", 22, false),
    ] {
        let filter = compile(&deny(name)).unwrap();
        let call = Call {
            number: number(Arch::X86, through).unwrap(),
            audit: Arch::X86.audit(),
            arguments: [first, 0, 0, 0, 0, 0],
        };
        let expected = if denied { Action::Errno(1) } else { Action::Allow };
        assert_eq!(filter.evaluate(&call), expected, "{name} by {through}({first})");
    }
}

/// PERFORMANCE.md: a range tree costs a seventh of a chain, because the kernel emulates
/// the filter once for every call of every architecture when it is installed.
#[test]
fn program_is_short_and_shallow() {
    // Every second call of x86_64 allowed: the worst case for ranges.
    let mut all: Vec<(u32, &str)> = names(Arch::X86_64).map(|(name, number)| (number, name)).collect();
    all.sort_unstable();
    let every_second: Vec<&str> = all.iter().step_by(2).map(|(_, name)| *name).collect();
    let filter = compile(&allow_list(&every_second)).unwrap();
    assert!(filter.program().len() < 1200, "{} instructions", filter.program().len());
    let deepest = all
        .iter()
        .map(|(number, _)| {
            let call = Call { number: *number, audit: Arch::X86_64.audit(), arguments: [0; 6] };
            run(filter.program(), &call).steps
        })
        .max();
    // Three loads and tests at the head, a tree over about 400 ranges, jumps between.
    assert!(deepest <= Some(20), "{deepest:?} steps");
}

#[test]
fn a_long_list_of_values_is_a_tree_too() {
    let rule = |value| Rule {
        names: vec!["socket".to_owned()].into(),
        action: Action::Allow,
        conditions: vec![Condition { argument: 0, op: Op::Eq, value }],
    };
    let rules = (0..200).map(|at| rule(at * 2)).collect();
    let policy = Policy { default: Action::Errno(1), arches: Vec::new(), rules, flags: Flags::default() };
    let filter = compile(&policy).unwrap();
    for value in 0..400 {
        let call = Call {
            number: number(Arch::NATIVE, "socket").unwrap(),
            audit: Arch::NATIVE.audit(),
            arguments: [value, 0, 0, 0, 0, 0],
        };
        let ran = run(filter.program(), &call);
        assert_eq!(ran.action, if value % 2 == 0 { Action::Allow } else { Action::Errno(1) });
        assert!(ran.steps <= 22, "{} steps", ran.steps);
    }
}

#[test]
fn refuses_what_the_kernel_would() {
    let mut policy = allow_list(&["read"]);
    policy.rules[0].action = Action::Errno(5000);
    assert!(matches!(compile(&policy), Err(CompileError::Errno { errno: 5000, .. })));
    policy = allow_list(&["read"]);
    policy.rules[0].conditions = vec![Condition { argument: 6, op: Op::Eq, value: 0 }];
    assert!(matches!(compile(&policy), Err(CompileError::Argument { argument: 6, .. })));
    policy = allow_list(&["read", "sys_raed"]);
    assert_eq!(compile(&policy).unwrap().unknown_syscalls(), ["sys_raed"]);
}

#[test]
fn verdicts_of_stacked_filters_are_the_strictest() {
    let one = compile(&allow_list(&["read", "write", "close"])).unwrap();
    let other = compile(&allow_list(&["read", "write"])).unwrap();
    let verdicts = verdicts(&[one.program(), other.program()], Arch::X86_64);
    assert_eq!(verdicts.denied.len(), verdicts.total - 2);
    assert!(verdicts.conditional.is_empty());
}

/// Runs `body` on a thread of its own: a filter stays on a thread for good.
fn on_thread(body: impl FnOnce() + Send + 'static) {
    if let Err(panic) = std::thread::spawn(body).join() {
        std::panic::resume_unwind(panic);
    }
}

fn errno_of(result: libc::c_long) -> i32 {
    if result == -1 { std::io::Error::last_os_error().raw_os_error().unwrap() } else { 0 }
}

#[test]
fn the_kernel_agrees_about_arguments() {
    on_thread(|| {
        let condition = |op, value| Condition { argument: 1, op, value };
        let rule = |errno, conditions| Rule {
            names: vec!["lseek".to_owned()].into(),
            action: Action::Errno(errno),
            conditions,
        };
        let third = Condition { argument: 2, op: Op::Eq, value: 1 };
        let rules = vec![
            rule(101, vec![condition(Op::Eq, 5 << 32 | 7)]),
            rule(102, vec![condition(Op::Gt, 0xff << 32)]),
            rule(103, vec![condition(Op::MaskedEq { mask: 0xf0 << 32 | 0xf }, 0x10 << 32 | 3)]),
            rule(104, vec![condition(Op::Lt, 4), third]),
        ];
        let policy = Policy { default: Action::Allow, arches: Vec::new(), rules, flags: Flags::default() };
        let filter = compile(&policy).unwrap();
        assert!(filter.load().unwrap().is_none());
        for offset in [0u64, 3, 4, 7, 5 << 32 | 7, 0xff << 32, 0xff << 32 | 1, 0x13 << 32 | 0xf3, 1 << 63] {
            for whence in [0u64, 1] {
                let arguments = [u64::from(u32::MAX), offset, whence, 0, 0, 0];
                let call = Call { number: libc::SYS_lseek as u32, audit: Arch::NATIVE.audit(), arguments };
                // SAFETY: lseek on an invalid descriptor touches no memory.
                let result = unsafe { libc::syscall(libc::SYS_lseek, u64::from(u32::MAX), offset, whence) };
                let expected = match filter.evaluate(&call) {
                    Action::Errno(errno) => i32::from(errno),
                    _ => libc::EBADF,
                };
                assert_eq!(errno_of(result), expected, "{call:x?}");
            }
        }
    });
}

/// ROWS.md SE-05, with the kernel: none of these calls does harm without a filter.
#[test]
fn se_05_the_kernel_blocks_reboot_and_swapoff() {
    on_thread(|| {
        let deny = Rule {
            names: ["reboot", "swapoff", "_sysctl"].map(str::to_owned).to_vec().into(),
            action: Action::Errno(libc::EPERM as u16),
            conditions: Vec::new(),
        };
        let policy =
            Policy { default: Action::Allow, arches: Vec::new(), rules: vec![deny], flags: Flags::default() };
        // SAFETY: wrong magic numbers make reboot fail with EINVAL.
        let reboot = || errno_of(unsafe { libc::syscall(libc::SYS_reboot, 0, 0, 0, 0) });
        // SAFETY: the path is a C string that names nothing.
        let swapoff = || errno_of(unsafe { libc::swapoff(c"/nonexistent/swap".as_ptr()) }.into());
        assert_eq!(reboot(), libc::EINVAL);
        assert_eq!(swapoff(), libc::ENOENT);
        compile(&policy).unwrap().load().unwrap();
        assert_eq!((reboot(), swapoff()), (libc::EPERM, libc::EPERM));
    });
}

#[test]
fn a_notifying_policy_gives_a_listener() {
    on_thread(|| {
        let notify =
            Rule { names: vec!["getppid".to_owned()].into(), action: Action::Notify, conditions: Vec::new() };
        let flags = Flags { wait_killable_recv: true, ..Flags::default() };
        let policy = Policy { default: Action::Allow, arches: Vec::new(), rules: vec![notify], flags };
        let listener = compile(&policy).unwrap().load().unwrap();
        assert!(listener.is_some());
        drop(listener);
        // seccomp_unotify(2): without a listener the call does not exist.
        // SAFETY: getppid has no arguments.
        assert_eq!(errno_of(unsafe { libc::syscall(libc::SYS_getppid) }), libc::ENOSYS);
    });
}

#[test]
fn an_unlisted_architecture_kills() {
    let filter = compile(&allow_list(&["read"])).unwrap();
    let call = |audit| Call { number: 0, audit, arguments: [0; 6] };
    assert_eq!(filter.evaluate(&call(Arch::Aarch64.audit())), Action::KillProcess);
    let deny_nothing =
        Policy { default: Action::Allow, arches: Vec::new(), rules: Vec::new(), flags: Flags::default() };
    let filter = compile(&deny_nothing).unwrap();
    assert_eq!(filter.evaluate(&call(Arch::X86.audit())), Action::KillProcess);
    let x32 = Call { number: X32_BIT, ..call(Arch::X86_64.audit()) };
    assert_eq!(filter.evaluate(&x32), Action::KillProcess, "a list of denials must not be passed by");
}

#[test]
fn a_filter_can_be_kept_as_bytes() {
    let mut policy = allow_list(&["read", "write"]);
    policy.flags = Flags { log: true, spec_allow: true, ..Flags::default() };
    let filter = compile(&policy).unwrap();
    let bytes = filter.to_bytes();
    assert_eq!(Filter::from_bytes(&bytes), Some(filter));
    let longest = [&bytes[..4], &[0; 8 * 4096]].concat();
    assert!(Filter::from_bytes(&longest).is_some());
    for bad in [&[], &bytes[..3], &bytes[..4], &bytes[..bytes.len() - 1], &[longest, vec![0; 8]].concat()] {
        assert_eq!(Filter::from_bytes(bad), None, "{} bytes", bad.len());
    }
}

#[test]
fn filters_of_a_process_can_be_read_back() {
    on_thread(|| {
        let spawn = || std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let mut free = spawn();
        let deny = |name: &str| {
            let names = vec![name.to_owned()].into();
            let rule = Rule { names, action: Action::Errno(1), conditions: Vec::new() };
            let flags = Flags::default();
            Policy { default: Action::Allow, arches: vec![Arch::X86], rules: vec![rule], flags }
        };
        let (older, newer) = (compile(&deny("reboot")).unwrap(), compile(&deny("swapon")).unwrap());
        // What this thread starts has its filters, but reading them back is for others.
        let (mut filtered, older, newer) = std::thread::spawn(move || {
            older.load().unwrap();
            newer.load().unwrap();
            (spawn(), older, newer)
        })
        .join()
        .unwrap();
        let pid = |child: &std::process::Child| i32::try_from(child.id()).unwrap();
        assert_eq!(filters_of(pid(&free)).unwrap(), Vec::<Program>::new());
        let filters = filters_of(pid(&filtered)).unwrap();
        assert_eq!(filters, [older.program().to_vec(), newer.program().to_vec()]);
        let programs: Vec<&[Instruction]> = filters.iter().map(Vec::as_slice).collect();
        assert_eq!(verdicts(&programs, Arch::NATIVE).denied, ["reboot", "swapon"]);
        for child in [&mut free, &mut filtered] {
            assert!(child.try_wait().unwrap().is_none(), "it goes on");
            child.kill().unwrap();
            child.wait().unwrap();
        }
        assert_eq!(filters_of(pid(&free)).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    });
}
