import { stat } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { createInputError } from '../core/error.js';
import type { TransferReport } from '../session/files/transfer.js';
import { openProvider } from './connection.js';
import { isJson, outputOptions, print } from './output.js';
import { watchSignals } from './terminal.js';
import { connectionOptions, defineVerb } from './verb.js';

export const cpVerb = defineVerb({
  usage: 'cadre-containerd cp [--json] SESSION:PATH FILE | FILE SESSION:PATH',
  summary: 'copy a file or a directory out of a session or into one',
  example: 'cadre-containerd cp notes.txt web:/workspace/',
  options: { ...connectionOptions, ...outputOptions },
  takes: ['place', 'place'],
  async run(values, [from, to]) {
    const [source, target] = [parsePlace(from), parsePlace(to)];
    const session = source.session ?? target.session;
    if (session === undefined || (source.session !== undefined && target.session !== undefined)) {
      throw createInputError('arguments', [
        { path: 'arguments', value: [from, to], expected: 'one of both as SESSION:PATH, the other a file of the host' },
      ]);
    }
    await using provider = await openProvider(values);
    const { files } = await provider.connect(session);
    const signal = watchSignals();
    const name = basename(source.path);
    if (source.session === undefined) {
      const isInto = await files.stat(target.path).then(isDirectory, () => target.path.endsWith('/'));
      return tell(values, await files.upload(source.path, isInto ? join(target.path, name) : target.path, { signal }));
    }
    const isInto = await stat(target.path).then(
      (found) => found.isDirectory(),
      () => target.path.endsWith('/'),
    );
    return tell(values, await files.download(source.path, isInto ? join(target.path, name) : target.path, { signal }));
  },
});

/** A path with a slash before its first colon is one of the host. */
function parsePlace(text: string): { session?: string; path: string } {
  const [, session, path] = /^([^/:]+):(.+)$/s.exec(text) ?? [];
  return session === undefined || path === undefined ? { path: text } : { session, path };
}

function isDirectory({ type }: { type: string }): boolean {
  return type === 'dir';
}

/** What could not be copied is a failure, though all else was. */
function tell(values: { json?: boolean; format?: string }, report: TransferReport): number {
  if (isJson(values)) print(JSON.stringify(report));
  for (const path of report.skipped) process.stderr.write(`left out, as it is no file: ${path}\n`);
  return report.skipped.length === 0 ? 0 : 1;
}
