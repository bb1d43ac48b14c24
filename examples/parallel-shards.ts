// A test suite in parallel shards: each in a session of its own, which can read the project and write nothing of it.
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ContainerdProvider } from '@cadre-dev/runtime-provider-containerd';

const SHARDS = 3;

interface Outcome {
  file: string;
  passed: boolean;
  output: string;
}

/** A project with tests, of which one fails and one tries to change the project. */
function makeProject(): string {
  const project = mkdtempSync(join(tmpdir(), 'shards-'));
  mkdirSync(join(project, 'test'));
  for (const name of ['a', 'b', 'c', 'd', 'e']) writeFileSync(join(project, 'test', `${name}.sh`), 'test -d /project');
  writeFileSync(join(project, 'test/f.sh'), 'echo "expected 4, got 5"; exit 1');
  writeFileSync(join(project, 'test/g.sh'), '! touch /project/changed 2> /dev/null');
  return project;
}

const provider = new ContainerdProvider({ image: process.env.IMAGE ?? 'busybox:1.36' });
const project = makeProject();

async function runShard(files: readonly string[]): Promise<Outcome[]> {
  const session = await provider.createSession({
    mounts: [{ path: project, target: '/project', readOnly: true }],
    networkMode: 'none',
    readOnlyRootfs: true,
    resources: { memoryMb: 128, pidsLimit: 64, timeoutMs: 30_000 },
  });
  try {
    const outcomes: Outcome[] = [];
    for (const file of files) {
      const { exitCode, stdout } = await session.exec('sh', [`test/${file}`], { cwd: '/project' });
      outcomes.push({ file, passed: exitCode === 0, output: stdout.trim() });
    }
    return outcomes;
  } finally {
    await session.destroy();
  }
}

try {
  const files = readdirSync(join(project, 'test')).sort();
  const shards = Array.from({ length: SHARDS }, (_, shard) => files.filter((_file, index) => index % SHARDS === shard));
  const outcomes = (await Promise.all(shards.map(runShard))).flat().sort((a, b) => a.file.localeCompare(b.file));
  for (const { file, passed, output } of outcomes) console.log(`${passed ? 'ok  ' : 'FAIL'} ${file} ${output}`.trim());
  console.log(`${outcomes.filter(({ passed }) => passed).length} of ${files.length} passed in ${SHARDS} shards`);
} finally {
  await provider[Symbol.asyncDispose]();
  rmSync(project, { recursive: true });
}
