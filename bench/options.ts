import { parseArgs } from 'node:util';
import { GENERATIONS, type Generation } from '../test/support/containerd-binary.js';

/**
 * `task` is this library with its other executor, `shared` with one shim for all, `crun` with another runtime binary, `lean`
 * with both of these.
 */
export const PEERS = ['ours', 'task', 'shared', 'crun', 'lean', 'go', 'ctr', 'runc', 'docker'] as const;
export type PeerName = (typeof PEERS)[number];
/** They are measured where they differ from ours: in whole sessions. */
export const LEAN: readonly PeerName[] = ['shared', 'crun', 'lean'];

const PHASES = ['cold', 'warm', 'stream', 'rate', 'hold'] as const;
export type PhaseName = (typeof PHASES)[number];

export interface BenchOptions {
  readonly quick: boolean;
  readonly peers: readonly PeerName[];
  readonly only: readonly PhaseName[];
  readonly generation: Generation;
  /** Where the JSON and the SVG go. Defaults to bench/results. */
  readonly out: string | undefined;
}

const USAGE = `usage: npm run bench -- [options]
  --quick             about two minutes, fewer samples
  --peers ours,go     of ${PEERS.join(', ')}
  --only cold,warm    of ${PHASES.join(', ')}
  --generation 1.6    of ${GENERATIONS.join(', ')}
  --out DIR           for the JSON and the SVG; bench/results when not given`;

/** Throws with the usage when an option or a value is unknown. */
export function parseOptions(argv: readonly string[]): BenchOptions {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      quick: { type: 'boolean', default: false },
      peers: { type: 'string' },
      only: { type: 'string' },
      generation: { type: 'string', default: '1.6' },
      out: { type: 'string' },
    },
  });
  return {
    quick: values.quick,
    peers: pickNames('--peers', values.peers, PEERS),
    only: pickNames('--only', values.only, PHASES),
    generation: pickNames('--generation', values.generation, GENERATIONS)[0] as Generation,
    out: values.out,
  };
}

function pickNames<T extends string>(option: string, given: string | undefined, known: readonly T[]): readonly T[] {
  if (given === undefined) return known;
  const names = given.split(',');
  const unknown = names.filter((name) => !known.includes(name as T));
  if (unknown.length > 0) throw new Error(`${option} ${unknown.join(',')}: not one of ${known.join(', ')}\n${USAGE}`);
  return known.filter((name) => names.includes(name));
}
