"""Compiles policies with libseccomp, as runc does: JSON in on stdin, JSON out on stdout."""

import ctypes
import json
import os
import sys

LIB = ctypes.CDLL("libseccomp.so.2", use_errno=True)
ARCHES = {"x86": 0x40000003, "x32": 0x4000003E}
OPERATORS = ["", "NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"]


class Compare(ctypes.Structure):
    _fields_ = [("arg", ctypes.c_uint), ("op", ctypes.c_int), ("a", ctypes.c_uint64), ("b", ctypes.c_uint64)]


LIB.seccomp_init.restype = ctypes.c_void_p
for function in (LIB.seccomp_rule_add_array, LIB.seccomp_arch_add, LIB.seccomp_export_bpf, LIB.seccomp_release):
    function.argtypes = None


def add(context, action, number, arguments):
    compares = (Compare * len(arguments))(
        *[Compare(a["index"], OPERATORS.index(a["op"]), a["value"], a["valueTwo"]) for a in arguments]
    )
    result = LIB.seccomp_rule_add_array(
        ctypes.c_void_p(context), ctypes.c_uint32(action), number, len(arguments), compares
    )
    # The same rule twice is no harm, and a name that some architecture lacks is left out there.
    if result not in (0, -17):
        raise OSError(-result, "seccomp_rule_add_array", str(number))


def compile(policy):
    context = LIB.seccomp_init(ctypes.c_uint32(policy["default"]))
    for arch in policy["arches"]:
        result = LIB.seccomp_arch_add(ctypes.c_void_p(context), ctypes.c_uint32(ARCHES[arch]))
        assert result == 0, (arch, result)
    unknown = set()
    for rule in policy["rules"]:
        arguments = rule["args"]
        indices = [argument["index"] for argument in arguments]
        # runc: a rule that names one argument twice stands for one rule per condition.
        if len(set(indices)) != len(indices):
            sets = [[argument] for argument in arguments]
        else:
            sets = [arguments]
        for name in rule["names"]:
            number = LIB.seccomp_syscall_resolve_name(name.encode())
            if number == -1:
                unknown.add(name)
                continue
            for arguments_of_one in sets:
                add(context, rule["action"], number, arguments_of_one)
    reader, writer = os.pipe()
    # A program has at most 32 KiB, a pipe holds 64.
    assert LIB.seccomp_export_bpf(ctypes.c_void_p(context), writer) == 0
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        program = pipe.read()
    LIB.seccomp_release(ctypes.c_void_p(context))
    return {"program": program.hex(), "unknown": sorted(unknown)}


json.dump([compile(policy) for policy in json.load(sys.stdin)], sys.stdout)
