#!/bin/bash
# What the guest starts with: as its first process hands over to systemd, which starts it once more, as a service. That
# runs the tests, keeps what they said and turns the machine off. Its words go to the kernel's console, the tests' to
# /dev/hvc0.
if [ $$ = 1 ]; then
  # With what Debian's containerd.service has, as the daemons of the tests are its children.
  cat >/etc/systemd/system/tests.service <<'UNIT'
[Unit]
Wants=dbus.socket
After=basic.target dbus.socket
[Service]
ExecStart=/payload/init
Delegate=yes
KillMode=process
LimitNPROC=infinity
LimitCORE=infinity
TasksMax=infinity
OOMScoreAdjust=-999
UNIT
  # Profiles of Debian's that nothing here wants, at a third of the time that the boot takes.
  ln -s /dev/null /etc/systemd/system/apparmor.service
  exec /lib/systemd/systemd --unit=tests.service
fi

export PATH=/payload/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TERM=linux
hostname guest
for module in virtio_console overlay bfq; do modprobe "$module"; done
for scheduler in /sys/block/vd?/queue/scheduler; do echo bfq >"$scheduler"; done

mkdir /results && mount -o sync /dev/vdc /results
export XDG_CACHE_HOME=/payload/cache TEST_SUMMARY=/results/summary
CADRE_TEST_SLOW=$(sed -n 's/.*cadre\.slow=\([0-9]*\).*/\1/p' /proc/cmdline)
export CADRE_TEST_SLOW
grep -qw cadre.color /proc/cmdline || export NO_COLOR=1
read -r up _ </proc/uptime
echo "guest: up after ${up} s, $(uname -r), $(cat /proc/1/comm), cgroup v2, AppArmor $(cat /sys/module/apparmor/parameters/enabled)" >/dev/hvc0
cd /payload/repo
export CADRE_TEST_PACKAGE=$PWD/node_modules/@cadre-dev/runtime-provider-containerd
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
  told="guest: a shell in /payload/repo after status $(cat /results/status); its end turns the machine off"
  # Told by the shell, which has the terminal open: what is typed into one that nobody has open is lost.
  export PATH=$PATH:$PWD/node_modules/.bin PROMPT_COMMAND="echo '$told'; unset PROMPT_COMMAND"
  setsid --ctty bash -i <>/dev/hvc0 >&0 2>&1
fi
umount /results
echo o >/proc/sysrq-trigger
sleep 60
