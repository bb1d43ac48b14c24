import { constants, openSync } from 'node:fs';
import { Socket } from 'node:net';
import { Writable } from 'node:stream';

/**
 * The writing end of a FIFO as a stream, open once the shim has opened its reading end. Never O_RDWR: that would count
 * as a reader, and what is written and closed before the shim comes is lost, with the end of input for ever.
 * `ending` is written before it is closed.
 */
export function openWriter(path: string, ending = ''): Writable {
  let socket: Socket | undefined;
  const writer = new Writable({
    construct(ready) {
      const attempt = () => {
        // Node keeps a destroy back until this has called `ready`.
        if (this.destroyed) return ready();
        try {
          socket = new Socket({
            fd: openSync(path, constants.O_WRONLY | constants.O_NONBLOCK),
            readable: false,
            writable: true,
          });
          socket.on('error', (error) => this.destroy(error));
          ready();
        } catch (error) {
          if ((error as NodeJS.ErrnoException).code !== 'ENXIO') return ready(error as Error);
          setTimeout(attempt, 2);
        }
      };
      attempt();
    },
    write(chunk, _encoding, done) {
      socket?.write(chunk, done);
    },
    final(done) {
      socket?.once('close', () => done());
      socket?.end(ending);
    },
    destroy(error, done) {
      socket?.destroy();
      done(error);
    },
  });
  // A command that ends before its input does is no failure of the program that feeds it.
  writer.on('error', () => undefined);
  return writer;
}
