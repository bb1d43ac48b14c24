/** Starts the peers that were asked for. One that cannot run is named with the reason, and the others carry on. */
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildGoPeer, buildLibrary, installPackages } from './build.js';
import { startDockerd } from './dockerd.js';
import { type Ground, layPlainGround, POLICY } from './ground.js';
import { readVersion } from './machine.js';
import type { PeerName } from './options.js';
import { Peer, type PeerCommand } from './peer.js';
import { writeTemplate } from './template.js';

export interface Roster {
  readonly peers: readonly Peer[];
  /** Those whose cost of live sessions is told, each in a fresh process. */
  readonly holders: readonly { readonly name: PeerName; start(): Promise<Peer> }[];
  readonly skipped: readonly { readonly name: PeerName; readonly reason: string }[];
  /** Whose spec it is that all share. */
  readonly spec: string;
}

type Defer = (undo: () => unknown) => void;

const script = (name: string) => fileURLToPath(new URL(`./peers/${name}.mjs`, import.meta.url));

export async function callRoster(names: readonly PeerName[], ground: Ground, defer: Defer): Promise<Roster> {
  const skipped: { name: PeerName; reason: string }[] = [];
  const peers: Peer[] = [];
  const attempt = async (name: PeerName, prepare: () => PeerCommand | Promise<PeerCommand>) => {
    try {
      const peer = await Peer.start(await prepare());
      defer(() => peer.stop());
      return peer;
    } catch (error) {
      skipped.push({ name, reason: (error as Error).message });
      return undefined;
    }
  };
  // First, asked for or not: its spec is everybody's, with an init that needs nobody at the other end of a socket.
  const task = await attempt('task', () => {
    buildLibrary();
    return describeOurs(ground, { name: 'task', executor: 'task' });
  });
  const spec = await writeTemplate(ground, task);
  // Beside controllers of v1, crun refuses the hierarchy of v2 that a hybrid host has: on a containerd that does not see it.
  let plain: Promise<Ground> | undefined;
  const layPlain = () => {
    plain ??= layPlainGround(ground, defer);
    return plain;
  };
  const describe: Record<Exclude<PeerName, 'task'>, () => PeerCommand | Promise<PeerCommand>> = {
    ours: () => describeOurs(ground),
    shared: () => describeOurs(ground, { name: 'shared', shimGroup: 'bench' }),
    crun: async () => describeCrun(await layPlain(), { name: 'crun' }),
    lean: async () => describeCrun(await layPlain(), { name: 'lean', shimGroup: 'bench' }),
    go: () => describeGo(ground, 'go', 'client'),
    ctr: () => describeGo(ground, 'ctr', 'ctr'),
    runc: () => describeGo(ground, 'runc', 'runc'),
    docker: () => describeDocker(ground, defer),
  };
  for (const name of names) {
    const peer = name === 'task' ? task : await attempt(name, describe[name]);
    if (peer) peers.push(peer);
  }
  const commands = { ours: () => describeOurs(ground, {}, holdFlags), go: () => describeGo(ground, 'go', 'client') };
  const holders = peers.flatMap(({ name }) =>
    name === 'ours' || name === 'go' ? [{ name, start: () => Peer.start(commands[name]()) }] : [],
  );
  return { peers, holders, skipped, spec };
}

/**
 * A collection on request, and a young generation that stays small: it grows with what a process has done, by tens of
 * megabytes, and would hide what a live session costs.
 */
const holdFlags = ['--expose-gc', '--max-semi-space-size=1'];

function describeOurs(
  ground: Ground,
  { name = 'ours', ...more }: { name?: PeerName; executor?: string; shimGroup?: string; runtimeBinary?: string } = {},
  flags: readonly string[] = [],
): PeerCommand {
  const scratch = ground.scratch(name);
  const settings = JSON.stringify({ ...pickSettings(ground), scratch, policy: POLICY, ...more });
  const command = [process.execPath, ...flags, script('ours'), settings];
  return { name, version: `dist on node ${process.version}`, command, log: nameLog(scratch) };
}

function describeCrun(plain: Ground, given: { name: PeerName; shimGroup?: string }): PeerCommand {
  installPackages('crun');
  const { version, ...peer } = describeOurs(plain, { ...given, runtimeBinary: '/usr/bin/crun' });
  return { ...peer, version: `${readVersion('crun', ['--version'])}, ${version}` };
}

function describeGo(ground: Ground, name: PeerName, mode: string): PeerCommand {
  const scratch = ground.scratch(name);
  const command = [buildGoPeer(), mode, JSON.stringify({ ...pickSettings(ground), scratch })];
  return { name, version: describeVersion(name), command, log: nameLog(scratch) };
}

async function describeDocker(ground: Ground, defer: Defer): Promise<PeerCommand> {
  installPackages('docker.io');
  const { socket, stop } = await startDockerd(ground);
  defer(stop);
  const scratch = ground.scratch('docker');
  const settings = JSON.stringify({ ...pickSettings(ground), socket });
  const command = [process.execPath, script('docker'), settings];
  return {
    name: 'docker',
    version: `dockerd ${readVersion('dockerd', ['--version'])}`,
    command,
    log: nameLog(scratch),
  };
}

function describeVersion(name: PeerName): string {
  if (name === 'runc') return `runc ${readVersion('runc', ['--version'])}`;
  if (name === 'ctr') return `ctr ${readVersion('ctr', ['--version'])}`;
  const library = ['--show', 'golang-github-containerd-containerd-dev'];
  return `containerd client ${readVersion('dpkg-query', library)}, go ${readVersion('go', ['version'])}`;
}

const pickSettings = ({ address, namespace, image, archive, rootfs, template }: Ground) => ({
  address,
  namespace,
  image,
  archive,
  rootfs,
  template,
});

const nameLog = (scratch: string) => join(scratch, 'peer.log');
