import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { describeCapabilities } from '../../src/policy/capabilities.js';
import { features } from '../../src/policy/features.js';
import { isLive } from '../../src/policy/update.js';
import { listPages } from './examples.js';

const prose = (page: string) => readFileSync(page, 'utf8').replaceAll(/^```[\s\S]*?^```$/gm, '');

/** As GitHub makes them of headings. */
function listAnchors(page: string): string[] {
  return [...prose(page).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
}

/** Links of a page that lead nowhere. */
function findBroken(page: string, text: string): string[] {
  const links = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link);
  return links.filter((link) => {
    if (/^https?:/.test(link)) return false;
    const [path = '', anchor] = link.split('#');
    const target = path === '' ? page : join(dirname(page), path);
    return !existsSync(target) || (anchor !== undefined && !listAnchors(target).includes(anchor));
  });
}

test.each(listPages())('every link of %s leads to a file and a heading', (page) => {
  expect(findBroken(page, prose(page))).toEqual([]);
});

test('a link that leads nowhere is found', () => {
  const text = '[a](docs/none.md) [b](docs/exec.md#none) [c](docs/exec.md#kill) [d](#use-it)';
  expect(findBroken('README.md', text)).toEqual(['docs/none.md', 'docs/exec.md#none']);
});

test('every page is linked from the README', () => {
  const linked = [...prose('README.md').matchAll(/\]\((docs\/[^)#]+)/g)].map(([, link]) => link);
  expect(listPages().filter((page) => page.startsWith('docs/') && !linked.includes(page))).toEqual([]);
});

const troubleshooting = readFileSync('docs/troubleshooting.md', 'utf8');

test('the table of error codes has each code, and no other', () => {
  const union = /type ErrorCode =([^;]+);/.exec(readFileSync('src/core/error.ts', 'utf8'))?.[1] ?? '';
  const codes = [...union.matchAll(/'([a-z-]+)'/g)].map(([, code]) => code);
  const [, table = ''] = troubleshooting.split('## Error codes');
  expect(codes.length).toBeGreaterThan(10);
  expect([...table.matchAll(/^\| `([a-z-]+)` \|/gm)].map(([, code]) => code).sort()).toEqual(codes.sort());
});

test('every message under symptoms is one of the code, or of the system where it says inside', () => {
  const sources = readdirSync('src', { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.ts'));
  const code = sources.map((path) => readFileSync(join('src', path), 'utf8')).join('\n');
  const [, table = ''] = troubleshooting.split('## Symptoms');
  const symptoms = [...(table.split('## ')[0] ?? '').matchAll(/^\| (.+?) \|/gm)].map(([, symptom = '']) => symptom);
  const messages = symptoms
    .filter((symptom) => !/ inside|errno/.test(symptom))
    .flatMap((symptom) => [...symptom.matchAll(/`([^`]+)`/g)].map(([, message = '']) => message));
  expect(messages.length).toBeGreaterThan(10);
  expect(messages.filter((message) => !code.includes(message.replace(/: (true|false)$/, '')))).toEqual([]);
});

test.each(['README.md', 'docs/policy.md'])('%s names all that is refused everywhere, and nothing else', (page) => {
  // A host that has everything refuses only what no code enforces.
  const { unsupported } = describeCapabilities({ cpus: 1, memoryBytes: 1, runtime: 'runc', containerd: '2.1.9' });
  const [, list = ''] = /Refused everywhere today: (.*?)\n\n/s.exec(prose(page)) ?? [];
  expect([...list.matchAll(/`([\w.]+)`/g)].map(([, feature]) => feature).sort()).toEqual(
    Object.keys(unsupported).sort(),
  );
});

test('docs/cli.md has every verb', () => {
  const verbs = [...readFileSync('src/cli/verbs.ts', 'utf8').matchAll(/^ {2}(\w+): async/gm)].map(([, verb]) => verb);
  const named = [...prose('docs/cli.md').matchAll(/`([a-z]+)[ `]/g)].map(([, verb]) => verb);
  expect(verbs.length).toBeGreaterThan(20);
  expect(verbs.filter((verb) => !named.includes(verb))).toEqual([]);
});

test('docs/verify.md names the limits that can change while a session runs, and no others', () => {
  const [, row = ''] = /^\| can change .*\n.*\n\| (.*?) \|/m.exec(prose('docs/verify.md')) ?? [];
  const limits = features.filter(isLive).map((path) => path.replace('resources.', ''));
  expect(limits.length).toBeGreaterThan(3);
  expect([...row.matchAll(/`([\w.]+)`/g)].map(([, limit]) => limit).sort()).toEqual(limits.sort());
});

function listSchemaKeys(file: string, part: string): string[] {
  const { properties } = JSON.parse(readFileSync(file, 'utf8'));
  return [...Object.keys(properties), ...Object.keys(properties[part].properties)];
}

function listMembers(file: string, name: string): string[] {
  const [, body = ''] =
    new RegExp(`export interface ${name}(?:\\s+extends [^{]+)? \\{\\n(.*?)^\\}`, 'ms').exec(
      readFileSync(file, 'utf8'),
    ) ?? [];
  return [...body.matchAll(/^ {2}(\w+)\??:/gm)].map(([, member = '']) => member);
}

test.each([
  ['docs/policy.md', listSchemaKeys('policy.schema.json', 'resources')],
  ['docs/configuration.md docs/migrating.md', listSchemaKeys('isolation.schema.json', 'containerOptions')],
  ['docs/exec.md', listMembers('src/session/exec-options.ts', 'ExecOptions')],
  ['docs/exec.md', listMembers('src/session/exec-options.ts', 'ExecResult')],
  ['docs/pool.md', listMembers('src/provider/pool-options.ts', 'PoolOptions')],
  ['docs/pool.md', listMembers('src/pool/stats.ts', 'PoolStats')],
  ['docs/mounts.md', listMembers('src/policy/types.ts', 'MountSpec')],
])('%s has every field', (pages, fields) => {
  const code = pages
    .split(' ')
    .flatMap((page) => [...readFileSync(page, 'utf8').matchAll(/```[\s\S]*?```|`[^`\n]+`/g)])
    .join(' ');
  expect(fields.length).toBeGreaterThan(4);
  expect(fields.filter((field) => !new RegExp(`\\b${field}\\b`).test(code))).toEqual([]);
});
