import { expect, test } from 'vitest';
import { context, onlyOn } from '../support/context.js';
import { countDescriptors, observe, settle } from '../support/leaks.js';
import { openProvider } from '../support/provider.js';

const provider = await openProvider();

onlyOn(['1.6'], 'half a minute, and the same code path')('in sequence', () => {
  test('two hundred sessions leave nothing', async () => {
    const before = await observe(context);
    const descriptors = await countDescriptors();
    for (let i = 0; i < 200; i++) {
      await using session = await provider.createSession({ env: { NUMBER: String(i) } });
      const { stdout } = await session.exec('sh', ['-c', 'echo $NUMBER']);
      expect(stdout).toBe(`${i}\n`);
    }
    expect(await settle(context, before)).toEqual(before);
    await expect.poll(() => countDescriptors()).toBe(descriptors);
  });

  test('five hundred execs in one session: every byte, code and descriptor', async () => {
    await using session = await provider.createSession();
    await session.exec('true');
    const descriptors = await countDescriptors();
    for (let i = 0; i < 500; i++) {
      const result = await session.exec(
        'sh',
        ['-c', 'cat; echo err$1 >&2; exit $2', 'sh', String(i), String(i % 256)],
        { input: `in${i}` },
      );
      expect(result).toMatchObject({ stdout: `in${i}`, stderr: `err${i}\n`, exitCode: i % 256 });
    }
    await expect.poll(() => countDescriptors()).toBe(descriptors);
  });
});
