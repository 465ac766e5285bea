#!/usr/bin/python3
"""A stand-in for CRIU: speaks its protocol (images/rpc.proto), notes what is asked, and brings
containers "back" as a sleep in new namespaces. What it shall say or do is in $CRIU_PLAN as JSON."""

import array
import ctypes
import json
import os
import signal
import socket
import sys

PLAN = json.loads(os.environ.get("CRIU_PLAN", "{}"))
LIBC = ctypes.CDLL(None, use_errno=True)
CLONE, PIVOT_ROOT = {"x86_64": (56, 155), "aarch64": (220, 41)}[os.uname().machine]
DUMP, RESTORE, PRE_DUMP, NOTIFY, FEATURE_CHECK, VERSION = 1, 2, 4, 6, 9, 10
NAMES = {
    1: "images_dir_fd", 2: "pid", 3: "leave_running", 4: "ext_unix_sk", 5: "tcp_established",
    6: "evasive_devices", 7: "shell_job", 8: "file_locks", 9: "log_level", 10: "log_file", 11: "ps",
    12: "notify_scripts", 13: "root", 14: "parent_img", 15: "track_mem", 16: "auto_dedup",
    17: "work_dir_fd", 18: "link_remap", 23: "ext_mnt", 24: "manage_cgroups", 25: "cg_root",
    26: "rst_sibling", 27: "inherit_fd", 34: "manage_cgroups_mode", 37: "external", 38: "empty_ns",
    39: "join_ns", 44: "freeze_cgroup", 46: "tcp_skip_in_flight", 48: "lazy_pages", 49: "status_fd",
    50: "orphan_pts_master", 51: "config_file", 53: "lsm_profile", 63: "lsm_mount_context",
}
MESSAGES = {"ps", "ext_mnt", "cg_root", "inherit_fd", "join_ns"}
REPEATED = {"ext_mnt", "cg_root", "inherit_fd", "external", "join_ns"}


def varint(data, at):
    number = shift = 0
    while True:
        byte = data[at]
        at += 1
        number |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return number, at


def fields(data):
    at, found = 0, []
    while at < len(data):
        tag, at = varint(data, at)
        value, at = varint(data, at)
        if tag & 7 == 2:
            value, at = data[at : at + value], at + value
        else:
            assert tag & 7 == 0, "a wire type that rpc.proto does not use"
        found.append((tag >> 3, value))
    return found


def plain(value):
    return value.decode() if isinstance(value, bytes) else value


def options(data):
    found = {}
    for field, value in fields(data):
        name = NAMES[field]
        if name in MESSAGES:
            value = [plain(inner) for _, inner in sorted(fields(value))]
        if name in REPEATED:
            found.setdefault(name, []).append(plain(value))
        else:
            assert name not in found, name + " twice"
            found[name] = plain(value)
    return found


def number(value):
    value &= (1 << 64) - 1
    out = b""
    while value >= 0x80:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])


def message(*pairs):
    out = b""
    for field, value in pairs:
        if isinstance(value, str):
            value = value.encode()
        if isinstance(value, bytes):
            out += number(field << 3 | 2) + number(len(value)) + value
        else:
            out += number(field << 3) + number(value)
    return out


