import { expect, test } from 'vitest';
import { parseSeccomp } from '../../src/spec/seccomp-file.js';

const rule = { names: ['ptrace'], action: 'SCMP_ACT_ERRNO', errnoRet: 1 };
const profile = { defaultAction: 'SCMP_ACT_ALLOW', architectures: ['SCMP_ARCH_X86_64'], syscalls: [rule] };
const parse = (value: unknown) => parseSeccomp(JSON.stringify(value), '/p.json');

test('a profile of the runtime specification is taken as it is', () => {
  expect(parse(profile)).toEqual(profile);
  const masked = { index: 0, value: 0x7e020000, valueTwo: 0, op: 'SCMP_CMP_MASKED_EQ' };
  const full = { ...profile, defaultErrnoRet: 38, syscalls: [{ ...rule, args: [masked] }], comment: 'ours' };
  expect(parse(full)).toEqual(full);
  expect(parse({ defaultAction: 'SCMP_ACT_ERRNO', architectures: [] })).toMatchObject({ syscalls: [] });
});

test.each([
  ['no object', [], ['seccomp']],
  ['nothing at all', null, ['seccomp']],
  ['what is required', {}, ['seccomp.defaultAction', 'seccomp.architectures']],
  ["Docker's own form", { ...profile, archMap: [] }, ['seccomp.archMap']],
  [
    'a rule that depends on capabilities',
    { ...profile, syscalls: [{ ...rule, includes: {} }] },
    ['seccomp.syscalls[0].includes'],
  ],
  [
    'a program on the host',
    { ...profile, listenerPath: '/s', defaultAction: 'SCMP_ACT_NOTIFY' },
    ['seccomp.listenerPath', 'seccomp.defaultAction'],
  ],
  [
    'every fault at once',
    {
      ...profile,
      syscalls: [
        { names: 'ptrace', action: 'deny' },
        { ...rule, names: ['A B'], errnoRet: -1 },
      ],
    },
    [
      'seccomp.syscalls[0].names',
      'seccomp.syscalls[0].action',
      'seccomp.syscalls[1].names[0]',
      'seccomp.syscalls[1].errnoRet',
    ],
  ],
  ['one that filters nothing', { ...profile, syscalls: [] }, ['seccomp.syscalls']],
])('refused: %s', (_, value, paths) => {
  expect(() => parse(value)).toThrow(
    expect.objectContaining({
      code: 'invalid-argument',
      message: expect.stringContaining('/p.json'),
      faults: paths.map((path) => expect.objectContaining({ path })),
    }),
  );
});

test('what is no JSON is told as such', () => {
  expect(() => parseSeccomp('{', '/p.json')).toThrow(/seccomp.path = "\/p.json": expected a file of JSON/);
});

test('what the file holds is in no message', () => {
  for (const text of ['root:topsecret:0', '"topsecret"', '{"a":"topsecret"}', '{"defaultAction":"topsecret"}']) {
    expect(() => parseSeccomp(text, '/p.json')).toThrow(
      expect.objectContaining({ code: 'invalid-argument', message: expect.not.stringContaining('topsecret') }),
    );
  }
});
