import type { Fault } from '../core/error.js';
import { isRecord } from './rule.js';

/** Where secrets are seen inside. */
export const SECRETS_PATH = '/run/secrets';
/** Of all secrets together, in bytes: they are held in memory, by the host. */
export const SECRETS_BYTES = 8 * 1024 * 1024;
const MIB = 1024 * 1024;
const HIDDEN = '[hidden]';

/** What a mount of one type cannot be given, and mounts that would hide one another. Read from anything. */
export function findMountContradictions(mounts: unknown): Fault[] {
  const faults: Fault[] = [];
  const seen = new Set<string>();
  for (const [index, mount] of Array.isArray(mounts) ? mounts.entries() : []) {
    if (!isRecord(mount)) continue;
    const { path, type = 'bind', sizeBytes, target = type === 'volume' ? undefined : path } = mount;
    const at = `mounts[${index}]`;
    // A text that is neither is a fault already.
    if (type === 'volume' && typeof path === 'string' && path.startsWith('/')) {
      faults.push({ path: `${at}.path`, value: path, expected: 'the name of a volume' });
    } else if (type !== 'volume' && typeof path === 'string' && /^[A-Za-z0-9_][A-Za-z0-9._-]*$/.test(path)) {
      faults.push({ path: `${at}.path`, value: path, expected: 'an absolute path, or type volume beside a name' });
    }
    if (type === 'volume' && target === undefined) {
      faults.push({ path: `${at}.target`, value: target, expected: 'an absolute path inside, as a volume has none' });
    }
    if (type !== 'tmpfs' && sizeBytes !== undefined) {
      faults.push({ path: `${at}.sizeBytes`, value: sizeBytes, expected: 'nothing, as only a tmpfs has a size' });
    }
    if (typeof target !== 'string') continue;
    if (seen.has(target)) faults.push({ path: `${at}.target`, value: target, expected: 'each place once' });
    seen.add(target);
  }
  return faults;
}

/** Whether a path is the directory or below it. */
export function isWithin(path: string, directory: string): boolean {
  return path === directory || path.startsWith(directory === '/' ? '/' : `${directory}/`);
}

/** Neither values nor what may have been taken for one are in a fault. */
export function findSecretContradictions(secrets: unknown): Fault[] {
  const faults: Fault[] = [];
  const seen = new Set<unknown>();
  let total = 0;
  for (const [index, secret] of Array.isArray(secrets) ? secrets.entries() : []) {
    if (!isRecord(secret)) continue;
    const { name, value, as } = secret;
    const path = `secrets[${index}]`;
    if (seen.has(name)) faults.push({ path: `${path}.name`, value: HIDDEN, expected: 'each secret once' });
    seen.add(name);
    if (as === 'env' && typeof name === 'string' && !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) {
      faults.push({ path: `${path}.name`, value: HIDDEN, expected: 'the name of a variable' });
    }
    const bytes = typeof value === 'string' ? Buffer.byteLength(value) : 0;
    if (bytes > MIB) faults.push({ path: `${path}.value`, value: `${bytes} bytes`, expected: `at most ${MIB} bytes` });
    total += bytes;
  }
  if (total > SECRETS_BYTES) {
    faults.push({ path: 'secrets', value: `${total} bytes`, expected: `at most ${SECRETS_BYTES} bytes together` });
  }
  return faults;
}
