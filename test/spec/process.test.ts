import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { DriverError } from '../../src/core/error.js';
import { parsePolicy } from '../../src/policy/parse.js';
import { buildSpec } from '../../src/spec/build.js';
import { buildExecProcess } from '../../src/spec/process.js';
import { resolveUser } from '../../src/spec/user.js';
import { host } from './host-facts.js';

const spec = buildSpec({
  policy: parsePolicy({}),
  image: { Env: ['HOME=/root'], WorkingDir: '/srv' },
  host,
  hostname: 'h',
  cgroupsPath: '/n/h',
  user: { uid: 5, gid: 6 },
  env: { A: '1' },
});

const exec = (input: object) => buildExecProcess(spec, { command: 'c', args: [], env: {}, ...input });

describe('buildExecProcess', () => {
  test('has the privileges and limits of the session', () => {
    const { capabilities, rlimits, noNewPrivileges } = spec.process;
    expect(exec({ args: ['x'], env: { A: '2', B: '3' } })).toEqual({
      user: { uid: 5, gid: 6 },
      args: ['c', 'x'],
      env: [expect.stringMatching(/^PATH=/), 'HOME=/root', 'A=2', 'B=3'],
      cwd: '/srv',
      capabilities,
      rlimits,
      noNewPrivileges,
      oomScoreAdj: 0,
    });
  });

  test('a terminal has a size and a type', () => {
    expect(exec({ tty: true })).toMatchObject({
      terminal: true,
      consoleSize: { width: 80, height: 24 },
      env: expect.arrayContaining(['TERM=xterm']),
    });
    expect(exec({ tty: { cols: 5, rows: 7 }, env: { TERM: 'dumb' } })).toMatchObject({
      consoleSize: { width: 5, height: 7 },
      env: expect.arrayContaining(['TERM=dumb']),
    });
  });

  test('reports every fault at once', () => {
    const input = {
      command: 'a\0',
      args: ['ok', 'x'.repeat(131_072)],
      env: { '': '1', 'A=': '2', B: '\0' },
      cwd: 'rel',
    };
    const faults = ['command[0]', 'command[2]', 'env.', 'env.A=', 'env.B', 'cwd'];
    expect(() => exec(input)).toThrow(
      expect.objectContaining({
        code: 'invalid-argument',
        faults: faults.map((path) => expect.objectContaining({ path })),
      }),
    );
  });

  test('values of variables are in no fault', () => {
    const given = { A: 'topsecret\0', B: ['topsecret'] };
    expect(() => exec({ env: given })).toThrow(
      expect.objectContaining({
        message: expect.not.stringContaining('topsecret'),
        faults: ['env.A', 'env.B'].map((path) => expect.objectContaining({ path, value: '[hidden]' })),
      }),
    );
  });

  test('whatever comes in, a cwd that is taken is absolute, clean and not below /proc', () => {
    const part = fc.constantFrom('', '.', '..', 'proc', 'self', 'fd', '7', 'tmp', 'a\0');
    fc.assert(
      fc.property(fc.array(part, { maxLength: 5 }), fc.boolean(), (parts, rooted) => {
        const cwd = (rooted ? '/' : '') + parts.join('/');
        try {
          exec({ cwd });
        } catch (error) {
          expect(error).toBeInstanceOf(DriverError);
          return;
        }
        expect(cwd).toMatch(/^\//);
        expect(cwd).not.toMatch(/\/\/|\/\.\.?(\/|$)|\0|^\/proc(\/|$)|.\/$/);
      }),
    );
  });
});

describe('resolveUser', () => {
  const files = {
    passwd: 'root:x:0:0::/root:/bin/sh\nagent:x:1000:1000::/home/agent:/bin/sh\nbroken line\nbad:x:abc:1::/:/\n'.concat(
      ...['', 'abc', '-1', '4294967296'].map((gid, index) => `bad${index}:x:${index + 5000}:${gid}::/:/\n`),
    ),
    group: 'root:x:0:\nagent:x:1000:\nextra:x:2000:other,agent\n',
  };
  test.each([
    ['0', { uid: 0, gid: 0 }],
    ['root', { uid: 0, gid: 0 }],
    ['agent', { uid: 1000, gid: 1000, additionalGids: [2000] }],
    ['1000', { uid: 1000, gid: 1000, additionalGids: [2000] }],
    ['4242', { uid: 4242, gid: 0 }],
    ['agent:extra', { uid: 1000, gid: 2000 }],
    ['7:8', { uid: 7, gid: 8 }],
    ['root:4242', { uid: 0, gid: 4242 }],
  ])('%s', (text, user) => {
    expect(resolveUser(text, files)).toEqual(user);
  });

  test.each([
    'nobody',
    'bad',
    'bad0',
    'bad1',
    'bad2',
    'bad3',
    '',
    ':0',
    'agent:',
    'agent:none',
    'a:b:c',
    '-1',
    '4294967295',
    '1e3',
  ])('%j is refused', (text) => {
    expect(() => resolveUser(text, files)).toThrow(
      expect.objectContaining({
        code: 'invalid-argument',
        faults: [expect.objectContaining({ path: 'user', value: text })],
      }),
    );
  });
});
