import type { Socket } from 'node:net';

/**
 * Looks at the first bytes of a connection, which stay to be read, until they are judged; undefined when it ends before
 * they are, or `milliseconds` pass.
 */
export function judgeOpening<T>(
  socket: Socket,
  judge: (bytes: Buffer) => T | undefined,
  milliseconds?: number,
): Promise<T | undefined> {
  return new Promise((resolve) => {
    let bytes = Buffer.alloc(0);
    const timer = milliseconds === undefined ? undefined : setTimeout(() => finish(), milliseconds).unref();
    const read = () => {
      for (let chunk = socket.read(); chunk !== null; chunk = socket.read()) {
        bytes = Buffer.concat([bytes, chunk as Buffer]);
        const verdict = judge(bytes);
        if (verdict !== undefined) return finish(verdict);
      }
    };
    const fail = () => finish();
    const finish = (verdict?: T) => {
      clearTimeout(timer);
      socket.off('readable', read).off('end', fail).off('close', fail);
      if (bytes.length > 0 && !socket.readableEnded) socket.unshift(bytes);
      resolve(verdict);
    };
    socket.on('readable', read).on('end', fail).on('close', fail);
  });
}
