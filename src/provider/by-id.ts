import { createInputError, hasCode } from '../core/error.js';
import type { ExecOptions, ExecResult } from '../session/exec-options.js';
import type { Session } from '../session/session.js';

/** Where sessions come from: those of this process at once, all others by a connection that is made for each call. */
export interface SessionSource {
  own: Iterable<Session>;
  connect(idOrName: string): Promise<Session>;
}

export async function execById(
  source: SessionSource,
  sessionId: string,
  command: readonly string[],
  options?: ExecOptions,
): Promise<ExecResult> {
  const [file, ...args] = Array.isArray(command) ? command : [];
  if (typeof file !== 'string') {
    const expected = 'an array of the command and its arguments';
    throw createInputError('exec', [{ path: 'command', value: command, expected }]);
  }
  return (await take(source, sessionId)).exec(file, args, options);
}

export async function stopById(source: SessionSource, sessionId: string): Promise<void> {
  await (await take(source, sessionId)).stop();
}

/** One that is gone already is what was wanted. */
export async function destroyById(source: SessionSource, sessionId: string): Promise<void> {
  try {
    await (await take(source, sessionId)).destroy();
  } catch (error) {
    if (!hasCode(error, 'not-found')) throw error;
  }
}

async function take({ own, connect }: SessionSource, sessionId: string): Promise<Session> {
  for (const session of own) if (session.sessionId === sessionId) return session;
  return connect(sessionId);
}
