import { joinVerbs } from './family.js';
import { defineVerb, type Verb } from './verb.js';

function define(name: string, summary: string, work: () => Promise<void>): Verb {
  const usage = `cadre-containerd apparmor ${name}`;
  return defineVerb({
    usage,
    summary,
    example: usage,
    options: {},
    takes: [],
    async run() {
      await work();
      return 0;
    },
  });
}

const show = define('show', 'print the profile, for /etc/apparmor.d', async () => {
  const { renderAppArmorProfile } = await import('../spec/apparmor.js');
  process.stdout.write(renderAppArmorProfile());
});
const load = define('load', 'load it into the kernel, until the next boot', async () => {
  const { loadAppArmorProfile } = await import('../session/apparmor.js');
  await loadAppArmorProfile();
});
const unload = define('unload', 'take it away again, when no process is confined by it', async () => {
  const { unloadAppArmorProfile } = await import('../session/apparmor.js');
  await unloadAppArmorProfile();
});

export const apparmorVerb = joinVerbs('apparmor', 'the profile of AppArmor for sessions', { show, load, unload });
