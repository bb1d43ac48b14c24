import { existsSync } from 'node:fs';
import { expect, test } from 'vitest';
import { parseOptions } from '../../scripts/vm/options.js';
import { EVERYWHERE, FURTHER, HOST_WIDE, NEWEST } from '../../scripts/vm/suites.js';

const everywhere = '--project=containerd-*';

test.each<[string[], object]>([
  [
    [],
    {
      keep: false,
      deadlineMs: 60 * 60_000,
      runs: [
        ['--project=containerd-1.6', '--project=containerd-1.7', ...EVERYWHERE],
        ['--project=containerd-2.1', ...EVERYWHERE, ...NEWEST],
      ],
    },
  ],
  [
    ['--all'],
    {
      deadlineMs: 120 * 60_000,
      runs: [
        [everywhere, ...NEWEST, ...HOST_WIDE],
        [everywhere, '--project=crun-2.1', ...EVERYWHERE, ...FURTHER],
      ],
    },
  ],
  [['test/session/stats'], { runs: [[everywhere, 'test/session/stats']] }],
  [['--project=a', '--project', 'b'], { runs: [['--project=a', '--project=b', ...EVERYWHERE, ...NEWEST]] }],
  [['-t', 'a name', 'x'], { runs: [[everywhere, '-t', 'a name', 'x']] }],
  [['--config', 'c.ts', 'x'], { runs: [['--config=c.ts', '--root=.', 'x']] }],
  [['--payload', 'd'], { payload: 'd' }],
  [['--keep'], { keep: true, deadlineMs: 24 * 3_600_000 }],
  [['--keep', '--minutes', '0.5'], { deadlineMs: 30_000 }],
])('%j', (argv, expected) => {
  expect(parseOptions(argv)).toMatchObject(expected);
});

test.each([[['--minutes', 'x']], [['--minutes=0']], [['--kep']]])('%j is refused', (argv) => {
  expect(() => parseOptions(argv)).toThrow(/--(minutes|kep)/);
});

test('every suite that is named exists', () => {
  expect([...EVERYWHERE, ...NEWEST, ...HOST_WIDE, ...FURTHER].filter((path) => !existsSync(path))).toEqual([]);
});
