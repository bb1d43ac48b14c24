import { once } from 'node:events';
import type { Readable, Writable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { DriverError } from '../core/error.js';
import { TasksService } from '../generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import type { Channel } from '../rpc/channel.js';
import { END_OF_LINE_AND_INPUT } from '../stdio/streams.js';
import { openWriter } from '../stdio/writer.js';
import { openLogs, readLogs } from './logs.js';
import { watchEnd } from './main-end.js';
import { nameStdin } from './main-io.js';
import type { SessionRecord } from './record.js';

/** What is connected to a session's own command. */
export interface AttachOptions {
  /** Read to its end, which the command then sees; only for a session created with `stdin`. */
  stdin?: Readable;
  /** Receives what the command writes. A terminal's size is passed on to the command's. */
  stdout: Writable & { columns?: number; rows?: number };
  /** Where stderr goes. Defaults to `stdout`. */
  stderr?: Writable;
  /** Begins with what was written before. Defaults to false. */
  replay?: boolean;
  /** Takes the connection away; `attach` then fails with `canceled` and the command runs on. */
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
  // Before any input goes in: its answer is to be seen.
  const files = await openLogs(directory, replay ? undefined : 0);
  const left = new AbortController();
  const whole = signal === undefined ? left.signal : AbortSignal.any([signal, left.signal]);
  const end = watchEnd(channel, id, directory, whole);
  const target = { containerId: id, execId: '' };
  const resize = () => {
    const { columns: width, rows: height } = stdout;
    // A command that has just ended has no terminal any more.
    if (width && height) channel.unary(TasksService.resizePty, { ...target, width, height }).catch(() => undefined);
  };
  if (command.terminal) {
    resize();
    stdout.on('resize', resize);
  }
  // Of a terminal CloseIO takes the terminal itself away, and the command ends of SIGHUP: there the end is a character.
  const [ending, close] = command.terminal
    ? [END_OF_LINE_AND_INPUT, async () => undefined]
    : ['', () => channel.unary(TasksService.closeIo, { ...target, stdin: true })];
  const feeding = stdin && feed(stdin, openWriter(nameStdin(directory), ending), close);
  try {
    for await (const { source, data } of readLogs(files, { follow: true, signal: whole }, end.hasEnded)) {
      await write(source === 'stdout' ? stdout : stderr, data, whole);
    }
    return { exitCode: await end.exitCode };
  } finally {
    left.abort();
    stdout.off('resize', resize);
    feeding?.stop();
  }
}

/** No faster than the output takes it; one that is closed takes nothing more, and would be waited for forever. */
async function write(output: Writable, data: Uint8Array, signal: AbortSignal): Promise<void> {
  if (!output.destroyed && !output.write(data)) {
    const settled = new AbortController();
    const until = { signal: AbortSignal.any([signal, settled.signal]) };
    await Promise.race([once(output, 'drain', until), once(output, 'close', until)]).catch(() => undefined);
    settled.abort();
  }
  if (output.destroyed) throw new DriverError('canceled', 'the stream that was attached to the command was closed');
}

/** Passes input on until its end, and then says so: the shim keeps a writer of its own open. */
function feed(stdin: Readable, writer: Writable, close: () => Promise<unknown>): { stop(): void } {
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
