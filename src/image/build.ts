import { randomBytes } from 'node:crypto';
import { existsSync, statSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { Cleanup, withCleanup } from '../core/cleanup.js';
import { addSuppressed, createInputError, DriverError, type Fault } from '../core/error.js';
import { findProgram, runProgram } from '../core/program.js';
import { abortSignal, accept, aFunction, checkOptions, dictionary, type Rule } from '../policy/rule.js';
import { text } from '../policy/schema.js';
import type { Channel } from '../rpc/channel.js';
import { type Image, recordImage } from './image.js';
import { importArchive } from './import.js';
import { normalizeReference } from './reference.js';

/** What to build, and by what. */
export interface BuildOptions {
  /** Directory of the files that the Dockerfile may copy. */
  context: string;
  /** Path of the Dockerfile, within the context unless it is absolute. Defaults to `Dockerfile`. */
  dockerfile?: string;
  /** Names for the image. */
  tags: readonly string[];
  /** Values for the Dockerfile's `ARG`s. Other users of the host can see them while the build runs: no secrets. */
  buildArgs?: Record<string, string>;
  /** The stage to build. Defaults to the last. */
  target?: string;
  /** Defaults to BuildKit where `buildctl` and a daemon's socket are found, else to buildah. */
  engine?: BuildEngine;
  /** Each line that the engine writes. */
  onProgress?: (line: string) => void;
  /** Ends the engine; nothing is imported, and the call rejects with `canceled`. */
  signal?: AbortSignal;
}

/** A program of the host that builds images. */
export type BuildEngine = 'buildkit' | 'buildah';

/** The options complete, with absolute paths. */
interface Build {
  context: string;
  dockerfile: string;
  args: [name: string, value: string][];
  target: string | undefined;
  /** Where the OCI layout is to be, as a tar. */
  archive: string;
}

const BUILDKIT_SOCKET = '/run/buildkit/buildkitd.sock';
const operation = 'build image';

const aText = text();
const rules: Record<keyof BuildOptions, Rule> = {
  context: aText,
  dockerfile: aText,
  tags: accept((value) => Array.isArray(value) && value.length > 0, 'at least one name'),
  buildArgs: dictionary(
    /^[A-Za-z_][A-Za-z0-9_]*$/,
    'a name of letters, digits and _',
    accept((value) => typeof value === 'string' && !value.includes('\0'), 'a text without NUL'),
  ),
  target: aText,
  engine: accept((value) => value === 'buildkit' || value === 'buildah', 'buildkit or buildah'),
  onProgress: aFunction,
  signal: abortSignal,
};

/**
 * Builds an image from a Dockerfile by an engine of the host, BuildKit or buildah, and imports what it made. Base images
 * come from the engine's own store or a registry, with the engine's own configuration and caches.
 *
 * Throws `failed-precondition` where there is no engine, `unknown` with the engine's last lines when the build fails.
 */
export async function buildImage(
  channel: Channel,
  options: BuildOptions,
  { snapshotter }: { snapshotter: string },
): Promise<Image> {
  checkOptions('build options', options, rules, ['context', 'tags']);
  const { tags, buildArgs = {}, target, onProgress, signal } = options;
  const [name = '', ...more] = tags.map(normalizeReference);
  const { context, dockerfile } = findFiles(options);
  const run = chooseEngine(options.engine);
  return withCleanup(async (undo) => {
    const directory = await mkdtemp(join(tmpdir(), 'cadre-build-'));
    undo.defer('directory', () => rm(directory, { recursive: true, force: true }));
    const archive = join(directory, 'image.tar');
    const build = { context, dockerfile, args: Object.entries(buildArgs), target, archive };
    await run(build, { onLine: onProgress, signal });
    const [image] = await importArchive(channel, archive, { reference: name, snapshotter, signal });
    if (image === undefined) throw new DriverError('data-loss', 'the engine made no image', { operation });
    for (const other of more) await recordImage(channel, { name: other, target: image.target });
    return image;
  });
}

function findFiles(options: BuildOptions): { context: string; dockerfile: string } {
  const context = resolve(options.context);
  const dockerfile = resolve(context, options.dockerfile ?? 'Dockerfile');
  const faults: Fault[] = [];
  if (!statSync(context, { throwIfNoEntry: false })?.isDirectory()) {
    faults.push({ path: 'context', value: options.context, expected: 'a directory' });
  } else if (!statSync(dockerfile, { throwIfNoEntry: false })?.isFile()) {
    faults.push({ path: 'dockerfile', value: options.dockerfile ?? 'Dockerfile', expected: 'a file of the context' });
  }
  if (faults.length > 0) throw createInputError('build options', faults);
  return { context, dockerfile };
}

type Engine = (
  build: Build,
  run: { onLine?: ((line: string) => void) | undefined; signal?: AbortSignal | undefined },
) => Promise<void>;

function chooseEngine(wanted: BuildEngine | undefined): Engine {
  const address = process.env.BUILDKIT_HOST ?? (existsSync(BUILDKIT_SOCKET) ? `unix://${BUILDKIT_SOCKET}` : undefined);
  const buildctl = wanted === 'buildah' ? undefined : findProgram('buildctl');
  if (buildctl !== undefined && address !== undefined)
    return (build, run) => runBuildkit(buildctl, address, build, run);
  const buildah = wanted === 'buildkit' ? undefined : findProgram('buildah');
  if (buildah !== undefined) return (build, run) => runBuildah(buildah, build, run);
  const remedies = {
    buildah: 'install buildah',
    buildkit: `install buildctl and run buildkitd (BUILDKIT_HOST, or ${BUILDKIT_SOCKET})`,
  };
  const remedy = wanted === undefined ? Object.values(remedies).join(', or ') : remedies[wanted];
  throw new DriverError(
    'failed-precondition',
    `no ${wanted ?? 'engine'} to build images with on this host: ${remedy}`,
    {
      operation,
    },
  );
}

const runBuildkit = (program: string, address: string, build: Build, run: Parameters<Engine>[1]) => {
  const { context, dockerfile, args, target, archive } = build;
  const argv = [
    ...['--addr', address, 'build', '--frontend', 'dockerfile.v0', '--progress', 'plain'],
    ...['--local', `context=${context}`, '--local', `dockerfile=${dirname(dockerfile)}`],
    ...['--opt', `filename=${basename(dockerfile)}`],
    ...args.flatMap(([name, value]) => ['--opt', `build-arg:${name}=${value}`]),
    ...(target === undefined ? [] : ['--opt', `target=${target}`]),
    ...['--output', `type=oci,dest=${archive}`],
  ];
  return runProgram(program, argv, { operation: 'buildctl build', ...run });
};

/** Without a name the image could not be pushed into a file; it goes again with all that only it needed. */
async function runBuildah(program: string, build: Build, run: Parameters<Engine>[1]): Promise<void> {
  const { context, dockerfile, args, target, archive } = build;
  const name = `localhost/cadre-build-${randomBytes(8).toString('hex')}`;
  const argv = [
    ...['build', '--file', dockerfile, '--tag', name],
    ...args.map(([key, value]) => `--build-arg=${key}=${value}`),
    ...(target === undefined ? [] : [`--target=${target}`]),
    context,
  ];
  await runProgram(program, argv, { operation: 'buildah build', ...run });
  const undo = new Cleanup();
  undo.defer('image of the engine', () => runProgram(program, ['rmi', '--force', name], { operation: 'buildah rmi' }));
  try {
    await runProgram(program, ['push', name, `oci-archive:${archive}`], { operation: 'buildah push', ...run });
  } catch (error) {
    const failure = await undo.run();
    throw addSuppressed(error, failure === undefined ? [] : [failure.error]);
  }
  const failure = await undo.run();
  if (failure !== undefined) throw failure.error;
}
