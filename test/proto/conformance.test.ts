import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { readOwnFacts } from './buf-facts.js';
import { compareFacts, isLater } from './compare.js';
import { readHistory } from './history.js';
import { parseFacts } from './text-facts.js';
import { readVendors } from './vendors.js';

/** Up to these versions our messages are whole; a later package may well know fields that we do not speak yet. */
const WHOLE_UP_TO = { 'containerd.types.': '2.3.0', 'io.containerd.cgroups.': '3.0.5' };

const history = readHistory();
const ours = readOwnFacts();
const vendors = readVendors(history);
const comparisons = vendors.map((vendor) => ({ vendor, ...compareFacts(ours, vendor, history) }));

describe.each(comparisons)('containerd $vendor.label', ({ vendor, same, newer, conflicts, omitted }) => {
  test('contradicts nothing in our transcription', () => {
    console.log(
      `${vendor.label}: ${same.length} facts same, ${newer.length} newer, ${conflicts.length} conflicts, ` +
        `${omitted.length} omitted (${vendor.description})`,
    );
    expect(conflicts).toEqual([]);
    // Far fewer would mean that the packages moved their files and nothing was compared.
    expect(same.length).toBeGreaterThan(800);
  });

  test('has no more in the messages, enums and services that we transcribe', ({ skip }) => {
    const isAhead = Object.entries(WHOLE_UP_TO).some(([name, level]) => isLater(vendor.versionOf(name) ?? '0', level));
    if (isAhead) skip(`${vendor.description} is ahead of us by: ${omitted.join('; ')}`);
    expect(omitted).toEqual([]);
  });
});

test('every name of ours is agreed on with some vendor, or newer than the newest of them', () => {
  const agreed = new Set(comparisons.flatMap(({ same }) => same));
  const newest = new Set(comparisons.at(-1)?.newer);
  expect([...ours.keys()].filter((name) => !agreed.has(name) && !newest.has(name))).toEqual([]);
});

test('any agreed fact would be a conflict if ours said something else', () => {
  const { vendor, same } = comparisons.at(-1) ?? { same: [] };
  if (vendor === undefined) throw new Error('no vendor to compare with');
  const silent = same.filter((name) => {
    const planted = new Map([[name, { ...ours.get(name), text: 'planted' }]]);
    const { conflicts } = compareFacts(planted, vendor, history);
    return conflicts.length !== 1 || !conflicts[0]?.startsWith(`${name}: ours planted, vendor ${vendor.label} has `);
  });
  expect(silent).toEqual([]);
});

test('two parsers read the same out of our transcription', () => {
  const directory = join(import.meta.dirname, '../../proto');
  const files = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((path) => path.endsWith('.proto'));
  const parsed = parseFacts(files.map((path) => readFileSync(join(directory, path), 'utf8')));
  expect(Object.fromEntries(parsed)).toEqual(Object.fromEntries(ours));
});

test('since.json speaks only of names that we transcribe', () => {
  expect([...history.since.keys()].filter((name) => !ours.has(name))).toEqual([]);
  expect([...history.dropped.keys()].filter((name) => ours.has(name))).toEqual([]);
});
