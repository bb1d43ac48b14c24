import type { Readable, Writable } from 'node:stream';
import type { OciProcess } from '../spec/types.js';
import type { Divertible } from '../stdio/reader.js';

/** How a process ended, as the runtime reports it. */
export interface ExitStatus {
  /** Exit code; 128 + n for a process that signal n ended, as shells have it. */
  code: number;
  exitedAt: Date;
}

/** An output of which a stream is made when it is asked for first: it costs more than a short command. */
export interface Outlet extends Divertible {
  readonly stream: Readable;
  /** There is one: somebody asked, or something came before there was anyone to have it. */
  readonly hasStream: boolean;
  /** All of it has come, and was taken. */
  readonly isOver: boolean;
}

/** A process that was started inside a session and is not yet released. */
export interface ExecProcess {
  readonly execId: string;
  /** Pid on the host; the hypervisor's under Kata. */
  readonly pid: number;
  /** On the host, the process that all that it starts stays below; absent where there is none such, 0 when it is gone. */
  readonly reaper?: number;
  /** Nothing else ran in the session when it began; absent where only a look at the session tells. */
  readonly isAlone?: boolean;
  /** Null unless asked for. Ending it delivers end of input. */
  readonly stdin: Writable | null;
  readonly stdout: Readable;
  /** Ends at once under a TTY, which merges it into stdout. */
  readonly stderr: Readable;
  /** Both, where they can be had without a stream. */
  readonly outlets?: { stdout: Outlet; stderr: Outlet };
  /** Resolves when the process itself has ended; its children may live on and hold the streams open. */
  readonly exited: Promise<ExitStatus>;
  /** Signals this process alone. A process that has already ended is no error. */
  signal(signal: number): Promise<void>;
  resize(cols: number, rows: number): Promise<void>;
  /** Ends it and all that it started, from inside; false when some of it may be left. Absent where nobody inside can. */
  killTree?(): Promise<boolean>;
  /** Lets go of the streams; the process and its exec stay, for `connect`. */
  detach(): void;
  /**
   * The host has killed it for good: its end is then not waited for, which nobody inside can tell while the session is
   * paused. Absent where it is told from outside.
   */
  assumeKilled?(): void;
  /** Frees everything that the exec holds, in the runtime and here. What the streams still held is lost. */
  release(): Promise<void>;
}

export interface ExecRequest {
  execId: string;
  process: OciProcess;
  /** Gives the process a stdin that stays open; without it the process reads end of input at once. */
  stdin: boolean;
  /** Its result alone is wanted, so that its start need not be told before its end is. */
  isBrief?: boolean;
  signal?: AbortSignal | undefined;
}

/**
 * The one seam through which anything is started inside a session. Everything above it (deadlines, buffers, kill
 * reports) is written against this interface alone.
 */
export interface Executor {
  /** Whether the session itself is at the other end, as far as is known without a question. Absent where it never is. */
  readonly isLinked?: boolean;
  /** Whether what it would start is told to be alone, or not, by whatever starts it. */
  tellsAlone?(process: OciProcess): boolean;
  /** Whether a process of the session, on this host, is one of its own and nobody's command. */
  owns?(pid: number): boolean;
  /** Resolves when the process runs. Rejects with nothing left behind. */
  start(request: ExecRequest): Promise<ExecProcess>;
  /** Takes up a process that was started before, by any process. Rejects with `not-found`. */
  connect(execId: string): Promise<ExecProcess>;
  list(): Promise<RunningExec[]>;
  /** Starts an operation on the session's files. Absent where nothing inside can do any. */
  startFiles?: (request: FilesRequest) => Promise<ExecProcess>;
}

/** What native/files.c is to do: its name, a path, and what else that takes. */
export interface FilesRequest {
  execId: string;
  args: readonly Uint8Array[];
  /** It reads input. */
  input: boolean;
}

/** An exec whose process is there. */
export interface RunningExec {
  /** Unique in its session. */
  execId: string;
  /** Program and arguments, as they were given; empty where the session's processes are none of this host's. */
  command: string[];
  /** On the host; the hypervisor's under Kata. */
  pid: number;
}
