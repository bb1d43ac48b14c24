import type { Attestation } from '../../src/index.js';
import { context } from './context.js';

/** What `verify()` found wrong; of a guest the host sees little, and says so of the rest. */
export function listFaults({ checks }: Attestation): Attestation['checks'] {
  return checks.filter(({ ok, unverifiable }) => !ok && !(context.isKata && unverifiable));
}
