import { Resolver } from 'node:dns/promises';
import { MAX_LOOKUPS, MAX_NAMES, MAX_TTL_MS } from './limits.js';

/** One address of a name, and for how many seconds it may be kept. */
interface AddressRecord {
  address: string;
  ttl: number;
}

/** Asks for the addresses of a name; rejects with the codes of node:dns. */
export type Lookup = (name: string) => Promise<AddressRecord[]>;

/** What became of a question: `none` is a name without addresses. */
export type Resolution =
  | { status: 'found'; addresses: string[]; expiresAt: number }
  | { status: 'none' | 'unknown' | 'failed' };

const UPSTREAM_MS = 2_000;
const UPSTREAM_TRIES = 2;

/** Asks these servers, or those of the host where there are none. */
export function openLookup(servers: readonly string[]): { lookup: Lookup; cancel(): void } {
  const resolver = new Resolver({ timeout: UPSTREAM_MS, tries: UPSTREAM_TRIES });
  if (servers.length > 0) resolver.setServers(servers);
  return { lookup: (name) => resolver.resolve4(name, { ttl: true }), cancel: () => resolver.cancel() };
}

/** Addresses of names, each asked for once as long as the answer holds. */
export class NameCache {
  readonly #lookup: Lookup;
  readonly #known = new Map<string, Extract<Resolution, { status: 'found' }>>();
  readonly #asked = new Map<string, Promise<Resolution>>();

  constructor(lookup: Lookup) {
    this.#lookup = lookup;
  }

  async resolve(name: string): Promise<Resolution> {
    const known = this.#known.get(name);
    if (known !== undefined && known.expiresAt > performance.now()) return known;
    const asked = this.#asked.get(name);
    if (asked !== undefined) return asked;
    if (this.#asked.size >= MAX_LOOKUPS) return { status: 'failed' };
    const asking = this.#ask(name).finally(() => this.#asked.delete(name));
    this.#asked.set(name, asking);
    return asking;
  }

  async #ask(name: string): Promise<Resolution> {
    try {
      const records = await this.#lookup(name);
      if (records.length === 0) return { status: 'none' };
      const ttlMs = Math.min(MAX_TTL_MS, ...records.map(({ ttl }) => ttl * 1_000));
      const addresses = [...new Set(records.map(({ address }) => address))];
      const found = { status: 'found', addresses, expiresAt: performance.now() + ttlMs } as const;
      this.#keep(name, found);
      return found;
    } catch (error) {
      return { status: classify((error as NodeJS.ErrnoException).code) };
    }
  }

  #keep(name: string, found: Extract<Resolution, { status: 'found' }>): void {
    // Those kept longest go first.
    this.#known.delete(name);
    this.#known.set(name, found);
    const [oldest] = this.#known.keys();
    if (this.#known.size > MAX_NAMES && oldest !== undefined) this.#known.delete(oldest);
  }
}

function classify(code: string | undefined): 'none' | 'unknown' | 'failed' {
  if (code === 'ENODATA') return 'none';
  return code === 'ENOTFOUND' ? 'unknown' : 'failed';
}
