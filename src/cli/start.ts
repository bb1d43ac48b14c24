import { forEach } from './each.js';

export const startVerb = forEach(
  {
    usage: 'cadre-containerd start SESSION...',
    summary: 'run stopped sessions again, on the same files',
    example: 'cadre-containerd start web',
  },
  (session) => session.start(),
);
