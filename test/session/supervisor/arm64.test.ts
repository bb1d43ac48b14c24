import { execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { encodeNumbers } from '../../../src/session/supervisor/protocol.js';
import { checkPipes, Program } from './program.js';

const QEMU = 'qemu-aarch64-static';
const COMPILER = 'aarch64-linux-gnu-gcc';
const missing = [QEMU, COMPILER].filter((name) => spawnSync('which', [name]).status !== 0);

test('the supervisor for arm64 greets, runs a command and serves files', async (context) => {
  if (missing.length > 0) context.skip(`needs ${missing.join(' and ')}: npm run test:arm64`);
  const directory = mkdtempSync(join(tmpdir(), 'arm64-'));
  try {
    const path = join(directory, 'supervisor');
    const sources = ['main', 'connection', 'job', 'files', 'run', 'ring', 'channel', 'relay', 'kill'].map(
      (name) => `native/${name}.c`,
    );
    execFileSync(COMPILER, ['-std=c11', '-D_GNU_SOURCE', '-Os', '-static', '-Wall', '-Werror', '-o', path, ...sources]);
    await using program = await Program.launch([QEMU, path]);
    const link = await program.open();
    await checkPipes(program, link);
    const file = join(directory, 'file');
    const pieces = Buffer.concat([encodeNumbers(4), Buffer.from('text'), encodeNumbers(0)]);
    expect(await program.serve(link, ['write', file, '-'], pieces)).toMatchObject({ code: 0 });
    expect(await program.serve(link, ['read', file])).toEqual({ code: 0, told: ['text', ''] });
    link.close();
  } finally {
    rmSync(directory, { recursive: true });
  }
});
