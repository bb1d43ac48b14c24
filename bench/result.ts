import type { MachineFacts } from './machine.js';
import type { Readings } from './metrics.js';
import type { PeerName, PhaseName } from './options.js';
import type { Plan } from './plan.js';
import type { Roster } from './roster.js';
import type { HoldSummary, MetricSummary } from './summary.js';
import type { Verdict } from './verdicts.js';

/** Everything a run found out, as bench/results/DATE.json keeps it. */
export interface Result {
  /** When the run began, ISO 8601. */
  readonly date: string;
  readonly mode: 'quick' | 'full';
  readonly seconds: number;
  readonly phases: readonly PhaseName[];
  readonly plan: Plan;
  readonly machine: MachineFacts;
  /** Version of the daemon. */
  readonly containerd: string;
  readonly spec: string;
  readonly peers: readonly { readonly name: PeerName; readonly version: string }[];
  readonly skipped: Roster['skipped'];
  readonly metrics: readonly MetricSummary[];
  readonly holds: readonly HoldSummary[];
  readonly verdicts: readonly Verdict[];
  readonly samples: Readings['samples'];
}
