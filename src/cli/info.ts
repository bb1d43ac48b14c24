import { defineInspect } from './inspect.js';

export const infoVerb = defineInspect(
  'session',
  {
    usage: 'cadre-containerd info [--json] SESSION',
    summary: 'print what a session is, as JSON',
    example: 'cadre-containerd info web',
  },
  async (provider, name) => (await provider.connect(name)).info(),
);
