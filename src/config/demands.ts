import { CapabilityMismatchError, type Fault } from '../core/error.js';
import { readCanonical } from '../policy/canonical.js';
import { findMismatches } from '../policy/capabilities.js';
import { parsePolicy } from '../policy/parse.js';
import type { ResourceLimits } from '../policy/types.js';
import type { ResolvedOptions } from '../provider/options.js';
import { readHostFacts } from '../session/host.js';
import type { IsolationConfig } from './types.js';

/**
 * Holds what the block asks for every session to what its runtime and this host can do, before any session is asked for.
 * What depends on the daemon's version is found when it has answered.
 */
export function checkDemands(config: IsolationConfig, { runtime, snapshotter, base }: ResolvedOptions): void {
  const place = { ...readHostFacts(), runtime, snapshotter };
  const faults = findMismatches(parsePolicy({}, { base }), place);
  if (faults.length === 0) return;
  throw new CapabilityMismatchError(
    'containerd',
    faults.map((fault) => locate(config, fault)),
  );
}

/** A fault by the name that its field has in the block. */
function locate({ policy, policyProfile = 'default', policyProfiles = {} }: IsolationConfig, fault: Fault): Fault {
  const layers = [
    ['policy', policy],
    [`policyProfiles.${policyProfile}`, policyProfiles[policyProfile]],
  ] as const;
  for (const [name, layer] of layers) {
    const { policy: canonical, aliases } = readCanonical(layer ?? {});
    const [key = '', limit = ''] = fault.path.split(/[.[]/);
    const { resources, ...fields } = canonical;
    const own = key === 'resources' ? resources?.[limit as keyof ResourceLimits] : fields[key as keyof typeof fields];
    if (own !== undefined) return { ...fault, path: `isolation.${name}.${aliases[fault.path] ?? fault.path}` };
  }
  const expected = `a profile that has in ${fault.path} ${fault.expected}`;
  return { path: 'isolation.policyProfile', value: policyProfile, expected };
}
