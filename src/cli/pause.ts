import { forEach } from './each.js';

export const pauseVerb = forEach(
  {
    usage: 'cadre-containerd pause SESSION...',
    summary: 'stop every process of sessions where it is',
    example: 'cadre-containerd pause web',
  },
  (session) => session.pause(),
);

export const resumeVerb = forEach(
  {
    usage: 'cadre-containerd resume SESSION...',
    summary: 'let paused sessions go on',
    example: 'cadre-containerd resume web',
  },
  (session) => session.resume(),
);
