#!/bin/bash
# The guest's first process: makes a machine as systemd would leave it, runs the tests, keeps what they said, turns the
# machine off. Its words go to the kernel's console, the tests' to /dev/hvc0.
export PATH=/payload/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux
mount -t devpts -o gid=5,mode=620,ptmxmode=666 none /dev/pts 2>/dev/null
mkdir -p /dev/shm && mount -t tmpfs -o mode=1777 none /dev/shm
mount -t securityfs none /sys/kernel/security
mount -t cgroup2 -o nosuid,nodev,noexec,nsdelegate none /sys/fs/cgroup
hostname guest
ip link set lo up
for module in virtio_console overlay bfq; do modprobe "$module"; done

# Every controller handed down, and ourselves out of the root, as a service is in its own group under systemd.
sed 's/\</+/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
mkdir -p /sys/fs/cgroup/system.slice/tests
echo 0 >/sys/fs/cgroup/system.slice/tests/cgroup.procs
for scheduler in /sys/block/vd?/queue/scheduler; do echo bfq >"$scheduler"; done

mkdir /results && mount -o sync /dev/vdc /results
export XDG_CACHE_HOME=/payload/cache TEST_SUMMARY=/results/summary
CADRE_TEST_SLOW=$(sed -n 's/.*cadre\.slow=\([0-9]*\).*/\1/p' /proc/cmdline)
export CADRE_TEST_SLOW
grep -qw cadre.color /proc/cmdline || export NO_COLOR=1
read -r up _ </proc/uptime
echo "guest: up after ${up} s, $(uname -r), cgroup v2, AppArmor $(cat /sys/module/apparmor/parameters/enabled)" >/dev/hvc0
cd /payload/repo
# The runs go side by side, as one does not fill the two processors: each has daemons of its own.
run() { # number, arguments
  local number=$1
  shift
  # Through a pipe: on a terminal vitest would paint over its own lines.
  node node_modules/vitest/vitest.mjs run "$@" </dev/null 2>&1 | tee "/results/output-$number" >/dev/hvc0
  return "${PIPESTATUS[0]}"
}
arguments=()
runs=()
while read -r argument; do
  if [ "$argument" != --end ]; then
    arguments+=("$argument")
    continue
  fi
  run "${#runs[@]}" "${arguments[@]}" &
  runs+=($!)
  arguments=()
done </payload/arguments
status=0
for pid in "${runs[@]}"; do wait "$pid" || status=1; done
echo "$status" >/results/status
dmesg >/results/dmesg
sync

if grep -qw cadre.keep /proc/cmdline; then
  echo "guest: status $(cat /results/status); a shell in /payload/repo, its end turns the machine off" >/dev/hvc0
  setsid --ctty bash -i <>/dev/hvc0 >&0 2>&1
fi
umount /results
echo o >/proc/sysrq-trigger
sleep 60
