import { spawn } from 'node:child_process';
import type { Socket } from 'node:dgram';
import { once } from 'node:events';
import { createServer, type Server } from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { DriverError } from '../core/error.js';
import { isExecutable } from '../core/program.js';
import { nameNamespace } from './namespace.js';
import { GATE_ADDRESS, GATE_INTERFACE, GATE_PORT, nameGate } from './wall.js';

/** What the helper ends with when another process has the gate. */
const TAKEN = 3;
/** Bytes under way in one direction of a connection. */
const HIGH_WATER_MARK = 256 * 1024;

/** Traffic that is neither TCP nor for the resolver, and so went nowhere. */
export interface DeniedTraffic {
  /** `udp`, `icmp`, `tcp` and `icmpv6` (of IPv6), `ip-47`, `ethertype-0x88cc`. */
  protocol: string;
  /** Its destination; empty where the protocol has none. */
  address: string;
  /** 0 where the protocol has none. */
  port: number;
  /** Packets since the last report of this destination. */
  count: number;
}

/** The sockets of a session's gate. Who has them is alone: nobody else can open them until he closes or ends. */
export interface Gate {
  /** Every connection of the session; its local address and port are those that it was made to. */
  tcp: Server;
  /** What the session asks the gate's name server. */
  dns: Socket;
  /** Resolves when it is closed, or was lost. */
  ended: Promise<void>;
  close(): Promise<void>;
}

/** The helper for this machine; undefined where the package brings none. */
export function findGateHelper(): string | undefined {
  const path = fileURLToPath(new URL(`../../native/bin/gate-linux-${process.arch}`, import.meta.url));
  return isExecutable(path) ? path : undefined;
}

/**
 * Opens the gate of a session: a program enters its namespace, opens the sockets there and hands them to this process. They
 * are this process's alone, so that the gate is closed at the moment that it ends. Undefined when another one has it.
 */
export async function openGate(
  directory: string,
  onDenied: (traffic: DeniedTraffic) => void,
): Promise<Gate | undefined> {
  const helper = findGateHelper();
  if (helper === undefined) {
    const message = `an allowlist needs the helper of this package, which has none for ${process.platform}-${process.arch}`;
    throw new DriverError('failed-precondition', message, { operation: 'open gate' });
  }
  const args = [nameNamespace(nameGate(directory)), GATE_INTERFACE, GATE_ADDRESS, String(GATE_PORT)];
  // A group of its own: a terminal's interrupt is for this process to act upon.
  const child = spawn(helper, args, { stdio: ['ignore', 'ignore', 'pipe', 'ipc'], env: {}, detached: true });
  const said = text(child.stderr as NonNullable<typeof child.stderr>);
  const ended = once(child, 'exit').then(([code]) => code as number | null);
  const tcp = createServer({ allowHalfOpen: true, pauseOnConnect: true, highWaterMark: HIGH_WATER_MARK });
  const opened = new Promise<Socket>((resolve) => {
    child.on('message', (message, handle) => {
      if (message === 'tcp') tcp.listen(handle);
      else if (message === 'dns') resolve(handle as Socket);
      else onDenied(message as DeniedTraffic);
    });
  });
  const outcome = await Promise.race([opened, ended.catch((error: Error) => error)]);
  if (outcome === TAKEN) return undefined;
  if (typeof outcome !== 'object' || outcome === null || outcome instanceof Error) {
    tcp.close();
    const reason = outcome instanceof Error ? outcome.message : (await said).trim();
    throw new DriverError('unavailable', `the gate of ${directory} could not be opened: ${reason}`, {
      operation: 'open gate',
    });
  }
  const dns = outcome;
  const lost = ended.then(
    () => undefined,
    () => undefined,
  );
  let isBound = true;
  dns.once('close', () => {
    isBound = false;
  });
  const close = async () => {
    if (child.connected) child.disconnect();
    if (tcp.listening) tcp.close();
    if (isBound) dns.close();
    child.ref();
    await lost;
  };
  // None of them keeps this process alive.
  for (const handle of [child, tcp, dns, child.channel, child.stderr as Socket | null]) handle?.unref();
  return { tcp, dns, ended: lost, close };
}
