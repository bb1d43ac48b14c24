import type { OciSpec } from '../../spec/types.js';
import { readAttribute } from '../proc.js';
import { type Check, check } from './check.js';

/** The profile that confines a process, where one was asked for (apparmor(7)). */
export function checkAppArmor({ process: { apparmorProfile } }: OciSpec, pid: number): Check[] {
  if (apparmorProfile === undefined) return [];
  const source = `/proc/${pid}/attr/apparmor/current`;
  return [check('process.apparmorProfile', `${apparmorProfile} (enforce)`, readAttribute(source), source)];
}
