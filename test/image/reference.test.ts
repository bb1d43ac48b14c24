import fc from 'fast-check';
import { expect, test } from 'vitest';
import { DriverError } from '../../src/core/error.js';
import { formatReference, normalizeReference, parseReference } from '../../src/image/reference.js';

const hex = 'a1'.repeat(32);

test.each([
  ['busybox', 'docker.io/library/busybox:latest'],
  ['busybox:1.36', 'docker.io/library/busybox:1.36'],
  ['team/app', 'docker.io/team/app:latest'],
  ['docker.io/busybox', 'docker.io/library/busybox:latest'],
  ['index.docker.io/team/app:x', 'docker.io/team/app:x'],
  ['localhost/app', 'localhost/app:latest'],
  ['localhost:5000/app', 'localhost:5000/app:latest'],
  ['127.0.0.1:5000/a/b/c:v1', '127.0.0.1:5000/a/b/c:v1'],
  ['[::1]:5000/app', '[::1]:5000/app:latest'],
  ['registry.test/a_b/c__d/e-f/g--h.i', 'registry.test/a_b/c__d/e-f/g--h.i:latest'],
  ['Registry.test/app:V1_x-Y.z', 'Registry.test/app:V1_x-Y.z'],
  [`busybox@sha256:${hex}`, `docker.io/library/busybox@sha256:${hex}`],
  [`registry.test:80/app:1@sha256:${hex}`, `registry.test:80/app:1@sha256:${hex}`],
  [`app@sha512:${hex}${hex}`, `docker.io/library/app@sha512:${hex}${hex}`],
])('%s is %s', (text, canonical) => {
  expect(normalizeReference(text)).toBe(canonical);
  expect(normalizeReference(canonical)).toBe(canonical);
});

test('the parts', () => {
  expect(parseReference(`registry.test:5000/team/app:1.2@sha256:${hex}`)).toEqual({
    registry: 'registry.test:5000',
    repository: 'team/app',
    tag: '1.2',
    digest: `sha256:${hex}`,
  });
  expect(parseReference('busybox')).toEqual({ registry: 'docker.io', repository: 'library/busybox', tag: 'latest' });
});

test.each([
  ['', 'a name such as'],
  ['busy box', 'no white space'],
  ['busybox\n', 'no white space'],
  [' busybox', 'no white space'],
  ['BusyBox', 'a lower-case repository, not "BusyBox"'],
  ['registry.test/Team/app', 'a lower-case repository, not "Team"'],
  ['-busybox', 'not "-busybox"'],
  ['busybox-', 'not "busybox-"'],
  ['a..b', 'not "a..b"'],
  ['a___b', 'not "a___b"'],
  ['/busybox', 'a repository without empty parts'],
  ['registry.test//app', 'a repository without empty parts'],
  ['registry.test/', 'a repository without empty parts'],
  ['https://registry.test/app', 'a name without a URL scheme'],
  [':tag', 'a repository without empty parts'],
  ['busybox:', 'a tag of 1 to 128'],
  ['busybox:.x', 'a tag of 1 to 128'],
  ['busybox:-x', 'a tag of 1 to 128'],
  ['busybox:a:b', 'a tag of 1 to 128'],
  [`busybox:${'x'.repeat(129)}`, 'a tag of 1 to 128'],
  ['busybox@', 'a digest that begins with sha256'],
  ['busybox@sha256', 'hex digits after "sha256:"'],
  ['busybox@md5:abc', 'a digest that begins with sha256'],
  ['busybox@__proto__:abc', 'a digest that begins with sha256'],
  ['busybox@sha256:abc', '64 hex digits in a sha256 digest, not 3'],
  [`busybox@sha256:${hex}0`, '64 hex digits in a sha256 digest, not 65'],
  [`busybox@sha256:${hex.toUpperCase()}`, 'lower-case hex digits'],
  [`busybox@sha256:${hex}:${hex}`, 'lower-case hex digits'],
  [`busybox@sha256:${hex}@sha256:${hex}`, 'lower-case hex digits'],
  [hex, 'not the id of an image'],
  ['registry..test/app', 'a registry host'],
  ['-registry.test/app', 'a registry host'],
  ['registry.test:port/app', 'a registry host'],
  ['../../etc/passwd', 'a registry host'],
  [`registry.test/${'a'.repeat(242)}`, 'at most 255 characters'],
  ['büsybox', 'not "büsybox"'],
  ['busybox\0', 'not "busybox\0"'],
])('%j is refused', (text, reason) => {
  const error = catchError(() => parseReference(text));
  expect(error.code).toBe('invalid-argument');
  expect(error.message).toContain('invalid image reference: reference = ');
  expect(error.message).toContain(reason);
  expect(error.faults).toMatchObject([{ path: 'reference', value: text }]);
});

test('a name of 255 characters is the longest', () => {
  expect(parseReference(`registry.test/${'a'.repeat(241)}`).repository).toHaveLength(241);
});

test('a value of another type is refused, not crashed on', () => {
  for (const value of [undefined, null, 7, {}]) {
    expect(catchError(() => parseReference(value as unknown as string)).code).toBe('invalid-argument');
  }
});

const component = fc.stringMatching(/^[a-z0-9]{1,8}([._-][a-z0-9]{1,8}){0,2}$/);
const host = fc.oneof(
  fc.constant('localhost'),
  fc.stringMatching(/^[a-z0-9]{1,8}\.[a-z]{2,6}(:[0-9]{2,5})?$/),
  fc.stringMatching(/^[a-z0-9]{1,8}:[0-9]{2,5}$/),
);
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined });

test('every well-formed reference is parsed into its parts and printed back', () => {
  const parts = fc.record({
    registry: host,
    repository: fc.array(component, { minLength: 1, maxLength: 4 }).map((list) => list.join('/')),
    tag: maybe(fc.stringMatching(/^\w[\w.-]{0,20}$/)),
    digest: maybe(fc.stringMatching(/^[a-f0-9]{64}$/).map((digits) => `sha256:${digits}`)),
  });
  fc.assert(
    fc.property(parts, ({ registry, repository, tag, digest }) => {
      const given = {
        registry,
        repository,
        ...(tag === undefined ? {} : { tag }),
        ...(digest === undefined ? {} : { digest }),
      };
      const expected = tag === undefined && digest === undefined ? { ...given, tag: 'latest' } : given;
      expect(parseReference(formatReference(given))).toEqual(expected);
    }),
  );
});

test('any text is either refused with a DriverError or stable when printed', () => {
  const characters = fc.string({ unit: fc.constantFrom(...'abzAZ09._-/:@[] \0ü', 'sha256:', 'docker.io/', hex) });
  fc.assert(
    fc.property(fc.oneof(characters, fc.string()), (text) => {
      try {
        const canonical = normalizeReference(text);
        expect(normalizeReference(canonical)).toBe(canonical);
        expect(formatReference(parseReference(canonical))).toBe(canonical);
      } catch (error) {
        if (!(error instanceof DriverError)) throw error;
        expect(error.code).toBe('invalid-argument');
      }
    }),
    { numRuns: 2000 },
  );
});

function catchError(action: () => unknown): DriverError {
  try {
    action();
  } catch (error) {
    if (error instanceof DriverError) return error;
    throw error;
  }
  throw new Error('nothing was refused');
}

test.each([
  'https://user:planted@registry.test/app',
  'user:planted@registry.test/app',
  'u:planted@registry.test/app:1@sha256:0',
])('%s: a password is not in the message', (text) => {
  const error = catchError(() => parseReference(text));
  expect(error.message).not.toContain('planted');
  expect(JSON.stringify(error.faults)).not.toContain('planted');
});
