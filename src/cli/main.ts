#!/usr/bin/env node
import { createInputError, DriverError } from '../core/error.js';
import { listVerbs, type Verb } from './verb.js';

const verbs: Record<string, () => Promise<Verb>> = {
  run: async () => (await import('./run.js')).runVerb,
  exec: async () => (await import('./exec.js')).execVerb,
  attach: async () => (await import('./attach.js')).attachVerb,
  ps: async () => (await import('./ps.js')).psVerb,
  info: async () => (await import('./info.js')).infoVerb,
  logs: async () => (await import('./logs.js')).logsVerb,
  stats: async () => (await import('./stats.js')).statsVerb,
  events: async () => (await import('./events.js')).eventsVerb,
  stop: async () => (await import('./stop.js')).stopVerb,
  start: async () => (await import('./start.js')).startVerb,
  pause: async () => (await import('./pause.js')).pauseVerb,
  resume: async () => (await import('./pause.js')).resumeVerb,
  rm: async () => (await import('./rm.js')).rmVerb,
  pull: async () => (await import('./pull.js')).pullVerb,
  push: async () => (await import('./pull.js')).pushVerb,
  images: async () => (await import('./images.js')).imagesVerb,
  volumes: async () => (await import('./volumes.js')).volumesVerb,
  commit: async () => (await import('./commit.js')).commitVerb,
  diff: async () => (await import('./diff.js')).diffVerb,
  fork: async () => (await import('./fork.js')).forkVerb,
  policy: async () => (await import('./policy.js')).policyVerb,
  import: async () => (await import('./import.js')).importVerb,
  apparmor: async () => (await import('./apparmor.js')).apparmorVerb,
  doctor: async () => (await import('./doctor.js')).doctorVerb,
  reap: async () => (await import('./reap.js')).reapVerb,
  version: async () => (await import('./version.js')).versionVerb,
};

async function main([name = 'help', ...args]: string[]): Promise<number> {
  if (name === 'help' || name === '--help' || name === '-h') {
    process.stdout.write(await listVerbs(verbs));
    return 0;
  }
  const load = verbs[name === '--version' ? 'version' : name];
  if (load === undefined) {
    throw createInputError('command', [
      { path: 'verb', value: name, expected: `one of ${Object.keys(verbs).join(', ')}` },
    ]);
  }
  const verb = await load();
  if (args[0] === '--help' || args[0] === '-h') {
    process.stdout.write(`usage: ${verb.usage}\n\n${verb.summary}\n\n  ${verb.example}\n`);
    return 0;
  }
  return verb.run(args);
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  // One line for a person; the whole of it, causes included, for whoever asks.
  process.stderr.write(`cadre-containerd: ${error instanceof Error ? error.message : String(error)}\n`);
  if (process.env.CADRE_DEBUG) console.error(error);
  process.exitCode = error instanceof DriverError && error.code === 'invalid-argument' ? 2 : 1;
}
