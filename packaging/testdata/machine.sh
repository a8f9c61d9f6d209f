#!/bin/sh
# Becomes a machine that is thrown away: the files of this one, under an overlay that takes all that is
# written, with systemd as the first process and hardly a unit. Its caller has put it into a cgroup
# and namespaces of its own; what the kernel has only once can be read there, and no more.
#
#	machine.sh FOLDER    where the overlay is put; nobody else sees it
set -eu

folder=$1
root=$folder/root
mount --make-rprivate /
mount -t tmpfs tmpfs "$folder"
mkdir "$folder/upper" "$folder/work" "$root" "$folder/units"
for unit in systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket; do
	cp "/usr/lib/systemd/system/$unit" "$folder/units"
done
mount -t overlay -o "lowerdir=/,upperdir=$folder/upper,workdir=$folder/work" overlay "$root"

mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount --bind "$root/proc/sys/net" "$root/proc/sys/net"
mount -o remount,bind,ro "$root/proc/sys"
mount -t sysfs -o ro sysfs "$root/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
mkdir "$root/dev/net" "$root/dev/shm"
while read -r name major minor; do
	mknod "$root/dev/$name" c "$major" "$minor"
	chmod 0666 "$root/dev/$name"
done <<END
null 1 3
zero 1 5
full 1 7
random 1 8
urandom 1 9
tty 5 0
net/tun 10 200
END

# The units, generators and settings of this machine have no business there.
for covered in etc/systemd usr/lib/systemd/system usr/lib/systemd/system-generators; do
	mount -t tmpfs -o mode=755 tmpfs "$root/$covered"
done
mkdir "$root/etc/systemd/system"
cp "$folder"/units/* "$root/usr/lib/systemd/system"
for target in sysinit basic multi-user network shutdown sockets slices; do
	printf '[Unit]\nDescription=%s\nDefaultDependencies=no\n' $target >"$root/usr/lib/systemd/system/$target.target"
done
printf 'Wants=systemd-journald.service\n' >>"$root/usr/lib/systemd/system/sysinit.target"
printf 'Requires=sysinit.target\nAfter=sysinit.target\n' >>"$root/usr/lib/systemd/system/multi-user.target"

cd "$root"
pivot_root . .
umount -l .
cd /
exec unshare --cgroup sh -c '
	mount -t cgroup2 cgroup2 /sys/fs/cgroup
	exec env -i container=test PATH=/usr/sbin:/usr/bin:/sbin:/bin \
		/usr/lib/systemd/systemd --system --unit=multi-user.target --show-status=no </dev/null'
