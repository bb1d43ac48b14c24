import { DriverError } from '../core/error.js';
import { findProgram, runProgram } from '../core/program.js';

/** Of one program, in ms; each takes some ten, and iptables may wait for others. */
const RUN_MS = 30_000;
const packages = {
  unshare: 'util-linux',
  nsenter: 'util-linux',
  mount: 'mount',
  umount: 'mount',
  ip: 'iproute2',
  ss: 'iproute2',
  iptables: 'iptables',
};

export type Tool = keyof typeof packages;

/** Where a program is that the kernel's network is changed with; undefined when this host has none. */
export function lookUpTool(name: Tool): string | undefined {
  return findProgram(name, ['/usr/sbin', '/sbin']);
}

/** Programs that namespaces need and this host does not have. */
export function listMissingTools(): string[] {
  return (['unshare', 'ip', 'umount'] as const).filter((name) => lookUpTool(name) === undefined);
}

/** The same; throws `failed-precondition`, with what to install. */
export function findTool(name: Tool): string {
  const found = lookUpTool(name);
  if (found !== undefined) return found;
  const remedy = `install ${packages[name]}`;
  const message = `networks of sessions need ${name}, which is not on this host: ${remedy}`;
  throw new DriverError('failed-precondition', message, { operation: 'network', remedy });
}

/** Runs it to its end; resolves with the lines that it printed. */
export async function runTool(name: Tool, args: readonly string[], input?: string): Promise<string[]> {
  const lines: string[] = [];
  await runProgram(findTool(name), args, {
    operation: `${name} ${args.join(' ')}`,
    onLine: (line) => lines.push(line),
    signal: AbortSignal.timeout(RUN_MS),
    input,
  });
  return lines;
}
