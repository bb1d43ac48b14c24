import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createNamespace, isNamespace, nameNamespace } from '../../src/network/namespace.js';

describe('a network namespace', () => {
  let directory: string;
  beforeAll(() => {
    directory = mkdtempSync('/run/cadre-test-');
  });
  afterAll(() => rmSync(directory, { recursive: true, force: true }));

  const mounts = () =>
    readFileSync('/proc/self/mountinfo', 'utf8')
      .split('\n')
      .filter((line) => line.includes(directory));

  test('has loopback up and nothing else, is made once however often it is asked for, and goes without a trace', async () => {
    const namespace = await createNamespace(directory);
    expect((await createNamespace(directory)).path).toBe(namespace.path);
    expect(mounts()).toHaveLength(1);
    const shown = execFileSync('nsenter', [`--net=${namespace.path}`, 'ip', '-json', 'address'], { encoding: 'utf8' });
    const links = (JSON.parse(shown) as { ifname: string; flags: string[]; addr_info: { local: string }[] }[]).filter(
      ({ flags }) => flags.includes('UP'),
    );
    expect(links.map(({ ifname }) => ifname)).toEqual(['lo']);
    expect(links[0]?.addr_info.map(({ local }) => local)).toEqual(['127.0.0.1', '::1']);
    await namespace.remove();
    await namespace.remove();
    expect(mounts()).toEqual([]);
  });

  test('what a process that was killed has left half done is gone over', async () => {
    writeFileSync(nameNamespace(directory), '');
    const namespace = await createNamespace(directory);
    expect(await isNamespace(namespace.path)).toBe(true);
    execFileSync('mount', ['--bind', namespace.path, namespace.path]);
    await namespace.remove();
    expect(mounts()).toEqual([]);
    expect(await isNamespace(join(directory, 'netns'))).toBe(false);
  });
});
