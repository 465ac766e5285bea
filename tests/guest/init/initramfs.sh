#!/bin/busybox sh
# PID 1 until the disk is there.
set -e
/bin/busybox mount -t devtmpfs dev /dev
for module in @MODULES@; do
    /bin/busybox insmod "$module"
done
while [ ! -b /dev/vda ]; do
    /bin/busybox sleep 0.01
done
/bin/busybox mount -t ext4 /dev/vda /system
/bin/busybox mount --move /dev /system/dev
exec /bin/busybox switch_root /system /init
