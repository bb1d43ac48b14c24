import { type FSWatcher, watch } from 'node:fs';
import { join } from 'node:path';
import type { Denial } from '../network/allow/denial.js';
import type { Enforcer } from '../network/allow/enforcer.js';
import { type DeniedTraffic, type Gate, openGate } from '../network/gate.js';
import { findGate, GATE_ADDRESS, nameGate, touchSignal } from '../network/wall.js';
import { SessionAudit } from './audit/session-audit.js';
import type { SessionContext } from './context.js';
import { type Found, findById, listRecords, readSpec } from './find.js';
import { classifyNetwork } from './network.js';
import type { SessionRecord } from './record.js';
import { readTask } from './task.js';

interface Held {
  /** Of the namespace: a session that is started anew may have another one. */
  number: number;
  gate: Gate;
  enforcer: Enforcer;
  /** Goes by the record as it is now. */
  follow(found: Found): void;
  watcher: FSWatcher;
}

/**
 * The allowlists that this process enforces. The rules of a session are those of its record, whoever changes them. What
 * nobody enforces is closed: no connection is taken and no name answered.
 */
export class Enforcers {
  readonly #parts: Pick<SessionContext, 'channel' | 'directory' | 'audit'>;
  readonly #held = new Map<string, Held>();
  /** What is done to one session takes turns. */
  readonly #turns = new Map<string, Promise<void>>();
  #isClosed = false;

  constructor(parts: Pick<SessionContext, 'channel' | 'directory' | 'audit'>) {
    this.#parts = parts;
  }

  /** Enforces the allowlist of a session from now on, unless this process does already, or another one. */
  open(id: string): Promise<void> {
    return this.#take(id, () => this.#open(id));
  }

  /** Its connections end, and no new ones are taken. */
  close(id: string): Promise<void> {
    return this.#take(id, () => this.#close(id));
  }

  /** Of all sessions; from now on none is taken up. */
  async closeAll(): Promise<void> {
    this.#isClosed = true;
    await Promise.all([...this.#turns.keys(), ...this.#held.keys()].map((id) => this.close(id)));
  }

  /** Whoever enforces it reads the rules of a session again: this process before it resolves, another within a moment. */
  async renew(id: string): Promise<void> {
    await touchSignal(this.#nameDirectory(id));
    await this.#renew(id);
  }

  /** Takes up every session of the namespace that runs and that nobody enforces; lets go of those that do not. */
  async takeUp(): Promise<void> {
    const { channel } = this.#parts;
    const gated = (await listRecords(channel)).filter(({ record }) => isGated(record)).map(({ record }) => record.id);
    for (const id of [...this.#held.keys()].filter((held) => !gated.includes(held))) await this.close(id);
    for (const id of gated) {
      const { state } = await readTask(channel, id);
      if (state === 'stopped') await this.close(id);
      // What is only created is opened by whoever starts it.
      if (state === 'running' || state === 'paused') await (this.#held.has(id) ? this.#renew(id) : this.open(id));
    }
  }

  async #open(id: string): Promise<void> {
    if (this.#isClosed || this.#held.has(id)) return;
    const directory = this.#nameDirectory(id);
    const number = await findGate(directory);
    const found = await findById(this.#parts.channel, id);
    if (found === undefined || number === undefined) return;
    const { record } = found;
    // Its packages are of no use to who has no allowlist.
    const { openEnforcer } = await import('../network/allow/enforcer.js');
    let audit = this.#openAudit(found);
    const tell = (denial: Denial) => void audit.deny(denial);
    const gate = await openGate(directory, (traffic) => tell(describeTraffic(traffic)));
    if (gate === undefined) return;
    let watcher: FSWatcher;
    try {
      watcher = watch(nameGate(directory), { persistent: false });
    } catch (error) {
      // There may be too many watches of this user (inotify(7)).
      await gate.close();
      throw error;
    }
    const { dns: dnsServers = [] } = record.asked.policy.asked.network ?? {};
    const { tcp, dns } = gate;
    const options = { tcp, dns, gateway: GATE_ADDRESS, allow: listAllowed(record), dnsServers, onDenial: tell };
    const enforcer = openEnforcer(options);
    const follow = (now: Found) => {
      enforcer.update(listAllowed(now.record));
      audit = this.#openAudit(now);
    };
    this.#held.set(id, { number, gate, watcher, enforcer, follow });
    // Of what fails here the next pass does: until then the last rules hold.
    const renew = () => void this.#renew(id).catch(() => undefined);
    watcher.on('change', renew).on('error', renew);
    void gate.ended.then(() => this.#reopen(id, gate)).catch(() => undefined);
    // They may have changed while nobody watched.
    renew();
  }

  /** The helper was killed. Its reports are missing then, so that another one is started. */
  async #reopen(id: string, gate: Gate): Promise<void> {
    if (this.#held.get(id)?.gate !== gate) return;
    await this.close(id);
    await this.open(id);
  }

  #renew(id: string): Promise<void> {
    return this.#take(id, async () => {
      const held = this.#held.get(id);
      if (held === undefined) return;
      const found = await findById(this.#parts.channel, id);
      const isSame = (await findGate(this.#nameDirectory(id))) === held.number;
      if (found !== undefined && isSame) return held.follow(found);
      await this.#close(id);
      await this.#open(id);
    });
  }

  async #close(id: string): Promise<void> {
    const held = this.#held.get(id);
    if (held === undefined) return;
    this.#held.delete(id);
    held.watcher.close();
    held.enforcer.close();
    await held.gate.close();
  }

  #take(id: string, work: () => Promise<void>): Promise<void> {
    const turn = (this.#turns.get(id) ?? Promise.resolve()).catch(() => undefined).then(work);
    this.#turns.set(id, turn);
    const leave = () => {
      if (this.#turns.get(id) === turn) this.#turns.delete(id);
    };
    turn.then(leave, leave);
    return turn;
  }

  /** Secrets are those that the session has by then. */
  #openAudit({ record, container }: Found): SessionAudit {
    return new SessionAudit(this.#parts, () => ({ record, spec: readSpec(container) }));
  }

  #nameDirectory(id: string): string {
    return join(this.#parts.directory, id);
  }
}

function isGated({ asked }: SessionRecord): boolean {
  return classifyNetwork(asked.policy) === 'gated';
}

function listAllowed({ asked }: SessionRecord): readonly string[] {
  return asked.policy.asked.network?.allow ?? [];
}

function describeTraffic({ protocol, address, port, count }: DeniedTraffic): Denial {
  const known = (['udp', 'icmp', 'tcp'] as const).find((name) => name === protocol);
  const what = address.includes(':') ? 'IPv6 is closed' : `${protocol} is closed`;
  return {
    protocol: known ?? 'other',
    reason: count > 1 ? `${what}, ${count} packets` : what,
    ...(address === '' ? {} : { address }),
    ...(port === 0 ? {} : { port }),
  };
}
