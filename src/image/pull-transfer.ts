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
import { findBlob, openIngest } from './content.js';
import type { TypedBlob } from './document.js';
import { nameIngest, type PullStore } from './pull-blob.js';

/** For fewer bytes that are to be had, the registry is not asked a second time for what we know already. */
const LEAST_BYTES = 32 * 1024 * 1024;
/** Fewer bytes than these in the time of a stall are no progress. */
const PROGRESS_BYTES = 4096;
/** Questions at once. */
const WIDTH = 4;
/** Of the daemon's protobufs. */
const TYPES = 'containerd.types.transfer';
/** The daemon's words for a blob that is there. */
const isThere = /^(complete|already exists)$/;

export interface TransferWork {
  /** Digest of what the layers belong to. */
  manifest: string;
  layers: readonly TypedBlob[];
  /** Told the bytes of a layer that are there. */
  onBytes: (layer: TypedBlob, bytes: number) => void;
}

/** Layers that the daemon brings by itself. */
export interface Transfer {
  /** Resolves with true when the layer is there, by the daemon's word, and with false when it will not come. */
  waitFor(layer: TypedBlob): Promise<boolean>;
  /** Resolves when the daemon has done what it could. */
  ended: Promise<void>;
}

/**
 * Has the daemon download layers by itself, as its own clients do: from containerd 2.0 on, taking bytes from us costs it as
 * much as all of that. Undefined where it cannot, or where it might go another way than we do.
 *
 * Nothing rests on how this ends: whatever it brought is to be looked at, and what it did not is to be gone on with, so that
 * checks, retries and failures are those of a pull without it.
 */
export async function startTransfer(store: PullStore, work: TransferWork): Promise<Transfer | undefined> {
  const { channel, repository, signal } = store;
  if (sum(work.layers.map(({ size }) => size)) < LEAST_BYTES || !(await canTransfer(channel, signal))) return undefined;
  const scheme = await repository.findCommonScheme(signal);
  if (scheme === undefined) return undefined;
  const there = await gather(work.layers, ({ digest }) => findBlob(channel, digest, { signal }));
  const layers = work.layers.filter((_, i) => there[i] === undefined);
  if (sum(layers.map(({ size }) => size)) < LEAST_BYTES) return undefined;
  const arrived = new Set<string>();
  const wake = new Map<string, () => void>();
  const onArrival = (digest: string) => {
    arrived.add(digest);
    wake.get(digest)?.();
  };
  const ended = runTransfer(store, { ...work, layers, scheme, onArrival });
  return {
    ended,
    async waitFor({ digest }) {
      if (!layers.some((layer) => layer.digest === digest)) return false;
      if (!arrived.has(digest)) await Promise.race([ended, new Promise<void>((resolve) => wake.set(digest, resolve))]);
      return arrived.has(digest);
    },
  };
}

/** 1.7 has the service too, but no word for a registry without TLS. */
async function canTransfer(channel: Channel, signal: AbortSignal): Promise<boolean> {
  const { version } = await channel.unary(VersionService.version, Empty.create(), { signal });
  return Number.parseInt(version.replace(/^v/, ''), 10) >= 2;
}

interface TransferRun extends TransferWork {
  scheme: string;
  onArrival: (digest: string) => void;
}

async function runTransfer(
  { leased, channel: lasting, repository, signal }: PullStore,
  run: TransferRun,
): Promise<void> {
  const { channel } = leased;
  const stopped = new AbortController();
  const bounded = AbortSignal.any([signal, stopped.signal]);
  const stop = () => stopped.abort();
  const progress = channel.duplex(StreamingService.stream, { signal: bounded });
  const events = progress.responses[Symbol.asyncIterator]();
  const watch = watchLayers(run, { stallMs: repository.options.stallTimeoutMs, stop });
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
    const reference = `${repository.registry}/${repository.name}@${run.manifest}`;
    const registry = OCIRegistry.fromPartial({ reference, resolver: { defaultScheme: run.scheme } });
    const request = {
      source: packMessage(`${TYPES}.OCIRegistry`, OCIRegistry, registry),
      // Of no name: it makes no record, which is for us to make, and says so at the end, when all is there.
      destination: packMessage(`${TYPES}.ImageStore`, ImageStore, ImageStore.create()),
      options: { progressStream: id },
    };
    const options = { signal: bounded, deadlineMs: null };
    const transferred = channel.unary(TransferService.transfer, request, options);
    // Opened without the lease as well, what is half-written outlives it.
    const kept = gather(run.layers, (layer) => openIngest(lasting, nameIngest(layer), layer, bounded));
    await Promise.all([transferred, kept, listen()]);
  } catch {
    // What is missing is found by whoever waited. The daemon's words are not repeated: they hold signed addresses.
  } finally {
    watch.end();
    stop();
  }
}

/** Follows what the daemon tells, and stops it where it does not come further or takes more than a layer may have. */
function watchLayers(
  { layers, onBytes, onArrival }: TransferRun,
  { stallMs, stop }: { stallMs: number; stop: () => void },
): { note: (progress: Progress) => void; end: () => void } {
  const names = new Map(layers.map((layer) => [nameIngest(layer), layer]));
  const bytes = new Map<string, number>();
  let before = 0;
  const look = setInterval(() => {
    const now = sum([...bytes.values()]);
    if (now - before < PROGRESS_BYTES) stop();
    before = now;
  }, stallMs);
  return {
    note({ event, name, progress }) {
      const layer = names.get(name);
      if (layer === undefined) return;
      const at = Number(progress);
      if (at > layer.size) return stop();
      bytes.set(name, at);
      if (at > 0) onBytes(layer, at);
      if (isThere.test(event)) onArrival(layer.digest);
    },
    end: () => clearInterval(look),
  };
}

/** A few at a time. */
function gather<T, R>(items: readonly T[], act: (item: T) => Promise<R>): Promise<R[]> {
  const gate = new Gate(WIDTH);
  return Promise.all(items.map((item) => gate.run(() => act(item))));
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
