import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode } from '../core/error.js';
import {
  ContainerCreate,
  ContainerDelete,
} from '../generated/github.com/containerd/containerd/api/events/container.js';
import {
  TaskCreate,
  TaskDelete,
  TaskExecAdded,
  TaskExecStarted,
  TaskExit,
  TaskOOM,
  TaskPaused,
  TaskResumed,
  TaskStart,
} from '../generated/github.com/containerd/containerd/api/events/task.js';
import { EventsService } from '../generated/github.com/containerd/containerd/api/services/events/v1/events.js';
import type { Envelope } from '../generated/github.com/containerd/containerd/api/types/event.js';
import type { Channel } from '../rpc/channel.js';
import { probeServer } from '../rpc/probe.js';
import type { ServerStream } from '../rpc/stream.js';
import { ID_PREFIX } from './record.js';

const RECONNECT_MS = 100;

/**
 * What happened to a session. Events are news, not a record: those of a time without a daemon are never told, and a shim
 * on a busy machine may end before it has sent its last one, `/tasks/delete`. `/containers/delete` is the daemon's own.
 */
export interface SessionEvent {
  /** By the daemon's clock. */
  time: Date;
  /** containerd's, such as `/tasks/exit`, or `/reconnected` after the daemon was away. */
  topic: string;
  /** Absent of `/reconnected`. */
  sessionId?: string;
  /** containerd's own message of the topic, decoded. */
  payload: unknown;
}

const payloads: Record<string, { decode(input: Uint8Array): object }> = {
  '/containers/create': ContainerCreate,
  '/containers/delete': ContainerDelete,
  '/tasks/create': TaskCreate,
  '/tasks/start': TaskStart,
  '/tasks/exit': TaskExit,
  '/tasks/delete': TaskDelete,
  '/tasks/oom': TaskOOM,
  '/tasks/paused': TaskPaused,
  '/tasks/resumed': TaskResumed,
  '/tasks/exec-added': TaskExecAdded,
  '/tasks/exec-started': TaskExecStarted,
};

/** Events of this namespace's sessions, from the call on, across restarts of the daemon, until the signal is aborted. */
export function watchEvents(channel: Channel, signal?: AbortSignal): AsyncGenerator<SessionEvent, void, undefined> {
  // Listening starts with the call, not with the first read.
  return follow(channel, subscribe(channel, signal), signal);
}

function subscribe(channel: Channel, signal: AbortSignal | undefined): ServerStream<Envelope> {
  return channel.serverStream(EventsService.subscribe, { filters: [`namespace==${channel.namespace}`] }, { signal });
}

async function* follow(
  channel: Channel,
  first: ServerStream<Envelope>,
  signal: AbortSignal | undefined,
): AsyncGenerator<SessionEvent, void, undefined> {
  for (let stream = first; ; ) {
    try {
      for await (const envelope of stream) {
        const event = readEvent(envelope);
        if (event !== undefined) yield event;
      }
    } catch (error) {
      if (hasCode(error, 'canceled') && signal?.aborted) return;
      if (!hasCode(error, 'unavailable')) throw error;
    }
    if (!(await waitForServer(channel, signal))) return;
    // Listening again before the news of it, so that nothing is missed while the caller looks at that.
    stream = subscribe(channel, signal);
    yield { time: new Date(), topic: '/reconnected', payload: undefined };
  }
}

/** False when the signal was aborted meanwhile. */
async function waitForServer(channel: Channel, signal: AbortSignal | undefined): Promise<boolean> {
  while (!signal?.aborted) {
    try {
      await probeServer(channel, signal);
      return true;
    } catch {
      // Away still, however long: events are waited for until the caller has had enough.
      await sleep(RECONNECT_MS);
    }
  }
  return false;
}

function readEvent({ timestamp, topic, event }: Envelope): SessionEvent | undefined {
  const payload = event && payloads[topic]?.decode(event.value);
  if (payload === undefined) return undefined;
  const { containerId, id } = payload as { containerId?: string; id?: string };
  const sessionId = containerId || id;
  if (!sessionId?.startsWith(ID_PREFIX)) return undefined;
  return { time: new Date(Number(timestamp?.seconds ?? 0n) * 1000), topic, sessionId, payload };
}
