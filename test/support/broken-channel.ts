import { DriverError } from '../../src/core/error.js';
import type { Channel } from '../../src/rpc/channel.js';

export interface CallCounter {
  /** Made so far, by service and method. */
  calls: string[];
  /** Counted from 1; none fails at 0. */
  failAt: number;
  /** The call is carried out, and its answer lost. */
  lose: boolean;
}

/** A channel whose nth call fails: before it was sent, or after it was carried out with its answer lost. */
export function breakCall(real: Channel, counter: CallCounter): Channel {
  return new Proxy(real, {
    get(target, key) {
      if (key === 'withLease') return (lease: string) => breakCall(target.withLease(lease), counter);
      if (key !== 'unary') {
        const value = Reflect.get(target, key);
        return typeof value === 'function' ? value.bind(target) : value;
      }
      return async (...args: Parameters<Channel['unary']>) => {
        const operation = args[0].path.split('.').at(-1) as string;
        counter.calls.push(operation);
        const isChosen = counter.calls.length === counter.failAt;
        if (isChosen && !counter.lose) throw new DriverError('unavailable', `injected at ${operation}`);
        const answer = await target.unary(...args);
        if (isChosen) throw new DriverError('unavailable', `injected after ${operation}`);
        return answer;
      };
    },
  });
}
