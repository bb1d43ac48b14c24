import { MAX_PINS, PIN_GRACE_MS } from './limits.js';

/** Which names a session was told an address for, as long as it may use it. */
export class AddressPins {
  readonly #pins = new Map<string, { address: string; name: string; until: number }>();

  /** Until a while after the answer runs out, as a program asks first and connects then. */
  add(address: string, name: string, expiresAt: number): void {
    const key = `${address} ${name}`;
    const until = Math.max(expiresAt + PIN_GRACE_MS, this.#pins.get(key)?.until ?? 0);
    this.#pins.delete(key);
    this.#pins.set(key, { address, name, until });
    const [oldest] = this.#pins.keys();
    if (this.#pins.size > MAX_PINS && oldest !== undefined) this.#pins.delete(oldest);
  }

  has(address: string, name: string): boolean {
    return (this.#pins.get(`${address} ${name}`)?.until ?? 0) > performance.now();
  }

  /** Names of an address. */
  list(address: string): string[] {
    const now = performance.now();
    return [...this.#pins.values()].flatMap((pin) => (pin.address === address && pin.until > now ? [pin.name] : []));
  }
}
