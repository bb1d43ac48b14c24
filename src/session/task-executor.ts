import { setTimeout as sleep } from 'node:timers/promises';
import { Cleanup } from '../core/cleanup.js';
import { addSuppressed, DriverError, hasCode } from '../core/error.js';
import { TasksService } from '../generated/github.com/containerd/containerd/api/services/tasks/v1/tasks.js';
import { ProcessDetails } from '../generated/github.com/containerd/containerd/api/types/runc/options/oci.js';
import { type Process, Status } from '../generated/github.com/containerd/containerd/api/types/task/task.js';
import { packJson, unpackMessage } from '../rpc/any.js';
import type { Channel } from '../rpc/channel.js';
import type { FifoPool } from '../stdio/fifo.js';
import { type ExecStreams, openStreams, reopenStreams } from '../stdio/streams.js';
import type { ExecProcess, ExecRequest, Executor, ExitStatus, RunningExec } from './executor.js';
import { readCommand } from './proc.js';
import { describeStartFailure, isOfAnother } from './start-failure.js';
import { deleteExec } from './teardown.js';

const PROCESS_TYPE = 'types.containerd.io/opencontainers/runtime-spec/1/Process';

/** How long a Wait is taken up again while the daemon is away, in ms: execs outlive a restart of it. */
const WAIT_RETRY_MS = 120_000;

const START_MS = 60_000;
/** For how long a start is tried again whose failure is told with another's reason, in ms. */
const BESIDE_MS = 1_000;
const BESIDE_PAUSE_MS = 20;

interface TaskExecutorOptions {
  /** Whether the session's processes are none of this host's, now. */
  isHidden: () => boolean;
  /** Runs a start when the session's shim may take one more, see `SessionContext.starts`. */
  takeTurn: <T>(start: () => Promise<T>) => Promise<T>;
}

/** Starts processes through containerd's Tasks.Exec, with FIFOs for their streams. */
export class TaskExecutor implements Executor {
  readonly #channel: Channel;
  readonly #containerId: string;
  readonly #fifos: FifoPool;
  readonly #isHidden: () => boolean;
  readonly #takeTurn: TaskExecutorOptions['takeTurn'];

  constructor(
    channel: Channel,
    containerId: string,
    { fifos, isHidden, takeTurn }: { fifos: FifoPool } & TaskExecutorOptions,
  ) {
    this.#isHidden = isHidden;
    this.#takeTurn = takeTurn;
    this.#channel = channel;
    this.#containerId = containerId;
    this.#fifos = fifos;
  }

  async start(request: ExecRequest): Promise<ExecProcess> {
    for (const until = Date.now() + BESIDE_MS; ; await sleep(BESIDE_PAUSE_MS)) {
      const undo = new Cleanup();
      try {
        return await this.#start(undo, request);
      } catch (error) {
        const failure = await undo.run();
        if (failure === undefined && isOfAnother(error, request.process) && Date.now() < until) continue;
        throw addSuppressed(describeStartFailure(error, request.process), failure === undefined ? [] : [failure.error]);
      }
    }
  }

  async #start(undo: Cleanup, { execId, process, stdin, signal }: ExecRequest): Promise<ExecProcess> {
    const target = { containerId: this.#containerId, execId };
    const terminal = process.terminal ?? false;
    const paths = await this.#fifos.take(execId, { stderr: !terminal, stdin });
    undo.defer('fifos', () => this.#fifos.discard(paths));
    // Readers first: without one the shim blocks in Start, and with it every session of a shared shim.
    const streams = openStreams(paths);
    undo.defer('streams', () => streams.destroy());

    const { stdout, stderr = '', stdin: input = '' } = paths;
    const spec = packJson(PROCESS_TYPE, process);
    checkAborted(signal, execId);
    // Without the signal: one that is given up on its way may come true after its delete, and stays in the shim then.
    await undo.acquire(
      'exec',
      () => this.#channel.unary(TasksService.exec, { ...target, stdin: input, stdout, stderr, terminal, spec }),
      () => deleteExec(this.#channel, target),
    );
    const exited = this.#wait(execId);
    const { pid } = await this.#takeTurn(() => {
      checkAborted(signal, execId);
      return this.#channel.unary(TasksService.start, target, { deadlineMs: START_MS });
    });
    return this.#describe(execId, pid, streams, exited);
  }

