import { execFile } from 'node:child_process';
import { chmodSync, chownSync, existsSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ContainerdProvider } from '../../src/index.js';
import { context } from '../support/context.js';
import { type Daemon, nameNamespace, startDaemon } from '../support/daemon.js';
import { makeKataHost, makeShim, type Part } from '../support/kata-host.js';
import { observe } from '../support/leaks.js';
import { watchSteal } from '../support/patience.js';

const before = await observe(context);

/** Rejects in time, and nothing was created. */
async function expectRefusal(creating: () => Promise<unknown>, expected: object): Promise<void> {
  const started = Date.now();
  const stolen = watchSteal();
  await expect(creating()).rejects.toMatchObject(expected);
  expect(Date.now() - started - stolen()).toBeLessThan(2_000);
  expect(await observe(context)).toEqual(before);
}

describe('a socket that is none of containerd', () => {
  const place = (name: string) => join(context.root, name);
  const server = createServer((socket) => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n', () => socket.destroy()));
  afterAll(() => new Promise((resolve) => server.close(resolve)));
  const prepare: Record<string, (path: string) => unknown> = {
    absent: () => undefined,
    file: (path) => writeFileSync(path, ''),
    // Under another name than its server knows, the socket outlives it, as that of a daemon which was killed does.
    deserted: async (path) => {
      const gone = createServer();
      await new Promise<void>((resolve) => gone.listen(`${path}.made`, resolve));
      renameSync(`${path}.made`, path);
      await new Promise((resolve) => gone.close(resolve));
    },
    other: (path) => new Promise<void>((resolve) => server.listen(path, resolve)),
  };

  test.each(Object.keys(prepare))('%s', async (kind) => {
    const address = place(`${kind}.sock`);
    await prepare[kind]?.(address);
    const { images, namespace } = context;
    const provider = new ContainerdProvider({ image: images.reference, address, namespace });
    await expectRefusal(() => provider.createSession(), {
      code: 'unavailable',
      message: expect.stringContaining(`no containerd answers at ${address}`),
      remedy: 'start containerd, or name its socket with CONTAINERD_ADDRESS',
    });
    const { healthy, message } = await provider.healthCheck();
    expect({ healthy, message }).toEqual({ healthy: false, message: expect.stringContaining(address) });
    await provider.close();
    rmSync(address, { force: true });
  });
});

test.each([
  ['root without the capability to open it', '--bounding-set=-all', 'unavailable', 'connect EACCES'],
  ['an ordinary user', '--reuid=65534', 'failed-precondition', 'sessions need root'],
])('a socket that may not be opened, by %s', async (_, privilege, code, text) => {
  const directory = mkdtempSync(join(tmpdir(), 'unreadable-'));
  const address = join(directory, 'containerd.sock');
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(address, resolve));
  chownSync(address, 1, 1);
  chmodSync(address, 0o600);
  chmodSync(directory, 0o755);
  const program = join(directory, 'program.ts');
  const options = { image: 'absent:1', address, namespace: context.namespace, stateRoot: join(directory, 'state') };
  writeFileSync(
    program,
    `import { ContainerdProvider } from '${new URL('../../src/index.ts', import.meta.url).pathname}';
    const provider = new ContainerdProvider(${JSON.stringify(options)});
    const started = Date.now();
    const { code, message, remedy } = await provider.createSession().catch((error) => error);
    console.log(JSON.stringify({ code, message, remedy, ms: Date.now() - started }));
    await provider.close();`,
  );
  const command = [privilege, '--clear-groups', process.execPath, 'scripts/run-ts.mjs', program];
  const stolen = watchSteal();
  const printed = await promisify(execFile)('setpriv', command, { cwd: process.cwd() });
  const { ms, ...error } = JSON.parse(printed.stdout);
  expect(error).toMatchObject({ code, message: expect.stringContaining(text) });
  if (code === 'unavailable') expect(error.remedy).toBe('let this process open the socket, which its user may not');
  expect(ms - stolen()).toBeLessThan(2_000);
  expect(existsSync(options.stateRoot)).toBe(false);
  await new Promise((resolve) => server.close(resolve));
  rmSync(directory, { recursive: true });
});

describe('Kata without one part of it is refused, with how to get it, and never run on runc', () => {
  const directory = mkdtempSync(join(tmpdir(), 'missing-'));
  let daemon: Daemon;
  beforeAll(async () => {
    makeShim(join(directory, 'bin'));
    daemon = await startDaemon({ generation: context.generation, path: [join(directory, 'bin')] });
  });
  afterAll(async () => {
    await daemon.stop();
    rmSync(directory, { recursive: true });
  });

  test.each<[what: string, missing: Part[], hasShim: boolean, text: string, remedy: string]>([
    ['shim', [], false, 'no containerd-shim-kata-v2', 'install Kata Containers 3 or later and link'],
    ['device of KVM', ['/dev/kvm'], true, '/dev/kvm (not there)', 'load the module kvm_intel or kvm_amd'],
    ['device of vsock', ['/dev/vhost-vsock'], true, '/dev/vhost-vsock (not there)', 'load the module vhost_vsock'],
    [
      'configuration',
      ['/etc/kata-containers/configuration.toml'],
      true,
      'no configuration.toml',
      '/etc/kata-containers',
    ],
  ])('%s', async (_, missing, hasShim, text, remedy) => {
    const scope = { ...context, namespace: nameNamespace(), ...(hasShim ? daemon : {}) };
    const hostRoot = makeKataHost(mkdtempSync(join(directory, 'host-')), missing);
    const { address, namespace, stateRoot } = scope;
    // There is no such image: what is looked for after the runtime is not come to.
    const options = { image: 'absent:1', pull: 'never', runtime: 'kata', address, namespace, stateRoot } as const;
    const provider = new ContainerdProvider(options, { hostRoot });
    const empty = await observe(scope);
    const started = Date.now();
    const stolen = watchSteal();
    await expect(provider.createSession()).rejects.toMatchObject({
      code: 'failed-precondition',
      message: expect.stringMatching(/^sessions cannot run on io\.containerd\.kata\.v2 here; [^;]+$/),
      remedy: expect.stringContaining(remedy),
    });
    await expect(provider.createSession()).rejects.toThrow(text);
    expect(Date.now() - started - stolen()).toBeLessThan(2_000);
    expect(await observe(scope)).toEqual(empty);
    const { healthy, details } = await provider.healthCheck();
    expect(healthy).toBe(false);
    expect(details.checks.filter(({ state }) => state === 'failed')).toHaveLength(1);
    await provider.close();
  });
});
