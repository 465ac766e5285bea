//! Device rules as an eBPF program for cgroup v2: `BPF_PROG_TYPE_CGROUP_DEVICE`. Pure.
//!
//! The kernel calls it for every mknod and open of a device; 1 allows. Registers: r2 kind,
//! r3 accesses that no rule has decided yet, r4 major, r5 minor.

use sys::bpf::Instruction;

use crate::devices::{Access, DeviceKind, DevicePolicy, DeviceRule};

/// The program that does what [`DevicePolicy::allows`] says.
pub fn program(policy: &DevicePolicy) -> Vec<Instruction> {
    // struct bpf_cgroup_dev_ctx { u32 access << 16 | kind; u32 major; u32 minor; }
    let mut program = vec![
        load_word(R2, R1, 0),
        move_register(R3, R2),
        immediate(AND32, R2, 0xffff),
        immediate(SHIFT_RIGHT32, R3, 16),
        load_word(R4, R1, 4),
        load_word(R5, R1, 8),
    ];
    for rule in policy.rules.iter().rev() {
        program.extend(block(rule));
    }
    program.push(immediate(MOVE64, R0, i32::from(policy.allow_by_default)));
    program.push(exit());
    program
}

/// One rule: skips itself when it is about something else.
fn block(rule: &DeviceRule) -> Vec<Instruction> {
    let access = i32::from(rule.access.bits());
    let body = if rule.allow {
        // What it allows is decided; with nothing left the access is allowed.
        vec![immediate(AND32, R3, !access), jump(JUMP_NE, R3, 0, 2), immediate(MOVE64, R0, 1), exit()]
    } else {
        // One kind of access denied is the whole access denied.
        vec![jump(JUMP_SET, R3, access, 1), jump(JUMP_ALWAYS, R0, 0, 2), immediate(MOVE64, R0, 0), exit()]
    };
    let kind = rule.kind.map(|kind| (R2, if kind == DeviceKind::Block { KIND_BLOCK } else { KIND_CHAR }));
    let major = rule.major.map(|major| (R4, major));
    let minor = rule.minor.map(|minor| (R5, minor));
    let conditions: Vec<(u8, u32)> = [kind, major, minor].into_iter().flatten().collect();
    let mut block = Vec::with_capacity(conditions.len() + body.len());
    for (at, (register, value)) in conditions.iter().enumerate() {
        let rest = conditions.len() - at - 1 + body.len();
        block.push(jump(JUMP_NE, *register, *value as i32, rest as i16));
    }
    block.extend(body);
    block
}

fn load_word(to: u8, from: u8, offset: i16) -> Instruction {
    Instruction { code: LOAD_WORD, registers: to | from << 4, offset, immediate: 0 }
}

fn move_register(to: u8, from: u8) -> Instruction {
    Instruction { code: MOVE32_REGISTER, registers: to | from << 4, offset: 0, immediate: 0 }
}

fn immediate(code: u8, register: u8, immediate: i32) -> Instruction {
    Instruction { code, registers: register, offset: 0, immediate }
}

fn jump(code: u8, register: u8, immediate: i32, offset: i16) -> Instruction {
    Instruction { code, registers: register, offset, immediate }
}

fn exit() -> Instruction {
    Instruction { code: EXIT, registers: 0, offset: 0, immediate: 0 }
}

const R0: u8 = 0;
const R1: u8 = 1;
const R2: u8 = 2;
const R3: u8 = 3;
const R4: u8 = 4;
const R5: u8 = 5;

/// `BPF_LDX | BPF_MEM | BPF_W`
const LOAD_WORD: u8 = 0x61;
/// `BPF_ALU | BPF_MOV | BPF_X`
const MOVE32_REGISTER: u8 = 0xbc;
/// `BPF_ALU64 | BPF_MOV | BPF_K`
const MOVE64: u8 = 0xb7;
/// `BPF_ALU | BPF_AND | BPF_K`
const AND32: u8 = 0x54;
/// `BPF_ALU | BPF_RSH | BPF_K`
const SHIFT_RIGHT32: u8 = 0x74;
/// `BPF_JMP | BPF_JA`
const JUMP_ALWAYS: u8 = 0x05;
/// `BPF_JMP32 | BPF_JNE | BPF_K`: 32 bits, because a 64-bit comparison would extend the
/// sign of a number.
const JUMP_NE: u8 = 0x56;
/// `BPF_JMP32 | BPF_JSET | BPF_K`
const JUMP_SET: u8 = 0x46;
/// `BPF_JMP | BPF_EXIT`
const EXIT: u8 = 0x95;

