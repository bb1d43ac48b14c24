import { basename } from 'node:path';
import type { Fault } from '../core/error.js';
import { classifyRuntime } from '../policy/runtimes.js';

/** What a runtime is told beside the session's document. Each holds for sessions on the runtimes that it names. */
export interface RuntimeOptions {
  /** Of other runtimes than runc: the shim's configuration, such as Kata's `configuration-qemu.toml`. */
  configPath?: string;
  /** Of runc: control groups are made by systemd, below `system.slice`; refused where it does not run the host. Defaults to false. */
  systemdCgroup?: boolean;
  /** Of runc: path of a control group that is there, for the shim itself. */
  shimCgroup?: string;
  /**
   * Of Kata: how a limit of memory or processors sizes the virtual machine. `limits` plugs that much into a machine of
   * the configured size. `annotations` boots one of exactly that size, where the host's `enable_annotations` allows
   * `default_memory` and `default_vcpus`; memory is then at least 256 MiB, processors are whole. Defaults to `limits`.
   */
  sizing?: 'limits' | 'annotations';
}

/** A runtime as containerd is told of it. */
export interface RuntimeChoice {
  /** containerd's name, or the path of a shim. */
  name: string;
  options?: ShimOptions;
}

/** By the type of their message: runc's shim takes its own, every other the general one. */
export type ShimOptions =
  | { type: 'containerd.runc.v1.Options'; binaryName: string; systemdCgroup: boolean; shimCgroup: string }
  | { type: 'runtimeoptions.v1.Options'; typeUrl: string; configPath: string };

export const RUNC = 'io.containerd.runc.v2';

/** Containers of one value are served by one process of runc's shim (containerd, `groupLabels` of its manager). */
const GROUP = 'io.containerd.runc.v2.group';

/** Has sessions of one group share a shim. */
export function annotateGroup(group: string): Record<string, string> {
  return { [GROUP]: nameShimGroup(group) };
}

/** A group's name as the shim has it. No id of a session begins so: the shim of one that shares none has its id's name. */
export function nameShimGroup(group: string): string {
  return `shared-${group}`;
}

/** What of a document's annotations is the shim's of runc. */
export function keepGroup(annotations: Readonly<Record<string, string>> = {}): Record<string, string> {
  const group = annotations[GROUP];
  return group === undefined ? {} : { [GROUP]: group };
}
const aliases: Readonly<Record<string, string>> = { runc: RUNC, kata: 'io.containerd.kata.v2' };

/** As containerd parses them (runtime/v2/shim/util.go): at least two parts with dots between, the last a version. */
const fullName = /^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*\.v\d+$/;

/** What may be asked for by a runtime's name or path. */
const runtimeForms =
  'runc, kata, a name of containerd such as io.containerd.kata-qemu.v2, or the absolute path of a shim';

/** containerd's name of a runtime, or the path of its shim. */
export function nameRuntime(runtime: string): string {
  return aliases[runtime] ?? runtime;
}

function isRuntime(runtime: string): boolean {
  return Object.hasOwn(aliases, runtime) || fullName.test(runtime) || /^\/([^/]+\/)*[^/]+$/.test(runtime);
}

/**
 * Whether the processes of a session are none of this host's: those of Kata are its guest's, those of gVisor its
 * sentry's. Of a runtime that is not known it is not known either, and nothing is read or killed on a guess.
 */
export function hidesProcesses({ runtime }: { runtime: string }): boolean {
  return classifyRuntime(runtime) !== 'runc';
}

/** Whether the network namespace has to be there before the session: Kata refuses that of the host, and makes none. */
export function needsNetworkPath(runtime: string): boolean {
  return classifyRuntime(runtime) === 'kata';
}

/** What containerd is told of a runtime. */
export function chooseRuntime(
  runtime: string,
  { runtimeBinary, runtimeOptions = {} }: { runtimeBinary?: string | undefined; runtimeOptions?: RuntimeOptions },
): RuntimeChoice {
  const name = nameRuntime(runtime);
  const options = buildShimOptions(name, runtimeBinary, runtimeOptions);
  return { name, ...(options === undefined ? {} : { options }) };
}

function buildShimOptions(
  name: string,
  binaryName: string | undefined,
  { configPath, systemdCgroup = false, shimCgroup = '' }: RuntimeOptions,
): ShimOptions | undefined {
  if (classifyRuntime(name) !== 'runc') {
    // gVisor's shim takes no other type inside; Kata's looks at the path alone.
    const typeUrl = /runsc/.test(basename(name)) ? 'io.containerd.runsc.v1.options' : '';
    return configPath === undefined ? undefined : { type: 'runtimeoptions.v1.Options', typeUrl, configPath };
  }
  if (binaryName === undefined && !systemdCgroup && shimCgroup === '') return undefined;
  return { type: 'containerd.runc.v1.Options', binaryName: binaryName ?? '', systemdCgroup, shimCgroup };
}

interface RuntimeRequest {
  runtime: string;
  shimGroup?: string | undefined;
  runtimeOptions?: RuntimeOptions | undefined;
  resources?: { memoryBytes?: number; cpus?: number };
}

const MIB = 1024 * 1024;
/** Kata refuses a machine with less (`default_memory` of its annotations). */
const LEAST_MIB = 256;

/** What is wrong with the choice of a runtime. */
export function checkRuntimeChoice({ runtime, shimGroup, runtimeOptions, resources = {} }: RuntimeRequest): Fault[] {
  const faults: Fault[] = [];
  if (shimGroup !== undefined && classifyRuntime(runtime) !== 'runc') {
    const expected = `none on ${runtime}, as runc's shim alone serves several sessions`;
    faults.push({ path: 'shimGroup', value: shimGroup, expected });
  }
  if (!isRuntime(runtime)) faults.push({ path: 'runtime', value: runtime, expected: runtimeForms });
  if (classifyRuntime(runtime) !== 'kata' || runtimeOptions?.sizing !== 'annotations') return faults;
  const { memoryBytes, cpus } = resources;
  if (memoryBytes !== undefined && (memoryBytes < LEAST_MIB * MIB || memoryBytes % MIB !== 0)) {
    const expected = `at least ${LEAST_MIB}, and whole, as annotations size the virtual machine`;
    faults.push({ path: 'resources.memoryMb', value: memoryBytes / MIB, expected });
  }
  if (cpus !== undefined && !Number.isInteger(cpus)) {
    const expected = 'a whole number, as annotations size the virtual machine';
    faults.push({ path: 'resources.cpus', value: cpus, expected });
  }
  return faults;
}
