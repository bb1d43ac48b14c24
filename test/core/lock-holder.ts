/** Holds the lock of a name until its input ends, in a process of its own. */
import { once } from 'node:events';
import { withLock } from '../../src/core/lock.js';

await withLock(process.argv.slice(2), async () => {
  process.stdout.write('held');
  await once(process.stdin.resume(), 'end');
});
