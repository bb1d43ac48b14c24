import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, readFileSync, renameSync, rmSync, statSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { type AuditEvent, JsonlAuditSink } from '../../../src/index.js';

const directory = mkdtempSync(join(tmpdir(), 'cadre-audit-'));
afterAll(() => rmSync(directory, { recursive: true }));
const read = (path: string) =>
  readFileSync(path, 'utf8')
    .split('\n')
    .slice(0, -1)
    .map((line): AuditEvent => JSON.parse(line));

function build(sessionId: string): AuditEvent {
  return {
    time: '2026-01-01T00:00:00.000Z',
    action: 'exec',
    outcome: 'done',
    operationId: '1',
    uid: 0,
    pid: 1,
    sessionId,
  };
}

test('a line for each event, in a file of root alone', async () => {
  const path = join(directory, 'plain.jsonl');
  const old = process.umask(0);
  const sink = new JsonlAuditSink(path);
  await sink.write(build('one\n"two"'));
  process.umask(old);
  await sink.write(build('three'));
  expect(read(path)).toEqual([build('one\n"two"'), build('three')]);
  expect(statSync(path).mode & 0o777).toBe(0o600);
  chmodSync(path, 0o640);
  await sink.write(build('four'));
  expect(statSync(path).mode & 0o777).toBe(0o640);
});

test('after a rotation it goes on in a new file', async () => {
  const path = join(directory, 'rotated.jsonl');
  const sink = new JsonlAuditSink(path, { sync: true });
  await sink.write(build('before'));
  renameSync(path, `${path}.1`);
  await sink.write(build('after'));
  expect(read(`${path}.1`)).toEqual([build('before')]);
  expect(read(path)).toEqual([build('after')]);
});

test('many writers at once mix no lines', async () => {
  const path = join(directory, 'many.jsonl');
  const sinks = [new JsonlAuditSink(path), new JsonlAuditSink(path), new JsonlAuditSink(path)];
  const ids = Array.from({ length: 300 }, (_, index) => `${index}-${'x'.repeat(9_000)}`);
  await Promise.all(ids.map((id, index) => sinks[index % 3]?.write(build(id))));
  expect(new Set(read(path).map(({ sessionId }) => sessionId))).toEqual(new Set(ids));
});

test('what cannot be written is told: no directory, a link, a full disk', async () => {
  await expect(new JsonlAuditSink(join(directory, 'none/log')).write(build('x'))).rejects.toThrow(/ENOENT/);
  symlinkSync('/etc/passwd', join(directory, 'link'));
  await expect(new JsonlAuditSink(join(directory, 'link')).write(build('x'))).rejects.toThrow(/ELOOP/);
  expect(() => new JsonlAuditSink('audit.jsonl')).toThrow(/an absolute path/);
});

test('of a line that the disk took in part the next one is kept apart', async () => {
  const disk = join(directory, 'disk');
  execFileSync('mkdir', [disk]);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16k', 'small', disk]);
  try {
    const path = join(disk, 'log');
    const sink = new JsonlAuditSink(path);
    await sink.write(build('first'));
    await expect(sink.write(build('y'.repeat(60_000)))).rejects.toThrow(/took \d+ of \d+ bytes|ENOSPC/);
    execFileSync('mount', ['-o', 'remount,size=1m', disk]);
    await sink.write(build('last'));
    const lines = readFileSync(path, 'utf8').split('\n');
    expect(JSON.parse(lines[0] as string)).toEqual(build('first'));
    expect(JSON.parse(lines.at(-2) as string)).toEqual(build('last'));
  } finally {
    execFileSync('umount', [disk]);
  }
});
