import { cpSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compile, complete, makeProject, readExamples } from './examples.js';

test('every example of README, docs and examples/ is right in its types', () => {
  const examples = readExamples();
  expect(examples.length).toBeGreaterThan(5);
  const project = makeProject();
  try {
    for (const { place, code } of examples) {
      writeFileSync(join(project, `${place.replaceAll(/[^A-Za-z0-9]+/g, '-')}.ts`), complete(code));
    }
    for (const name of readdirSync('examples')) cpSync(join('examples', name), join(project, name));
    compile(project);
    writeFileSync(join(project, 'wrong.ts'), complete("await session.exec('true', [], { timeout: 5 });"));
    expect(() => compile(project)).toThrow(/wrong\.ts.*timeout/);
  } finally {
    rmSync(project, { recursive: true });
  }
});
