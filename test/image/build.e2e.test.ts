import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { context } from '../support/context.js';
import { collectGarbage, observe, settle } from '../support/leaks.js';
import { openProvider } from '../support/provider.js';
import { makeAuthority, startRegistry, type TestRegistry } from '../support/registry.js';

const provider = await openProvider();
const { images } = provider;
const directory = mkdtempSync(join(context.root, 'build-'));
const before = await observe(context);

// The engine keeps what is its own within this file's directory, and needs no more than chroot(2) to run a step.
beforeAll(() => {
  mkdirSync(join(directory, 'tmp'));
  const storage = join(directory, 'storage.conf');
  writeFileSync(storage, `[storage]\ndriver = "vfs"\ngraphroot = "${directory}/store"\nrunroot = "${directory}/run"\n`);
  vi.stubEnv('CONTAINERS_STORAGE_CONF', storage);
  vi.stubEnv('BUILDAH_ISOLATION', 'chroot');
  vi.stubEnv('TMPDIR', join(directory, 'tmp'));
});
afterAll(() => vi.unstubAllEnvs());

afterEach(async () => {
  for await (const { name } of images.list()) if (name !== context.images.reference) await images.remove(name);
  await collectGarbage(context);
  expect(await settle(context, before)).toEqual(before);
  expect(readdirSync(join(directory, 'tmp')).filter((name) => name.startsWith('cadre-build-'))).toEqual([]);
});

function makeContext(dockerfile: string): string {
  const path = mkdtempSync(join(directory, 'context-'));
  copyFileSync(['/bin/busybox', '/usr/bin/busybox'].find((file) => existsSync(file)) ?? '', join(path, 'busybox'));
  writeFileSync(join(path, 'Dockerfile'), dockerfile);
  return path;
}

const STAGES = `FROM scratch AS base
COPY busybox /bin/busybox
ARG WHO=nobody
ENV WHO=$WHO
RUN ["/bin/busybox", "sh", "-c", "echo made by $WHO >/made"]
FROM base AS other
CMD ["/bin/busybox", "true"]
FROM scratch
COPY --from=base / /
COPY --from=base /made /copied
USER 7:8
`;

describe('buildah', () => {
  test('builds several stages from nothing, under all tags, with its words on the way', async () => {
    const lines: string[] = [];
    const image = await images.build({
      context: makeContext(STAGES),
      tags: ['built:1', 'built:2'],
      buildArgs: { WHO: "a 'quoted' $(touch /x) name" },
      onProgress: (line) => lines.push(line),
    });
    expect(image).toMatchObject({ name: 'docker.io/library/built:1', config: { User: '7:8' } });
    expect((await images.inspect('built:2')).target).toEqual(image.target);
    expect(lines.join('\n')).toContain('COPY busybox /bin/busybox');
    {
      await using session = await provider.createSession({ image: 'built:2' });
      const { stdout } = await session.exec('/bin/busybox', ['cat', '/copied']);
      expect(stdout).toBe("made by a 'quoted' $(touch /x) name\n");
    }
    expect(execFileSync('buildah', ['images', '-a', '--quiet'], { encoding: 'utf8' })).toBe('');
  });

  test('builds one stage, from another file', async () => {
    const path = makeContext('FROM nowhere.invalid/nothing');
    writeFileSync(join(path, 'Other'), STAGES);
    const image = await images.build({
      context: path,
      dockerfile: 'Other',
      tags: ['built:1'],
      target: 'other',
      engine: 'buildah',
    });
    expect(image.config).toMatchObject({ Cmd: ['/bin/busybox', 'true'] });
    expect(image.config.User).toBeUndefined();
  });

  test('a step that fails is told in its own words', async () => {
    const path = makeContext(
      'FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "sh", "-c", "echo said; exit 9"]\n',
    );
    await expect(images.build({ context: path, tags: ['built:1'] })).rejects.toMatchObject({
      code: 'unknown',
      message: expect.stringMatching(/^buildah build ended with 9: .*said.*exit status 9/s),
    });
    expect(await images.exists('built:1')).toBe(false);
  });

  test('an abort ends it', async () => {
    const path = makeContext('FROM scratch\nCOPY busybox /bin/busybox\nRUN ["/bin/busybox", "sleep", "600"]\n');
    const abort = new AbortController();
    const onProgress = (line: string) => line.includes('sleep') && abort.abort();
    const building = images.build({ context: path, tags: ['built:1'], onProgress, signal: abort.signal });
    await expect(building).rejects.toMatchObject({ code: 'canceled' });
  });
});

