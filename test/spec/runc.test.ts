import { existsSync, readdirSync, rmSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { findObstacle, makeRootfs, RuncSandbox } from './runc-sandbox.js';

const obstacle = findObstacle();
if (obstacle !== undefined) console.warn(`specs are not run with runc: ${obstacle}`);

const EPERM = 1;
const EINVAL = 22;
const ENOSYS = 38;
const SIGSYS = 128 + 31;

/** Calls that the default profile refuses and that would not be refused for lack of a capability. */
const refused: [name: string, call: string, errno: number][] = [
  ['unshare(CLONE_NEWUSER)', '0 110 10000000', EPERM],
  ['clone(CLONE_NEWUSER | SIGCHLD)', '0 38 10000011', EPERM],
  ['clone3', '0 1b3 0 0', ENOSYS],
  ['io_uring_setup', '0 1a9 1 0', EPERM],
  ['socket(AF_VSOCK)', '0 29 28 1', EPERM],
  ['socket(AF_VSOCK) with more above the int', '0 29 100000028 1', EPERM],
  ['socket(AF_NETLINK, NETLINK_NETFILTER)', '0 29 10 3 c', EPERM],
  ['socket(AF_NETLINK, NETLINK_AUDIT)', '0 29 10 3 9', EINVAL],
  ['ptrace(PTRACE_TRACEME)', '0 65 0', EPERM],
  ['process_vm_readv', '0 136 1', EPERM],
  ['keyctl(KEYCTL_GET_KEYRING_ID)', '0 fa 0 fffffffd', EPERM],
  ['userfaultfd(UFFD_USER_MODE_ONLY)', '0 143 1', EPERM],
  ['personality(READ_IMPLIES_EXEC)', '0 87 400000', EPERM],
  ['getpid of i386', '1 14', SIGSYS],
];

/** Refused with and without the filter, or here without the module: that the filter says it first is seen in its errno. */
const closed: [name: string, call: string, errno: number][] = [
  ['socket(AF_ALG)', '0 29 26 5', EPERM],
  ['socket(AF_PACKET)', '0 29 11 3', EPERM],
  ['mount', '0 a5', EPERM],
  ['setns', '0 134', EPERM],
  ['bpf', '0 141', EPERM],
  ['perf_event_open', '0 12a', EPERM],
  ['kexec_load', '0 f6', EPERM],
  ['init_module', '0 af', EPERM],
  ['getpid of x32', '0 40000027', SIGSYS],
  ['a call of the future', '0 3e7', ENOSYS],
];

/** Open by default, and closed by `strict`. */
const strictlyClosed: [name: string, call: string, errno: number][] = [
  ['socket(AF_INET, SOCK_STREAM, IPPROTO_SCTP)', '0 29 2 1 84', EPERM],
  ['socket(AF_INET, SOCK_STREAM, IPPROTO_MPTCP)', '0 29 2 1 106', EPERM],
  ['socket(AF_INET, SOCK_DGRAM, IPPROTO_ICMP)', '0 29 2 2 1', EPERM],
  ['socket(AF_INET6, SOCK_RAW)', '0 29 a 3 3a', EPERM],
  ['socket(AF_NETLINK, NETLINK_SOCK_DIAG)', '0 29 10 3 4', EPERM],
  ['personality(ADDR_NO_RANDOMIZE)', '0 87 40000', EPERM],
  ['msgget', '0 44 0 3b6', EPERM],
  ['shmget', '0 1d 0 1000 3b6', EPERM],
  ['io_setup', '0 ce 1', EPERM],
  ['vmsplice', '0 116', EPERM],
  ['name_to_handle_at', '0 12f', EPERM],
];

const strictlyOpen: [name: string, call: string, errno: number][] = [
  ['socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK)', '0 29 2 80801', 0],
  ['socket(AF_INET6, SOCK_DGRAM, IPPROTO_UDP)', '0 29 a 2 11', 0],
  ['socket(AF_UNIX, SOCK_SEQPACKET)', '0 29 1 5', 0],
  ['socket(AF_NETLINK, NETLINK_ROUTE)', '0 29 10 3 0', 0],
  ['personality(what it is)', '0 87 ffffffff', 0],
];

const open: [name: string, call: string, errno: number][] = [
  ['socket(AF_UNIX) with more above the int', '0 29 100000001 1', 0],
  ['socket(AF_INET6)', '0 29 a 1', 0],
  ['socket(AF_NETLINK, NETLINK_ROUTE)', '0 29 10 3 0', 0],
  ['socketpair(AF_UNIX), of which the address is bad', '0 35 1 1', 14],
  ['personality(ADDR_NO_RANDOMIZE)', '0 87 40000', 0],
  ['getpid', '0 27', 0],
];

function probe(sandbox: RuncSandbox, calls: [string, string, number][]): [string, number][] {
  // A shell also tells of the signals that its children ended by.
  const codes = sandbox
    .sh(calls.map(([, call]) => `probe ${call}; echo code $?`).join('; '))
    .match(/(?<=^code )\d+$/gm);
  return calls.map(([name], index) => [name, Number(codes?.[index])]);
}

const expectErrnos = (calls: [string, string, number][]) => calls.map(([name, , errno]) => [name, errno]);

describe.skipIf(obstacle !== undefined)('a spec, run by runc', () => {
  let rootfs: string;
  let sandbox: RuncSandbox;
  const cgroups = ['/sys/fs/cgroup/pids', '/sys/fs/cgroup'].find((path) => existsSync(path)) ?? '';
  const list = () => readdirSync(cgroups).filter((name) => name.startsWith('cadre-test-'));
  let before: string[];

  beforeAll(() => {
    before = list();
    rootfs = makeRootfs();
    sandbox = new RuncSandbox(rootfs, { resources: { memoryMb: 512, cpus: 0.5, pidsLimit: 64 } });
  }, 30_000);
  afterAll(() => {
    sandbox?.[Symbol.dispose]();
    rmSync(rootfs, { recursive: true, force: true });
    // A run that was killed leaves its own.
    expect(list().filter((name) => !before.includes(name))).toEqual([]);
  });

  describe.skipIf(process.arch !== 'x64')('system calls', () => {
    test('what the default profile refuses', () => {
      const calls = [...refused, ...closed];
      expect(probe(sandbox, calls)).toEqual(expectErrnos(calls));
    });

    test('what it lets pass', () => {
      expect(probe(sandbox, open)).toEqual(expectErrnos(open));
    });

    test('it is the profile that refuses: without it the kernel does not', () => {
      using free = new RuncSandbox(rootfs, { seccomp: 'unconfined' });
      const same = probe(free, refused).filter(([, errno], index) => errno === refused[index]?.[2]);
      expect(same).toEqual([]);
      expect(free.sh('grep Seccomp: /proc/self/status')).toMatch(/\t0$/);
    });

    test('strict closes more, and only strict does', () => {
      using strict = new RuncSandbox(rootfs, { seccomp: 'strict' });
      const calls = [...refused, ...closed, ...strictlyClosed, ...strictlyOpen];
      expect(probe(strict, calls)).toEqual(expectErrnos(calls));
      expect(probe(sandbox, strictlyClosed).filter(([, errno]) => errno === EPERM)).toEqual([
        // The capability is what is missing there.
        ['socket(AF_INET6, SOCK_RAW)', EPERM],
      ]);
    });

    test('a capability opens the calls that it is for, and no others', () => {
      using admin = new RuncSandbox(rootfs, { capabilities: { add: ['SYS_ADMIN', 'NET_RAW'] } });
      expect(admin.sh('mount -t tmpfs none /srv && echo done; unshare -u true && echo done')).toBe('done\ndone');
      const calls: [string, string, number][] = [
        ['socket(AF_PACKET)', '0 29 11 3', 0],
        ['io_uring_setup', '0 1a9 1 0', EPERM],
        ['ptrace', '0 65 0', EPERM],
        ['keyctl', '0 fa 0', EPERM],
      ];
      expect(probe(admin, calls)).toEqual(expectErrnos(calls));
    });
  });

  test('the identity of a process is what the spec says', () => {
    const status = sandbox.sh('cat /proc/self/status');
    expect(status).toMatch(/^Seccomp:\t2$/m);
    expect(status).toMatch(/^NoNewPrivs:\t1$/m);
    expect(status).toMatch(/^CapInh:\t0{16}$/m);
    expect(status).toMatch(/^CapEff:\t00000000000004fb$/m);
    expect(status).toMatch(/^CapBnd:\t00000000000004fb$/m);
    // runc before 1.1.12 may leave the soft limit of open files at the hard one, which its Go runtime raises it to.
    expect(sandbox.sh('cat /proc/self/oom_score_adj; ulimit -n; ulimit -Hn; grep core /proc/self/limits')).toMatch(
      /^0\n(1024|4096)\n4096\nMax core file size +1 +1 +bytes *$/,
    );
    expect(sandbox.sh('readlink /proc/1/exe; hostname; cat /proc/1/cgroup | grep -vE ":/$"')).toBe(
      '/dev/cadre-init\nsandbox',
    );
  });

  test('an ordinary user has what was added and nothing else, init and exec alike', () => {
    using user = new RuncSandbox(rootfs, { capabilities: { add: ['NET_RAW'] } }, { uid: 1000, gid: 1000 });
    for (const of of ['1', 'self']) expect(user.sh(`grep CapEff /proc/${of}/status`)).toMatch(/\t0000000000002000$/);
    expect(
      sandbox.exec('sh', ['-c', 'id -u; grep CapEff /proc/self/status'], { user: { uid: 5, gid: 5 } }).stdout,
    ).toBe('5\nCapEff:\t0000000000000000\n');
  });

  test('what is masked is empty, what is read-only cannot be written, devices are few', () => {
    const masked = '/proc/keys /proc/kallsyms /proc/interrupts /proc/timer_list /proc/kpageflags';
    expect(sandbox.sh(`cat ${masked} | wc -c; ls /sys/firmware | wc -l`)).toBe('0\n0');
    const writes = ['/proc/sysrq-trigger', '/proc/sys/kernel/hostname', '/proc/irq/default_smp_affinity'];
    for (const path of [
      ...writes,
      '/sys/kernel/uevent_helper',
      '/sys/fs/cgroup/x',
      '/sys/fs/cgroup/pids/x',
      '/dev/cadre-init',
    ])
      expect(sandbox.sh(`echo x > ${path}; echo $?`), path).toMatch(/Permission|Read-only|nonexistent|No such/);
    expect(sandbox.sh('ls /dev')).toBe(
      'cadre-init\nfd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero',
    );
    expect(sandbox.sh('mknod /tmp/disk b 254 0; echo $?')).toMatch(/not permitted\n1$/);
    expect(sandbox.sh('ip -o link | cut -d: -f2')).toBe('lo');
  });

  test('the limits are those of the cgroup', () => {
    const root = '/sys/fs/cgroup';
    const v1 = `cat ${root}/memory/memory.limit_in_bytes ${root}/pids/pids.max ${root}/cpu/cpu.cfs_quota_us`;
    const v2 = `cat ${root}/memory.max ${root}/pids.max; cut -d' ' -f1 ${root}/cpu.max`;
    expect(sandbox.sh(`[ -e ${root}/cgroup.controllers ] && (${v2}) || ${v1}`)).toBe('536870912\n64\n50000');
    expect(sandbox.sh('for i in $(seq 100); do sleep 0.5 & done; wait')).toMatch(/can't fork/);
  });

  test('ordinary work is not disturbed', () => {
    expect(
      sandbox.sh(`set -e; cd /tmp; mkdir -p a/b; echo x > a/b/f; ln -s f a/b/l; ln a/b/f a/h; mkfifo a/p
        chown 1000:1000 a/b/f; chmod 4755 a/h; touch -d @1 a/b/f; tar cf t.tar a; rm -r a; tar xf t.tar
        stat -c '%a %u %Y' a/b/f; find a | sort | tr '\\n' ' '; (sleep 0.1; echo late) | cat; ps | wc -l > /dev/null
        su agent -c 'id -un'; (timeout 1 sleep 9 || echo $?) 2>/dev/null; nc -l -p 80 -e cat & sleep 0.1
        echo hello | nc -w 1 127.0.0.1 80; rm -r a t.tar; df / > /dev/null; sync; nproc > /dev/null; date > /dev/null`),
    ).toBe(`4755 1000 1\na a/b a/b/f a/b/l a/h a/p late\nagent\n143\nhello`);
  });

  test.each(['default', 'strict'])('Node finds its threads, sockets, timers and children under %s', (profile) => {
    const script = `
      const { Worker } = require('worker_threads'), { once } = require('events'), fs = require('fs');
      (async () => {
        const worker = new Worker('require("worker_threads").parentPort.postMessage(crypto.randomUUID().length)', { eval: true });
        const [length] = await once(worker, 'message');
        const server = require('http').createServer((_, reply) => reply.end('served')).listen(0, '127.0.0.1');
        await once(server, 'listening');
        const text = await (await fetch('http://127.0.0.1:' + server.address().port)).text();
        const child = require('child_process').execFileSync('sh', ['-c', 'echo child'], { encoding: 'utf8' }).trim();
        const watcher = fs.watch('/tmp'); setTimeout(() => fs.writeFileSync('/tmp/seen', ''), 10);
        await once(watcher, 'change'); await fs.promises.rm('/tmp/seen');
        console.log(length, text, child, Object.keys(require('os').networkInterfaces()).join());
        process.exit(0);
      })();`;
    using box = new RuncSandbox(rootfs, { profile, resources: { memoryMb: 512, cpus: 1, pidsLimit: 64 } });
    const { stdout, stderr } = box.exec('node', ['-e', script]);
    expect(stdout.trim() || stderr).toBe('36 served child lo');
  });

  test('a read-only root is one, and what has to be writable is', () => {
    using fixed = new RuncSandbox(rootfs, { readOnlyRootfs: true });
    expect(fixed.sh('touch /new; mkdir /srv/x; chmod 777 /etc/passwd')).toMatch(/^(.*Read-only file system\n?){3}$/);
    expect(fixed.sh('for d in /tmp /run /dev/shm; do echo x > $d/x && cat $d/x; done')).toBe('x\nx\nx');
    expect(fixed.sh('cp /bin/busybox /tmp/true && /tmp/true && echo ran')).toBe('ran');
    expect(fixed.sh('cp /bin/busybox /dev/true && /dev/true || echo refused')).toMatch(/refused$/);
    expect(
      fixed.sh('head -c 70m /dev/zero 2>/dev/null > /tmp/big; df -k /tmp | tail -1 | tr -s " " | cut -d" " -f2,4'),
    ).toBe('65536 0');
  });

  test('the least that a policy may ask for is enough to start and to exec', () => {
    using least = new RuncSandbox(rootfs, { resources: { memoryMb: 6, pidsLimit: 8, cpus: 0.1 } });
    const codes = Array.from({ length: 5 }, () => least.exec('true').status);
    expect(codes).toEqual([0, 0, 0, 0, 0]);
  });

  test('the most that an exec may be given is taken by the kernel', () => {
    const { stdout } = sandbox.exec('sh', ['-c', 'echo "$0" "$A" | wc -c', 'x'.repeat(131_071)], {
      env: { A: 'y'.repeat(131_069) },
    });
    expect(stdout).toBe(`${131_071 + 131_069 + 2}\n`);
    const args = Array.from({ length: 15 }, () => 'x'.repeat(131_000));
    expect(sandbox.exec('true', [...args, 'x'.repeat(131_000)]).status).toBe(0);
    expect(() => sandbox.exec('true', [...args, ...args])).toThrow(/at most 2097152 bytes/);
  });
});
