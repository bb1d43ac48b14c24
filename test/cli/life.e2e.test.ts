import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { cadre, cadreWith } from './cadre.js';

const { images } = context;
cadre('import', images.dockerArchive);
const image = images.reference;

test('a detached session: seen, run in, stopped, started and removed by other calls', async () => {
  const before = await observe(context);
  const script = 'echo begun; while read line; do echo "got $line"; done; sleep 1000';
  const { stdout: id, stderr } = cadre('run', '-d', '-i', '--ttl', '10m', '--name', 'web', image, 'sh', '-c', script);
  expect([id, stderr]).toEqual([expect.stringMatching(/^cadre-web-[0-9a-f]{8}\n$/), '']);

  expect(cadre('ps', '-q').stdout).toBe(id);
  expect(cadre('ps').stdout).toMatch(/^SESSION .*\ncadre-web-\w+ +web +running +\d+s ago +\d+m .*busybox:1.35\n$/);
  expect(cadre('ps', '-a', '-q', '--format', 'json').stdout).toBe(id);
  expect(cadre('ps', '-a', '--format', 'json').stdout).toBe(cadre('ps', '--json').stdout);
  expect(JSON.parse(cadre('ps', '--json').stdout)).toMatchObject({ name: 'web', state: 'running', image });
  expect(JSON.parse(cadre('info', 'web').stdout)).toMatchObject({ sessionId: id.trim(), state: 'running' });
  expect(
    cadre('exec', '-e', 'A=b c', '-w', '/tmp', '-u', '1000', 'web', 'sh', '-c', 'echo $A $PWD $(id -u); exit 5'),
  ).toEqual({ status: 5, stdout: 'b c /tmp 1000\n', stderr: '' });
  expect(cadreWith('from outside', 'exec', '-i', 'web', 'cat').stdout).toBe('from outside');
  expect(cadreWith('unread', 'exec', 'web', 'cat').stdout).toBe('');
  expect(cadre('exec', '--timeout', '200ms', 'web', 'sleep', '60').status).toBe(124);
  expect(cadre('logs', 'web').stdout).toBe('begun\n');
  expect(cadre('stats', '--no-stream').stdout).toMatch(/SESSION .*\ncadre-web-\w+ +\d+\.\d% /);
  expect(JSON.parse(cadre('stats', '--no-stream', '--json', 'web').stdout)).toMatchObject({ session: 'web', pids: 2 });

  expect(cadre('pause', 'web').stdout).toBe('web\n');
  expect(JSON.parse(cadre('ps', '--json').stdout).state).toBe('paused');
  expect(cadre('resume', 'web').stdout).toBe('web\n');
  expect(cadre('rm', 'web')).toEqual({
    status: 1,
    stdout: '',
    stderr: 'cadre-containerd: session web is running: stop it first, or use -f\n',
  });
  expect(cadre('stop', '-t', '1', 'web', 'absent')).toMatchObject({ status: 1, stdout: 'web\n' });
  expect(cadre('ps', '-q').stdout).toBe('');
  expect(cadre('ps', '-a')).toMatchObject({ stderr: '', stdout: expect.stringMatching(/ stopped \(\d+\) /) });
  expect(cadre('start', 'web').stdout).toBe('web\n');
  expect(cadre('logs', '--tail', '1', 'web').stdout).toBe('begun\n');
  expect(cadre('rm', '-f', 'web').stdout).toBe('web\n');
  expect(cadre('ps', '-aq').stdout).toBe('');
  expect(await settle({ ...context, ids: [id.trim()] }, before)).toEqual(before);
});

test('without a time to live a session goes with its command, with one it stays, and --rm wins', async () => {
  const before = await observe(context);
  expect(cadre('run', image, 'true').status).toBe(0);
  expect(cadre('run', '--rm', '--ttl', '1h', '--name', 'gone', image, 'true').status).toBe(0);
  expect(cadre('ps', '-aq').stdout).toBe('');
  expect(cadre('run', '--ttl', '1h', '--name', 'kept', image, 'touch', '/tmp/made').status).toBe(0);
  expect(cadre('exec', 'kept', 'ls', '/tmp').stdout).toBe('made\n');
  expect(cadre('rm', '-f', 'kept').status).toBe(0);
  expect(await settle(context, before)).toEqual(before);
});

test('a policy from a file, and options over it', () => {
  const file = join(context.root, 'policy.json');
  writeFileSync(file, JSON.stringify({ readOnlyRootfs: true, resources: { memoryMb: 32, pidsLimit: 40 } }));
  const limits =
    'cd /sys/fs/cgroup; cat memory.max pids.max memory/memory.limit_in_bytes pids/pids.max 2>/dev/null; touch /x';
  const run = cadre('run', '--policy', file, '-m', '64m', '--cap-drop', 'ALL', image, 'sh', '-c', limits);
  expect(run).toMatchObject({
    status: 1,
    stdout: `${64 * 1024 * 1024}\n40\n`,
    stderr: expect.stringMatching(/Read-only/),
  });
});
