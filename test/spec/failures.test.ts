import { expect, test } from 'vitest';
import { explainFailure } from '../../src/spec/failures.js';

// As they were met: the first seven on containerd 1.6, 1.7 and 2.1, the others told by users of Kata.
const create = 'Tasks.Create: failed to create shim task: ';
const resolve = 'Tasks.Create: failed to start shim: failed to resolve runtime path: ';
const log =
  'OCI runtime create failed: unable to retrieve OCI runtime error (open /s/x/log.json: no such file or directory): ';

test.each<[text: string, part: string, code: string, message: string, remedy: string]>([
  [
    `${resolve}runtime "io.containerd.kata.v2" binary not installed "containerd-shim-kata-v2": file does not exist`,
    'shim',
    'failed-precondition',
    'containerd finds no containerd-shim-kata-v2, the shim of io.containerd.kata.v2',
    'link containerd-shim-kata-v2 into a directory on the PATH of containerd',
  ],
  [
    `${resolve}invalid custom binary path: stat /no/shim: no such file or directory`,
    'shim',
    'failed-precondition',
    'containerd finds no shim at /no/shim',
    'install /no/shim',
  ],
  [
    `${resolve}invalid runtime name kata, correct runtime name should be either format like \`io.containerd.runc.v1\` or a full path to the binary`,
    'runtime name',
    'invalid-argument',
    'kata is the name of no runtime',
    'io.containerd.NAME.VERSION',
  ],
  [
    `${create}${log}exec: "runc": executable file not found in $PATH`,
    'runtime binary',
    'failed-precondition',
    'the shim cannot run runc: executable file not found in $PATH',
    'install runc where containerd finds it',
  ],
  [
    `${create}${log}fork/exec /no/runc: no such file or directory`,
    'runtime binary',
    'failed-precondition',
    'the shim cannot run /no/runc: no such file or directory',
    'runtimeBinary',
  ],
  [
    `${create}${log}fork/exec /etc/passwd: permission denied`,
    'runtime binary',
    'failed-precondition',
    'the shim cannot run /etc/passwd: permission denied',
    'runtimeBinary',
  ],
  [
    'Tasks.Create: OCI runtime create failed: runc create failed: unable to start container process: error setting rlimits for ready process: error setting rlimit type 7: operation not permitted',
    'limit',
    'failed-precondition',
    'the hard limit of nofile in resources.ulimits is above what containerd itself has on this host',
    'ask for less',
  ],
  [
    `${create}OCI runtime create failed: runc create failed: systemd not running on this host, cannot use systemd cgroups manager`,
    'control groups',
    'failed-precondition',
    'systemd is not the init of this host, and makes no control groups here',
    'drop runtimeOptions.systemdCgroup',
  ],
  [
    `${create}Cannot find usable config file (config file "/etc/kata-containers/configuration.toml" unresolvable: file does not exist)`,
    'configuration',
    'failed-precondition',
    'Kata finds no configuration',
    'put configuration.toml into /etc/kata-containers',
  ],
  [
    `${create}host system doesn't support vsock: stat /dev/vhost-vsock: no such file or directory`,
    'vsock',
    'failed-precondition',
    'Kata cannot open /dev/vhost-vsock',
    'load the module vhost_vsock',
  ],
  [
    'Tasks.Create: failed to create containerd task: failed to create shim: open /dev/vhost-vsock: no such device',
    'vsock',
    'failed-precondition',
    'Kata cannot open /dev/vhost-vsock',
    'load the module vhost_vsock',
  ],
  [
    `${create}failed to launch qemu: exit status 1, error messages from qemu log: Could not access KVM kernel module: No such file or directory\nqemu-system-x86_64: failed to initialize kvm: No such file or directory`,
    'kvm',
    'failed-precondition',
    'the hypervisor of Kata cannot use /dev/kvm',
    'load the module kvm_intel or kvm_amd',
  ],
  [
    `${create}Others("failed to handler message try init runtime instance\n\nCaused by:\n    0: init runtime handler\n    1: start sandbox\n    2: start vm\n    3: start vmm server\n    4: run vmm server\n    5: No such file or directory (os error 2)")`,
    'kvm',
    'failed-precondition',
    'the hypervisor of Kata cannot use /dev/kvm',
    'kvm_intel',
  ],
  [
    `${create}Failed to Check if grpc server is working: rpc error: code = DeadlineExceeded desc = timed out connecting to vsock 2968858607:1024`,
    'agent',
    'deadline-exceeded',
    'the agent in the virtual machine does not answer',
    'dial_timeout',
  ],
  [
    `${create}failed to launch cloud-hypervisor: "Failed to connect to API (timeout 10s): error: Get \\"http://localhost/api/v1/vmm.ping\\": dial unix /run/vc/vm/x/clh-api.sock: connect: no such file or directory reason: "`,
    'hypervisor',
    'unknown',
    'Kata cannot start cloud-hypervisor',
    'configuration of Kata',
  ],
  [
    `${create}OCI runtime create failed: Host networking requested, not supported by runtime`,
    'network',
    'failed-precondition',
    'Kata has no part in the network of the host',
    'networkMode none',
  ],
  [
    `${create}annotation io.katacontainers.config.hypervisor.default_memory is not enabled`,
    'annotation',
    'failed-precondition',
    'this host does not let sessions set io.katacontainers.config.hypervisor.default_memory',
    'add "default_memory" to enable_annotations',
  ],
  [
    `${create}Could not find sandbox ID`,
    'sandbox',
    'failed-precondition',
    'Kata takes the session for a part of a pod',
    'io.kubernetes.cri.container-type',
  ],
])('%s', (text, part, code, message, remedy) => {
  expect(explainFailure(text)).toEqual({ part, code, message, remedy: expect.stringContaining(remedy) });
});

// What is the session's own, or the daemon's, stays as it was told.
test.each([
  'Tasks.Create: OCI runtime create failed: runc create failed: unable to start container process: exec: "no-such-command": executable file not found in $PATH',
  'Tasks.Create: failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error closing exec fds: open /proc/self/fd: no such file or directory',
  'Tasks.Create: task cadre-1: already exists',
  'Tasks.Start: no running task found: task cadre-1 not found',
])('%s is explained by nothing here', (text) => {
  expect(explainFailure(text)).toBeUndefined();
});
