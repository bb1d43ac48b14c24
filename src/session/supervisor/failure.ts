import { constants } from 'node:os';
import { DriverError, type ErrorCode } from '../../core/error.js';
import { stage } from './protocol.js';

const codes: Record<string, [code: ErrorCode, what: string]> = {
  ENOENT: ['not-found', 'not found in the session'],
  ENOTDIR: ['not-found', 'not found in the session'],
  EACCES: ['permission-denied', 'is not executable'],
};

/** What the supervisor says of a command that does not run. */
export function describeFailure(
  payload: Buffer,
  { execId, command }: { execId: string; command: string },
): DriverError {
  const [number, at] = [payload.readUInt32LE(0), payload.readUInt32LE(4)];
  const name = Object.entries(constants.errno).find(([, value]) => value === number)?.[0] ?? `errno ${number}`;
  const options = { operation: 'exec' };
  if (at === stage.cwd) {
    return new DriverError('invalid-argument', `the working directory cannot be entered: ${name}`, options);
  }
  if (at === stage.name) {
    if (name === 'ENOENT') return new DriverError('not-found', `no exec ${execId}`, options);
    const what = `exec ${execId} is ${name === 'EBUSY' ? 'held by another connection' : 'there already'}`;
    return new DriverError('failed-precondition', what, options);
  }
  const text = `command ${JSON.stringify(command)}`;
  if (at === stage.fork) {
    return new DriverError('resource-exhausted', `${text} cannot be started in the session: ${name}`, options);
  }
  const [code, what] = codes[name] ?? ['invalid-argument', `cannot be run: ${name}`];
  return new DriverError(code, `${text} ${what}`, options);
}
