/** Which containerd binary stands for a generation on this machine: the system's own or one that scripts/containerds.sh fetched. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';

export const GENERATIONS = ['1.6', '1.7', '2.1'] as const;
export type Generation = (typeof GENERATIONS)[number];

export interface ContainerdBinary {
  readonly generation: Generation;
  /** Holds containerd and the shims that belong to it. */
  readonly directory: string;
  /** As the binary itself reports it, such as `1.6.20~ds1`. */
  readonly version: string;
}

/** Finds the binary of a generation. Throws with what to run when there is none. */
export function findContainerd(generation: Generation): ContainerdBinary {
  const seen: string[] = [];
  for (const directory of ['/usr/bin', '/usr/local/bin', join(locateCache(), `containerd-${generation}`, 'usr/bin')]) {
    const path = join(directory, 'containerd');
    if (!existsSync(path)) continue;
    const version = readVersion(path);
    if (version.startsWith(`${generation}.`)) return { generation, directory, version };
    seen.push(`${path} is ${version}`);
  }
  const found = seen.length > 0 ? ` (${seen.join(', ')})` : '';
  throw new Error(`no containerd ${generation} on this machine${found}: run scripts/containerds.sh`);
}

/** The same directory that scripts/containerds.sh fills. */
function locateCache(): string {
  return join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'cadre-containerd');
}

/** `containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3`; 2.x prints a leading `v` upstream. */
function readVersion(path: string): string {
  const line = execFileSync(path, ['--version'], { encoding: 'utf8' });
  return (line.split(' ')[2] ?? '').replace(/^v/, '').trim();
}
