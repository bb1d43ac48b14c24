/** One run of the guest in qemu. It ends with this process, whatever ends that. */
import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { connectShell } from './shell.js';

type Accelerator = 'kvm' | 'tcg';

export interface Machine {
  /** Holds root.ext4, vmlinuz and initrd; stays as it is. */
  readonly image: string;
  /** The second disk; stays as it is. */
  readonly payload: string;
  /** The third disk, which the guest writes. */
  readonly results: string;
  /** Where the kernel's console goes. */
  readonly console: string;
  readonly accelerator: Accelerator;
  /** Words for the kernel's command line. */
  readonly words: readonly string[];
  readonly memoryMb: number;
  /** Once the guest has a shell, our terminal or pipe is that of it; otherwise it reads nothing. */
  readonly interactive: boolean;
  /** After which the guest is killed, in ms. */
  readonly deadlineMs: number;
}

/**
 * `no_timer_check`: on a busy host the kernel's test of its timer, which is one of time, fails under emulation and ends in a
 * panic (kernel-parameters.txt). `mitigations=off`: an emulated processor has no flaws to work round.
 */
const KERNEL = ['console=ttyS0 loglevel=4 panic=-1 no_timer_check mitigations=off root=/dev/vda rw init=/sbin/vm-init'];

/** Why a guest did not turn itself off; undefined when it did. */
export type Failure = string | undefined;

export async function runMachine(machine: Machine, signal: AbortSignal): Promise<Failure> {
  const { accelerator, words, memoryMb } = machine;
  const disk = (file: string, options: string) => ['-drive', `file=${file},format=raw,if=virtio,${options}`];
  return runQemu(
    [
      ...['-machine', 'q35', '-accel', accelerator === 'kvm' ? 'kvm' : 'tcg,thread=multi'],
      ...['-cpu', accelerator === 'kvm' ? 'host' : 'max', '-smp', '2', '-m', String(memoryMb)],
      ...['-kernel', join(machine.image, 'vmlinuz'), '-initrd', join(machine.image, 'initrd')],
      ...['-append', [...KERNEL, ...words].join(' ')],
      ...disk(join(machine.image, 'root.ext4'), 'snapshot=on,cache=unsafe'),
      ...disk(machine.payload, 'snapshot=on,cache=unsafe'),
      ...disk(machine.results, 'cache=unsafe'),
      ...['-device', 'virtio-rng-pci', '-device', 'virtio-serial'],
      ...['-chardev', 'stdio,id=out,signal=off', '-device', 'virtconsole,chardev=out'],
      ...['-serial', `file:${machine.console}`],
    ],
    { deadlineMs: machine.deadlineMs, interactive: machine.interactive, signal },
  );
}

/**
 * Shown by what it does: a device file, or a processor's flag, promises what a nested host may not keep. A kernel
 * without a disk comes to its panic, and with it to its end, in two seconds.
 */
export async function proveKvm(image: string, directory: string, signal: AbortSignal): Promise<boolean> {
  const log = join(directory, 'kvm.log');
  const failure = await runQemu(
    [
      ...['-machine', 'q35', '-accel', 'kvm', '-cpu', 'host', '-m', '512', '-kernel', join(image, 'vmlinuz')],
      ...['-append', 'console=ttyS0 panic=-1 no_timer_check', '-serial', `file:${log}`],
    ],
    { deadlineMs: 20_000, interactive: false, signal, quiet: true },
  );
  return failure === undefined && readFileSync(log, 'utf8').includes('Unable to mount root fs');
}

interface QemuOptions {
  deadlineMs: number;
  interactive: boolean;
  signal: AbortSignal;
  quiet?: boolean;
}

async function runQemu(words: readonly string[], options: QemuOptions): Promise<Failure> {
  const { deadlineMs, interactive, quiet, signal } = options;
  const output = quiet ? 'ignore' : 'inherit';
  const qemu = ['qemu-system-x86_64', '-nodefaults', '-no-user-config', '-no-reboot', '-display', 'none', ...words];
  // pdeathsig (prctl(2)): nothing of the guest outlives us, not even when we are killed.
  const child = spawn('setpriv', ['--pdeathsig', 'KILL', 'nice', '-n', '10', ...qemu], {
    stdio: interactive ? ['pipe', 'pipe', 'inherit'] : ['ignore', output, output],
  });
  const disconnect = interactive ? connectShell(child) : undefined;
  const kill = () => child.kill('SIGKILL');
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    kill();
  }, deadlineMs);
  signal.addEventListener('abort', kill);
  try {
    const ended = await waitForEnd(child);
    signal.throwIfAborted();
    if (isLate) return `was still running after ${Math.round(deadlineMs / 1000)} s, and was killed`;
    return ended === 0 ? undefined : `qemu ended with ${ended}`;
  } finally {
    disconnect?.();
    clearTimeout(timer);
    signal.removeEventListener('abort', kill);
  }
}

function waitForEnd(child: ChildProcess): Promise<number | string> {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? signal ?? 'nothing'));
  });
}
