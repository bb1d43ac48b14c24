import { loadAppArmorProfile, unloadAppArmorProfile } from '../session/apparmor.js';
import { renderAppArmorProfile } from '../spec/apparmor.js';
import { joinVerbs } from './family.js';
import { readOptions, takeNone, type Verb } from './verb.js';

function build(name: string, summary: string, work: () => Promise<void> | void): Verb {
  const usage = `cadre-containerd apparmor ${name}`;
  return {
    usage,
    summary,
    example: usage,
    async run(args) {
      takeNone(readOptions(args, {}).rest);
      await work();
      return 0;
    },
  };
}

const show = build('show', 'print the profile, for /etc/apparmor.d', () => {
  process.stdout.write(renderAppArmorProfile());
});
const load = build('load', 'load it into the kernel, until the next boot', loadAppArmorProfile);
const unload = build('unload', 'take it away again, when no process is confined by it', unloadAppArmorProfile);

export const apparmorVerb = joinVerbs('apparmor', 'the profile of AppArmor for sessions', { show, load, unload });
