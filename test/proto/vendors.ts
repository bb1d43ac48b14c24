import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { renameFacts, type Vendor } from './compare.js';
import type { FullHistory } from './history.js';
import { parseFacts } from './text-facts.js';

export interface NamedVendor extends Vendor {
  /** What is compared and where it came from, such as `containerd 2.1.9+ds1-5, cgroups 3.0.5-5`. */
  readonly description: string;
}

interface Package {
  family: string;
  version: string;
  directory: string;
}

/** Which package declares a name; everything else is containerd's own. */
const families: readonly (readonly [prefix: string, family: string])[] = [
  ['io.containerd.cgroups.', 'cgroups'],
  ['google.', 'googleapis'],
  ['grpc.', 'grpc'],
];

/** The vendors' own definitions, one entry for each containerd generation, oldest first. Fetches what is missing. */
export function readVendors(history: FullHistory): NamedVendor[] {
  const script = join(import.meta.dirname, '../../scripts/vendor-protos.sh');
  const generations = new Map<string, Package[]>();
  for (const line of execFileSync('bash', [script], { encoding: 'utf8' }).trim().split('\n')) {
    const [generation = '', family = '', version = '', directory = ''] = line.split('\t');
    generations.set(generation, [...(generations.get(generation) ?? []), { family, version, directory }]);
  }
  return [...generations].map(([label, packages]) => readVendor(label, packages, history));
}

function readVendor(label: string, packages: Package[], history: FullHistory): NamedVendor {
  const versions = new Map(packages.map(({ family, version }) => [family, version]));
  const texts = packages.flatMap(({ family, directory }) => readProtos(family, directory));
  return {
    label,
    description: packages.map(({ family, version }) => `${family} ${version}`).join(', '),
    facts: renameFacts(parseFacts(texts), history.renamedAfter(versions.get('containerd') ?? '0')),
    versionOf: (name) => versions.get(families.find(([prefix]) => name.startsWith(prefix))?.[1] ?? 'containerd'),
  };
}

/** Of the Google and gRPC collections only the two files that containerd speaks: the rest has nothing to do with it. */
function readProtos(family: string, directory: string): string[] {
  const wanted = { googleapis: 'google/rpc/status.proto', grpc: 'grpc/health/v1/health.proto' }[family] ?? '.proto';
  return readdirSync(directory, { recursive: true, encoding: 'utf8' })
    .filter((path) => path.endsWith(wanted))
    .map((path) => readFileSync(join(directory, path), 'utf8'));
}
