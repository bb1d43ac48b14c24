import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { compile, complete, makeProject, readExamples } from './examples.js';

test('every example of README and docs is right in its types', { timeout: 30_000 }, () => {
  const examples = readExamples();
  expect(examples.length).toBeGreaterThan(5);
  const project = makeProject();
  try {
    for (const { place, code } of examples) {
      writeFileSync(join(project, `${place.replaceAll(/[^A-Za-z0-9]+/g, '-')}.ts`), complete(code));
    }
    compile(project);
    writeFileSync(join(project, 'wrong.ts'), complete("await session.exec('true', [], { timeout: 5 });"));
    expect(() => compile(project)).toThrow(/wrong\.ts.*timeout/);
  } finally {
    rmSync(project, { recursive: true });
  }
});
