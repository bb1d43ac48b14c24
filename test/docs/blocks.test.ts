import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { parse as parseToml } from 'smol-toml';
import { describe, expect, test } from 'vitest';
import { resolveIsolation } from '../../src/config/isolation.js';
import { floors } from '../floors/read-imports.js';
import { GENERATIONS } from '../support/containerd-binary.js';
import { type Example, readBlocks } from './examples.js';

const { name, scripts } = JSON.parse(readFileSync('package.json', 'utf8')) as {
  name: string;
  scripts: Record<string, string>;
};
const setup = readFileSync('scripts/setup.sh', 'utf8');

/** What each command of a shell's block has to be; a command that has no line here is not documented. */
const commands: [RegExp, (...parts: string[]) => unknown][] = [
  [
    /^(?:echo '[^']+' \| )?npm (?:run )?([\w:-]+)( -- .*)?$/,
    (script = '') => expect(Object.keys(scripts)).toContain(script),
  ],
  [/^npm install (\S+)$/, (what) => expect(what).toBe(name)],
  [
    /^apt-get install (.+)$/,
    (what = '') => expect(what.split(' ').filter((part) => !setup.includes(part))).toEqual([]),
  ],
  [
    /^npx vitest run --project (\S+) (\S+)(?: -t .+)?$/,
    (project, file = '') => {
      expect(['unit', ...GENERATIONS.map((generation) => `containerd-${generation}`)]).toContain(project);
      expect(existsSync(file)).toBe(true);
    },
  ],
  [
    // It comes as far as to the daemon that is not there: the verb and its options are known.
    /^cadre-containerd (.+)$/,
    (rest = '') => {
      const env = { ...process.env, CONTAINERD_ADDRESS: '/nowhere/containerd.sock' };
      const args = ['dist/cli/main.js', ...rest.split(' ')];
      const { status, stderr } = spawnSync(process.execPath, args, { env, encoding: 'utf8', timeout: 120_000 });
      expect(stderr).not.toMatch(/invalid (options|arguments|command)/);
      expect(status).not.toBe(2);
    },
  ],
];

function checkShell(code: string): void {
  const lines = code.split('\n').map((line) => line.replace(/^\$ /, '').replace(/ +#.*$/, ''));
  for (const line of lines.filter((text) => text !== '')) {
    const found = commands.find(([pattern]) => pattern.test(line));
    if (found === undefined) throw new Error(`no check for ${JSON.stringify(line)}`);
    const [pattern, check] = found;
    check(...(pattern.exec(line)?.slice(1) ?? []));
  }
}

function checkJson(code: string): void {
  const { isolation } = JSON.parse(code);
  if (isolation !== undefined)
    expect(
      resolveIsolation({ ...isolation, containerOptions: { ...isolation.containerOptions, address: '/x' } }),
    ).toBeDefined();
}

/** What a program prints. Those that begin with `It prints` are compared by the tests that run the program. */
const outputs: Record<string, (code: string) => void> = {
  'README.md': checkDemo,
  'docs/architecture.md': checkFloors,
  'docs/configuration.md': (code) => {
    const wrong = () => resolveIsolation({ containerOptions: { imge: 'alpine:3' } } as object);
    expect(wrong).toThrow(code.replaceAll(/\s+/g, ' ').trim());
  },
};
const compared = ['docs/audit.md', 'docs/plan.md', 'README.md'];

function checkDemo(code: string): void {
  const demo = readFileSync('scripts/demo.ts', 'utf8');
  const steps = [...code.matchAll(/^ +\d+ ms {2}(\w+) +(.*)$/gm)];
  expect(steps.length).toBeGreaterThan(5);
  for (const [, step = '', text = ''] of steps) {
    expect(demo).toContain(step === 'exec' ? text : `'${step}'`);
  }
}

function checkFloors(code: string): void {
  const drawn = [...code.matchAll(/^(\d) {2}(.+?) {2}/gm)].flatMap(([, floor, modules = '']) =>
    modules.split('│').map((module) => [module.trim(), Number(floor)]),
  );
  expect(Object.fromEntries(drawn)).toEqual(
    Object.fromEntries(
      readdirSync('src')
        .filter((entry) => entry in floors)
        .map((module) => [module, floors[module]]),
    ),
  );
}

// All of the README but its first block is followed by new-user.e2e.test.ts.
const [first, ...others] = readBlocks().filter(
  ({ place, language }) => place.startsWith('README.md:') && language === 'sh',
);
const isFollowed = ({ place }: Example) => others.some((other) => other.place === place);
const blocks = readBlocks().filter((block) => block.language !== 'ts' && !isFollowed(block));

describe('every block of README, docs and the like is one that is run or checked', () => {
  test.each(blocks)('$place $language', ({ place, language, code }) => {
    const [page = ''] = place.split(':');
    if (language === 'sh' || language === 'console') checkShell(code);
    else if (language === 'json') checkJson(code);
    else if (language === 'toml') expect(Object.keys(parseToml(code)).length).toBeGreaterThan(0);
    else if (language === '' && outputs[page] !== undefined) outputs[page](code);
    else expect(compared, `no check for a block of ${page}`).toContain(page);
  });

  test('the README begins with the two commands', () => {
    expect(first?.code).toMatch(/^npm run demo .*\nnpm test .*\n$/);
    expect(others).toHaveLength(3);
  });

  test('a command, an option and a file that are not there are found', () => {
    for (const line of [
      'npm run nothing',
      'cadre-containerd ps --nothing',
      'npx vitest run --project unit test/no.ts',
      'make',
    ]) {
      expect(() => checkShell(line), line).toThrow();
    }
  });
});
