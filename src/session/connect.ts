import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { Cleanup } from '../core/cleanup.js';
import { DriverError } from '../core/error.js';
import { unpackJson } from '../rpc/any.js';
import type { OciSpec } from '../spec/types.js';
import { FifoPool } from '../stdio/fifo.js';
import type { SessionContext } from './context.js';
import { findRecord } from './find.js';
import { removeSession } from './reap.js';
import { Session } from './session.js';
import { readTask } from './task.js';

/** Takes up a session that any process created, by id or by name. */
export async function connectSession(context: SessionContext, idOrName: string): Promise<Session> {
  const { record, container } = await findRecord(context.channel, idOrName);
  if (container.spec === undefined) throw new DriverError('data-loss', `session ${record.id} has no spec`);
  const { pid } = await readTask(context.channel, record.id);
  const directory = join(context.directory, record.id);
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const undo = new Cleanup();
  undo.defer('session', () => removeSession({ ...context, snapshotter: record.snapshotter }, record.id));
  return new Session({
    context,
    record,
    spec: unpackJson(container.spec) as OciSpec,
    initPid: pid,
    fifos: new FifoPool(directory),
    undo,
  });
}
