import type { SessionInfo } from '../session/info.js';
import { formatAge, formatTable } from './table.js';
import { connectionOptions, openProvider, readOptions, takeNone, type Verb } from './verb.js';

export const psVerb: Verb = {
  usage: 'cadre-containerd ps [-a] [-q] [--json]',
  summary: 'list sessions that run, or with -a all',
  example: 'cadre-containerd ps -a',
  async run(args) {
    const { values, rest } = readOptions(args, {
      ...connectionOptions,
      all: { type: 'boolean', short: 'a' },
      quiet: { type: 'boolean', short: 'q' },
      json: { type: 'boolean' },
    });
    takeNone(rest);
    await using provider = openProvider(values);
    const sessions: SessionInfo[] = [];
    const filter = values.all ? {} : { state: ['created', 'running', 'paused'] satisfies SessionInfo['state'][] };
    for await (const info of provider.list(filter)) sessions.push(info);
    sessions.sort((a, b) => b.createdAt.getTime() - a.createdAt.getTime());
    if (values.quiet) for (const { sessionId } of sessions) process.stdout.write(`${sessionId}\n`);
    else if (values.json) for (const info of sessions) process.stdout.write(`${JSON.stringify(info)}\n`);
    else
      process.stdout.write(
        formatTable(['SESSION', 'NAME', 'STATE', 'CREATED', 'ENDS IN', 'RUNTIME', 'IMAGE'], sessions.map(describe)),
      );
    return 0;
  },
};

function describe({ sessionId, name, state, exitCode, createdAt, expiresAt, runtime, image }: SessionInfo): string[] {
  const now = Date.now();
  const ended = exitCode === undefined ? '' : ` (${exitCode})`;
  const left = expiresAt === undefined ? '-' : formatAge(Math.max(0, expiresAt.getTime() - now));
  return [sessionId, name ?? '-', state + ended, `${formatAge(now - createdAt.getTime())} ago`, left, runtime, image];
}
