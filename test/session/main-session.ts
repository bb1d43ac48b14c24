/** What the tests of a session's own command share. */
import { expect } from 'vitest';
import type { LogOptions } from '../../src/session/logs.js';
import type { Session } from '../../src/session/session.js';

/** All that `logs` yields, by stream. */
export async function collectLogs(session: Session, options: LogOptions = {}) {
  const text = { stdout: '', stderr: '' };
  for await (const { source, data } of session.logs(options)) text[source] += Buffer.from(data).toString();
  return text;
}

export async function waitUntilStopped(session: Session): Promise<void> {
  await expect.poll(async () => (await session.info()).state).toBe('stopped');
}
