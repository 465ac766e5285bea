#!/bin/busybox sh
# PID 1 on the disk: mounts, modules, the script, and its exit status to whoever booted this.
export PATH=/bin:/usr/bin HOME=/root
busybox mount -t proc proc /proc
busybox mount -t sysfs sys /sys
busybox mount -t securityfs security /sys/kernel/security
busybox mount -t cgroup2 -o nsdelegate cgroup /sys/fs/cgroup
busybox mkdir -p /dev/pts /dev/shm
busybox mount -t devpts -o ptmxmode=0666 pts /dev/pts
busybox mount -t tmpfs tmpfs /run
[ -e /dev/fd ] || busybox ln -s /proc/self/fd /dev/fd
busybox ip link set lo up
for module in @MODULES@; do
    busybox insmod "$module"
done
busybox sh /script </dev/null
status=$?
busybox sync
# The last disk is for the status; Debian's cloud kernel has no /dev/port for QEMU's isa-debug-exit.
echo $status >/dev/vdc
busybox sync
busybox reboot -f