class Peer:
    def __init__(self, fd):
        self.socket = socket.socket(fileno=fd)
        credentials = array.array("i", self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
        self.pid = credentials[0]

    def opened(self, number):
        return f"/proc/{self.pid}/fd/{number}"

    def notify(self, script, pid=None, fd=None):
        inner = [(1, script)] + ([(2, pid)] if pid is not None else [])
        data = message((1, NOTIFY), (2, 1), (5, message(*inner)))
        ancillary = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
        self.socket.sendmsg([data], ancillary)
        answer = dict(fields(self.socket.recv(65536)))
        note({"notify": script, "answer": answer.get(3, 0)})
        return answer.get(1) == NOTIFY and answer.get(3) == 1

    def respond(self, kind, success, *more):
        self.socket.send(message((1, kind), (2, int(success)), *more))


def note(what):
    with open(os.environ["CRIU_NOTES"], "a") as file:
        file.write(json.dumps(what) + "\n")


def check(result):
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def mount(source, target, kind, flags):
    check(LIBC.mount(source.encode(), target.encode(), kind and kind.encode(), flags, None))


def log(peer, wanted, text):
    work = peer.opened(wanted.get("work_dir_fd", wanted["images_dir_fd"]))
    with open(os.path.join(work, wanted["log_file"]), "w") as file:
        file.write(text)


def dump(peer, kind, wanted):
    images = peer.opened(wanted["images_dir_fd"])
    log(peer, wanted, PLAN.get("log", "(00.1) Dumping\n"))
    for script in ["network-lock", "status-ready", "post-dump", "network-unlock"]:
        if script != "status-ready" or wanted.get("lazy_pages"):
            peer.notify(script)
    if "errno" in PLAN:
        return peer.respond(kind, False, (7, PLAN["errno"]), (9, "it cannot be"))
    if kind == DUMP:
        with open(os.path.join(images, "mounts"), "w") as file:
            json.dump({name: point for point, name in wanted.get("ext_mnt", [])}, file)
        if not wanted["leave_running"]:
            os.kill(wanted["pid"], signal.SIGKILL)
    peer.respond(kind, True)
    # A pre-dump is followed by the dump, or by nobody.
    return kind == PRE_DUMP and not peer.socket.recv(65536)


def become_init(wanted, mounts, go, ready):
    root = wanted["root"]
    given = dict(wanted.get("ext_mnt", []))
    mount("none", "/", None, 0x4000 | 0x40000)
    for name, point in mounts.items():
        # What is below these comes with file systems that a stand-in does not make.
        if not point.startswith(("/proc", "/sys", "/dev")):
            mount(given[name], root + point, None, 0x1000)
    os.chdir(root)
    check(LIBC.syscall(PIVOT_ROOT, b".", b"."))
    check(LIBC.umount2(b".", 2))
    os.chdir("/")
    mount("proc", "/proc", "proc", 0)
    os.write(ready, b"x")
    os.read(go, 1)
    os.execv("/bin/sleep", ["sleep", "1000"])


def reachable(paths, user):
    """Whether somebody without privileges gets there."""
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(user)
            os.setuid(user)
            for path in paths:
                os.stat(path)
        except OSError as error:
            note({"unreachable": str(error)})
            os._exit(1)
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def restore(peer, wanted):
    images = peer.opened(wanted["images_dir_fd"])
    log(peer, wanted, PLAN.get("log", "(00.1) Restoring\n"))
    # As for its own yards: below the directory, in its own mount namespace.
    yard = os.path.join(peer.opened(wanted.get("work_dir_fd", wanted["images_dir_fd"])), "yard")
    os.mkdir(yard)
    mount("none", yard, "tmpfs", 0)
    check(LIBC.umount2(yard.encode(), 2))
    os.rmdir(yard)
    with open(os.path.join(images, "mounts")) as file:
        mounts = json.load(file)
    if "user" in PLAN:
        # As CRIU's first process has them: by descriptor, without a look into another's /proc.
        directory = os.open(images, os.O_RDONLY)
        shown = f"/proc/self/fd/{directory}/mounts"
        given = dict(wanted["ext_mnt"])
        assert reachable([given[name] for name in mounts] + [shown], PLAN["user"])
    if "errno" in PLAN:
        return peer.respond(RESTORE, False, (7, PLAN["errno"]))
    (go, released), (is_ready, ready) = os.pipe(), os.pipe()
    # As a sibling, in new mount, UTS, IPC, PID and network namespaces.
    flags = 0x8000 | 0x20000 | 0x4000000 | 0x8000000 | 0x20000000 | 0x40000000
    pid = check(LIBC.syscall(CLONE, flags | signal.SIGCHLD, 0, 0, 0, 0))
    if pid == 0:
        os.close(released)
        try:
            become_init(wanted, mounts, go, ready)
        finally:
            os._exit(1)
    os.close(go)
    os.close(ready)
    assert os.read(is_ready, 1), "init could not be set up"
    done = peer.notify("setup-namespaces", pid)
    if done and PLAN.get("terminal"):
        done = peer.notify("orphan-pts-master", fd=os.openpty()[0])
    done = done and peer.notify("post-restore", pid)
    if not done:
        os.kill(pid, signal.SIGKILL)
        return peer.respond(RESTORE, False)
    try:
        os.write(released, b"x")
    except BrokenPipeError:
        # Killed already by somebody who saw that it runs.
        pass
    return peer.respond(RESTORE, True, (4, message((1, pid))))


def main():
    assert sys.argv[1] == "swrk", sys.argv
    peer = Peer(int(sys.argv[2]))
    data = peer.socket.recv(1 << 20)
    request = dict(fields(data))
    kind = request[1]
    if kind == VERSION:
        major, minor = PLAN.get("version", [4, 2])
        return peer.respond(kind, True, (10, message((1, major), (2, minor))))
    if kind == FEATURE_CHECK:
        features = [(field, int(PLAN.get("features", True))) for field, _ in fields(request[5])]
        return peer.respond(kind, True, (8, message(*features)))
    wanted = options(request[2])
    fds = {str(fd): os.readlink(f"/proc/self/fd/{fd}") for _, fd in wanted.get("inherit_fd", [])}
    with open("/proc/self/cgroup") as file:
        note({"kind": kind, "options": wanted, "fds": fds, "cgroup": file.read()})
    if PLAN.get("dies"):
        os.kill(os.getpid(), signal.SIGKILL)
    return restore(peer, wanted) if kind == RESTORE else dump(peer, kind, wanted)


main()
