import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { DriverError, hasCode } from '../core/error.js';
import { TasksService } from '../generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import type { Channel } from '../rpc/channel.js';
import { openWriter } from '../stdio/writer.js';
import { readLogs } from './logs.js';
import { nameStdin } from './main-io.js';
import type { SessionRecord } from './record.js';

export interface AttachOptions {
  /** Read to its end, which the command then sees; only for a session created with `stdin`. */
  stdin?: Readable;
  /** Receives what the command writes. A terminal's size is passed on to the command's. */
  stdout: Writable & { columns?: number; rows?: number };
  /** Where stderr goes. Defaults to `stdout`. */
  stderr?: Writable;
  /** Begins with what was written before. Defaults to false. */
  replay?: boolean;
  signal?: AbortSignal;
}

/** Connects streams to the session's own command, see `Session.attach`. */
export async function attachSession(
  channel: Channel,
  record: SessionRecord,
  directory: string,
  { stdin, stdout, stderr = stdout, replay = false, signal }: AttachOptions,
): Promise<{ exitCode: number }> {
  const { id, command } = record;
  if (command === undefined) throw new DriverError('failed-precondition', `session ${id} has no command to attach to`);
  if (stdin !== undefined && !command.stdin) {
    throw new DriverError('failed-precondition', `session ${id} was created without stdin: nothing could read it`);
  }
  const target = { containerId: id, execId: '' };
  const exited = channel.unary(TasksService.wait, target, { deadlineMs: null, retryMs: 120_000, signal });
  let ended = false;
  const noteEnd = () => {
    ended = true;
  };
  exited.then(noteEnd, noteEnd);

  const resize = () => {
    const { columns: width, rows: height } = stdout;
    // A command that has just ended has no terminal any more.
    if (width && height) channel.unary(TasksService.resizePty, { ...target, width, height }).catch(() => undefined);
  };
  if (command.terminal) {
    resize();
    stdout.on('resize', resize);
  }
  const feeding =
    stdin && feed(stdin, directory, () => channel.unary(TasksService.closeIo, { ...target, stdin: true }));
  try {
    const options = { follow: true, ...(replay ? {} : { tail: 0 }), ...(signal === undefined ? {} : { signal }) };
    for await (const { source, data } of readLogs(directory, options, async () => ended)) {
      const output = source === 'stdout' ? stdout : stderr;
      if (!output.write(data)) await new Promise((resolve) => output.once('drain', resolve));
    }
    return { exitCode: (await exited).exitStatus };
  } catch (error) {
    if (!hasCode(error, 'not-found', 'unavailable')) throw error;
    throw new DriverError('data-loss', `the command of session ${id} ended and its exit code is lost`, {
      cause: error,
    });
  } finally {
    stdout.off('resize', resize);
    feeding?.stop();
  }
}

/** Passes input on until its end, and then says so: the shim keeps a writer of its own open. */
function feed(stdin: Readable, directory: string, close: () => Promise<unknown>): { stop(): void } {
  const writer = openWriter(nameStdin(directory));
  stdin.pipe(writer);
  finished(writer, { readable: false })
    .then(close)
    // The command has ended, or the connection was taken away: there is no one left to tell.
    .catch(() => undefined);
  return {
    stop: () => {
      stdin.unpipe(writer);
      writer.destroy();
    },
  };
}