const KIND_BLOCK: u32 = 1;
const KIND_CHAR: u32 = 2;

/// The bits of [`Access`] are the kernel's.
const _: () = assert!(Access::MKNOD.bits() == 1 && Access::READ.bits() == 2 && Access::WRITE.bits() == 4);

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a program as the kernel would. Only what `program` emits is known.
    fn run(program: &[Instruction], kind: DeviceKind, major: u32, minor: u32, access: Access) -> bool {
        let kind = if kind == DeviceKind::Block { KIND_BLOCK } else { KIND_CHAR };
        let context = [u32::from(access.bits()) << 16 | kind, major, minor];
        let mut registers = [0u64; 11];
        let mut at = 0usize;
        loop {
            let Instruction { code, registers: operands, offset, immediate } = program[at];
            let (to, from) = (usize::from(operands & 15), usize::from(operands >> 4));
            let word = registers[to] as u32;
            at += 1;
            let mut skip = false;
            match code {
                LOAD_WORD => {
                    assert_eq!(from, 1, "the context");
                    registers[to] = u64::from(context[offset as usize / 4]);
                }
                MOVE32_REGISTER => registers[to] = u64::from(registers[from] as u32),
                MOVE64 => registers[to] = i64::from(immediate) as u64,
                AND32 => registers[to] = u64::from(word & immediate as u32),
                SHIFT_RIGHT32 => registers[to] = u64::from(word >> immediate),
                JUMP_ALWAYS => skip = true,
                JUMP_NE => skip = word != immediate as u32,
                JUMP_SET => skip = word & immediate as u32 != 0,
                EXIT => return registers[0] == 1,
                code => panic!("unknown instruction {code:#x}"),
            }
            if skip {
                at = at.checked_add_signed(offset.into()).unwrap();
            }
        }
    }

    fn agree(policy: &DevicePolicy) {
        let program = program(policy);
        for kind in [DeviceKind::Block, DeviceKind::Char] {
            for major in [0, 1, 5, 8, 136, 0x8000_0000, u32::MAX] {
                for minor in [0, 1, 3, 9, u32::MAX] {
                    for bits in ["r", "w", "m", "rw", "rm", "wm", "rwm"] {
                        let access = Access::parse(bits);
                        assert_eq!(
                            run(&program, kind, major, minor, access),
                            policy.allows(kind, major, minor, access),
                            "{kind:?} {major}:{minor} {bits} in {policy:?}"
                        );
                    }
                }
            }
        }
    }

    #[test]
    fn program_does_what_the_rules_say() {
        let mut state = 0x2545_f491_4f6c_dd1du64;
        let mut random = |below: u64| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state % below
        };
        for _ in 0..300 {
            let mut policy = DevicePolicy { allow_by_default: random(2) == 0, rules: Vec::new() };
            for _ in 0..random(6) {
                let number =
                    |pick: u64| [None, Some(0), Some(1), Some(5), Some(u32::MAX), Some(3)][pick as usize];
                let kind = [None, Some(DeviceKind::Block), Some(DeviceKind::Char)][random(3) as usize];
                let letters = ["r", "w", "m", "rw", "rwm", "wm"][random(6) as usize];
                policy.add(DeviceRule {
                    allow: random(2) == 0,
                    kind,
                    major: number(random(6)),
                    minor: number(random(6)),
                    access: Access::parse(letters),
                });
            }
            agree(&policy);
        }
        agree(&DevicePolicy::for_container(&[]));
    }

    #[test]
    fn a_container_may_use_null_but_no_disk() {
        let program = program(&DevicePolicy::for_container(&[]));
        assert!(run(&program, DeviceKind::Char, 1, 3, Access::ALL));
        assert!(run(&program, DeviceKind::Char, 136, 7, Access::ALL));
        assert!(run(&program, DeviceKind::Block, 8, 0, Access::MKNOD), "a node is harmless");
        assert!(!run(&program, DeviceKind::Block, 8, 0, Access::READ));
        assert!(!run(&program, DeviceKind::Char, 10, 200, Access::READ.with(Access::WRITE)));
    }
}
