import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { context } from '../support/context.js';
import { cadre, cadreEnv } from './cadre.js';
import { openTerminal } from './terminal.js';

const { images, root } = context;
const bin = mkdtempSync(join(tmpdir(), 'bin-'));
const volumeRoot = join(root, 'completed-volumes');

beforeAll(() => {
  writeFileSync(
    join(bin, 'cadre-containerd'),
    `#!/bin/sh\nexec ${process.execPath} ${process.cwd()}/dist/cli/main.js "$@"\n`,
    {
      mode: 0o755,
    },
  );
  cadre('import', images.dockerArchive);
  cadre('images', 'tag', images.reference, 'registry.test:5000/team/tool:1');
  cadre('run', '-d', '--ttl', '10m', '--name', 'completed', images.reference);
  cadre('volumes', 'create', '--volume-root', volumeRoot, 'cache');
});
afterAll(() => {
  cadre('rm', '-f', 'completed');
  cadre('images', 'rm', 'registry.test:5000/team/tool:1');
  rmSync(bin, { recursive: true });
});

const env = { ...cadreEnv, PATH: `${bin}:${process.env.PATH}` };

/** What bash would offer at the end of a line. */
function complete(line: string): string[] {
  const script = `source <(cadre-containerd completion bash)
    COMP_LINE=$1; COMP_POINT=\${#1}; COMPREPLY=()
    _cadre_containerd cadre-containerd; printf '%s\\n' "\${COMPREPLY[@]}"`;
  const printed = execFileSync('bash', ['-c', script, 'bash', line], { env, encoding: 'utf8' });
  return printed.split('\n').filter((word) => word !== '');
}

describe('bash', () => {
  test('knows whom to ask', () => {
    const script = 'source <(cadre-containerd completion bash); complete -p cadre-containerd';
    expect(execFileSync('bash', ['-c', script], { env, encoding: 'utf8' })).toBe(
      'complete -F _cadre_containerd cadre-containerd\n',
    );
  });

  test.each([
    ['re', ['resume', 'reap']],
    ['run --pi', ['--pids-limit']],
    ['run -it --profile ', ['default', 'strict', 'permissive']],
    ['run --rm --profile=s', ['strict']],
    ['exec -e A=b comp', ['completed']],
    ['exec completed --', []],
    ['stop -t 1s completed c', ['completed']],
    ['info completed ', []],
    ['info --address /nowhere.sock ', []],
    ['images ', ['ls', 'inspect', 'rm', 'tag', 'import', 'export', 'prune', '--help']],
    ['images rm registry.test/', [images.reference]],
    // What stands before the last colon is on the line already: to bash it is a word of its own.
    ['images rm registry.test:50', ['5000/team/tool:1']],
    ['commit -m x completed reg', ['registry.test:5000/team/tool:1', images.reference]],
    [`volumes inspect --volume-root ${volumeRoot} c`, ['cache']],
    ['ps --format ', ['json', 'table']],
    ['completion z', ['zsh']],
    ['fly ', []],
  ])('%s', (line, words) => {
    expect(complete(`cadre-containerd ${line}`).sort()).toEqual([...words].sort());
  });
});

test.each([
  ['bash', 'bash --norc --noprofile', 'source <(cadre-containerd completion bash)'],
  ['zsh', 'zsh -f', 'autoload -Uz compinit; compinit -u -D; source <(cadre-containerd completion zsh)'],
  ['fish', 'fish --no-config', 'cadre-containerd completion fish | source'],
])('a verb, a session and a file are completed by the tab key in %s', async (name, shell, load) => {
  const terminal = openTerminal(name, `env PATH=${env.PATH} HOME=${bin} ${shell}`);
  try {
    terminal.type(`${load}; echo load''ed`, 'Enter');
    await terminal.shows(/^loaded$/m);
    terminal.type('cadre-containerd inf', 'Tab');
    await terminal.shows(/cadre-containerd info$/m);
    terminal.type('--js', 'Tab');
    await terminal.shows(/info --json$/m);
    terminal.type('comp', 'Tab');
    await terminal.shows(/info --json completed/);
    terminal.type('Enter');
    await terminal.shows(/"name":"completed"/);
    mkdirSync(join(bin, 'policies'), { recursive: true });
    terminal.type(`cadre-containerd policy check ${bin}/pol`, 'Tab');
    await terminal.shows(/\/policies/);
  } finally {
    terminal.close();
  }
});
