import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cleanup } from '../core/cleanup.js';
import { DriverError } from '../core/error.js';
import { isHalf, isLive, readClaim } from './claim.js';
import type { SessionContext } from './context.js';
import { makeDirectory } from './directory.js';
import { type Found, findRecord, readSpec } from './find.js';
import { enforceNetwork } from './network.js';
import { removeSession } from './remove.js';
import { Session } from './session.js';
import { describeInit, readTask, type TaskInfo } from './task.js';

/** For how long a creation by another process is waited for, in ms: from its record on it takes a moment. */
const CREATE_MS = 30_000;
const PAUSE_MS = 20;

/** Takes up a session that any process created, by id or by name. One that is being created is waited for. */
export async function connectSession(context: SessionContext, idOrName: string): Promise<Session> {
  const { task, ...found } = await findReady(context, idOrName);
  if (task.state !== 'stopped') await enforceNetwork(context, found.record);
  return openSession(context, found, task.pid);
}

/** Takes up one that runs, or has run. */
export async function openSession(
  context: SessionContext,
  found: Pick<Found, 'record' | 'container'>,
  pid: number,
): Promise<Session> {
  const { record, container } = found;
  const directory = join(context.directory, record.id);
  await makeDirectory(directory);
  const undo = new Cleanup();
  undo.defer('session', () => removeSession(context, record));
  return new Session({
    context,
    record,
    spec: readSpec(container),
    init: describeInit(record, pid),
    undo,
  });
}

async function findReady({ channel }: SessionContext, idOrName: string): Promise<Found & { task: TaskInfo }> {
  for (const until = Date.now() + CREATE_MS; ; await sleep(PAUSE_MS)) {
    const found = await findRecord(channel, idOrName);
    const { id } = found.record;
    const { creation } = await readClaim(channel, id);
    const claim = { creation, record: found.record };
    if (!isLive(claim)) {
      throw new DriverError('not-found', `session ${id} has no owner any more and is being removed`, {
        operation: 'find session',
      });
    }
    const task = await readTask(channel, id);
    if (!isHalf(claim) && task.state !== 'created') return { ...found, task };
    if (Date.now() >= until) {
      throw new DriverError('unavailable', `session ${id} is still being created after ${CREATE_MS} ms`);
    }
  }
}
