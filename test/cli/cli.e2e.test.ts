import { spawnSync } from 'node:child_process';
import { describe, expect, test } from 'vitest';
import { context } from '../support/context.js';
import { observe, settle } from '../support/leaks.js';

const { address, namespace, images } = context;

/** The command line as a user has it, from dist. */
function cadre(...args: string[]) {
  const env = { ...process.env, CONTAINERD_ADDRESS: address, CONTAINERD_NAMESPACE: namespace };
  const { status, stdout, stderr } = spawnSync(process.execPath, ['dist/cli/main.js', ...args], {
    env,
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

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
      '--memory-mb',
      '64',
      '--cpus',
      '0.5',
      images.reference,
      'sh',
      '-c',
      'echo out; echo err >&2; exit 9',
    );
    expect(run).toEqual({ status: 9, stdout: 'out\n', stderr: 'err\n' });
    expect(cadre('run', '--timeout-ms', '200', images.reference, 'sleep', '60').status).toBe(124);
    expect(await settle(context, before)).toEqual(before);
  });

  test('options behind the image belong to the command', () => {
    expect(cadre('run', images.reference, 'echo', '--memory-mb', '-n').stdout).toBe('--memory-mb -n\n');
  });

  test('version and help', () => {
    expect(cadre('--version').stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(cadre('version').stdout).toBe(cadre('--version').stdout);
    for (const verb of ['import', 'run', 'version']) {
      expect(cadre().stdout).toContain(`  ${verb} `);
      expect(cadre(verb, '--help').stdout).toMatch(/^usage: cadre-containerd /);
    }
  });

  test.each([
    [['fly'], 2, 'verb = "fly": expected one of'],
    [['run', '--memroy-mb', '5', 'x', 'true'], 2, '--memory-mb'],
    [['run', images.reference], 2, 'expected an image and a command'],
    [['run', '--memory-mb', 'much', images.reference, 'true'], 2, 'resources.memoryMb = NaN'],
    [['run', 'absent:1', 'true'], 1, 'no image docker.io/library/absent:1'],
    [['run', '--address', '/nowhere.sock', 'x', 'true'], 1, 'no containerd answers at /nowhere.sock'],
    [['run', images.reference, 'no-such-command'], 1, 'command "no-such-command" not found in the session'],
    [['import', '/no/such.tar'], 1, '/no/such.tar'],
  ])('%j fails with %i and one line', (args, status, text) => {
    const result = cadre(...args);
    expect(result).toMatchObject({ status, stdout: '' });
    expect(result.stderr).toMatch(/^cadre-containerd: [^\n]+\n$/);
    expect(result.stderr).toContain(text);
  });
});
