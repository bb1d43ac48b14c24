/**
 * What a network adds to the creation of a session, beside docker's, and what passes through it, in turns:
 * npm run bench:network [-- ROUNDS [GENERATION]]
 */
import { readFileSync } from 'node:fs';
import { ContainerdProvider, type Session } from '../src/index.js';
import type { Generation } from '../test/support/containerd-binary.js';
import { openInternet } from '../test/support/internet/internet.js';
import { makeProber } from '../test/support/internet/prober.js';
import { startDockerd } from './dockerd.js';
import { layGround } from './ground.js';
import { DockerApi } from './peers/docker-api.mjs';

const SIZE = 256 * 2 ** 20;
const NAME = 'web.allowed.test';

const [rounds = '15', generation = '1.6'] = process.argv.slice(2);
const undos: (() => unknown)[] = [];
const defer = (undo: () => unknown) => undos.unshift(undo);

try {
  const ground = await layGround(generation as Generation, defer);
  const { address, namespace, image, scratch } = ground;
  const internet = await openInternet();
  defer(() => internet.stop());
  await internet.setRecords({ [NAME]: { addresses: [internet.web], ttl: 60 } });
  const prober = makeProber(internet);
  defer(() => prober.remove());
  const policy = { mounts: [prober.mount], resources: { memoryMb: 512 } };
  const provider = new ContainerdProvider({ image, address, namespace, stateRoot: scratch('sessions'), policy });
  defer(() => provider[Symbol.asyncDispose]());

  const dns = [internet.dns];
  const ours = {
    none: { networkMode: 'none' as const },
    full: { network: { dns } },
    allowlist: { networkMode: 'allowlist' as const, network: { dns, allow: [NAME] } },
  };
  // The first session of a network makes its bridge.
  const kept = await provider.createSession(ours.full);
  defer(() => kept.destroy());
  const makers: Record<string, () => Promise<() => Promise<unknown>>> = Object.fromEntries(
    Object.entries(ours).map(([name, asked]) => [
      name,
      async () => {
        const session = await provider.createSession(asked);
        return () => session.destroy();
      },
    ]),
  );
  Object.assign(makers, await openDocker());
  console.log('podman is SKIPPED: it makes containers without containerd');
  const creation = await measureAll(makers, Number(rounds));
  report('create', 'ms', creation, { full: 'none', allowlist: 'none', 'docker bridge': 'docker none' });

  const sessions = {
    'full, HTTP': await provider.createSession(ours.full),
    'allowlist, HTTP by name': await provider.createSession(ours.allowlist),
    'allowlist, TCP by address': await provider.createSession({
      networkMode: 'allowlist',
      network: { dns, allow: [`${internet.web}:80`] },
    }),
  };
  for (const session of Object.values(sessions)) defer(() => session.destroy());
  const passing: Record<string, number[]> = {};
  for (let round = 0; round < 5; round++) {
    for (const [name, session] of Object.entries(sessions)) {
      const rate = await measureRate(session, name.includes('name') ? NAME : internet.web);
      passing[name] ??= [];
      passing[name].push(rate);
    }
  }
  report(`${SIZE / 2 ** 20} MiB in`, 'MB/s', passing, {});

  async function measureRate(session: Session, host: string): Promise<number> {
    const get = async (size: number) => {
      const started = performance.now();
      const [came = ''] = await prober.probe(session, [
        { kind: 'http', host, path: `/bytes/${size}`, limitMs: 120_000 },
      ]);
      if (!came.startsWith('+')) throw new Error(`${host}: ${came}`);
      return performance.now() - started;
    };
    // Less what the program itself takes to start.
    const base = await get(1);
    return SIZE / 1e6 / (((await get(SIZE)) - base) / 1000);
  }

  /** A daemon of its own network namespace: what docker makes of links and rules stays in it. */
  async function openDocker(): Promise<typeof makers> {
    try {
      const { socket, stop } = await startDockerd(ground, { hasNetwork: true });
      defer(stop);
      const docker = new DockerApi(socket);
      await docker.call('POST', '/images/load?quiet=1', readFileSync(ground.archive));
      const make = (mode: string) => async () => {
        const asked = { Image: image, Cmd: ['sleep', '1000'], HostConfig: { Init: true, NetworkMode: mode } };
        const { Id: id } = await docker.call('POST', '/containers/create', asked);
        await docker.call('POST', `/containers/${id}/start`);
        return () => docker.call('DELETE', `/containers/${id}?force=1&v=1`);
      };
      return { 'docker none': make('none'), 'docker bridge': make('bridge') };
    } catch (error) {
      console.log(`docker is SKIPPED: ${(error as Error).message}`);
      return {};
    }
  }
} finally {
  for (const undo of undos) await undo();
}

/** The first round only warms up. */
async function measureAll(
  makers: Record<string, () => Promise<() => Promise<unknown>>>,
  count: number,
): Promise<Record<string, number[]>> {
  const times: Record<string, number[]> = Object.fromEntries(Object.keys(makers).map((name) => [name, []]));
  for (let round = -1; round < count; round++) {
    const turn = Object.entries(makers);
    for (const [name, make] of round % 2 === 0 ? turn : turn.reverse()) {
      const started = performance.now();
      const destroy = await make();
      if (round >= 0) times[name]?.push(performance.now() - started);
      await destroy();
    }
  }
  return times;
}

function report(
  what: string,
  unit: string,
  measured: Record<string, number[]>,
  bases: Readonly<Record<string, string>>,
): void {
  for (const [name, values] of Object.entries(measured)) {
    const base = measured[bases[name] ?? ''];
    const ratio = base === undefined ? '' : `  ${(median(values) / median(base)).toFixed(2)} x ${bases[name]}`;
    const range = `${Math.min(...values).toFixed(0)} to ${Math.max(...values).toFixed(0)}`;
    console.log(`${what}, ${name.padEnd(26)} ${median(values).toFixed(0).padStart(6)} ${unit} (${range})${ratio}`);
  }
}

function median(values: readonly number[]): number {
  return [...values].sort((a, b) => a - b)[values.length >> 1] ?? 0;
}
