import { expect, test } from 'vitest';
import { context, onlyOn } from '../support/context.js';
import { listLoaded } from './loaded.js';

onlyOn(['1.6'], 'what is loaded is the same everywhere')('what is loaded', () => {
  const main = 'dist/cli/main.js';
  const isPackage = (name: string) => !name.endsWith('.js');

  test('the version takes the least', () => {
    expect(listLoaded(main, '--version')).toEqual([
      'cli/arguments.js',
      'cli/failure.js',
      'cli/main.js',
      'cli/output.js',
      'cli/table.js',
      'cli/verb.js',
      'cli/verbs.js',
      'cli/version.js',
      'core/error.js',
    ]);
  });

  test.each([['--help'], ['run', '--help'], ['completion', 'bash'], ['completion', 'candidates', '--', 'run', '--']])(
    '%s %s takes the verbs and no library',
    (...args) => {
      expect(listLoaded(main, ...args).filter((name) => !/^(cli|core)\//.test(name))).toEqual([]);
    },
  );

  test('what asks no daemon takes no package', () => {
    const loaded = listLoaded(main, 'policy', 'schema');
    expect(loaded).toContain('policy/json-schema.js');
    expect(loaded.filter(isPackage)).toEqual([]);
  });

  test('what speaks to the daemon and to no registry takes no client of registries', () => {
    const connection = ['--address', context.address, '--namespace', context.namespace];
    for (const args of [
      [main, 'ps', ...connection],
      ['--input-type=module', '-e', "import '@cadre-dev/runtime-provider-containerd'"],
    ]) {
      const loaded = listLoaded(...args);
      expect(loaded.filter(isPackage)).toEqual(['@bufbuild/protobuf', '@grpc/grpc-js', 'modern-tar']);
      // Of containerd's services only those that are called, none of the many that its API has beside them.
      const services = loaded
        .filter((name) => name.includes('/services/'))
        .map((name) => name.match(/services\/(\w+)/)?.[1]);
      expect([...new Set(services)].sort()).toEqual([
        'containers',
        'content',
        'diff',
        'events',
        'images',
        'introspection',
        'leases',
        'snapshots',
        'tasks',
        'version',
      ]);
    }
  });
});
