//! The default profile and our compiler against libseccomp and docker's own profile: for every
//! call number and capability set the same verdict, but for what is listed here with its reason.
//!
//! ```text
//! profile ─┬─ our compiler ──────────────────────────▶ program ─┐
//!          └─ libseccomp, driven as runc drives it ──▶ program ─┴─▶ interpreter: same verdict?
//! ```
//!
//! References: docker 20.10's `default.json` (Debian's `golang-github-docker-docker-dev`, unpacked
//! beside the system) and podman's `/usr/share/containers/seccomp.json`, whose socket rules look at
//! two arguments.

mod differences;
mod oracle;

use std::collections::BTreeSet;

use oci_spec::defaults;
use oci_spec::runtime::{Capabilities, Capability, LinuxSeccomp};
use serde_json::json;
use sys::capability::NAMES;
use sys::seccomp::{Action, Arch, Call};

use differences::{DIFFERENCES, Difference};
use oracle::{Oracle, resolve};

pub(crate) const ARCHES: [Arch; 3] = [Arch::X86_64, Arch::X86, Arch::X32];

/// Beyond the newest call of any architecture.
const NUMBERS: u32 = 600;

fn capability(name: &str) -> Capability {
    serde_json::from_value(json!(format!("CAP_{name}"))).unwrap()
}

/// None, each one alone, docker's, docker's with each other one, and all.
fn capability_sets() -> Vec<Capabilities> {
    let all: Capabilities = NAMES.iter().map(|name| capability(name)).collect();
    let mut sets = vec![Capabilities::new(), defaults::capabilities(), all.clone()];
    for one in &all {
        sets.push(Capabilities::from([*one]));
        sets.push(defaults::capabilities().into_iter().chain([*one]).collect());
    }
    sets
}

/// Every call of an architecture; those that a profile looks at more closely with arguments on both
/// sides of each border.
fn calls(arch: Arch) -> impl Iterator<Item = Call> {
    let base = arch.number_base();
    let outside = [base.wrapping_sub(1), base | 0x000f_0005, 0x3fff_ffff, u32::MAX - 1];
    let numbers = (base..base + NUMBERS).chain(outside.into_iter().filter(move |n| belongs(arch, *n)));
    let looked_at = CONDITIONAL.map(|name| sys::seccomp::number(arch, name));
    numbers.flat_map(move |number| {
        let all = if looked_at.contains(&Some(number)) { arguments() } else { vec![[0; 6], [u64::MAX; 6]] };
        all.into_iter().map(move |arguments| Call { number, audit: arch.audit(), arguments })
    })
}

/// The calls that ours, docker's or podman's profile has conditions for.
const CONDITIONAL: [&str; 4] = ["clone", "personality", "socket", "socketcall"];

/// Whether a number is `arch`'s: x32 has those with bit 30, but for -1.
fn belongs(arch: Arch, number: u32) -> bool {
    let is_x32 = (0x4000_0000..u32::MAX).contains(&number);
    arch == Arch::X86 || number != u32::MAX && is_x32 == (arch == Arch::X32)
}

fn arguments() -> Vec<[u64; 6]> {
    let mut values: Vec<u64> =
        vec![0, 1, 2, 3, 8, 9, 16, 17, 37, 38, 39, 40, 41, 0x2_0000, 0x2_0008, 0x4_0000];
    values.extend((0..32).map(|bit| 1 << bit));
    values.extend([0x7e02_0000, 0x81ff_ffff, 0x7fff_ffff, 0xffff_ffff, u64::MAX, 1 << 63]);
    let wide: Vec<u64> = values.iter().map(|value| value | 1 << 32).collect();
    values.extend(wide);
    let first = values.iter().map(|value| [*value, 0, 0, 0, 0, 0]);
    let pairs = [1, 16, 1 << 32 | 16].into_iter().flat_map(|first| {
        [0, 8, 9, 10, 1 << 32 | 9].into_iter().map(move |third| [first, 2, third, 0, 0, 0])
    });
    first.chain(pairs).collect()
}

/// What the two do differently: architecture, number, verdicts.
fn compare(profile: &LinuxSeccomp, oracle: &Oracle, seen: &mut usize) -> BTreeSet<(Arch, u32, String)> {
    let ours = oci_runtime::seccomp::compile(profile).unwrap();
    let mut different = BTreeSet::new();
    for arch in ARCHES {
        for call in calls(arch) {
            *seen += 1;
            let (is, should) = (ours.evaluate(&call), oracle.evaluate(arch, &call));
            if is != should {
                different.insert((arch, call.number, format!("{is:?} instead of {should:?}")));
            }
        }
    }
    different
}

