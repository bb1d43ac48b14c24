import fc from 'fast-check';
import { expect, test } from 'vitest';
import { findAllowFaults, listAllowRules, readWireName } from '../../src/policy/allow.js';
import { parsePolicy } from '../../src/policy/parse.js';
import { countRuns } from '../support/runs.js';

const web = [
  { first: 80, last: 80 },
  { first: 443, last: 443 },
];
const every = [{ first: 1, last: 65_535 }];

test.each([
  ['example.org', { kind: 'name', name: 'example.org', isBelow: false, ports: web }],
  ['*.Example.ORG.', { kind: 'name', name: 'example.org', isBelow: true, ports: web }],
  ['registry:5000', { kind: 'name', name: 'registry', isBelow: false, ports: [{ first: 5000, last: 5000 }] }],
  ['a_b.example:22-23', { kind: 'name', name: 'a_b.example', isBelow: false, ports: [{ first: 22, last: 23 }] }],
  ['Bücher.example', { kind: 'name', name: 'xn--bcher-kva.example', isBelow: false, ports: web }],
  ['*.例え.jp:443', { kind: 'name', name: 'xn--r8jz45g.jp', isBelow: true, ports: [{ first: 443, last: 443 }] }],
  ['192.0.2.1', { kind: 'address', address: '192.0.2.1', bits: 32, ports: every }],
  ['10.0.0.0/8:5432', { kind: 'address', address: '10.0.0.0', bits: 8, ports: [{ first: 5432, last: 5432 }] }],
  ['0.0.0.0/0', { kind: 'address', address: '0.0.0.0', bits: 0, ports: every }],
])('%s', (text, rule) => {
  expect(findAllowFaults([text])).toEqual([]);
  expect(listAllowRules([text])).toEqual([rule]);
});

const forms = 'a name such as example.org or *.example.org, or an IPv4 address or range, each with :PORT or :PORT-PORT';
const ports = 'ports from 1 to 65535, a range with its lower end first';
const decimal = 'an IPv4 address as four decimal numbers';
const star = '* as the first label alone, such as *.example.org';
const ipv6 = 'an IPv4 address or a name, as a session has no IPv6';

test.each([
  ['*', "names of hosts, or networkMode 'full' for every host"],
  ['*.com', 'at least two labels behind *., as one would be a whole top-level domain'],
  ['*.com.', 'at least two labels behind *., as one would be a whole top-level domain'],
  ['www.*.example', star],
  ['w*.example', star],
  ['*.*.example', star],
  ['::1', ipv6],
  ['[2001:db8::1]:443', ipv6],
  ['2001:db8::/32', ipv6],
  ['::ffff:169.254.169.254', ipv6],
  ['10.0.0.5/24', 'the first address of the range 10.0.0.0/24, or 10.0.0.5 alone'],
  ['10.0.0.0/33', 'a prefix of 0 to 32 bits'],
  ['10.0.0.0/', 'a prefix of 0 to 32 bits'],
  ['10.0.0.0/255.0.0.0', 'a prefix of 0 to 32 bits'],
  ['10.0.0.0/8/8', forms],
  ['example.org/8', forms],
  ['127.1', decimal],
  ['0x7f.1', decimal],
  ['0177.0.0.1', decimal],
  ['2130706433', decimal],
  ['256.0.0.1', decimal],
  ['１２７.0.0.1', decimal],
  ['example.org:0', ports],
  ['example.org:65536', ports],
  ['example.org:90-80', ports],
  ['example.org:http', forms],
  ['example.org:', forms],
  [':80', forms],
  ['https://example.org', forms],
  ['example.org/path', forms],
  ['user@example.org', forms],
  ['exa mple.org', forms],
  ['a%2eb.example', forms],
  ['a..example', forms],
  ['-a.example', forms],
  [`${'a'.repeat(64)}.example`, forms],
  [`${'a.'.repeat(126)}example`, forms],
])('%s is refused by name', (text, expected) => {
  expect(findAllowFaults(['example.org', text])).toEqual([{ path: 'network.allow[1]', value: text, expected }]);
});

test('all that is wrong with a list is told at once, with what else is wrong with the policy', () => {
  const network = { allow: ['*', 'example.org', '*.com'], dns: ['1.2.3'] };
  const paths = ['network.allow[0]', 'network.allow[2]', 'network.dns[0]'];
  const faults = paths.map((path) => expect.objectContaining({ path }));
  expect(() => parsePolicy({ networkMode: 'allowlist', network })).toThrow(
    expect.objectContaining({ code: 'invalid-argument', faults }),
  );
  expect(findAllowFaults(Array.from({ length: 1_025 }, () => 'example.org'))).toEqual([
    { path: 'network.allow', value: 1_025, expected: 'at most 1024 rules' },
  ]);
});

test('whatever is given is refused, or is a rule for names that can be on the wire', () => {
  const piece = fc.constantFrom('*', '.', ':', '/', '-', '80', 'a', 'xn--', 'é', '0x', '127', '%', '[', '8', '\0', 'K');
  const texts = fc.oneof(
    fc.array(piece, { maxLength: 10 }).map((pieces) => pieces.join('')),
    fc.string({ unit: 'binary' }),
  );
  let rules = 0;
  fc.assert(
    fc.property(texts, (text) => {
      for (const rule of listAllowRules([text])) {
        rules++;
        if (rule.kind === 'name') expect(readWireName(rule.name)).toBe(rule.name);
        expect(rule.ports.every(({ first, last }) => first >= 1 && first <= last && last <= 65_535)).toBe(true);
      }
    }),
    { numRuns: countRuns(3_000) },
  );
  expect(rules).toBeGreaterThan(20);
}, 600_000);
