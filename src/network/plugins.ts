import { spawn } from 'node:child_process';
import { text } from 'node:stream/consumers';
import { DriverError } from '../core/error.js';
import { findIn, listPlaces } from '../core/program.js';

/** Where plugins are looked for behind CNI_PATH: where upstream's archive and distributions put them. */
const places = ['/opt/cni/bin', '/usr/lib/cni', '/usr/libexec/cni'];
/** For one plugin; they wait for one another's locks. */
const PLUGIN_MS = 60_000;

export type PluginConfig = { type: string; [key: string]: unknown };

/** What one plugin is called with (CNI 1.0, "Parameters"). */
export interface PluginCall {
  command: 'ADD' | 'CHECK' | 'DEL';
  containerId: string;
  /** Path of the namespace; on DEL it may be gone. */
  netns: string;
  ifname: string;
}

function listPluginPlaces(): string[] {
  return [...listPlaces(process.env.CNI_PATH), ...places];
}

/** Path of a plugin by its type; undefined where there is none. A type is a file's name and never a path. */
function findPlugin(type: string): string | undefined {
  return /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(type) ? findIn(listPluginPlaces(), type) : undefined;
}

/** Those of the types that this host has no plugin of. */
export function findMissing(types: readonly string[]): string[] {
  return types.filter((type) => findPlugin(type) === undefined);
}

/** Runs one plugin; resolves with what it prints, which is nothing but on ADD. */
export async function runPlugin(config: PluginConfig, { command, containerId, netns, ifname }: PluginCall) {
  const operation = `CNI ${command} ${config.type}`;
  const file = findPlugin(config.type);
  if (file === undefined) {
    const message = `there is no CNI plugin ${config.type} in ${listPluginPlaces().join(', ')}`;
    throw new DriverError('failed-precondition', `${message}: install containernetworking-plugins`, { operation });
  }
  const child = spawn(file, [], {
    env: {
      PATH: `${process.env.PATH ?? ''}:/usr/sbin:/sbin:/usr/bin:/bin`,
      CNI_COMMAND: command,
      CNI_CONTAINERID: containerId,
      CNI_NETNS: netns,
      CNI_IFNAME: ifname,
      CNI_PATH: listPluginPlaces().join(':'),
    },
    stdio: ['pipe', 'pipe', 'pipe'],
    timeout: PLUGIN_MS,
    killSignal: 'SIGKILL',
  });
  const ended = new Promise<number | string | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) => resolve(code ?? signal));
  });
  // A plugin that ends without reading says why on its output.
  child.stdin.on('error', () => undefined);
  child.stdin.end(JSON.stringify(config));
  const [output, errors, status] = await Promise.all([text(child.stdout), text(child.stderr), ended]).catch(
    (cause: unknown) => {
      throw new DriverError('unavailable', `${operation} could not be run: ${(cause as Error).message}`, {
        operation,
        cause,
      });
    },
  );
  if (status === 0) return output.trim() === '' ? undefined : (JSON.parse(output) as Record<string, unknown>);
  const message = `${operation} ended with ${status}: ${readFailure(output) || errors.trim() || 'nothing said'}`;
  throw new DriverError('unavailable', message, { operation });
}

/** CNI 1.0, "Error". */
function readFailure(output: string): string {
  try {
    const { msg = '', details = '' } = JSON.parse(output) as { msg?: string; details?: string };
    return [msg, details].filter(Boolean).join(': ');
  } catch {
    return output.trim();
  }
}