describe('base images of a registry, several stages', () => {
  const base = (host: string) => `${host}/team/base:1`;
  const dockerfile = (host: string) => `FROM ${base(host)} AS tools
RUN ["/bin/busybox", "sh", "-c", "echo from the base >/made"]
FROM ${base(host)}
COPY --from=tools /made /made
`;
  let registry: TestRegistry | undefined;
  afterEach(() => registry?.stop());

  async function build(host: string): Promise<string> {
    await images.build({ context: makeContext(dockerfile(host)), tags: ['built:1'], engine: 'buildah' });
    await using session = await provider.createSession({ image: 'built:1' });
    return (await session.exec('/bin/busybox', ['cat', '/made'])).stdout;
  }

  test('one without TLS, which registries.conf has to allow', async () => {
    registry = await startRegistry();
    const { host } = registry;
    await images.push(context.images.reference, { to: base(host) });
    await expect(build(host)).rejects.toMatchObject({ message: expect.stringMatching(/HTTPS client/) });
    const conf = join(directory, 'registries.conf');
    writeFileSync(conf, `[[registry]]\nlocation = "${host}"\ninsecure = true\n`);
    vi.stubEnv('CONTAINERS_REGISTRIES_CONF', conf);
    expect(await build(host)).toBe('from the base\n');
  });

  test('one with a CA of its own and a password', async () => {
    const own = mkdtempSync(join(directory, 'authority-'));
    const authority = makeAuthority(own);
    const basic = { username: 'user', password: 'planted' };
    registry = await startRegistry({ tls: authority, basic });
    const { host } = registry;
    mkdirSync(join(own, host));
    writeFileSync(join(own, host, 'hosts.toml'), `ca = "${authority.ca}"\n`);
    const options = { hostsDirectory: own, credentials: { [host]: basic } };
    await images.push(context.images.reference, { to: base(host), registry: options });
    await expect(build(host)).rejects.toMatchObject({ message: expect.stringMatching(/x509: certificate signed by/) });
    vi.stubEnv('SSL_CERT_FILE', authority.ca);
    await expect(build(host)).rejects.toMatchObject({ message: expect.stringMatching(/unauthorized|authentication/) });
    const auth = Buffer.from(`${basic.username}:${basic.password}`).toString('base64');
    writeFileSync(join(own, 'auth.json'), JSON.stringify({ auths: { [host]: { auth } } }));
    vi.stubEnv('REGISTRY_AUTH_FILE', join(own, 'auth.json'));
    expect(await build(host)).toBe('from the base\n');
  });
});

// BuildKit is no package of Debian: what is called here records how, and hands out an archive.
test('BuildKit is asked in its own words, where its daemon is named', async () => {
  const bin = mkdtempSync(join(directory, 'bin-'));
  const double = join(bin, 'buildctl');
  writeFileSync(
    double,
    `#!/bin/sh
printf '%s\\n' "$@" >${bin}/args
for last; do :; done
cp ${context.images.ociLayout} "\${last#type=oci,dest=}"
`,
  );
  chmodSync(double, 0o755);
  vi.stubEnv('PATH', `${bin}:${process.env.PATH}`);
  vi.stubEnv('BUILDKIT_HOST', 'unix:///nowhere.sock');
  const path = makeContext('FROM scratch');
  const image = await images.build({ context: path, tags: ['built:1'], buildArgs: { A: 'b c' }, target: 'x' });
  expect(image.name).toBe('docker.io/library/built:1');
  const args = readFileSync(join(bin, 'args'), 'utf8').trimEnd().split('\n');
  expect(args.slice(0, -1)).toEqual([
    '--addr',
    'unix:///nowhere.sock',
    'build',
    '--frontend',
    'dockerfile.v0',
    '--progress',
    'plain',
    '--local',
    `context=${path}`,
    '--local',
    `dockerfile=${path}`,
    '--opt',
    'filename=Dockerfile',
    '--opt',
    'build-arg:A=b c',
    '--opt',
    'target=x',
    '--output',
  ]);
  vi.stubEnv('BUILDKIT_HOST', undefined);
  vi.stubEnv('PATH', '/nowhere');
  await expect(images.build({ context: path, tags: ['built:1'] })).rejects.toMatchObject({
    code: 'failed-precondition',
    message: expect.stringMatching(
      /^no engine to build images with on this host: install buildah, or install buildctl/,
    ),
  });
});

test('bad input is refused before anything runs, with every fault', async () => {
  await expect(images.build({ tag: 'x', buildArgs: { 'a-b': '1' } } as never)).rejects.toMatchObject({
    code: 'invalid-argument',
    faults: [{ path: 'tag', suggestion: 'tags' }, { path: 'buildArgs.a-b' }, { path: 'context' }, { path: 'tags' }],
  });
  const missing = images.build({ context: directory, tags: ['built:1'] });
  await expect(missing).rejects.toMatchObject({ code: 'invalid-argument', faults: [{ path: 'dockerfile' }] });
});
