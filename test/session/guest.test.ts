import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, expect, test } from 'vitest';
import { endGuest, findGuest } from '../../src/session/guest.js';
import { readCommand, readStat } from '../../src/session/proc.js';

const root = mkdtempSync(join(tmpdir(), 'guest-'));
const children: ChildProcess[] = [];
afterEach(() => {
  for (const child of children.splice(0)) child.kill('SIGKILL');
});
afterAll(() => rmSync(root, { recursive: true }));

/** A process with that command line. */
async function show(program: string, ...args: string[]): Promise<number> {
  const child = spawn(process.execPath, ['-e', 'setInterval(() => undefined, 1e6)', '--', ...args], {
    argv0: program,
    stdio: 'ignore',
  });
  children.push(child);
  const pid = child.pid as number;
  await expect.poll(() => readCommand(pid)[0]).toBe(program);
  return pid;
}

const isThere = (pid: number) => ![undefined, 'Z'].includes(readStat(pid)?.state);

test('programs of a guest are known by their names and the id, and go with its files; others stay', async () => {
  const id = `cadre-${randomBytes(8).toString('hex')}`;
  const own = [
    await show('/opt/kata/bin/qemu-system-x86_64', '-name', `sandbox-${id},debug-threads=on`, '-uuid', 'x'),
    await show('/opt/kata/libexec/virtiofsd', `--shared-dir=/run/kata-containers/shared/sandboxes/${id}/shared`),
    await show('/opt/kata/bin/cloud-hypervisor', '--api-socket', `/run/vc/vm/${id}/clh-api.sock`),
    await show('/opt/kata/bin/firecracker', '--id', id),
  ];
  const others = [
    await show('/usr/bin/qemu-system-x86_64', '-name', `sandbox-${id}0`),
    await show('/usr/bin/qemu-system-x86_64', '-name', `my-${id}`),
    await show('/usr/bin/qemu-system-x86_64', '-name', 'guest=web'),
    await show('/usr/bin/tail', '-f', `/run/vc/vm/${id}/console.log`),
  ];
  expect(
    findGuest(id)
      .map(({ pid }) => pid)
      .sort(),
  ).toEqual([...own].sort());
  const [sandbox, other] = [join(root, 'vc/sbs', id), join(root, 'vc/sbs', 'another')];
  for (const directory of [sandbox, other]) {
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'persist.json'), '{}');
  }

  // Another namespace's session of the name may have the same id.
  const shim = await show('/usr/bin/containerd-shim-kata-v2', '-namespace', 'n', '-id', id, '-address', '/a');
  await endGuest({ id, address: '/a', namespace: 'own' }, root);
  expect([...own, ...others].filter(isThere)).toHaveLength(own.length + others.length);
  expect(existsSync(sandbox)).toBe(true);

  process.kill(shim, 'SIGKILL');
  await expect.poll(() => isThere(shim)).toBe(false);
  await endGuest({ id, address: '/a', namespace: 'own' }, root);
  expect(own.filter(isThere)).toEqual([]);
  expect(others.filter(isThere)).toEqual(others);
  expect([existsSync(sandbox), existsSync(other)]).toEqual([false, true]);
  await endGuest({ id, address: '/a', namespace: 'own' }, root);
});
