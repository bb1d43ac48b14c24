import { closeSync, constants, existsSync, openSync, readFileSync, readlinkSync } from 'node:fs';
import os from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { hasCode } from '../core/error.js';
import { isExecutable, runProgram } from '../core/program.js';
import { listMissingTools } from '../network/tools.js';
import { nameKataConfiguration, nameShim, type ProgramFacts, type RuntimeFacts } from '../spec/prerequisites.js';
import type { DaemonProcess } from './daemon.js';
import { readVisible } from './proc.js';

/** Where distributions and Kata's own archive put programs, for when the daemon's PATH is not known. */
const usualPlaces = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin', '/opt/kata/bin'];
const configurationPlaces = [
  '/etc/kata-containers',
  '/usr/share/defaults/kata-containers',
  '/opt/kata/share/defaults/kata-containers',
].flatMap((place) => [place, join(place, 'runtime-rs')]);
/** For a program to tell its version, in ms. */
const VERSION_MS = 2_000;
/** For Kata to look at the host, in ms. */
const CHECK_MS = 5_000;

export interface FactsRequest {
  /** containerd's name of the runtime, or the path of its shim. */
  runtime: string;
  /** What runc's shim is to run. Defaults to runc. */
  runtimeBinary?: string | undefined;
  /** Kata's configuration, where one was chosen. */
  configPath?: string | undefined;
  /** Control groups are to be systemd's. */
  systemdCgroup?: boolean | undefined;
  daemon?: DaemonProcess | undefined;
  /** What the shim itself said to containerd 2; undefined where it was not asked. */
  answers?: boolean | undefined;
  /** Where the host's nodes and files are. Defaults to where the daemon sees them. */
  hostRoot?: string | undefined;
  /** Also run programs of the host that tell of themselves, which takes a while. Defaults to false. */
  isThorough?: boolean;
}

/** Looks for what a runtime stands on, where the daemon would look. */
export async function readRuntimeFacts(request: FactsRequest): Promise<RuntimeFacts> {
  const { runtime, answers, daemon, hostRoot = daemon?.root ?? '', isThorough = false } = request;
  const places = daemon?.places ?? [...(process.env.PATH ?? '').split(':'), ...usualPlaces];
  const find = (program: string) => findIn(places, daemon?.root ?? '', program);
  const shim = find(nameShim(runtime));
  const kataRuntime = isThorough && daemon?.root === '' ? find('kata-runtime') : undefined;
  return {
    kernel: os.release(),
    shim: answers === true ? (shim ?? nameShim(runtime)) : answers === false ? undefined : shim,
    isCertain: answers !== undefined || daemon !== undefined,
    runc: await describeProgram(request.runtimeBinary ?? find('runc'), { isThorough, root: daemon?.root ?? '' }),
    kvm: tryToOpen(join(hostRoot, '/dev/kvm')),
    vsock: tryToOpen(join(hostRoot, '/dev/vhost-vsock')),
    virtualization: hasVirtualization(join(hostRoot, '/proc/cpuinfo')),
    configuration: findConfiguration(request, hostRoot),
    missingTools: listMissingTools(),
    // sd_booted(3)
    systemd: request.systemdCgroup ? existsSync(join(hostRoot, '/run/systemd/system')) : undefined,
    kataCheck: kataRuntime === undefined ? undefined : await runKataCheck(kataRuntime),
  };
}

function findIn(places: readonly string[], root: string, program: string): string | undefined {
  const paths = program.startsWith('/') ? [program] : places.map((place) => join(place, program));
  return paths.find((path) => isExecutable(follow(root, path)));
}

/** As many links as the kernel follows (path_resolution(7)). */
const LINKS = 40;

/** A file below a root, by links that are meant as whoever has that root sees them: the kernel takes them from ours. */
function follow(root: string, path: string, links = LINKS): string {
  const here = join(root, path);
  if (root === '' || links === 0) return here;
  const target = readVisible(() => readlinkSync(here), undefined);
  return target === undefined ? here : follow(root, resolve(dirname(path), target), links - 1);
}

/** In the order in which Kata takes them: what it was told, its environment, its own places. */
function findConfiguration(
  { runtime, configPath, daemon }: FactsRequest,
  hostRoot: string,
): RuntimeFacts['configuration'] {
  const name = nameKataConfiguration(runtime);
  const chosen = configPath ?? daemon?.environment.KATA_CONF_FILE;
  const names = new Set([name, 'configuration.toml']);
  const paths =
    chosen === undefined
      ? [...names].flatMap((file) => configurationPlaces.map((place) => join(place, file)))
      : [chosen];
  const path = paths.find((candidate) => existsSync(follow(hostRoot, candidate)));
  return { path: path ?? chosen ?? name, isThere: path !== undefined };
}

/** The overlay file system may still be a module to load: these are what the kernel knows by now (proc_filesystems(5)). */
export function hasOverlay(): boolean {
  return /\boverlay$/m.test(readFileSync('/proc/filesystems', 'utf8'));
}

/** The error of the attempt. To look at the mode is not enough: a node may be there whose module is not. */
function tryToOpen(path: string): string | undefined {
  try {
    closeSync(openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
    return undefined;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code ?? String(error);
  }
}

/** Only the flags of x86 tell; elsewhere /dev/kvm is the one sign. */
function hasVirtualization(path: string): boolean {
  if (process.arch !== 'x64') return true;
  return existsSync(path) && /^flags\s*:.*\b(vmx|svm)\b/m.test(readFileSync(path, 'utf8'));
}

async function describeProgram(
  path: string | undefined,
  { isThorough, root }: { isThorough: boolean; root: string },
): Promise<ProgramFacts | undefined> {
  // What lies in another root has libraries of its own there.
  if (path === undefined || !isThorough || root !== '') return path === undefined ? undefined : { path };
  const { lines, problem } = await run(path, ['--version'], VERSION_MS);
  if (problem !== undefined) return { path, problem };
  return lines[0] === undefined ? { path, problem: 'says nothing' } : { path, says: lines[0] };
}

/** Without a look for newer versions on the internet. */
async function runKataCheck(path: string): Promise<RuntimeFacts['kataCheck']> {
  const { lines, problem } = await run(path, ['check', '--no-network-checks'], CHECK_MS);
  const says = lines.find((line) => line.includes('System is capable')) ?? problem ?? lines.at(-1) ?? 'says nothing';
  return { passed: problem === undefined, says };
}

async function run(path: string, args: string[], ms: number): Promise<{ lines: string[]; problem?: string }> {
  const lines: string[] = [];
  const operation = `${path} ${args.join(' ')}`;
  try {
    await runProgram(path, args, { operation, onLine: (line) => lines.push(line), signal: AbortSignal.timeout(ms) });
    return { lines };
  } catch (error) {
    const reason = error instanceof Error ? error.message.replaceAll('\n', ' ') : String(error);
    return { lines, problem: hasCode(error, 'canceled') ? `${operation} did not end in ${ms} ms` : reason };
  }
}
