import { DENIAL_RATE, Rate } from './limits.js';

/** What a session was refused. */
export interface Denial {
  /** What was spoken, as far as it was looked at. */
  protocol: 'dns' | 'tcp' | 'tls' | 'http' | 'udp' | 'icmp' | 'other';
  /** Why, in words. */
  reason: string;
  /** As the session wrote it, printable and cut to the length of a name. */
  name?: string;
  /** That the session wanted to reach, or that a name led to. */
  address?: string;
  /** Absent where the protocol has none. */
  port?: number;
}

/** Thrown where a denial ends what was under way. */
export class Refusal extends Error {
  readonly denial: Denial;

  constructor(denial: Denial) {
    super(denial.reason);
    this.denial = denial;
  }
}

export type Report = (denial: Denial) => void;

/** Passes denials on, so many a second one by one, and then how many more there were of a protocol. */
export class Reporter {
  readonly #tell: Report;
  readonly #rate = new Rate(DENIAL_RATE);
  readonly #untold = new Map<Denial['protocol'], number>();
  #timer: NodeJS.Timeout | undefined;

  constructor(tell: Report) {
    this.#tell = tell;
  }

  report(denial: Denial): void {
    const { name } = denial;
    if (this.#rate.take()) this.#tell(name === undefined ? denial : { ...denial, name: show(name) });
    else this.#count(denial.protocol);
  }

  /** Tells what was only counted. */
  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [protocol, count] of this.#untold) this.#tell({ protocol, reason: `${count} more were refused` });
    this.#untold.clear();
  }

  #count(protocol: Denial['protocol']): void {
    this.#untold.set(protocol, (this.#untold.get(protocol) ?? 0) + 1);
    this.#timer ??= setTimeout(() => this.close(), 1_000).unref();
  }
}

function show(name: string): string {
  return name.replace(/[^\x21-\x7e]/g, '?').slice(0, 253);
}
