import { constants, openSync } from 'node:fs';
import { Socket } from 'node:net';

/**
 * The writing end of a FIFO as a stream. O_RDWR, because O_WRONLY | O_NONBLOCK fails with ENXIO before the shim has
 * opened its end (fifo(7)). Closing it is only half of an end of input: the shim holds a writer too, until CloseIO.
 */
export function openWriter(path: string): Socket {
  const fd = openSync(path, constants.O_RDWR | constants.O_NONBLOCK);
  return new Socket({ fd, readable: false, writable: true });
}
