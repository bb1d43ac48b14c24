/** What others can do to a path between its check and its mount, and what an image can do to a target. */

import { execFileSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import {
  type Container,
  ContainersService,
  type CreateContainerRequest,
} from '../../src/generated/github.com/containerd/containerd/api/services/containers/v1/containers.js';
import type { CreateTaskResponse } from '../../src/generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import { getImage } from '../../src/image/image.js';
import { parsePolicy } from '../../src/policy/parse.js';
import { planSession } from '../../src/provider/plan.js';
import { packJson, unpackJson } from '../../src/rpc/any.js';
import { Channel } from '../../src/rpc/channel.js';
import { createSession } from '../../src/session/create.js';
import { readSpec } from '../../src/session/find.js';
import { readHostFacts } from '../../src/session/host.js';
import type { OciMount, OciSpec } from '../../src/spec/types.js';
import { buildDockerArchive } from '../support/busybox.js';
import { context, unseen } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { offline, openProvider } from '../support/provider.js';
import { makeSessionContext } from '../support/session-context.js';

const { isKata } = context;
const provider = await openProvider();
const channel = new Channel(context);
const host = mkdtempSync(join(tmpdir(), 'cadre-swap-'));
afterAll(() => {
  channel.close();
  rmSync(host, { recursive: true });
});
const image = await getImage(channel, context.images.reference);
const directory = join(context.stateRoot, 'swap');

/** A channel that does something of others before and after one call. */
function disturb(real: Channel, at: string, { before, after }: Disturbance): Channel {
  return new Proxy(real, {
    get(target, key) {
      if (key === 'withLease') return (lease: string) => disturb(target.withLease(lease), at, { before, after });
      const value = Reflect.get(target, key);
      if (key !== 'unary') return typeof value === 'function' ? value.bind(target) : value;
      return async (...args: Parameters<Channel['unary']>) => {
        const isChosen = args[0].path.endsWith(at);
        if (isChosen) before(args[1]);
        const answer = await target.unary(...args);
        if (isChosen) after(answer as CreateTaskResponse);
        return answer;
      };
    },
  });
}

interface Disturbance {
  before(request: unknown): void;
  after(answer: CreateTaskResponse): void;
}

function createOn(disturbed: Channel, mounts: object[]) {
  const session = makeSessionContext(disturbed, directory, join(context.root, 'volumes', 'swap'));
  const plan = {
    context: session,
    uuid: 'test',
    host: readHostFacts(),
    hostEnv: {},
    runtime: context.runtime,
    runtimeOptions: {},
    executor: 'task' as const,
  };
  return createSession(session, planSession(parsePolicy({ ...offline, mounts }), {}, image, plan));
}

const ROUNDS = isKata ? 4 : 12;

describe('a source that is swapped after its check', () => {
  const parent = join(host, 'parent');
  const hidden = join(host, 'hidden');
  const outside = join(host, 'outside');
  mkdirSync(join(parent, 'source'), { recursive: true });
  mkdirSync(join(outside, 'source'), { recursive: true });
  writeFileSync(join(outside, 'source', 'file'), 'of the host');
  const swap = () => {
    renameSync(parent, hidden);
    symlinkSync(outside, parent);
  };
  const restore = () => {
    rmSync(parent);
    renameSync(hidden, parent);
  };
  const mounts = [{ path: join(parent, 'source'), target: '/m', readOnly: true }];

  test.each([
    ['before the record and left so', 'Containers/Create', false],
    ['before the mount and left so', 'Tasks/Create', false],
    ['before the mount and back after it', 'Tasks/Create', true],
  ])('%s: the creation is aborted, and nothing is left', async (_, at, isRestored) => {
    const before = await observe({ ...context, stateRoot: directory });
    let seen = 'not mounted';
    const disturbed = disturb(channel, at, {
      before: swap,
      after({ pid }) {
        if (isRestored) restore();
        // That the attack works is half of the proof.
        const file = `/proc/${pid}/root/m/file`;
        if (at === 'Tasks/Create') seen = existsSync(file) ? readFileSync(file, 'utf8') : 'what was checked';
      },
    });
    try {
      const creating = createOn(disturbed, mounts);
      // Kata's shim is given a mount of what is held, and so meets what was checked whatever has the name.
      if (isKata) await (await creating).destroy();
      else {
        await expect(creating).rejects.toMatchObject({
          code: 'aborted',
          message: expect.stringContaining('another file took its place'),
          suppressed: [],
        });
      }
      if (at === 'Tasks/Create') expect(seen).toBe(isKata ? 'what was checked' : 'of the host');
    } finally {
      if (!isRestored) restore();
    }
    expect(await settle({ ...context, stateRoot: directory }, before)).toEqual(before);
  });

  test('by another that bears its name', async () => {
    const disturbed = disturb(channel, 'Tasks/Create', {
      before() {
        renameSync(join(parent, 'source'), hidden);
        mkdirSync(join(parent, 'source'));
      },
      after: () => undefined,
    });
    const creating = createOn(disturbed, mounts);
    if (isKata) await (await creating).destroy();
    else await expect(creating).rejects.toMatchObject({ code: 'aborted' });
    rmSync(join(parent, 'source'), { recursive: true });
    renameSync(hidden, join(parent, 'source'));
  });

  test('between stop and start: it stays stopped until the source is back', async () => {
    await using session = await provider.createSession({ mounts: mounts as never });
    await session.stop({ timeoutMs: 100 });
    swap();
    try {
      await expect(session.start()).rejects.toMatchObject({
        code: 'failed-precondition',
        message: expect.stringContaining(join(outside, 'source')),
      });
    } finally {
      restore();
    }
    await session.start();
    expect((await session.exec('ls', ['/m'])).stdout).toBe('');
  });

  test('again and again by someone who is quick: never anything but the one that was checked', async () => {
    let isSwapped = false;
    let swaps = 0;
    const timer = setInterval(() => {
      if (isSwapped) restore();
      else swap();
      isSwapped = !isSwapped;
      swaps++;
    }, 3);
    try {
      for (let round = 0; round < ROUNDS; round++) {
        const creating = provider.createSession({ mounts: mounts as never });
        const session = await creating.catch((error) => {
          // Not there in the middle of a swap: for us, or for runc.
          expect(['aborted', 'invalid-argument', 'not-found', 'unknown']).toContain(error.code);
        });
        if (!session) continue;
        const info = await channel.unary(ContainersService.get, { id: session.sessionId });
        const spec = readSpec(info.container as Container);
        const source = spec.mounts.find(({ destination }) => destination === '/m')?.source;
        const { stdout } = await session.exec('ls', ['/m']);
        // Under the name that the kernel had for it when it was held: what it is does not change with that.
        expect(stdout).toBe(source === join(outside, 'source') ? 'file\n' : '');
        await session.destroy();
      }
    } finally {
      clearInterval(timer);
      if (isSwapped) restore();
    }
    // How many creations met one in their way is chance; that there were enough to meet is not.
    expect(swaps).toBeGreaterThan(ROUNDS);
  });
});

test('a runtime that passes over recursive options is found out: nothing below is left writable', async ({ skip }) => {
  skip(isKata, unseen);
  const source = join(host, 'with-mounts');
  mkdirSync(join(source, 'below'), { recursive: true });
  execFileSync('mount', ['-t', 'tmpfs', 'below', join(source, 'below')]);
  try {
    const forget = (mount: OciMount) => ({
      ...mount,
      options: mount.options.filter((option) => !['rro', 'rnosuid', 'rnodev'].includes(option)),
    });
    const disturbed = disturb(channel, 'Containers/Create', {
      before(request) {
        const { container } = request as CreateContainerRequest;
        if (container?.spec === undefined) throw new Error('no spec');
        const spec = unpackJson(container.spec) as OciSpec;
        container.spec = packJson(container.spec.typeUrl, { ...spec, mounts: spec.mounts.map(forget) });
      },
      after: () => undefined,
    });
    await expect(createOn(disturbed, [{ path: source, target: '/m', readOnly: true }])).rejects.toMatchObject({
      code: 'aborted',
      message: expect.stringMatching(/\/m\/below is not (nosuid|nodev|ro)/),
    });
  } finally {
    execFileSync('umount', [join(source, 'below')]);
  }
});

describe('a target that the image leads elsewhere', async () => {
  const archive = join(host, 'links.tar');
  const reference = 'registry.test/links:1';
  writeFileSync(
    archive,
    buildDockerArchive({
      reference,
      files: [
        { path: 'to-host', symlink: host },
        { path: 'up', symlink: `../../../../../..${host}` },
        { path: 'kernel', symlink: '/proc' },
        { path: 'devices', symlink: '/dev' },
        { path: 'loop', symlink: '/loop' },
      ],
    }),
  );
  await provider.importImage(archive);
  const source = join(host, 'shared');
  mkdirSync(source);
  writeFileSync(join(source, 'f'), 'shared');

  test.each(['/to-host/inside', '/up/inside'])('%s stays inside', async (target) => {
    await using session = await provider.createSession({
      image: reference,
      mounts: [{ path: source, target, readOnly: true }],
    });
    expect((await session.exec('cat', [`${target}/f`])).stdout).toBe('shared');
    expect((await session.exec('cat', [`${host}/inside/f`])).stdout).toBe('shared');
    expect(existsSync(join(host, 'inside'))).toBe(false);
  });

  test.for<[string, string]>([
    ['/kernel/x', source],
    ['/devices/x', source],
    ['/devices', source],
    ['/loop/x', source],
  ])('%s is refused, and nothing is left', async ([target, source], { skip }) => {
    skip(isKata && target === '/devices/x', unseen);
    const before = await observe(context);
    await expect(
      provider.createSession({ image: reference, mounts: [{ path: source, target, readOnly: true }] }),
    ).rejects.toThrow();
    expect(await settle(context, before)).toEqual(before);
  });
});
