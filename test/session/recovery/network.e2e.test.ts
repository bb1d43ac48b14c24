import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { observe, settle } from '../../support/leaks.js';
import { relax } from '../../support/patience.js';
import { openPrivateHost } from './private.js';
import { Worker } from './worker.js';

const { scope, options, provider, reapAll } = await openPrivateHost();

test('a process that is killed leaves no address, wire, namespace or rule once it was reaped', async () => {
  const before = await observe(scope);
  const worker = new Worker({ ...options, policy: { networkMode: 'full', network: { ports: [80] } } });
  const ids = [await worker.tell('create', {}), await worker.tell('create', {})];
  const { bridge, sessions } = await provider.networks.inspect('default');
  expect(sessions.sort()).toEqual(ids.sort());
  const rules = () => execFileSync('iptables-save', { encoding: 'utf8' }).split('\n');
  const ours = () => rules().filter((rule) => [...ids, bridge as string].some((name) => rule.includes(name)));
  expect(ours().length).toBeGreaterThan(0);
  // Others are under way when it dies.
  const late = [worker.tell('create', {}), worker.tell('create', {})].map((creation) =>
    creation.catch(() => undefined),
  );
  await sleep(relax(150));
  await worker.kill();
  await Promise.all(late);
  await reapAll();
  expect(await settle(scope, before)).toEqual(before);
  expect(existsSync(`/sys/class/net/${bridge}`)).toBe(false);
  expect(ours()).toEqual([]);
});
