import { finished } from 'node:stream/promises';
import { DriverError } from '../core/error.js';
import type { ExecOptions } from '../session/exec-options.js';
import type { Session } from '../session/session.js';

const INTERRUPTED = 128 + 2;

export interface CommandOptions extends Pick<ExecOptions, 'env' | 'cwd' | 'user' | 'timeoutMs' | 'signal'> {
  /** The command reads what this process reads. */
  interactive: boolean;
  tty: boolean;
}

/** Runs a command with this process's own streams; resolves with the exit code to end with. */
export async function runCommand(session: Session, argv: readonly string[], options: CommandOptions): Promise<number> {
  const [command = '', ...args] = argv;
  const { interactive, tty, ...rest } = options;
  const { stdin, stdout, stderr } = process;
  const execution = await session.spawn(command, args, {
    ...rest,
    // Piped on at once, as bytes: what a program prints need not be text.
    maxBuffer: 0,
    ...(interactive ? { stdin: 'pipe' } : {}),
    ...(tty ? { tty: { cols: stdout.columns ?? 80, rows: stdout.rows ?? 24 } } : {}),
  });
  for (const [output, ours] of [
    [execution.stdout, stdout],
    [execution.stderr, stderr],
  ] as const) {
    // Of whom nobody reads any more the rest is dropped: a command has ended when its output has.
    ours.once('unpipe', () => output.resume());
    output.pipe(ours, { end: false });
  }
  const isRaw = tty && interactive && stdin.isTTY;
  // A command that has just ended has no terminal any more.
  const resize = () => void execution.resize(stdout.columns, stdout.rows).catch(() => undefined);
  if (isRaw) stdin.setRawMode(true);
  if (tty) stdout.on('resize', resize);
  let failure: Error | undefined;
  // Half of its input looks like all of it to a command. Of a terminal that goes a read fails before the signal is here.
  const failInput = (error: Error) => {
    failure ??= error;
    execution.kill().catch(() => undefined);
  };
  if (interactive) stdin.on('error', failInput);
  // The command may end, or close its input, while this process still has some.
  if (interactive && execution.stdin) finished(stdin.pipe(execution.stdin)).catch(() => undefined);
  try {
    const { exitCode, isCanceled } = await execution.result();
    if (isCanceled) return INTERRUPTED;
    if (failure === undefined) return exitCode;
    throw new DriverError('aborted', `standard input: ${failure.message}`, { operation: 'exec', cause: failure });
  } finally {
    stdout.off('resize', resize);
    if (isRaw) stdin.setRawMode(false);
    // Read on, it would keep this process alive.
    if (interactive) stdin.unpipe().destroy();
  }
}

/**
 * Aborted by the first SIGINT, SIGTERM or SIGHUP, and when nobody reads standard output any more; the second SIGINT
 * or SIGTERM ends this process as if nobody listened. A terminal that goes may be told twice, by the kernel and by the shell.
 */
export function watchSignals(): AbortSignal {
  const abort = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => abort.abort(signal));
  process.on('SIGHUP', () => abort.abort('SIGHUP'));
  process.stdout.once('error', (error) => abort.abort(error));
  return abort.signal;
}
