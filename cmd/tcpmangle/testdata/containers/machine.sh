# The first process of a machine in which engines of containers run: called with namespaces of
# mounts, processes and network of its own. Whatever an engine leaves lying about is in
# memory, and gone when the last namespace is; that is when standard input ends.
set -e
mount --make-rprivate /
mount -t proc proc /proc
for folder in /run /dev/shm /var/tmp /var/lib/containers /var/lib/docker; do
	mkdir -p $folder
	mount -t tmpfs tmpfs $folder
done
# Podman cannot do with the old control groups and the new ones beside each other.
! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified
echo ready
exec cat
