import { Readable, type Writable } from 'node:stream';
import { Cleanup } from '../core/cleanup.js';
import { addSuppressed, DriverError, hasCode } from '../core/error.js';
import { TasksService } from '../generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import { packJson } from '../rpc/any.js';
import type { Channel } from '../rpc/channel.js';
import type { FifoPool } from '../stdio/fifo.js';
import { FifoReader } from '../stdio/reader.js';
import { openWriter } from '../stdio/writer.js';
import type { ExecProcess, ExecRequest, Executor, ExitStatus } from './executor.js';
import { deleteExec } from './teardown.js';

const PROCESS_TYPE = 'types.containerd.io/opencontainers/runtime-spec/1/Process';

/** How long a Wait is taken up again while the daemon is away, in ms: execs outlive a restart of it. */
const WAIT_RETRY_MS = 120_000;

/** Starts processes through containerd's Tasks.Exec, with FIFOs for their streams. */
export class TaskExecutor implements Executor {
  readonly #channel: Channel;
  readonly #containerId: string;
  readonly #fifos: FifoPool;

  constructor(channel: Channel, containerId: string, fifos: FifoPool) {
    this.#channel = channel;
    this.#containerId = containerId;
    this.#fifos = fifos;
  }

  async start({ execId, process, stdin, signal }: ExecRequest): Promise<ExecProcess> {
    const undo = new Cleanup();
    try {
      return await this.#start(undo, execId, process, stdin, signal);
    } catch (error) {
      const failure = await undo.run();
      throw addSuppressed(
        describeStartFailure(error, process.args[0] ?? ''),
        failure === undefined ? [] : [failure.error],
      );
    }
  }

  async #start(
    undo: Cleanup,
    execId: string,
    process: ExecRequest['process'],
    wantsStdin: boolean,
    signal: AbortSignal | undefined,
  ): Promise<ExecProcess> {
    const target = { containerId: this.#containerId, execId };
    const [outPath, errPath, inPath] = await this.#fifos.take(wantsStdin ? 3 : 2);
    const paths = [outPath, errPath, inPath].filter((path) => path !== undefined);
    undo.defer('fifos', () => this.#fifos.discard(paths));

    // Readers first: without one the shim blocks in Start, and with it every session of a shared shim.
    const stdout = new FifoReader(outPath as string);
    undo.defer('stdout', () => stdout.destroy());
    const stderr = process.terminal ? Readable.from([]) : new FifoReader(errPath as string);
    undo.defer('stderr', () => stderr.destroy());
    const writer = inPath === undefined ? null : openWriter(inPath);
    undo.defer('stdin', () => writer?.destroy());

    await undo.acquire(
      'exec',
      () =>
        this.#channel.unary(
          TasksService.exec,
          {
            ...target,
            stdin: inPath ?? '',
            stdout: outPath as string,
            stderr: process.terminal ? '' : (errPath as string),
            terminal: process.terminal ?? false,
            spec: packJson(PROCESS_TYPE, process),
          },
          { signal },
        ),
      () => deleteExec(this.#channel, target),
    );
    const exited = this.#channel.unary(TasksService.wait, target, { deadlineMs: null, retryMs: WAIT_RETRY_MS }).then(
      ({ exitStatus, exitedAt }): ExitStatus => ({
        code: exitStatus,
        exitedAt: new Date(Number(exitedAt?.seconds ?? 0n) * 1000),
      }),
    );
    // Whoever awaits it sees the failure; nobody does when Start fails.
    exited.catch(() => undefined);
    const { pid } = await this.#channel.unary(TasksService.start, target, { deadlineMs: 60_000 });

    return {
      execId,
      pid,
      stdin: writer === null ? null : this.#closeOnEnd(writer, execId),
      stdout,
      stderr,
      exited,
      signal: async (number) => {
        await this.#channel.unary(TasksService.kill, { ...target, signal: number, all: false }).catch(ignoreGone);
      },
      resize: async (width, height) => {
        await this.#channel.unary(TasksService.resizePty, { ...target, width, height });
      },
      release: async () => {
        const drained = stdout.readableEnded && (process.terminal === true || stderr.readableEnded);
        stdout.destroy();
        stderr.destroy();
        writer?.destroy();
        await deleteExec(this.#channel, target);
        if (drained) this.#fifos.give(paths);
        else await this.#fifos.discard(paths);
      },
    };
  }

  /** The shim holds a writer of its own, so a closed FIFO alone never ends the input: CloseIO must follow. */
  #closeOnEnd(writer: Writable, execId: string): Writable {
    writer.once('close', () => {
      this.#channel
        .unary(TasksService.closeIo, { containerId: this.#containerId, execId, stdin: true })
        // The process may have ended by itself, and then has no input to end.
        .catch(() => undefined);
    });
    return writer;
  }
}

function ignoreGone(error: unknown): void {
  if (!hasCode(error, 'not-found')) throw error;
}

/** runc reports a command that cannot be executed as text only; these three are the user's to mend. */
function describeStartFailure(error: unknown, command: string): unknown {
  if (!hasCode(error, 'unknown', 'not-found')) return error;
  const { message, operation } = error;
  const options = { cause: error, ...(operation === undefined ? {} : { operation }) };
  if (/chdir to cwd/.test(message)) {
    return new DriverError('invalid-argument', `the working directory cannot be entered: ${message}`, options);
  }
  if (/executable file not found|exec: .*no such file or directory|stat .*: no such file/.test(message)) {
    return new DriverError('not-found', `command ${JSON.stringify(command)} not found in the session`, options);
  }
  if (/exec: .*permission denied/.test(message)) {
    return new DriverError('permission-denied', `command ${JSON.stringify(command)} is not executable`, options);
  }
  return error;
}
