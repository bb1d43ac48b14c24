import { readFile } from 'node:fs/promises';
import { createInputError } from '../core/error.js';
import type { IsolationPolicy, MountSpec } from '../policy/types.js';
import { parseNumber, parseSize } from './values.js';
import type { Options } from './verb.js';

const MIB = 1024 * 1024;

/** A policy as the habits of docker's users spell it; `--policy` takes what they have no letter for. */
export const policyOptions = {
  memory: { type: 'string', short: 'm' },
  cpus: { type: 'string' },
  'pids-limit': { type: 'string' },
  'read-only': { type: 'boolean' },
  'cap-add': { type: 'string', multiple: true },
  'cap-drop': { type: 'string', multiple: true },
  volume: { type: 'string', short: 'v', multiple: true, hint: 'file' },
  network: { type: 'string', hint: ['none', 'default', 'host'] },
  publish: { type: 'string', short: 'p', multiple: true },
  allow: { type: 'string', multiple: true },
  dns: { type: 'string', multiple: true },
  profile: { type: 'string', hint: ['default', 'strict', 'permissive'] },
  policy: { type: 'string', hint: 'file' },
} as const satisfies Options;

interface PolicyValues {
  memory?: string;
  cpus?: string;
  'pids-limit'?: string;
  'read-only'?: boolean;
  'cap-add'?: string[];
  'cap-drop'?: string[];
  volume?: string[];
  network?: string;
  publish?: string[];
  allow?: string[];
  dns?: string[];
  profile?: string;
  policy?: string;
}

/** Each option over what the file says. Values are judged where every policy is, when the session is created. */
export async function readPolicyOptions(values: PolicyValues): Promise<IsolationPolicy> {
  const { memory, cpus, 'pids-limit': pids, 'read-only': readOnly, volume = [], profile } = values;
  const { 'cap-add': add, 'cap-drop': drop } = values;
  const base = values.policy === undefined ? {} : await readPolicyFile(values.policy, '--policy');
  const resources = {
    ...base.resources,
    ...(memory === undefined ? {} : { memoryMb: parseSize('memory', memory) / MIB }),
    ...(cpus === undefined ? {} : { cpus: parseNumber('cpus', cpus) }),
    ...(pids === undefined ? {} : { pidsLimit: parseNumber('pids-limit', pids) }),
  };
  const capabilities = { ...base.capabilities, ...(add ? { add } : {}), ...(drop ? { drop } : {}) };
  const { network: name, publish, allow, dns } = values;
  const network = {
    ...base.network,
    ...(name === undefined || name === 'none' ? {} : { name }),
    ...(publish && { ports: publish }),
    ...(allow && { allow }),
    ...(dns && { dns }),
  };
  const mounts = [...(base.mounts ?? []), ...volume.map(parseVolume)];
  return {
    ...base,
    ...(Object.keys(resources).length > 0 ? { resources } : {}),
    ...(Object.keys(capabilities).length > 0 ? { capabilities } : {}),
    ...(mounts.length > 0 ? { mounts } : {}),
    ...(allow && { networkMode: 'allowlist' }),
    ...(name === undefined ? {} : { networkMode: name === 'none' ? 'none' : 'full' }),
    ...(Object.keys(network).length > 0 ? { network } : {}),
    ...(readOnly ? { readOnlyRootfs: true } : {}),
    ...(profile === undefined ? {} : { profile }),
  };
}

/** `name` is what the path was given as. */
export async function readPolicyFile(path: string, name = 'file'): Promise<IsolationPolicy> {
  return (await readJson(path, name)) as IsolationPolicy;
}

export async function readJson(path: string, name: string): Promise<unknown> {
  try {
    return JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    const expected = `a file of JSON: ${(error as Error).message}`;
    throw createInputError('arguments', [{ path: name, value: path, expected }]);
  }
}

/** `SOURCE:TARGET`, with `:ro` behind it; a source that is no path is the name of a volume. */
function parseVolume(text: string): MountSpec {
  const [path = '', target, mode = 'rw', ...more] = text.split(':');
  if (path === '' || !target || !['ro', 'rw'].includes(mode) || more.length > 0) {
    const expected = 'SOURCE:TARGET or SOURCE:TARGET:ro';
    throw createInputError('options', [{ path: '--volume', value: text, expected }]);
  }
  return { path, target, readOnly: mode === 'ro', type: path.startsWith('/') ? 'bind' : 'volume' };
}
