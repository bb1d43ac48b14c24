import { afterAll, afterEach, expect, test } from 'vitest';
import { ContentService } from '../../src/generated/github.com/containerd/containerd/api/services/content/v1/content.js';
import { computeChainIds, getImage, listImages, removeImage } from '../../src/image/image.js';
import { importArchive } from '../../src/image/import.js';
import { Channel } from '../../src/rpc/channel.js';
import { context } from '../support/context.js';
import { digestOf, dockerArchive, HOST, layer, NAME, stream } from './archives.js';
import { expectNothingStays } from './store.js';

const channel = new Channel(context);
afterEach(() => expectNothingStays(channel));
afterAll(() => channel.close());

test('what the image says of its processes; null and empty is not said', async () => {
  const said = {
    User: '1000:1000',
    Env: ['A=1', 'B='],
    Entrypoint: ['/bin/sh', '-c'],
    Cmd: ['true'],
    WorkingDir: '/work',
    Volumes: { '/data': {} },
    ExposedPorts: { '80/tcp': {} },
    StopSignal: 'SIGINT',
    Labels: { a: 'b' },
  };
  const archive = (config: unknown) =>
    dockerArchive({ layers: [], config: JSON.stringify({ ...HOST, config, rootfs: { diff_ids: null } }) });
  await importArchive(channel, stream(archive({ ...said, Tty: true })));
  expect((await getImage(channel, NAME)).config).toEqual(said);
  const unsaid = { User: '', Env: null, Entrypoint: null, Cmd: null, WorkingDir: '', Volumes: null, Labels: null };
  await importArchive(channel, stream(archive(unsaid)));
  expect((await getImage(channel, NAME)).config).toEqual({});
  await importArchive(channel, stream(archive(null)));
  expect((await getImage(channel, NAME)).config).toEqual({});
});

test('an image that is not there: the full name, the namespace and the way out', async () => {
  await expect(getImage(channel, 'nothing')).rejects.toMatchObject({
    code: 'not-found',
    operation: 'get image',
    message: `no image docker.io/library/nothing:latest in namespace ${context.namespace}: import it from an archive first`,
  });
  await expect(removeImage(channel, 'nothing')).rejects.toMatchObject({
    code: 'not-found',
    message: `no image docker.io/library/nothing:latest in namespace ${context.namespace}`,
  });
  expect(await listImages(channel)).toEqual([]);
});

test('a reference that is none is refused before the daemon is asked', async () => {
  const deaf = new Channel({ ...context, address: '/nowhere.sock' });
  await expect(getImage(deaf, 'Bad')).rejects.toMatchObject({ code: 'invalid-argument' });
  await expect(removeImage(deaf, 'Bad')).rejects.toMatchObject({ code: 'invalid-argument' });
  deaf.close();
});

test('an image whose content is gone is incomplete, not unknown', async () => {
  const [image] = await importArchive(channel, stream(dockerArchive()));
  const digest = image?.configDigest ?? '';
  await channel.unary(ContentService.delete, { digest });
  await expect(getImage(channel, NAME)).rejects.toMatchObject({
    code: 'data-loss',
    message: `${digest} of ${NAME} is missing`,
  });
});

test('chain ids are those of the specification', () => {
  const [a = '', b = '', c = ''] = ['a', 'b', 'c'].map((name) => digestOf(layer(name)));
  const ab = digestOf(Buffer.from(`${a} ${b}`));
  expect(computeChainIds([a, b, c])).toEqual([a, ab, digestOf(Buffer.from(`${ab} ${c}`))]);
  expect(computeChainIds([])).toEqual([]);
});
