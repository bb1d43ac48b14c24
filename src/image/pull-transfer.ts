import { randomBytes } from 'node:crypto';
import { Gate } from '../core/gate.js';
import {
  StreamInit,
  StreamingService,
} from '../generated/github.com/containerd/containerd/api/services/streaming/v1/streaming.js';
import { TransferService } from '../generated/github.com/containerd/containerd/api/services/transfer/v1/transfer.js';
import { VersionService } from '../generated/github.com/containerd/containerd/api/services/version/v1/version.js';
import { ImageStore } from '../generated/github.com/containerd/containerd/api/types/transfer/imagestore.js';
import { Progress } from '../generated/github.com/containerd/containerd/api/types/transfer/progress.js';
import { OCIRegistry } from '../generated/github.com/containerd/containerd/api/types/transfer/registry.js';
import { Empty } from '../generated/google/protobuf/empty.js';
import { packMessage, unpackMessage } from '../rpc/any.js';
import type { Channel } from '../rpc/channel.js';
import { findBlobs } from './content.js';
import { openIngest } from './content-write.js';
import type { TypedBlob } from './document.js';
import type { Image } from './image.js';
import { getHostPlatform, ratePlatform } from './platform.js';
import { nameIngest, type PullStore } from './pull-blob.js';
import type { PullOptions } from './pull-options.js';
import { PullSurvey } from './pull-survey.js';
import { DEFAULT_SNAPSHOTTER } from './unpack.js';
import { superviseUnpacking } from './unpack-budget.js';

/** For fewer bytes that are to be had, the registry is not asked a second time for what we know already. */
const LEAST_BYTES = 32 * 1024 * 1024;
/** Fewer bytes than these in the time of a stall are no progress. */
const PROGRESS_BYTES = 4096;
/** Names that are opened at once. */
const WIDTH = 4;
/** Of the daemon's protobufs. */
const TYPES = 'containerd.types.transfer';

export interface TransferWork {
  image: Image;
  /** Each once. */
  layers: readonly TypedBlob[];
  options: PullOptions;
  /** Told the bytes of a layer that are there. */
  onBytes: (layer: TypedBlob, bytes: number) => void;
  /** Told how many layers are unpacked. */
  onLayer: (unpacked: number) => void;
}

/**
 * Has the daemon download and unpack layers by itself, as its own clients do: from containerd 2.0 on, taking bytes from us
 * costs it as much as all of that. Does nothing where it cannot, or where it might go another way than we do. Resolves with
 * the digests of the layers that are there as they must be, and held by the lease.
 *
 * Nothing rests on how this ends: what it did not bring or unpack is to be gone on with, so that retries and failures are
 * those of a pull without it. Throws `resource-exhausted` for what it unpacked, and what the store fails with.
 */
export async function transferLayers(store: PullStore, work: TransferWork): Promise<ReadonlySet<string>> {
  const { channel, repository, signal } = store;
  const nothing = new Set<string>();
  const { snapshotter = DEFAULT_SNAPSHOTTER } = work.options;
  // Another one the daemon may have been told not to unpack to, and we had better begin with what is there.
  if (snapshotter !== DEFAULT_SNAPSHOTTER) return nothing;
  if (sum(work.layers.map(({ size }) => size)) < LEAST_BYTES || !(await canTransfer(channel, signal))) return nothing;
  const scheme = await repository.findCommonScheme(signal);
  if (scheme === undefined) return nothing;
  const digests = work.layers.map(({ digest }) => digest);
  const there = await findBlobs(channel, digests, { signal });
  const layers = work.layers.filter(({ digest }) => !there.has(digest));
  if (sum(layers.map(({ size }) => size)) < LEAST_BYTES) return nothing;
  const run = { ...work, layers, scheme };
  const survey = new PullSurvey(store, run);
  await superviseUnpacking(
    (bounded) => runTransfer(store, run, survey, bounded),
    () => survey.look(),
    signal,
  );
  return survey.finish();
}

