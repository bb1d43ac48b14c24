import { expect, test } from 'vitest';
import { readHostFacts } from '../../src/session/host.js';
import { onHostWith } from '../support/needs.js';
import { openProvider } from '../support/provider.js';

const provider = await openProvider();

onHostWith('disks that bfq schedules')('a weight of disk access', () => {
  test('holds and can be changed', async () => {
    await using session = await provider.createSession({ resources: { ioWeight: 300 } });
    const readWeight = async () =>
      (await session.verify()).checks.find(({ field }) => field === 'linux.resources.blockIO.weight');
    expect(await readWeight()).toMatchObject({ ok: true, observed: 300 });
    await session.update({ resources: { ioWeight: 700 } });
    expect(await readWeight()).toMatchObject({ ok: true, observed: 700 });
  });
});

test('is refused where it would do nothing', async ({ skip }) => {
  skip(readHostFacts().ioWeight, 'here it does something');
  await expect(provider.createSession({ resources: { ioWeight: 300 } })).rejects.toMatchObject({
    mismatchedAttributes: ['resources.ioWeight'],
  });
});
