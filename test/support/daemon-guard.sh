#!/bin/sh
# Clears what a private containerd leaves on the host. It waits for the end of its standard input, which a test
# process holds open: so the same clearing happens on stop() and when that process is killed with SIGKILL.
# usage: daemon-guard.sh ROOT    (everything of that daemon lies under ROOT or has its socket on the command line)
set -u
root=$1
case $root in /*/cadre-containerd-*) ;; *) echo "not a private daemon's root: $root" >&2; exit 2 ;; esac
trap '' HUP INT TERM

while read -r _; do :; done

# Prints the ids of this daemon ($1 = --config) or of its shims ($1 = -address); nobody else names these paths.
list() {
  for file in $(grep -l -s -a -F -e "$root/" /proc/[0-9]*/cmdline); do
    words=" $(tr '\0' ' ' 2>/dev/null <"$file")"
    case $words in *" $1 $root/"*) pid=${file#/proc/}; echo "${pid%/cmdline}" ;; esac
  done
}

end() { # option
  for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
    pids=$(list "$1")
    [ -n "$pids" ] || return 0
    # shellcheck disable=SC2086
    kill -KILL $pids 2>/dev/null
    sleep 0.1
  done
  echo "still running after SIGKILL: $pids" >&2
  return 1
}

failed=0
end --config || failed=1

# runc before the shims: it kills by cgroup, so that no process of a container outlives its shim. The state root
# of runc is shared by every containerd of the host: only a container whose bundle is ours is touched.
for bundle in "$root"/state/io.containerd.runtime.v2.task/*/*; do
  [ -d "$bundle" ] || continue
  id=${bundle##*/}; space=${bundle%/*}; space=${space##*/}
  if grep -q -s -F "bundle=$bundle" "/run/containerd/runc/$space/$id/state.json"; then
    runc --root "/run/containerd/runc/$space" delete --force "$id" || failed=1
  fi
done
end -address || failed=1
# A shim that was killed leaves its socket; the name is how every generation builds it.
for bundle in "$root"/state/io.containerd.runtime.v2.task/*/*; do
  [ -d "$bundle" ] || continue
  path=${bundle#"$root/state/io.containerd.runtime.v2.task/"}
  name=$(printf %s "$root/containerd.sock/$path" | sha256sum)
  rm -f "/run/containerd/s/${name%% *}"
done

# Deepest first; a mount can hide another one, hence the rounds.
for _ in 1 2 3; do
  mounts=$(awk -v root="$root/" 'index($5, root) == 1 { print $5 }' /proc/self/mountinfo | sort -r)
  [ -n "$mounts" ] || break
  echo "$mounts" | while read -r mount; do umount "$mount" 2>/dev/null || umount -l "$mount"; done
done
[ -z "$mounts" ] || failed=1

# The directory of a namespace stays behind in every cgroup hierarchy and in runc's root; rmdir takes empty ones only.
for space in "$root"/root/io.containerd.runtime.v2.task/* "$root"/state/io.containerd.runtime.v2.task/*; do
  [ -d "$space" ] || continue
  rmdir "/run/containerd/runc/${space##*/}" /sys/fs/cgroup/"${space##*/}" /sys/fs/cgroup/*/"${space##*/}" 2>/dev/null
done

rm -rf --one-file-system "$root" || failed=1
exit $failed
