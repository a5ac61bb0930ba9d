#!/usr/bin/env bash
# Starts systemd as the first process of namespaces of its own, with one unit and nothing else:
#   unshare --mount --pid --uts --ipc --cgroup --fork --kill-child bash boot.sh UNIT HOME BINARY
# HOME becomes /var/lib/silkgate there. What is mounted here ends with these namespaces.
set -euo pipefail
unit=$1 home=$2 binary=$3
user=61899

mount --make-rprivate /
mount -t proc proc /proc
# The machine's own settings are not systemd's to change.
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
umount -R /sys/fs/cgroup
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs -o mode=0755 tmpfs /run
mkdir -p /run/lock /run/units/silkgate.service.d /run/etc
install -m 0755 "$binary" /run/silkgate
for name in passwd group; do
  grep -v '^silkgate:' /etc/$name > /run/etc/$name
done
echo "silkgate:x:$user:$user::/var/lib/silkgate:/usr/sbin/nologin" >> /run/etc/passwd
echo "silkgate:x:$user:" >> /run/etc/group
for name in passwd group; do mount --bind /run/etc/$name /etc/$name; done
chown -R $user:$user "$home"
mount -t tmpfs tmpfs /var/lib
mkdir /var/lib/silkgate
mount --bind "$home" /var/lib/silkgate

cp "$unit" /run/units/silkgate.service
# A call that the filter does not let through ends the process, so that the test sees it.
cat > /run/units/silkgate.service.d/test.conf <<CONF
[Service]
ExecStart=
ExecStart=/run/silkgate -d /var/lib/silkgate serve
StandardError=append:/var/lib/silkgate/gateway.log
RestartSec=1
SystemCallErrorNumber=kill
CONF
# In the place of those of the machine.
for target in sysinit basic shutdown network-online nss-lookup time-sync; do
  printf '[Unit]\nDefaultDependencies=no\n' > /run/units/$target.target
done
printf '[Unit]\nDefaultDependencies=no\nWants=silkgate.service\n' > /run/units/default.target
export container=test SYSTEMD_UNIT_PATH=/run/units SYSTEMD_GENERATOR_PATH=/run/none
exec /lib/systemd/systemd --system --unit=default.target --log-target=null --show-status=no
