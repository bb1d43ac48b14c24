import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';

const NAME = '@cadre-dev/runtime-provider-containerd';

export interface Example {
  /** `docs/policy.md:8`, the line of the block's fence. */
  place: string;
  /** What stands behind the fence; empty for what a program prints. */
  language: string;
  code: string;
}

/** Every page that a user reads. */
export function listPages(): string[] {
  const isPage = (name: string) => name.endsWith('.md');
  return [
    ...readdirSync('.').filter(isPage),
    ...readdirSync('docs')
      .filter(isPage)
      .map((name) => `docs/${name}`),
  ];
}

/** Every block of those pages. */
export function readBlocks(): Example[] {
  return listPages().flatMap((page) => {
    const text = readFileSync(page, 'utf8');
    return [...text.matchAll(/^```(.*)\n([\s\S]*?)^```$/gm)].map(({ index, 1: language = '', 2: code = '' }) => ({
      place: `${page}:${text.slice(0, index).split('\n').length}`,
      language,
      code,
    }));
  });
}

/** Every block of TypeScript. */
export function readExamples(): Example[] {
  return readBlocks().filter(({ language }) => language === 'ts');
}

/** A project that has this package as a user has it: by its name, with what it exports and nothing else. */
export function makeProject(): string {
  const directory = mkdtempSync(join(tmpdir(), 'example-'));
  mkdirSync(join(directory, 'node_modules/@cadre-dev'), { recursive: true });
  symlinkSync(resolve('.'), join(directory, 'node_modules', NAME));
  symlinkSync(resolve('node_modules/@types'), join(directory, 'node_modules/@types'));
  writeFileSync(join(directory, 'package.json'), '{ "type": "module" }\n');
  const compilerOptions = {
    target: 'es2023',
    lib: ['es2023', 'esnext.disposable'],
    module: 'nodenext',
    strict: true,
    types: ['node'],
    skipLibCheck: true,
  };
  writeFileSync(join(directory, 'tsconfig.json'), JSON.stringify({ compilerOptions }));
  return directory;
}

/** Compiles the project's programs; throws with the compiler's words when one has a fault. */
export function compile(project: string): void {
  try {
    execFileSync(process.execPath, [resolve('node_modules/typescript/bin/tsc'), '-p', project], { encoding: 'utf8' });
  } catch (error) {
    throw new Error((error as { stdout: string }).stdout);
  }
}

/** Blocks that go on from where others stopped find what those had. */
export function complete(code: string): string {
  const isWhole = code.includes(`from '${NAME}'`);
  const has = (name: string) => new RegExp(`const (same, )?${name} =`).test(code);
  const given = [
    `import type { ContainerdProvider, Execution, Session } from '${NAME}';`,
    'declare const provider: ContainerdProvider;',
    ...(has('session') ? [] : ['declare const session: Session;']),
    ...(has('execution') ? [] : ['declare const execution: Execution;']),
  ];
  return isWhole ? code : `${given.join('\n')}\n${code}\nexport {};\n`;
}
