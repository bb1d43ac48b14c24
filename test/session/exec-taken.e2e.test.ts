import { expect, test } from 'vitest';
import { openProvider } from '../support/provider.js';

const provider = await openProvider();

test('a data listener on a stream of a live command gets its output', async () => {
  await using session = await provider.createSession();
  const execution = await session.spawn('sh', ['-c', 'echo out; echo err >&2']);
  const seen: string[] = [];
  execution.stdout.on('data', (chunk: Buffer) => seen.push(`stdout ${chunk}`));
  execution.stderr.on('data', (chunk: Buffer) => seen.push(`stderr ${chunk}`));
  expect(await execution.result()).toMatchObject({ exitCode: 0, stdout: 'out\n', stderr: 'err\n' });
  expect(seen.sort()).toEqual(['stderr err\n', 'stdout out\n']);
});
