import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { parsePolicy } from '../../src/policy/parse.js';
import { checkLoaded, readConfinement } from '../../src/session/confinement.js';

const dir = mkdtempSync(join(tmpdir(), 'confinement-'));
afterAll(() => rmSync(dir, { recursive: true }));

const read = (path: string) => readConfinement(parsePolicy({ seccomp: { path } }));

test('a profile of a file', async () => {
  const profile = { defaultAction: 'SCMP_ACT_ERRNO', architectures: ['SCMP_ARCH_X86_64'], syscalls: [] };
  writeFileSync(join(dir, 'p.json'), JSON.stringify(profile));
  expect(await read(join(dir, 'p.json'))).toEqual(profile);
  expect(await readConfinement(parsePolicy({ seccomp: 'strict' }))).toBeUndefined();
});

test.each([
  ['absent', '/no/such/file', 'not ENOENT'],
  ['a directory', dir, 'a regular file'],
  ['a device', '/dev/zero', 'a regular file'],
])('%s is refused', async (_, path, text) => {
  await expect(read(path)).rejects.toMatchObject({
    code: 'invalid-argument',
    faults: [{ path: 'seccomp.path', value: path, expected: expect.stringContaining(text) }],
  });
});

test('a file that is too large is refused unread', async () => {
  const path = join(dir, 'large');
  writeFileSync(path, Buffer.alloc(1024 * 1024 + 1, ' '));
  await expect(read(path)).rejects.toMatchObject({ faults: [{ expected: 'a regular file of at most 1048576 bytes' }] });
});

test('a profile of AppArmor has to be loaded and enforced', () => {
  const loaded = 'docker-default (enforce)\n/usr/bin/man (complain)\nwith (some) text (enforce)\n';
  for (const name of ['docker-default', 'with (some) text']) expect(() => checkLoaded(name, loaded)).not.toThrow();
  expect(() => checkLoaded('other', loaded)).toThrow(
    expect.objectContaining({
      mismatchedAttributes: ['apparmor'],
      message: expect.stringContaining('loaded and enforced on this host: docker-default, with (some) text'),
    }),
  );
  expect(() => checkLoaded('/usr/bin/man', loaded)).toThrow(/and not in mode complain/);
  expect(() => checkLoaded('any', '')).toThrow(/there is none/);
  expect(() => checkLoaded('cadre-default', '')).toThrow(/cadre-containerd apparmor load/);
});

test.skipIf(existsSync('/sys/kernel/security/apparmor/profiles'))('without its list there is no profile', async () => {
  await expect(readConfinement(parsePolicy({ apparmor: 'x' }))).rejects.toMatchObject({
    mismatchedAttributes: ['apparmor'],
    message: expect.stringMatching(/profiles cannot be read here \(ENOENT\)/),
  });
});
