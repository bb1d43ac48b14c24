import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DriverError } from '../core/error.js';
import { findProgram, runProgram } from '../core/program.js';
import { APPARMOR_PROFILE, renderAppArmorProfile } from '../spec/apparmor.js';
import { readAttribute } from './proc.js';

/** Loads the profile for sessions into the kernel, until the next boot; one of that name is replaced, also of who runs. */
export async function loadAppArmorProfile(): Promise<void> {
  await callParser('--replace');
}

/** Takes it away again. Refused while a process is confined by it: the kernel would confine that by nothing from then on. */
export async function unloadAppArmorProfile(): Promise<void> {
  const confined = (await readdir('/proc'))
    .filter((name) => /^\d+$/.test(name))
    .filter((pid) => readAttribute(`/proc/${pid}/attr/apparmor/current`)?.startsWith(`${APPARMOR_PROFILE} `));
  if (confined.length > 0) {
    const found = `${confined.length} processes, such as ${confined[0]}, are confined by it`;
    throw new DriverError('failed-precondition', `profile ${APPARMOR_PROFILE} is in use: ${found}`);
  }
  await callParser('--remove');
}

async function callParser(action: '--replace' | '--remove'): Promise<void> {
  const parser = findProgram('apparmor_parser', ['/usr/sbin', '/sbin']);
  if (parser === undefined) {
    throw new DriverError('failed-precondition', 'no apparmor_parser on this host: install the package apparmor');
  }
  const directory = await mkdtemp(join(tmpdir(), 'apparmor-'));
  try {
    const file = join(directory, APPARMOR_PROFILE);
    await writeFile(file, renderAppArmorProfile());
    await runProgram(parser, [action, '--skip-cache', file], { operation: `apparmor_parser ${action}` });
  } finally {
    await rm(directory, { recursive: true });
  }
}
