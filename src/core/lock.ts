import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { DriverError } from './error.js';
import { KeyedGate } from './gate.js';

/** Longer than the removal of a session whose shim has died takes. */
const WAIT_MS = 60_000;
const PAUSE_MS = 10;
/** Those of this process queue, and one of them asks the kernel: fifty that did would each take the others' time. */
const turns = new KeyedGate(1);

/**
 * One at a time among all processes of this network namespace, whatever becomes of them: the lock is an abstract socket
 * (unix(7)), which only one process can bind and which the kernel frees when that ends. A file would outlive a process that is
 * killed, and of two that find it stale the slower one would take it from the faster.
 */
export async function withLock<T>(name: readonly string[], work: () => Promise<T>): Promise<T> {
  return turns.run(name.join('\0'), async () => {
    const release = await acquire(name);
    try {
      return await work();
    } finally {
      release();
    }
  });
}

async function acquire(name: readonly string[]): Promise<() => void> {
  const path = `\0cadre-containerd/${createHash('sha256').update(name.join('\0')).digest('hex')}`;
  for (const until = Date.now() + WAIT_MS; ; await sleep(PAUSE_MS)) {
    const server = createServer((connection) => connection.destroy());
    try {
      server.listen(path).unref();
      await once(server, 'listening');
      return () => server.close();
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw cause;
      if (Date.now() >= until) {
        throw new DriverError('unavailable', `${name.join(' ')} has been held by other processes for ${WAIT_MS} ms`, {
          operation: 'lock',
          cause,
        });
      }
    }
  }
}
