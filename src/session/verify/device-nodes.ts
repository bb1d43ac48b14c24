import { existsSync, lstatSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import type { OciSpec } from '../../spec/types.js';
import { type Check, judge } from './check.js';

/** The runtime specification's default devices (config-linux.md) that are nodes in /dev itself. */
export const defaultDevices = ['full', 'null', 'random', 'tty', 'urandom', 'zero'];

/** Device nodes in /dev: no other has been made there. Those of terminals are in /dev/pts, of its own file system. */
export function checkDeviceNodes({ process }: OciSpec, pid: number): Check[] {
  const source = `/proc/${pid}/root/dev`;
  const expected = process.terminal ? [...defaultDevices, 'console'].sort() : defaultDevices;
  const nodes = existsSync(source) ? readdirSync(source).filter((name) => isDevice(join(source, name))) : undefined;
  const ok = nodes?.every((name) => expected.includes(name)) ?? false;
  return [judge('linux.devices', expected, nodes?.sort(), source, ok)];
}

function isDevice(path: string): boolean {
  const stat = lstatSync(path, { throwIfNoEntry: false });
  return stat !== undefined && (stat.isBlockDevice() || stat.isCharacterDevice());
}
