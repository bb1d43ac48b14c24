import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { Session } from '../../src/index.js';
import { context, onlyOn } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { openProvider } from '../support/provider.js';

const provider = await openProvider();
const before = await observe(context);
/** The first id of `userns: true`. */
const FIRST = 1_879_048_192;
const own = { uid: 300_000, size: 70_000 };

async function sh(session: Session, line: string, options = {}): Promise<string> {
  const { stdout } = await session.exec('sh', ['-c', `exec 2>&1; ${line}`], options);
  return stdout.trim();
}

async function findWrong(session: Session): Promise<unknown[]> {
  return (await session.verify()).checks.filter(({ ok }) => !ok);
}

/** Ids on this host of whoever runs the command; it is looked for by its argument. */
async function readIds(session: Session, options: object): Promise<string[]> {
  const execution = await session.spawn('sleep', ['1000'], options);
  const [{ pid } = { pid: 0 }] = await session.executions.list();
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  await execution.kill();
  await execution.result();
  return ['Uid', 'Gid'].map((name) => new RegExp(`^${name}:\t(\\d+)`, 'm').exec(status)?.[1] ?? '');
}

onlyOn(['2.1'], 'older ones do not map the ids of layers')('a user namespace', () => {
  test('root inside is not root outside; files are whose they are inside, and all of it is as it was asked', async () => {
    await using session = await provider.createSession({ userns: true });
    expect(await sh(session, 'cat /proc/self/uid_map /proc/self/gid_map | tr -s " "')).toBe(
      `0 ${FIRST} 65536\n 0 ${FIRST} 65536`,
    );
    expect(await sh(session, 'stat -c "%u:%g %n" / /root /bin/busybox /home/agent')).toBe(
      '0:0 /\n0:0 /root\n0:0 /bin/busybox\n1000:1000 /home/agent',
    );
    expect(await sh(session, 'echo x > /root/x && chown 1000:2000 /root/x && stat -c "%u:%g" /root/x')).toBe(
      '1000:2000',
    );
    expect(await sh(session, 'stat -c %u:%g $(tty)', { tty: true })).toBe('0:5');
    expect(await readIds(session, {})).toEqual([`${FIRST}`, `${FIRST}`]);
    expect(await readIds(session, { user: 'agent' })).toEqual([`${FIRST + 1000}`, `${FIRST + 1000}`]);
    expect(await findWrong(session)).toEqual([]);
  });

  test("secrets and volumes are the own ones of who is mapped; of what is the host's, root inside is nobody", async () => {
    const directory = mkdtempSync(join(tmpdir(), 'userns-'));
    chmodSync(directory, 0o755);
    writeFileSync(join(directory, 'private'), 'x', { mode: 0o600 });
    const secrets = [{ name: 'key', value: 'planted' }];
    const mounts = [
      { type: 'volume' as const, path: 'mapped', target: '/data', readOnly: false },
      { path: directory, target: '/host', readOnly: false },
    ];
    try {
      await using session = await provider.createSession({ userns: own, user: 'agent', secrets, mounts });
      expect(await sh(session, 'cat /run/secrets/key; stat -c "%a %u:%g" /run/secrets/key')).toBe(
        'planted400 1000:1000',
      );
      expect(await sh(session, 'echo kept > /data/file && cat /data/file; echo y > /tmp/y && cat /tmp/y')).toBe(
        'kept\ny',
      );
      const { path } = await provider.volumes.inspect('mapped');
      expect(statSync(join(path, 'file'))).toMatchObject({ uid: own.uid + 1000, gid: own.uid + 1000 });
      expect(await sh(session, 'stat -c %u /host; cat /host/private; touch /host/new', { user: '0' })).toMatch(
        /^65534\n.*Permission denied\n.*Permission denied$/,
      );
      expect(await readIds(session, { user: '69999' })).toEqual([`${own.uid + 69_999}`, `${own.uid}`]);
      expect(await findWrong(session)).toEqual([]);
    } finally {
      rmSync(directory, { recursive: true });
      await provider.volumes.remove('mapped');
    }
  });

  test('it is the same after a stop, a start and for another process', async () => {
    await using session = await provider.createSession({ userns: own });
    await session.exec('sh', ['-c', 'echo kept > /root/file']);
    await session.stop({ timeoutMs: 1 });
    await session.start();
    await using other = await openProvider();
    const connected = await other.connect(session.sessionId);
    expect(await sh(connected, 'stat -c %u:%g /root/file /bin/busybox')).toBe('0:0\n0:0');
    expect(await readIds(connected, {})).toEqual([`${own.uid}`, `${own.uid}`]);
    expect(await findWrong(connected)).toEqual([]);
  });

  test('what would give files the ids of the host is refused, and the session runs on', async () => {
    await using session = await provider.createSession({ userns: true });
    for (const work of [() => session.fork(), () => session.commit({ image: 'x' }), () => session.diff()]) {
      await expect(work()).rejects.toMatchObject({
        code: 'failed-precondition',
        message: expect.stringContaining('has a user namespace (userns)'),
      });
    }
    expect(await sh(session, 'echo still here')).toBe('still here');
  });

  test('a user that is not mapped is refused, of a session and of an exec', async () => {
    const refusal = { code: 'invalid-argument', faults: [{ path: 'user', value: 65_536 }] };
    await expect(provider.createSession({ userns: true, user: '65536' })).rejects.toMatchObject(refusal);
    await using session = await provider.createSession({ userns: true });
    await expect(session.exec('id', [], { user: '65536' })).rejects.toMatchObject(refusal);
  });
});

test('where layers cannot be mapped, it is refused with the reason, and nothing is made', async () => {
  const native = await openProvider({ snapshotter: 'native' });
  const refuse = (expected: string) => ({ mismatchedAttributes: ['userns'], faults: [{ path: 'userns', expected }] });
  const snapshotter = 'false, as snapshotter native does not map ids: overlayfs does';
  await expect(native.createSession({ userns: true })).rejects.toMatchObject(refuse(snapshotter));
  if (context.generation === '2.1') return;
  const version = `false, as containerd ${context.version} does not map the ids of its layers: 2.0 and later do`;
  await expect(provider.createSession({ userns: true })).rejects.toMatchObject(refuse(version));
  expect(await provider.plan({ userns: own })).toMatchObject({ mismatched: ['userns'], spec: undefined });
});

test('nothing of it is left', async () => {
  await settle(context, before);
});
