import { Readable } from 'node:stream';
import { expect, test } from 'vitest';
import { ContainersService } from '../../src/generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import { Channel } from '../../src/rpc/channel.js';
import { buildDockerArchive } from '../support/busybox.js';
import { context } from '../support/context.js';
import { openProvider } from '../support/provider.js';

const provider = await openProvider();

test('labels that mean something to containerd come from no image and no user', async () => {
  // containerd's restart monitor would start a container again that has the first of these.
  const canary = { 'containerd.io/restart.status': 'running', 'containerd.io/gc.root': 'now', plain: 'x' };
  const archive = buildDockerArchive({ reference: 'registry.test/canary:1', config: { Labels: canary } });
  await provider.importImage(Readable.from([archive]));
  await using session = await provider.createSession({ image: 'registry.test/canary:1', metadata: canary });
  const channel = new Channel(context);
  try {
    const { container } = await channel.unary(ContainersService.get, { id: session.sessionId });
    const labels = Object.keys(container?.labels ?? {}).sort();
    expect(labels.filter((label) => !label.startsWith('cadre.dev/'))).toEqual(['containerd.io/gc.ref.content.image']);
    expect(labels).toContain('cadre.dev/metadata.containerd.io/restart.status');
    expect((await session.info()).metadata).toEqual(canary);
  } finally {
    channel.close();
  }
});
