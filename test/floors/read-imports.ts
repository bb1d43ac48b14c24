import { readdir, readFile } from 'node:fs/promises';
import { dirname, join, normalize } from 'node:path';

export interface Import {
  from: string;
  to: string;
}

/** Which floor each module of src is on. */
export const floors: Record<string, number> = {
  core: 0,
  generated: 0,
  policy: 1,
  rpc: 1,
  stdio: 1,
  spec: 2,
  image: 2,
  network: 2,
  pool: 3,
  session: 3,
  provider: 4,
  config: 5,
  testing: 5,
  cli: 6,
};

/** What only these modules may import. */
const reserved: Record<string, string[]> = {
  generated: ['rpc', 'image', 'session'],
  '@grpc/grpc-js': ['rpc', 'generated'],
  '@bufbuild/protobuf/wire': ['generated'],
  zod: ['policy', 'config'],
};

const pattern = /(?:^|\n)\s*(?:import|export)[^'"`;]*?from\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/g;

/** Every import of the tree, with relative ones as paths of source files. */
export async function readImports(directory: string): Promise<Import[]> {
  const imports: Import[] = [];
  for (const name of await readdir(directory, { recursive: true })) {
    if (!name.endsWith('.ts')) continue;
    const from = join(directory, name);
    const text = await readFile(from, 'utf8');
    for (const [, direct, dynamic] of text.matchAll(pattern)) {
      const to = (direct ?? dynamic) as string;
      imports.push({ from, to: to.startsWith('.') ? normalize(join(dirname(from), to)).replace(/\.js$/, '.ts') : to });
    }
  }
  return imports;
}

export function findViolations(imports: readonly Import[]): string[] {
  return imports.flatMap(({ from, to }) => {
    const reason = judge(from, to);
    return reason === undefined ? [] : [`${from} -> ${to}: ${reason}`];
  });
}

function judge(from: string, to: string): string | undefined {
  const source = nameModule(from);
  if (source === undefined) return undefined;
  const sourceFloor = floors[source];
  if (sourceFloor === undefined) return `${source} is on no floor`;
  const target = nameModule(to) ?? to;
  if (target === source) return undefined;
  const owners = reserved[target];
  if (owners !== undefined && !owners.includes(source)) return `${source} may not import ${target}`;
  const targetFloor = floors[target];
  if (targetFloor === undefined || targetFloor < sourceFloor) return undefined;
  return `${source} (floor ${sourceFloor}) imports ${target} (floor ${targetFloor})`;
}

/** `session` for src/session/create.ts; undefined for the front (src/index.ts) and for packages. */
function nameModule(path: string): string | undefined {
  return path.match(/^src\/([^/]+)\//)?.[1];
}
