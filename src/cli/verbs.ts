import type { Options, Verb } from './verb.js';

/** Each is loaded when it is called. */
export const verbs: Readonly<Record<string, () => Promise<Verb>>> = {
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
  networks: async () => (await import('./networks.js')).networksVerb,
  enforce: async () => (await import('./enforce.js')).enforceVerb,
  forward: async () => (await import('./forward.js')).forwardVerb,
  port: async () => (await import('./port.js')).portVerb,
  commit: async () => (await import('./commit.js')).commitVerb,
  cp: async () => (await import('./cp.js')).cpVerb,
  diff: async () => (await import('./diff.js')).diffVerb,
  fork: async () => (await import('./fork.js')).forkVerb,
  policy: async () => (await import('./policy.js')).policyVerb,
  config: async () => (await import('./config.js')).configVerb,
  import: async () => (await import('./import.js')).importVerb,
  apparmor: async () => (await import('./apparmor.js')).apparmorVerb,
  doctor: async () => (await import('./doctor.js')).doctorVerb,
  reap: async () => (await import('./reap.js')).reapVerb,
  completion: async () => (await import('./completion.js')).completionVerb,
  version: async () => (await import('./version.js')).versionVerb,
};

/** A verb by its name, `--version` included; undefined where there is none. */
export async function loadVerb(name: string): Promise<Verb | undefined> {
  const known = name === '--version' ? 'version' : name;
  return Object.hasOwn(verbs, known) ? verbs[known]?.() : undefined;
}

export async function listVerbs(): Promise<string> {
  const lines = ['usage: cadre-containerd VERB [OPTIONS] [ARGUMENTS]', ''];
  for (const [name, load] of Object.entries(verbs)) lines.push(`  ${name.padEnd(10)} ${(await load()).summary}`);
  lines.push('', 'cadre-containerd VERB --help tells more of one.', '');
  return lines.join('\n');
}

export function describeVerb({ usage, summary, example, options, verbs: several = {} }: Verb): string {
  const tables = [options, ...Object.values(several).map((verb) => verb.options)];
  const known: Options = Object.assign({}, ...tables);
  const spelt = Object.entries(known).map(
    ([name, { short, type }]) => `${short === undefined ? '' : `-${short}, `}--${name}${type === 'string' ? ' …' : ''}`,
  );
  return `usage: ${usage}\n\n${summary}\n\n  ${example}\n\noptions: ${spelt.join('; ') || 'none'}\n`;
}
