import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import os from 'node:os';
import { join } from 'node:path';
import { findProgram, runProgram } from '../core/program.js';
import { nameKataConfiguration, nameShim, type RuntimeFacts } from '../spec/prerequisites.js';

/** Beside PATH: where distributions and Kata's own archive put shims. */
const shimPlaces = ['/usr/bin', '/usr/local/bin', '/opt/kata/bin'];
const sbin = ['/usr/sbin', '/sbin'];
const configurationPlaces = [
  '/etc/kata-containers',
  '/usr/share/defaults/kata-containers',
  '/opt/kata/share/defaults/kata-containers',
];
/** For a program to tell its version, in ms. */
const VERSION_MS = 2_000;

/** Looks for what a runtime stands on. `hostRoot` is where /dev, /proc and Kata's configuration are looked for. */
export async function readRuntimeFacts(runtime: string, { hostRoot = '/' } = {}): Promise<RuntimeFacts> {
  const shim = nameShim(runtime);
  const at = (path: string) => join(hostRoot, path);
  const configuration = configurationPlaces.map((place) => join(place, nameKataConfiguration(runtime)));
  return {
    kernel: os.release(),
    shim: shim.startsWith('/')
      ? isAccessible(shim, constants.X_OK)
        ? shim
        : undefined
      : findProgram(shim, shimPlaces),
    runc: await readRuncVersion(),
    kvm: isAccessible(at('/dev/kvm')),
    vsock: isAccessible(at('/dev/vhost-vsock')),
    virtualization: hasVirtualization(at('/proc/cpuinfo')),
    configuration: configuration.find((path) => existsSync(at(path))),
  };
}

/** The file systems that the kernel knows by now (proc_filesystems(5)): overlay may still be a module to load. */
export function hasOverlay(): boolean {
  return /\boverlay$/m.test(readFileSync('/proc/filesystems', 'utf8'));
}

function isAccessible(path: string, mode = constants.R_OK | constants.W_OK): boolean {
  try {
    accessSync(path, mode);
    return true;
  } catch {
    return false;
  }
}

/** Only the flags of x86 tell; elsewhere /dev/kvm is the one sign. */
function hasVirtualization(path: string): boolean {
  if (process.arch !== 'x64') return true;
  return existsSync(path) && /^flags\s*:.*\b(vmx|svm)\b/m.test(readFileSync(path, 'utf8'));
}

async function readRuncVersion(): Promise<string | undefined> {
  const runc = findProgram('runc', sbin);
  if (runc === undefined) return undefined;
  let version: string | undefined;
  const onLine = (line: string) => {
    version ??= /^runc version (\S+)/.exec(line)?.[1];
  };
  await runProgram(runc, ['--version'], {
    operation: 'runc --version',
    onLine,
    signal: AbortSignal.timeout(VERSION_MS),
  });
  return version;
}
