import { existsSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cleanup } from '../core/cleanup.js';
import { addSuppressed, DriverError, type ErrorCode } from '../core/error.js';
import { TasksService } from '../generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import type { Channel } from '../rpc/channel.js';
import { findInitSource, listCommand } from '../spec/init.js';
import { INIT_PATH } from '../spec/mounts.js';
import { nameRuntime } from '../spec/runtime.js';
import type { OciSpec } from '../spec/types.js';
import { mapUser } from '../spec/userns.js';
import type { SessionContext } from './context.js';
import { findRecord, readSpec } from './find.js';
import { holdSources } from './held.js';
import { nameLog } from './logs.js';
import { waitUntilWritten } from './main-end.js';
import { prepareIo } from './main-io.js';
import { checkMounts } from './mount-check.js';
import { planMove } from './move.js';
import { connectNetwork, enforceNetwork, renewNetwork } from './network.js';
import { pinAgain } from './pins.js';
import { readCommand, readStat } from './proc.js';
import type { SessionRecord } from './record.js';
import { removeSessionTask, removeStuckTask } from './remove.js';
import { withRootfs } from './rootfs-state.js';
import { beginCommand, closeDoor, hasDoor, makeDoor, nameSocket } from './supervisor/door.js';
import { Link } from './supervisor/link.js';
import { openRelayed } from './supervisor/relay.js';
import { createTask, describeInit, type Init, readMounts, readTask, startTask } from './task.js';

/** For how long the init may take to get to the command, in ms. */
const START_MS = 10_000;
const POLL_MS = 2;

/** All that the init (catatonit) writes when the kernel refuses to run the command. */
const refusal = /^ERROR \(catatonit:\d+\): failed to exec pid1: (.*?)\r?\n$/;
const codes: Record<string, [code: ErrorCode, what: string]> = {
  'No such file or directory': ['not-found', 'not found in the session'],
  'Permission denied': ['permission-denied', 'is not executable'],
};

export interface MainStart {
  record: SessionRecord;
  /** Of its logs. */
  directory: string;
  init: Init;
  spec: OciSpec;
}

/**
 * containerd reports a start when the init runs, which starts the command by itself. Resolves when the command runs or
 * has run, rejects when it could not. Where the session's processes cannot be seen it is not waited for.
 */
export async function startMain(channel: Channel, { record, directory, init, spec }: MainStart): Promise<void> {
  const { id } = record;
  if (record.asked.executor === 'supervisor') return startSupervised(channel, { record, directory, spec });
  if (record.command === undefined || init.cgroup === undefined) return startTask(channel, id);
  await using log = await open(nameLog(directory, record.command.terminal ? 'stdout' : 'stderr'), 'r');
  const { size } = await log.stat();
  await startTask(channel, id);
  if (await waitForCommand(init)) return;
  await waitUntilWritten(channel, id, directory);
  const { buffer, bytesRead } = await log.read(Buffer.alloc(1_000), 0, 1_000, size);
  const reason = refusal.exec(buffer.toString('utf8', 0, bytesRead))?.[1];
  if (reason === undefined) return;
  const [code, what] = codes[reason] ?? ['invalid-argument', `cannot be run: ${reason}`];
  throw new DriverError(code, `command ${JSON.stringify(listCommand(spec)[0])} ${what}`, { operation: 'start' });
}

async function startSupervised(
  channel: Channel,
  { record, directory, spec }: Pick<MainStart, 'record' | 'directory' | 'spec'>,
): Promise<void> {
  const { id } = record;
  const failed = new AbortController();
  const closed = hasDoor(record) ? closeDoor(directory, failed.signal) : Promise.resolve();
  // Told where it is awaited.
  closed.catch(() => undefined);
  try {
    await startTask(channel, id);
  } catch (error) {
    failed.abort();
    await closed.catch(() => undefined);
    throw error;
  }
  const [command] = listCommand(spec);
  try {
    await closed;
    if (!hasDoor(record)) await beginCommand(await openRelayed(directory), command);
    else if (command !== undefined) await beginCommand(await Link.open(nameSocket(directory)), command);
  } catch (error) {
    // It ends with the command that it could not run; the state that is told next is to be the new one.
    await channel
      .unary(TasksService.wait, { containerId: id, execId: '' }, { deadlineMs: START_MS })
      .catch(() => undefined);
    throw error;
  }
}

