import { expect, test } from 'vitest';
import { readHostFacts } from '../../src/session/host.js';
import { openProvider } from '../support/provider.js';

const provider = await openProvider();

test('a weight of disk access holds and can be changed, or is refused where it would do nothing', async () => {
  const creating = provider.createSession({ resources: { ioWeight: 300 } });
  if (!readHostFacts().ioWeight) {
    await expect(creating).rejects.toMatchObject({ mismatchedAttributes: ['resources.ioWeight'] });
    return;
  }
  await using session = await creating;
  const readWeight = async () =>
    (await session.verify()).checks.find(({ field }) => field === 'linux.resources.blockIO.weight');
  expect(await readWeight()).toMatchObject({ ok: true, observed: 300 });
  await session.update({ resources: { ioWeight: 700 } });
  expect(await readWeight()).toMatchObject({ ok: true, observed: 700 });
});
