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

test('a stream that is taken after the result was asked for goes on from there, and the result has all', async () => {
  await using session = await provider.createSession();
  let notice: (text: string) => void = () => undefined;
  const first = new Promise<string>((resolve) => {
    notice = resolve;
  });
  const options = { stdin: 'pipe', onStdout: notice } as const;
  const execution = await session.spawn('sh', ['-c', 'echo early; read -r line; seq 1 20000'], options);
  const result = execution.result();
  expect(await first).toBe('early\n');
  const late: Buffer[] = [];
  execution.stdout.on('data', (chunk: Buffer) => late.push(chunk));
  execution.stdin?.end('\n');
  const numbers = Array.from({ length: 20_000 }, (_, index) => `${index + 1}\n`).join('');
  expect((await result).stdout).toBe(`early\n${numbers}`);
  expect(Buffer.concat(late).toString()).toBe(numbers);
});
