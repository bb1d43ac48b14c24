import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { ignoreAbsent, listNames, listNamesSync } from '../../src/core/absent.js';

let directory: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'absent-'));
  writeFileSync(join(directory, 'file'), '');
});

afterEach(() => rmSync(directory, { recursive: true }));

it('lists what is there', async () => {
  expect(await listNames(directory)).toEqual(['file']);
  expect(listNamesSync(directory)).toEqual(['file']);
});

it.each(['none', 'file/below', 'file'])('takes %s for a directory without names', async (name) => {
  expect(await listNames(join(directory, name))).toEqual([]);
  expect(listNamesSync(join(directory, name))).toEqual([]);
});

it('lets every other failure be one', async () => {
  const tooLong = join(directory, 'n'.repeat(300));
  await expect(listNames(tooLong)).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
  expect(() => listNamesSync(tooLong)).toThrow('ENAMETOOLONG');
  await expect(stat(tooLong).catch(ignoreAbsent)).rejects.toMatchObject({ code: 'ENAMETOOLONG' });
});
