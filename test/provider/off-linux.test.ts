import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';

const pretend = (platform: string) =>
  `data:text/javascript,Object.defineProperty(process,'platform',{value:'${platform}'})`;

/** Runs a program, or the command line, of the built package on a Node that says it is of that platform. */
function runOn(platform: string, ...args: string[]) {
  const env = { ...process.env, CONTAINERD_ADDRESS: '/nowhere/c.sock' };
  return spawnSync(process.execPath, ['--import', pretend(platform), ...args], { env, encoding: 'utf8' });
}

const program = `
import * as library from '${resolve('dist/index.js')}';
const provider = new library.ContainerdProvider({ image: 'busybox:1' });
const policy = {
  networkMode: 'none',
  user: 'agent',
  readOnlyRootfs: true,
  mounts: [{ path: '/data', readOnly: true }, { path: 'cache', type: 'volume', target: '/cache', readOnly: false }],
  secrets: [{ name: 'KEY', value: 'planted' }],
  resources: { memoryMb: 64, cpus: 0.5, diskMb: 1 },
};
const { diskMb, ...resources } = policy.resources;
const refusal = await provider.createSession(policy).catch((error) => ({ code: error.code, message: error.message }));
const whole = await provider.createSession({ resources }).catch((error) => error.message);
console.log(JSON.stringify({
  platform: process.platform,
  capabilities: provider.capabilities(),
  refused: await provider.plan(policy),
  plan: await provider.plan({ ...policy, resources }),
  invalid: await provider.plan({ resources: { memoryMb: -1 } }).catch((error) => error.code),
  refusal,
  whole,
  health: await provider.healthCheck(),
}));
await provider[Symbol.asyncDispose]();
`;

test.each(['darwin', 'win32'])(
  'on %s the package imports, plans, and says in one sentence what it lacks',
  (platform) => {
    const { stdout, stderr, status } = runOn(platform, '--input-type=module', '--eval', program);
    expect({ stderr, status }).toEqual({ stderr: '', status: 0 });
    const said = JSON.parse(stdout);
    const sentence = `sessions need Linux with containerd, this is ${platform}`;
    expect(said).toMatchObject({
      platform,
      capabilities: { mounts: true, resources: true, networkModes: expect.arrayContaining(['none']) },
      refused: { mismatched: ['resources.diskMb'] },
      plan: { mismatched: [], score: 100, assumed: expect.stringContaining(platform) },
      invalid: 'invalid-argument',
      refusal: { code: 'failed-precondition', message: sentence },
      whole: sentence,
      health: { healthy: false, message: `${sentence}: run on Linux, as root` },
    });
    expect(said.refused.spec).toBeUndefined();
    expect(said.plan.spec).toMatchObject({
      root: { readonly: true },
      process: { user: { uid: 1000, gid: 1000 } },
      mounts: expect.arrayContaining([
        expect.objectContaining({ source: '/data', destination: '/data' }),
        expect.objectContaining({ destination: '/cache' }),
      ]),
      linux: { resources: { memory: { limit: 64 * 1024 * 1024 } } },
    });
    expect(stdout).not.toContain('planted');
  },
);

test('the doctor of another platform fails with that alone', () => {
  const { stdout, status } = runOn('darwin', resolve('dist/cli/main.js'), 'doctor');
  expect(status).toBe(1);
  expect(stdout.trim().split('\n').slice(1)).toEqual([
    expect.stringMatching(/^failed +host +.*darwin +run on Linux, as root$/),
  ]);
});