/** 1.7 has the service too, but no word for a registry without TLS. */
async function canTransfer(channel: Channel, signal: AbortSignal): Promise<boolean> {
  const { version } = await channel.unary(VersionService.version, Empty.create(), { signal });
  return Number.parseInt(version.replace(/^v/, ''), 10) >= 2;
}

interface TransferRun extends TransferWork {
  scheme: string;
}

async function runTransfer(
  { channel: lasting, leased, repository }: PullStore,
  run: TransferRun,
  { whole }: PullSurvey,
  signal: AbortSignal,
): Promise<void> {
  const { channel } = leased;
  const stopped = new AbortController();
  const bounded = AbortSignal.any([signal, stopped.signal]);
  const stop = () => stopped.abort();
  const progress = channel.duplex(StreamingService.stream, { signal: bounded });
  const events = progress.responses[Symbol.asyncIterator]();
  const watch = watchLayers(run, { whole, stallMs: repository.options.stallTimeoutMs, stop });
  const listen = async () => {
    for (let event = await events.next(); !event.done; event = await events.next()) {
      watch.note(unpackMessage(`${TYPES}.Progress`, Progress, event.value));
    }
  };
  try {
    const id = `cadre-${randomBytes(10).toString('hex')}`;
    await progress.send(packMessage('containerd.services.streaming.v1.StreamInit', StreamInit, { id }));
    // The answer: from now on the stream may be named.
    await events.next();
    const reference = `${repository.registry}/${repository.name}@${run.image.manifest.digest}`;
    const registry = OCIRegistry.fromPartial({ reference, resolver: { defaultScheme: run.scheme } });
    const { platform = getHostPlatform() } = run.options;
    // What is for another machine it refuses to unpack, and the whole with it.
    const isForUs = ratePlatform(getHostPlatform(), platform) > 0;
    const images = ImageStore.fromPartial({ unpacks: isForUs ? [{ platform, snapshotter: DEFAULT_SNAPSHOTTER }] : [] });
    const request = {
      source: packMessage(`${TYPES}.OCIRegistry`, OCIRegistry, registry),
      // Of no name: it makes no record, which is for us to make, and says so at the end, when all is there.
      destination: packMessage(`${TYPES}.ImageStore`, ImageStore, images),
      options: { progressStream: id },
    };
    const transferred = channel.unary(TransferService.transfer, request, { signal: bounded, deadlineMs: null });
    // Opened without the lease as well, what is half-written outlives it.
    const gate = new Gate(WIDTH);
    const keep = (layer: TypedBlob) => gate.run(() => openIngest(lasting, nameIngest(layer), layer, bounded));
    const kept = Promise.all(run.layers.map(keep));
    await Promise.all([transferred, kept, listen()]);
  } catch {
    // What is missing is found by who goes on. The daemon's words are not repeated: they hold signed addresses.
  } finally {
    watch.end();
    stop();
  }
}

/** Follows what the daemon tells, and stops it where it does not come further or takes more than a layer may have. */
function watchLayers(
  { layers, onBytes }: TransferRun,
  { whole, stallMs, stop }: { whole: ReadonlySet<string>; stallMs: number; stop: () => void },
): { note: (progress: Progress) => void; end: () => void } {
  const names = new Map(layers.map((layer) => [nameIngest(layer), layer]));
  const total = sum(layers.map(({ size }) => size));
  const bytes = new Map<string, number>();
  let before = 0;
  const look = setInterval(() => {
    const now = sum([...bytes.values()]);
    // What is whole may still be unpacked, which takes as long as it takes.
    if (now < total && now - before < PROGRESS_BYTES) stop();
    before = now;
  }, stallMs);
  return {
    note({ name, progress }) {
      const layer = names.get(name);
      if (layer === undefined) return;
      const at = Number(progress);
      if (at > layer.size) return stop();
      bytes.set(name, at);
      // Told late, of what is known to be whole.
      if (at > 0 && !whole.has(layer.digest)) onBytes(layer, at);
    },
    end: () => clearInterval(look),
  };
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
