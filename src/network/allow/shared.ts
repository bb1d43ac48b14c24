import type { Socket } from 'node:net';
import type { AddressPins } from './address-pins.js';
import type { Report } from './denial.js';
import type { NameCache } from './resolver.js';
import type { Ruleset } from './rules.js';

/** What serves one session, whatever it speaks. */
export interface Shared {
  /** As they are now. */
  rules(): Ruleset;
  names: NameCache;
  pins: AddressPins;
  report: Report;
  /** Opens a connection from the host's own network. */
  connect(address: string, port: number): Socket;
}
