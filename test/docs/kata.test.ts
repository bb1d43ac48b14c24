import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { describeCapabilities } from '../../src/policy/capabilities.js';
import { explainFailure } from '../../src/spec/failures.js';
import { checkContainerd, checkRuntime, type RuntimeFacts } from '../../src/spec/prerequisites.js';

const page = readFileSync('docs/kata.md', 'utf8');

/** Cells of the rows of the first table below a heading. */
function readTable(title: string): string[][] {
  const lines = (page.split(title)[1] ?? '').split('\n');
  const rows = lines.slice(lines.findIndex((line) => line.startsWith('|')) + 2);
  const end = rows.findIndex((line) => !line.startsWith('|'));
  return rows.slice(0, end).map((row) => row.slice(2, -2).split(' | '));
}

const plain = (cell = '') => cell.replaceAll('`', '');

test('the table of failures says what their words are explained by', () => {
  const rows = readTable('## Failures');
  expect(rows.length).toBeGreaterThan(8);
  for (const [words, message] of rows) expect(explainFailure(plain(words))?.message, words).toBe(message);
});

test('the table of checks has each that the doctor makes for Kata', () => {
  const facts: RuntimeFacts = {
    kernel: '6.1.0',
    shim: undefined,
    isCertain: true,
    kvm: undefined,
    vsock: undefined,
    virtualization: true,
    configuration: { path: '', isThere: true },
    missingTools: [],
    kataCheck: { passed: true, says: '' },
  };
  const checks = [checkContainerd('2.1.9'), ...checkRuntime('io.containerd.kata.v2', facts)];
  expect(readTable('## Prepare a host').map(([name]) => plain(name))).toEqual(checks.map(({ name }) => name));
});

test('the page names all that Kata drops and runc does not', () => {
  const list = (runtime: string) =>
    Object.keys(describeCapabilities({ cpus: 1, memoryBytes: 1, runtime, containerd: '2.1.9' }).unsupported);
  const [, refused = ''] = /Refused on Kata where a policy asks for it: (.*?)\n\n/s.exec(page) ?? [];
  const named = [...refused.matchAll(/`([\w.]+)`/g)].map(([, feature]) => feature);
  expect(named.sort()).toEqual(
    list('kata')
      .filter((feature) => !list('runc').includes(feature))
      .sort(),
  );
});