#[test]
fn our_compiler_and_libseccomp_agree_on_our_default_profile() {
    let profiles: Vec<LinuxSeccomp> = capability_sets().iter().map(defaults::seccomp).collect();
    let mut seen = 0;
    for (profile, oracle) in profiles.iter().zip(Oracle::of(&profiles)) {
        let different = compare(profile, &oracle, &mut seen);
        let younger = |name: &&str| YOUNGER_THAN_LIBSECCOMP.contains(name);
        let unknown = oracle.unknown();
        assert!(unknown.iter().all(younger), "{unknown:?} are not known to libseccomp");
        let others: Vec<_> =
            different.iter().filter(|(arch, number, _)| !younger(&name(*arch, *number))).collect();
        assert!(others.is_empty(), "{others:?}");
    }
    assert!(seen > 300_000, "{seen} calls compared");
}

#[test]
fn our_compiler_and_libseccomp_agree_on_podmans_profile() {
    let text = std::fs::read_to_string("/usr/share/containers/seccomp.json")
        .expect("of Debian's golang-github-containers-common, which podman brings");
    let profiles: Vec<LinuxSeccomp> =
        capability_sets().iter().map(|capabilities| resolve(&text, capabilities)).collect();
    let mut seen = 0;
    for (profile, oracle) in profiles.iter().zip(Oracle::of(&profiles)) {
        let different = compare(profile, &oracle, &mut seen);
        assert!(different.is_empty(), "{different:?}");
    }
    assert!(seen > 300_000, "{seen} calls compared");
}

#[test]
fn the_default_profile_is_dockers_but_for_what_is_listed() {
    let text = std::fs::read_to_string(testkit::docker_seccomp_profile()).unwrap();
    let sets = capability_sets();
    let dockers: Vec<LinuxSeccomp> = sets.iter().map(|capabilities| resolve(&text, capabilities)).collect();
    let (mut seen, mut used) = (0, BTreeSet::new());
    for (capabilities, oracle) in sets.iter().zip(Oracle::of(&dockers)) {
        let ours = defaults::seccomp(capabilities);
        for (arch, number, verdicts) in compare(&ours, &oracle, &mut seen) {
            let name = name(arch, number);
            let applies = |difference: &&Difference| difference.covers(name, capabilities);
            let known = DIFFERENCES.iter().position(|difference| applies(&difference));
            assert!(known.is_some(), "{name} ({arch:?} {number}) with {capabilities:?}: {verdicts}");
            used.extend(known);
        }
    }
    assert_eq!(used.len(), DIFFERENCES.len(), "a difference that is listed is none: {used:?}");
    assert!(seen > 300_000, "{seen} calls compared");
}

#[test]
fn an_architecture_that_no_profile_lists_ends_the_process() {
    // libseccomp ends the thread only, which leaves a program behind that has lost one.
    let profile = defaults::seccomp(&defaults::capabilities());
    let filter = oci_runtime::seccomp::compile(&profile).unwrap();
    let call = Call { number: 0, audit: Arch::Aarch64.audit(), arguments: [0; 6] };
    assert_eq!(filter.evaluate(&call), Action::KillProcess);
    let oracle = Oracle::of(&[profile]).remove(0);
    assert_eq!(oracle.evaluate(Arch::Aarch64, &call), Action::KillThread);
}

/// The call's name in our table; those without are told apart by their numbers.
fn name(arch: Arch, number: u32) -> &'static str {
    sys::seccomp::names(arch).find(|(_, known)| *known == number).map_or("", |(name, _)| name)
}

/// Calls that Debian's libseccomp cannot name. Where a profile names no newer one that it can, the
/// rule about newer calls, too, ends earlier for it.
const YOUNGER_THAN_LIBSECCOMP: &[&str] = &[
    "getxattrat",
    "listmount",
    "listxattrat",
    "lsm_get_self_attr",
    "lsm_list_modules",
    "lsm_set_self_attr",
    "map_shadow_stack",
    "mseal",
    "removexattrat",
    "setxattrat",
    "statmount",
    "uretprobe",
];
