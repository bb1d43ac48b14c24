import { DriverError, hasCode } from '../core/error.js';
import type { OciProcess } from '../spec/types.js';

// Why a command cannot be started runc and crun tell as text only. What Go has escaped in a name is not compared.

const COMMAND = /exec: "([^"\\]*)":|executable file `([^`]*)` not found/;
const PLACE = /chdir to cwd \("([^"\\]*)"\)|chdir (?:to )?`([^`]*)`/;

const NO_PLACE = /chdir (?:to )?(?:cwd|`)/;
const NOT_FOUND = /executable file (?:`.*` )?not found|exec: .*no such file or directory|stat .*: no such file/;
const NOT_EXECUTABLE = /exec: .*permission denied|open executable: (?:Permission denied|Operation not permitted)/;

/**
 * Whether another command is named as what could not be started. Of those that fail side by side the shim tells the last
 * one's reason for each, as all write to one log.
 */
export function isOfAnother(error: unknown, { args: [command = ''], cwd }: OciProcess): boolean {
  if (!hasCode(error, 'unknown', 'not-found')) return false;
  return find(COMMAND, error.message, command) !== command || find(PLACE, error.message, cwd) !== cwd;
}

function find(pattern: RegExp, message: string, otherwise: string): string {
  const [, ofRunc, ofCrun] = pattern.exec(message) ?? [];
  return ofRunc ?? ofCrun ?? otherwise;
}

/** Three of the reasons are the user's to mend, and are told as such. */
export function describeStartFailure(error: unknown, process: OciProcess): unknown {
  if (!hasCode(error, 'unknown', 'not-found')) return error;
  const { message, operation } = error;
  const options = { cause: error, ...(operation === undefined ? {} : { operation }) };
  const command = JSON.stringify(process.args[0] ?? '');
  if (isOfAnother(error, process)) {
    return new DriverError(
      'unknown',
      `the runtime told why another command failed, and not this one: ${message}`,
      options,
    );
  }
  if (NO_PLACE.test(message)) {
    return new DriverError('invalid-argument', `the working directory cannot be entered: ${message}`, options);
  }
  if (NOT_FOUND.test(message)) {
    return new DriverError('not-found', `command ${command} not found in the session`, options);
  }
  if (NOT_EXECUTABLE.test(message)) {
    return new DriverError('permission-denied', `command ${command} is not executable`, options);
  }
  return error;
}
