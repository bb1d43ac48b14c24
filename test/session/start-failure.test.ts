import { expect, test } from 'vitest';
import { DriverError, type ErrorCode } from '../../src/core/error.js';
import { describeStartFailure, isOfAnother } from '../../src/session/start-failure.js';
import type { OciProcess } from '../../src/spec/types.js';

// As runc 1.1.5 and 1.3.2, and crun 1.8.1, have been seen to say it.
const told: [text: string, command: string, cwd: string, code: ErrorCode][] = [
  ['exec: "no-such": executable file not found in $PATH', 'no-such', '/', 'not-found'],
  ['exec: "/no/such": stat /no/such: no such file or directory', '/no/such', '/', 'not-found'],
  ['exec: "/etc/passwd": permission denied', '/etc/passwd', '/', 'permission-denied'],
  ['exec: "/bin": permission denied', '/bin', '/', 'permission-denied'],
  [
    'chdir to cwd ("/absent") set in config.json failed: no such file or directory',
    'true',
    '/absent',
    'invalid-argument',
  ],
  ['executable file `no-such` not found in $PATH: No such file or directory', 'no-such', '/', 'not-found'],
  ['executable file `/no/such` not found in $PATH: No such file or directory', '/no/such', '/', 'not-found'],
  ['open executable: Permission denied', '/etc/passwd', '/', 'permission-denied'],
  ['open executable: Operation not permitted', '/bin', '/', 'permission-denied'],
  ['chdir `/absent`: No such file or directory', 'true', '/absent', 'invalid-argument'],
  ['chdir `/etc/passwd`: Not a directory', 'true', '/etc/passwd', 'invalid-argument'],
  ['exec: "odd\\"name": executable file not found in $PATH', 'odd"name', '/', 'not-found'],
  ['cannot exec in a paused container', 'true', '/', 'unknown'],
];
const fail = (text: string) => new DriverError('unknown', `Tasks.Start: OCI runtime exec failed: ${text}`);
const ask = (command: string, cwd: string) => ({ args: [command], cwd }) as OciProcess;

test.each(told)('%s', (text, command, cwd, code) => {
  expect(isOfAnother(fail(text), ask(command, cwd))).toBe(false);
  expect(describeStartFailure(fail(text), ask(command, cwd))).toMatchObject({ code });
});

test.each(told.filter(([text]) => /["`]/.test(text) && !text.includes('\\')))('of another command: %s', (text) => {
  expect(isOfAnother(fail(text), ask('other', '/other'))).toBe(true);
  expect(describeStartFailure(fail(text), ask('other', '/other'))).toMatchObject({
    code: 'unknown',
    message: expect.stringMatching(/told why another command failed/),
  });
});
