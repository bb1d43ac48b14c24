import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { openProvider } from '../support/provider.js';
import { runExample } from './run-example.js';

const provider = await openProvider();

test.each(['docs/plan.md', 'docs/audit.md', 'docs/verify.md'])('the example of %s prints what it says', (page) => {
  const text = readFileSync(page, 'utf8');
  const said = /^It prints\n\n```\n(.*?)^```$/ms.exec(text)?.[1] ?? `${/^It prints `(.*)`\.$/m.exec(text)?.[1]}\n`;
  expect(runExample(page).replaceAll(/ +$/gm, '')).toBe(said);
});

test('docs/verify.md has every field that is read back', async () => {
  const [, table = ''] = readFileSync('docs/verify.md', 'utf8').split('| field | observed in |');
  const named = [...(table.split('\n\n')[0] ?? '').matchAll(/^\| (.*?) \|/gm)]
    .flatMap(([, cell = '']) => [...cell.matchAll(/`(.+?)`/g)].map(([, field = '']) => field))
    .map((field) => new RegExp(`^${field.replaceAll('.', '\\.').replaceAll('*', '.*')}$`));
  await using session = await provider.createSession({
    resources: { memoryMb: 64, memorySwapMb: 8, cpus: 0.5, pidsLimit: 64 },
    sysctls: { 'net.core.somaxconn': '64' },
    mounts: [{ type: 'tmpfs', path: '/scratch', readOnly: false }],
  });
  const { checks } = await session.verify();
  expect(checks.length).toBeGreaterThan(20);
  expect(checks.map(({ field }) => field).filter((field) => !named.some((name) => name.test(field)))).toEqual([]);
});