/** What a session is once it was started again. */
export interface Restarted {
  init: Init;
  record: SessionRecord;
  spec: OciSpec;
}

interface Restart {
  id: string;
  /** Of its logs. */
  directory: string;
  runtime?: string | undefined;
}

/** Runs a stopped session again, on the same root file system; by another runtime where one is named. */
export function restartMain(
  context: SessionContext,
  { record, ...main }: Omit<Restart, 'id'> & { record: SessionRecord },
): Promise<Restarted> {
  return withRootfs(context, record, () => restart(context, { ...main, id: record.id }));
}

async function restart(context: SessionContext, { id, directory, runtime }: Restart): Promise<Restarted> {
  const { channel } = context;
  // Another process may have moved it, or changed its limits.
  const { container, record: before } = await findRecord(channel, id);
  const { snapshotter } = before;
  const { state } = await readTask(channel, id);
  if (state !== 'stopped') {
    throw new DriverError('failed-precondition', `session ${id} is ${state}, only a stopped one can be started`);
  }
  const isMoved = runtime !== undefined && nameRuntime(runtime) !== before.runtime;
  const document = readSpec(container);
  // The supervisor is a file of the package, which may be another one by now, at another place.
  const isGone = !existsSync(findInitSource(document) ?? '/');
  const change = { id, directory, runtime: runtime ?? before.runtime };
  const move = isMoved || isGone ? await planMove(context, change) : undefined;
  const { record, spec } = move ?? { record: before, spec: document };
  const isPlugged = await renewNetwork(context, record);
  if (hasDoor(record)) {
    makeDoor(directory, mapUser(spec.process.user, record.asked.policy.userns));
  }
  await using pins = await pinAgain(context, id, spec);
  await using _held = await holdSources(context, record, pins.list);
  // Not before it has settled are they let go.
  return await withUndo(async (undo) => {
    await removeSessionTask(context, record);
    if (move !== undefined) await undo.acquire('runtime', move.apply, move.revert);
    const mounts = await readMounts(channel, snapshotter, id);
    const io = await prepareIo(directory, record);
    const pid = await undo.acquire(
      'task',
      () => createTask(context, record, mounts, io),
      () => removeStuckTask(context, record),
    );
    if (!isPlugged) await connectNetwork(context, record, pid);
    await enforceNetwork(context, record);
    await checkMounts(context, { pid, spec, pins: pins.list, record });
    const init = describeInit(record, pid);
    // One whose command cannot run is stopped, and its task tells how it ended.
    if (move === undefined) undo.forget('task');
    await startMain(channel, { record, directory, spec, init });
    return { init, record, spec };
  });
}

/** Undoes what `work` has acquired when it fails; both failures are kept when both fail. */
async function withUndo<T>(work: (undo: Cleanup) => Promise<T>): Promise<T> {
  const undo = new Cleanup();
  try {
    return await work(undo);
  } catch (error) {
    const failure = await undo.run();
    throw addSuppressed(error, failure === undefined ? [] : [failure.error]);
  }
}

/** False when the init has ended without the command having been seen. */
async function waitForCommand({ pid, cgroup }: Init): Promise<boolean> {
  const isCommand = (member: number) => member !== pid && ![undefined, INIT_PATH].includes(readCommand(member)[0]);
  for (const until = Date.now() + START_MS; Date.now() < until; await sleep(POLL_MS)) {
    if (cgroup?.listPids().some(isCommand)) return true;
    if ((readStat(pid)?.state ?? 'Z') === 'Z') return false;
  }
  return true;
}
