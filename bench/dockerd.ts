import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { installPackages } from './build.js';
import type { Ground } from './ground.js';

const READY_MS = 30_000;
const STOP_MS = 20_000;

export interface Dockerd {
  readonly socket: string;
  stop(): Promise<void>;
}

/**
 * Starts a dockerd of our own on the containerd that the other peers use, without a network; `hasNetwork` gives it its
 * usual one, in a network namespace of the daemon's own.
 */
export async function startDockerd(
  { address, scratch }: Ground,
  { hasNetwork = false }: { hasNetwork?: boolean } = {},
): Promise<Dockerd> {
  installPackages('docker.io');
  const root = scratch('dockerd');
  const socket = join(root, 'docker.sock');
  const config = join(root, 'daemon.json');
  writeFileSync(config, '{}');
  const log = openSync(join(root, 'dockerd.log'), 'w');
  const paths = ['--data-root', join(root, 'data'), '--exec-root', join(root, 'exec'), '-p', join(root, 'docker.pid')];
  const network = hasNetwork ? [] : ['--iptables=false', '--ip6tables=false', '--bridge=none'];
  const place = hasNetwork ? ['unshare', '--net'] : [];
  const rest = [
    '--config-file',
    config,
    '--containerd',
    address,
    '-H',
    `unix://${socket}`,
    '--storage-driver=overlay2',
  ];
  // It must not outlive us, however we end.
  const child = spawn('setpriv', ['--pdeathsig', 'TERM', ...place, 'dockerd', ...paths, ...network, ...rest], {
    detached: true,
    stdio: ['ignore', log, log],
    env: { ...process.env, PATH: `${process.env.PATH}:/usr/sbin:/sbin` },
  });
  closeSync(log);
  let ended = false;
  const gone = new Promise<void>((resolve) => {
    const note = () => {
      ended = true;
      resolve();
    };
    child.once('exit', note).once('error', note);
  });
  const stop = async () => {
    if (ended) return;
    child.kill('SIGTERM');
    const timer = setTimeout(() => child.kill('SIGKILL'), STOP_MS);
    await gone;
    clearTimeout(timer);
  };
  for (const until = Date.now() + READY_MS; !(await ping(socket)); await sleep(100)) {
    if (!ended && Date.now() < until) continue;
    await stop();
    const words = readFileSync(join(root, 'dockerd.log'), 'utf8').trim().split('\n').slice(-3).join('\n');
    throw new Error(`dockerd does not start: ${words}`);
  }
  return { socket, stop };
}

function ping(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const call = request({ socketPath, path: '/_ping' }, (response) => {
      response.resume();
      resolve(response.statusCode === 200);
    });
    call.on('error', () => resolve(false));
    call.end();
  });
}
