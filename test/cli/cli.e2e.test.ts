import { describe, expect, test } from 'vitest';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';
import { cadre } from './cadre.js';

const { images } = context;

describe('cadre-containerd', () => {
  test('import names what it brought in', () => {
    const { status, stdout } = cadre('import', images.ociLayout, '--as', 'wrong/place:1');
    expect([status, stdout]).toEqual([2, '']);
    expect(cadre('import', '--as', 'local/box:1', images.ociLayout)).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^docker\.io\/local\/box:1 sha256:[0-9a-f]{64}\n$/),
    });
    expect(cadre('import', images.dockerArchive).stdout).toContain(images.reference);
  });

  test('run passes output and exit code through and leaves nothing', async () => {
    const before = await observe(context);
    const run = cadre(
      'run',
      '--memory',
      '64m',
      '--cpus',
      '0.5',
      images.reference,
      'sh',
      '-c',
      'echo out; echo err >&2; exit 9',
    );
    expect(run).toEqual({ status: 9, stdout: 'out\n', stderr: 'err\n' });
    expect(cadre('run', '--rm', '--timeout', '200ms', images.reference, 'sleep', '60').status).toBe(124);
    expect(await settle(context, before)).toEqual(before);
  });

  test('options behind the image belong to the command', () => {
    expect(cadre('run', images.reference, 'echo', '--memory', '-n').stdout).toBe('--memory -n\n');
  });

  test('version and help', () => {
    expect(cadre('--version').stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(cadre('version').stdout).toBe(cadre('--version').stdout);
    const names = cadre().stdout.match(/^ {2}[a-z]+(?= )/gm) ?? [];
    expect(names.length).toBeGreaterThan(10);
    for (const verb of names.map((name) => name.trim())) {
      expect(cadre().stdout).toContain(`  ${verb} `);
      expect(cadre(verb, '--help').stdout).toMatch(/^usage: cadre-containerd /);
    }
  });

  test.each([
    [['fly'], 2, 'verb = "fly": expected one of'],
    [['run', '--memroy', '5', 'x', 'true'], 2, '--memory'],
    [['run', images.reference], 2, 'expected a command'],
    [['run'], 2, 'expected the name of an image'],
    [['run', '-d', images.reference, 'true'], 2, '--ttl beside it'],
    [['run', '-v', '/x', images.reference, 'true'], 2, 'SOURCE:TARGET'],
    [['run', '-e', 'NO_SUCH_VARIABLE', images.reference, 'true'], 2, 'NAME=VALUE'],
    [['run', '--ttl', 'soon', images.reference, 'true'], 2, '--ttl = "soon": expected a duration'],
    [['run', '--policy', '/no/such.json', images.reference, 'true'], 2, 'ENOENT'],
    [['run', '--cpus', '100', images.reference, 'true'], 1, 'resources.cpus'],
    [['exec', 'absent', 'true'], 1, 'no session "absent"'],
    [['exec', 'absent'], 2, 'expected a command'],
    [['ps', 'x'], 2, 'expected none more'],
    [['info'], 2, 'the id or the name of a session'],
    [['logs', '--tail', 'x', 'y'], 2, '--tail = "x": expected a number'],
    [['rm', 'absent'], 1, 'no session "absent"'],
    [['stats', 'absent'], 1, 'no session "absent"'],
    [['attach', 'absent'], 1, 'no session "absent"'],
    [['run', '--memory', 'much', images.reference, 'true'], 2, '--memory = "much": expected a size'],
    [['run', '--memory', '1m', images.reference, 'true'], 2, 'resources.memoryMb = 1'],
    [['run', 'absent:1', 'true'], 1, 'no image docker.io/library/absent:1'],
    [['run', '--address', '/nowhere.sock', 'x', 'true'], 1, 'no containerd answers at /nowhere.sock'],
    [['run', images.reference, 'no-such-command'], 1, 'command "no-such-command" not found in the session'],
    [['import', '/no/such.tar'], 1, '/no/such.tar'],
    [['stop', 'absent'], 1, 'no session "absent"'],
    [['stop', '-t', 'soon', 'absent'], 2, '--time = "soon": expected a duration'],
    [['start', 'absent'], 1, 'no session "absent"'],
    [['pause', 'absent'], 1, 'no session "absent"'],
    [['resume', 'absent'], 1, 'no session "absent"'],
    [['info', 'absent'], 1, 'no session "absent"'],
    [['logs', 'absent'], 1, 'no session "absent"'],
    [['diff', 'absent'], 1, 'no session "absent"'],
    [['commit', 'absent', 'x:1'], 1, 'no session "absent"'],
    [['commit', 'absent'], 2, 'expected the name of an image'],
    [['fork', '--ttl', '1h', 'absent'], 1, 'no session "absent"'],
    [['fork', '--ttl', '1h', '--count', 'many', 'absent'], 2, '--count = "many": expected a number'],
    [['push', 'absent:1'], 1, 'no image docker.io/library/absent:1'],
    [['pull', '-a', 'x:1'], 2, "Unknown option '-a'"],
    [['images', 'inspect', 'absent:1'], 1, 'no image docker.io/library/absent:1'],
    [['images', 'rm', 'absent:1'], 1, 'no image docker.io/library/absent:1'],
    [['images', 'tag', 'absent:1', 'y:1'], 1, 'no image docker.io/library/absent:1'],
    [['images', 'export', 'absent:1'], 1, 'no image docker.io/library/absent:1'],
    [['images', 'prune', '--keep', 'little'], 2, '--keep = "little": expected a size'],
    [['volumes', 'inspect', 'absent'], 1, 'no volume absent'],
    [['run', '--network', 'none', '-p', '80', images.reference, 'true'], 2, 'network.ports = ["80"]'],
    [['run', '--dns', 'x', images.reference, 'true'], 2, 'network.dns[0] = "x"'],
    [['port', 'absent'], 1, 'absent'],
    [['volumes', 'rm', 'absent'], 1, 'no volume absent'],
    [['volumes', 'create', '../x'], 2, '../x'],
    [['volumes', 'prune', '--older-than', 'x'], 2, '--older-than = "x": expected a duration'],
    [['ps', '--format', 'yaml'], 2, '--format = "yaml": expected json or table'],
    [['events', 'x'], 2, 'expected none more'],
    [['doctor', 'x'], 2, 'expected none more'],
    [['reap', '--address', '/nowhere.sock'], 1, 'no containerd answers at /nowhere.sock'],
    [['policy', 'plan', '/no/such.json'], 2, 'file = "/no/such.json": expected a file of JSON'],
    [['policy', 'schema', 'x'], 2, 'expected none more'],
    [['config', 'check', '/no/such.json'], 2, 'file = "/no/such.json": expected a file of JSON'],
    [['completion', 'csh'], 2, 'one of bash, zsh, fish'],
    [['completion'], 2, 'expected bash, zsh or fish'],
    [['version', 'x'], 2, 'expected none more'],
  ])('%j fails with %i and one line', (args, status, text) => {
    const result = cadre(...args);
    expect(result).toMatchObject({ status, stdout: '' });
    expect(result.stderr).toMatch(/^cadre-containerd: [^\n]+\n$/);
    expect(result.stderr).toContain(text);
  });
});