  async connect(execId: string): Promise<ExecProcess> {
    const { pid, stdin, stderr } = await this.#get(execId);
    const paths = this.#fifos.name(execId, { stderr: stderr !== '', stdin: stdin !== '' });
    return this.#describe(execId, pid, reopenStreams(paths), this.#wait(execId));
  }

  async list(): Promise<RunningExec[]> {
    if (this.#isHidden()) return this.#listHidden();
    const { processes } = await this.#channel.unary(TasksService.listPids, { containerId: this.#containerId });
    return processes.flatMap(({ pid, info }) => {
      if (info === undefined) return [];
      const { execId } = unpackMessage('containerd.runc.v1.ProcessDetails', ProcessDetails, info);
      return execId === '' ? [] : [{ execId, pid, command: readCommand(pid) }];
    });
  }

  /** A shim whose processes are none of this host's lists its hypervisor alone; of each exec by its id it tells. */
  async #listHidden(): Promise<RunningExec[]> {
    const found = (await this.#fifos.listExecs()).map(async (execId): Promise<RunningExec[]> => {
      try {
        const { pid, status } = await this.#get(execId);
        return status === Status.RUNNING ? [{ execId, pid, command: [] }] : [];
      } catch (error) {
        if (hasCode(error, 'not-found')) return [];
        throw error;
      }
    });
    return (await Promise.all(found)).flat();
  }

  /**
   * Throws `not-found` of one that is over. While a runc shim deletes one whose output a survivor holds, 10 s with
   * containerd 2.x, it tells nothing of it: the FIFOs are gone then.
   */
  async #get(execId: string): Promise<Process> {
    const asked = this.#channel.unary(TasksService.get, { containerId: this.#containerId, execId });
    const { process } = await asked.catch(async (error) => {
      const isGone = hasCode(error, 'deadline-exceeded') && !(await this.#fifos.listExecs()).includes(execId);
      if (isGone) return { process: undefined };
      throw error;
    });
    if (process === undefined) throw new DriverError('not-found', `no exec ${execId} in session ${this.#containerId}`);
    return process;
  }

  #wait(execId: string): Promise<ExitStatus> {
    const target = { containerId: this.#containerId, execId };
    const exited = this.#channel
      .unary(TasksService.wait, target, { deadlineMs: null, retryMs: WAIT_RETRY_MS })
      .then(({ exitStatus, exitedAt }) => ({
        code: exitStatus,
        exitedAt: new Date(Number(exitedAt?.seconds ?? 0n) * 1000),
      }));
    // Whoever awaits it sees the failure; nobody does when Start fails.
    exited.catch(() => undefined);
    return exited;
  }

  #describe(execId: string, pid: number, streams: ExecStreams, exited: Promise<ExitStatus>): ExecProcess {
    const target = { containerId: this.#containerId, execId };
    // The shim holds a writer of its own, so a closed FIFO alone never ends the input. A process that has ended by
    // itself has no input to end. A terminal would be hung up, and its process killed: it is told in its own way.
    const isTerminal = streams.paths.stderr === undefined;
    const closeInput = () => {
      this.#channel.unary(TasksService.closeIo, { ...target, stdin: true }).catch(() => undefined);
    };
    if (!isTerminal) streams.stdin?.once('close', closeInput);
    return {
      execId,
      pid,
      ...streams,
      exited,
      signal: async (number) => {
        try {
          await this.#channel.unary(TasksService.kill, { ...target, signal: number, all: false });
        } catch (error) {
          if (!hasCode(error, 'not-found')) throw error;
        }
      },
      resize: async (width, height) => {
        // The shim takes it without a word.
        if (!isTerminal) throw new DriverError('failed-precondition', `exec ${execId} has no terminal to resize`);
        await this.#channel.unary(TasksService.resizePty, { ...target, width, height });
      },
      detach: () => {
        // Kept open inside: the command reads on from whoever connects next.
        streams.stdin?.off('close', closeInput);
        streams.letGo();
      },
      release: async () => {
        const isOver = streams.isOver();
        streams.destroy();
        // First, so that nobody asks the shim of what it takes its time to delete, see `#get`.
        if (!isOver) await this.#fifos.discard(streams.paths);
        await deleteExec(this.#channel, target);
        if (isOver) await this.#fifos.give(streams.paths);
      },
    };
  }
}

function checkAborted(signal: AbortSignal | undefined, execId: string): void {
  if (signal?.aborted) throw new DriverError('canceled', `start of ${execId} was aborted`, { cause: signal.reason });
}
