import { spawn } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { context } from './context.js';
import { startDaemon } from './daemon.js';
import { countDescriptors } from './leaks.js';
import { fetchVersion } from './raw-version.js';

test('the shared daemon is of the asked generation', async () => {
  expect(context.version).toMatch(new RegExp(`^v?${context.generation.replace('.', '\\.')}\\.`));
  expect(await fetchVersion(context.address)).toBe(context.version);
});

test('a daemon is killed, comes back on its data, and leaves nothing', async () => {
  const { generation } = context;
  const descriptors = await countDescriptors();
  await using daemon = await startDaemon({ generation });
  await daemon.kill9();
  expect(daemon.pid).toBeUndefined();
  await expect(fetchVersion(daemon.address)).rejects.toThrow();
  await daemon.restart();
  expect(await fetchVersion(daemon.address)).toBe(daemon.version);
  await daemon.stop();
  expect(existsSync(daemon.root)).toBe(false);
  expect(readFileSync('/proc/self/mountinfo', 'utf8')).not.toContain(daemon.root);
  expect(listCommands()).not.toContain(daemon.root);
  // Fewer is fine: the connection of the test before may have been closing when we counted.
  await expect.poll(() => countDescriptors()).toBeLessThanOrEqual(descriptors);
});

test('a daemon goes when the process that started it is killed', async () => {
  const fixture = fileURLToPath(new URL('./orphan-fixture.ts', import.meta.url));
  const owner = spawn(process.execPath, ['scripts/run-ts.mjs', fixture, context.generation], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  try {
    const root = await new Promise<string>((resolve, reject) => {
      owner.stdout.once('data', (line: Buffer) => resolve(line.toString().trim()));
      owner.once('exit', (code) => reject(new Error(`the owner ended with ${code}`)));
    });
    expect(listCommands()).toContain(root);
    owner.kill('SIGKILL');
    await expect.poll(() => existsSync(root)).toBe(false);
    expect(listCommands()).not.toContain(root);
  } finally {
    owner.kill('SIGKILL');
  }
});

function listCommands(): string {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => {
      try {
        return readFileSync(`/proc/${pid}/cmdline`, 'utf8');
      } catch {
        return '';
      }
    })
    .join('\n');
}
