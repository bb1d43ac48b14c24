import { createHash, randomBytes } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { Session } from '../../src/session/session.js';
import { context } from '../support/context.js';
import { EXECUTOR } from '../support/executor.js';
import { relax } from '../support/patience.js';
import { openProvider } from '../support/provider.js';
import { isSoak } from './recovery/private.js';
import { createRandom, seed } from './recovery/seed.js';

const bySupervisor = EXECUTOR === 'supervisor';
const LANES = bySupervisor ? 8 : 4;
/** Of each lane. A command of containerd's takes as long as thirty others. */
const ROUNDS = (bySupervisor ? 60 : 6) * (isSoak ? 50 : 1);

const provider = await openProvider();
let session: Session;
beforeAll(async () => {
  session = await provider.createSession();
});
afterAll(() => session.destroy());

const random = createRandom(seed);
const pick = (limit: number) => Math.floor(random() * limit);
const sh = (script: string, options = {}) => session.exec('sh', ['-c', script], options);
const hash = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');
/** Beside others containerd's commands cannot all be told apart. */
const killed = { survivors: [], ...(bySupervisor ? { verified: true } : {}) };

const commands: Record<string, () => Promise<void>> = {
  async code() {
    const code = pick(120);
    const { exitCode, stdout, stderr } = await sh(`echo out; echo err >&2; exit ${code}`);
    expect({ exitCode, stdout, stderr }).toEqual({ exitCode: code, stdout: 'out\n', stderr: 'err\n' });
  },
  async input() {
    const input = randomBytes(pick(300_000));
    expect((await session.exec('sha256sum', [], { input })).stdout).toBe(`${hash(input)}  -\n`);
  },
  async output() {
    const last = 1 + pick(60_000);
    const { stdout } = await session.exec('seq', ['1', String(last)]);
    expect(stdout.length).toBe(Array.from({ length: last }, (_, i) => `${i + 1}\n`).join('').length);
  },
  async kill() {
    await using execution = await session.spawn('sh', ['-c', 'setsid sleep 1000 & (sleep 1001 &) ; sleep 1002']);
    await sleep(pick(30));
    expect(await execution.kill()).toMatchObject(killed);
    expect((await execution.result()).exitCode).toBe(137);
  },
  async deadline() {
    const result = await sh('(sleep 1000 &); sleep 1000', { timeoutMs: 20 + pick(80) });
    expect(result).toMatchObject({ exitCode: 124, timedOut: true, kill: killed });
  },
  async abort() {
    const signal = AbortSignal.timeout(pick(40));
    const end = session.exec('sleep', ['1000'], { signal }).then(
      ({ isCanceled }) => isCanceled,
      ({ code }) => code === 'canceled',
    );
    expect(await end).toBe(true);
  },
  async detach() {
    const execution = await session.spawn('sh', ['-c', 'for i in 1 2 3 4; do echo $i; sleep 0.02; done; exit 3']);
    await sleep(pick(100));
    await execution.detach();
    await sleep(pick(100));
    const again = await (await session.executions.connect(execution.execId)).result();
    expect(again.exitCode).toBe(3);
    // In a pipe alone it is lost with the last who has it open.
    if (bySupervisor) expect(again.stdout).toBe('1\n2\n3\n4\n');
  },
  async terminal() {
    const execution = await session.spawn('sh', ['-c', 'stty size; read x; echo $x; exit 4'], {
      tty: { cols: 90, rows: 30 },
      stdin: 'pipe',
    });
    execution.stdin?.write('typed\n');
    const { exitCode, stdout } = await execution.result();
    expect({ exitCode, size: stdout.includes('30 90\r\n'), typed: stdout.includes('typed\r\n') }).toEqual({
      exitCode: 4,
      size: true,
      typed: true,
    });
  },
  async user() {
    expect((await session.exec('id', ['-u'], { user: '1000:1000' })).stdout).toBe('1000\n');
  },
  async missing() {
    await expect(session.exec('no-such-program')).rejects.toMatchObject({ code: 'not-found' });
  },
  async list() {
    expect(await session.executions.list()).toEqual(expect.any(Array));
  },
};

const files: typeof commands = {
  async file() {
    const path = `/tmp/${randomBytes(6).toString('hex')}`;
    const data = randomBytes(pick(200_000));
    await session.files.writeFile(path, data);
    expect(hash(await session.files.readFile(path))).toBe(hash(data));
    await session.files.rm(path);
    expect(await session.files.exists(path)).toBe(false);
  },
  async directory() {
    const path = `/tmp/${randomBytes(6).toString('hex')}`;
    await session.files.mkdir(`${path}/below`, { recursive: true });
    expect(await session.files.readdir(path)).toMatchObject([{ name: 'below', type: 'dir' }]);
    await session.files.rm(path, { recursive: true });
  },
};

test(`commands of all kinds at once, and files (CADRE_SEED=${seed})`, {
  timeout: relax(isSoak ? 900_000 : 300_000),
}, async () => {
  const kinds = Object.values(bySupervisor ? { ...commands, ...files } : commands);
  const repeat = async () => {
    for (let round = 0; round < ROUNDS; round++) await kinds[pick(kinds.length)]?.();
  };
  await Promise.all(Array.from({ length: LANES }, repeat));
  expect(await session.executions.list()).toEqual([]);
  // In a guest that nobody sees into, what left the command's process lives on, as the report says.
  if (bySupervisor || !context.isKata) expect((await sh('ps -o args')).stdout).not.toMatch(/sleep/);
});
