/*
 * The kernel's floor of a container: what no runtime can go below on this machine.
 *
 *   floor run ROOTFS PROGRAM CGROUP...   cgroups, clone3 with six namespaces, pivot, exec, wait, remove
 *   floor exec PID PROGRAM CGROUP...     join the namespaces and cgroups of PID, exec, wait
 *   floor peak COMMAND...                run it, print the most memory that one of its processes had, in KiB
 *   floor wait                           be a container's program until a signal comes
 *
 * CGROUP is a directory in each hierarchy of cgroup v1. Nothing is read, decided, checked or kept, no
 * filter is loaded and nothing is mounted but the root. What it cannot do ends it with the line's number.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define NAMESPACES (CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC)
#define MUST(call) do { if ((call) < 0) fail(__LINE__); } while (0)

static void fail(int line) {
    dprintf(2, "floor: line %d: %m\n", line);
    _exit(125);
}

static void put(int dir, const char *name, const char *text) {
    int file = openat(dir, name, O_WRONLY | O_CLOEXEC);
    MUST(file);
    MUST(write(file, text, strlen(text)));
    close(file);
}

/* By itself: moving another process waits for an RCU grace period. */
static void enter(int *dirs, int count) {
    for (int i = 0; i < count; i++) put(dirs[i], "tasks", "0");
}

/* The first five fields of `struct clone_args`, version 0. */
static int fork_with(uint64_t flags, int *pidfd) {
    uint64_t args[8] = { flags | CLONE_PIDFD, (uintptr_t)pidfd, 0, 0, SIGCHLD };
    int pid = syscall(SYS_clone3, args, sizeof args);
    MUST(pid);
    return pid;
}

static int end_of(int pid) {
    int status;
    MUST(waitpid(pid, &status, 0));
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void become(const char *program) {
    char *const args[] = { (char *)program, NULL }, *const none[] = { NULL };
    execve(program, args, none);
    fail(__LINE__);
}

static void open_all(char **paths, int count, int *dirs) {
    for (int i = 0; i < count; i++) MUST(dirs[i] = open(paths[i], O_PATH | O_DIRECTORY | O_CLOEXEC));
}

static int run(const char *rootfs, const char *program, char **cgroups, int count) {
    int dirs[count], pidfd;
    for (int i = 0; i < count; i++) {
        MUST(mkdir(cgroups[i], 0755));
        MUST(dirs[i] = open(cgroups[i], O_PATH | O_DIRECTORY | O_CLOEXEC));
        if (strstr(cgroups[i], "/memory/")) put(dirs[i], "memory.limit_in_bytes", "67108864");
        if (strstr(cgroups[i], "/pids/")) put(dirs[i], "pids.max", "100");
        if (strstr(cgroups[i], "/cpuset/")) {
            put(dirs[i], "cpuset.cpus", "0");
            put(dirs[i], "cpuset.mems", "0");
        }
    }
    int pid = fork_with(NAMESPACES, &pidfd);
    if (pid == 0) {
        enter(dirs, count);
        MUST(unshare(CLONE_NEWCGROUP));
        MUST(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL));
        MUST(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL));
        MUST(chdir(rootfs));
        MUST(syscall(SYS_pivot_root, ".", "."));
        MUST(umount2(".", MNT_DETACH));
        MUST(chdir("/"));
        become(program);
    }
    int status = end_of(pid);
    for (int i = 0; i < count; i++) MUST(rmdir(cgroups[i]));
    return status;
}

static int exec(int target, const char *program, char **cgroups, int count) {
    int dirs[count], pidfd, joined;
    open_all(cgroups, count, dirs);
    MUST(pidfd = syscall(SYS_pidfd_open, target, 0));
    MUST(setns(pidfd, NAMESPACES | CLONE_NEWCGROUP));
    int pid = fork_with(0, &joined);
    if (pid == 0) {
        enter(dirs, count);
        become(program);
    }
    return end_of(pid);
}

static int peak(char **command) {
    struct rusage usage;
    int status, pid = fork();
    MUST(pid);
    if (pid == 0) {
        execvp(command[0], command);
        fail(__LINE__);
    }
    MUST(waitpid(pid, &status, 0));
    MUST(getrusage(RUSAGE_CHILDREN, &usage));
    printf("%ld\n", usage.ru_maxrss);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}

int main(int count, char **args) {
    if (count > 3 && !strcmp(args[1], "run")) return run(args[2], args[3], args + 4, count - 4);
    if (count > 3 && !strcmp(args[1], "exec")) return exec(atoi(args[2]), args[3], args + 4, count - 4);
    if (count > 2 && !strcmp(args[1], "peak")) return peak(args + 2);
    if (count == 2 && !strcmp(args[1], "wait")) return pause();
    return 64;
}
