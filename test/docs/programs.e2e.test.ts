import { readdirSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { ContainerdProvider } from '../../src/index.js';
import { context } from '../support/context.js';
import { runBlocks, runFile } from './run-example.js';

// Without a state root of its own: the programs have the default, and sessions are found by it.
const provider = new ContainerdProvider({
  image: context.images.reference,
  address: context.address,
  namespace: context.namespace,
});
beforeAll(() => provider.importImage(context.images.dockerArchive));
afterAll(() => provider[Symbol.asyncDispose]());

const programs: Record<string, string> = {
  'agent-loop': [
    '$ echo "print(6 * 7)" > answer.py; cat answer.py',
    '  exit 0 | print(6 * 7)',
    '$ python3 answer.py',
    '  exit 127 | sh: python3: not found',
    '$ echo $((6 * 7))',
    '  exit 0 | 42',
    '$ sleep 60',
    '  exit 124 (timed out)',
    'done: 4 commands',
  ].join('\n'),
  'parallel-shards': [
    ...['a', 'b', 'c', 'd', 'e'].map((name) => `ok   ${name}.sh`),
    'FAIL f.sh expected 4, got 5',
    'ok   g.sh',
    '6 of 7 passed in 3 shards',
  ].join('\n'),
  'pooled-build': [...Array.from({ length: 6 }, (_, job) => `0 source ${job} built`), '0 6 /cache/jobs'].join('\n'),
};

test('every program of examples/ is run here', () => {
  expect(readdirSync('examples').sort()).toEqual(
    [...Object.keys(programs), 'node-agent'].map((name) => `${name}.ts`).sort(),
  );
});

test.each(Object.entries(programs))('examples/%s.ts prints what it is to print', async (name, printed) => {
  expect(runFile(`examples/${name}.ts`).replaceAll(/ +$/gm, '').trim()).toBe(printed);
  for await (const { sessionId } of provider.list()) expect.fail(`${sessionId} is left`);
});

test('examples/node-agent.ts tells of a session that another process has', async () => {
  const session = await provider.createSession({
    name: 'neighbour',
    metadata: { run: '42' },
    resources: { memoryMb: 64 },
  });
  const lines = runFile('examples/node-agent.ts', '--once')
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
  expect(lines).toEqual([
    { kind: 'health', healthy: true, message: `containerd ${context.version} answers at ${context.address}` },
    { kind: 'session', name: 'neighbour', state: 'running', image: context.images.reference, metadata: { run: '42' } },
    { kind: 'usage', name: 'neighbour', pids: expect.any(Number), isNearLimit: false },
    { kind: 'reaped', sessions: 0, failures: [] },
  ]);
  expect((await session.info()).state).toBe('running');
});

test('every example of docs/exec.md does what the page says', () => {
  const printed = runBlocks('docs/exec.md').replaceAll('\r\n', '\n');
  const result = '0 a\nb\n\\s*';
  const live = 'stdout 1\n\nstdout 2\n\nstdout 3\n\n0 \\d+\n';
  const killed = '\\[ \\d+ \\] \\[\\] true\n';
  const terminal = '[^]*tty; exit\n/dev/pts/\\d\n\n';
  const executors = 'supervisor every session has it that can\nthrough containerd\n\n';
  expect(printed).toMatch(new RegExp(`^${result}${live}${killed}${terminal}${executors}$`));
});

test('every example of docs/files.md does what the page says', () => {
  expect(runBlocks('docs/files.md')).toMatch(/^a line\n\nnotes.txt file 7\ntrue true \[\]\n$/);
});
