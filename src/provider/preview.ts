import { CapabilityMismatchError, type Fault } from '../core/error.js';
import { getImage, type Image } from '../image/image.js';
import type { Place } from '../policy/capabilities.js';
import { redact } from '../policy/redact.js';
import type { ResolvedPolicy } from '../policy/types.js';
import { readConfinement } from '../session/confinement.js';
import type { CreateRequest } from '../session/create.js';
import { readHostFacts } from '../session/host.js';
import { checkNetwork } from '../session/network.js';
import { previewSpec } from '../session/preview.js';
import type { ExecutorName } from '../session/record.js';
import { chooseEnv } from '../spec/environment.js';
import type { HostFacts } from '../spec/host.js';
import { nameRuntime } from '../spec/runtime.js';
import { type Finding, scorePolicy } from '../spec/score.js';
import type { OciSpec } from '../spec/types.js';
import type { Connected } from './connection.js';
import { parseCreateOptions } from './create-options.js';
import { chooseExecutor } from './executor-choice.js';
import type { ResolvedOptions } from './options.js';
import { checkRequest, type PlanInput, planSession } from './plan.js';

/** What would become of a policy. No value of a secret, and none of the session's own environment, is in it. */
export interface SessionPlan {
  /** The document of the OCI runtime specification; undefined where something cannot be honoured, as none is made. */
  spec: unknown;
  /** containerd's name of the runtime. */
  runtime: string;
  /** What would start its commands. */
  executor: ExecutorName;
  /** Why that one. */
  executorReason: string;
  /** Paths of what cannot be honoured. */
  mismatched: string[];
  /** The same, each with what would be accepted. */
  mismatches: readonly Fault[];
  /** 100 where nothing was found, 0 at the least. */
  score: number;
  /** What takes the score down. */
  findings: Finding[];
  /** What was not looked at: elsewhere than on Linux, the host and the image. Absent where nothing was assumed. */
  assumed?: string;
}

/** Where a plan has what it does not decide itself: from containerd and this host, or from assumptions. */
export interface PreviewSource extends Pick<PlanInput, 'context' | 'uuid'> {
  assumed?: string;
  getImage: (reference: string, signal: AbortSignal | undefined) => Promise<Image>;
  buildSpec: (request: CreateRequest) => Promise<OciSpec>;
  /** Rejects for a network that is not there. */
  checkNetwork: (policy: ResolvedPolicy) => Promise<void>;
}

interface PreviewContext extends ResolvedOptions, PreviewSource {
  describePlace: (host: HostFacts, runtime?: string) => Place & { runtime: string };
}

/** Of what is there. */
export function lookForPreview({ context, uuid }: Connected): PreviewSource {
  return {
    context,
    uuid,
    // Never pulled: planning takes nothing in.
    getImage: (reference, signal) => getImage(context.channel, reference, { signal }),
    buildSpec: (request) => previewSpec(context, request),
    checkNetwork: (policy) => checkNetwork(context, policy),
  };
}

export async function previewSession(given: unknown, context: PreviewContext): Promise<SessionPlan> {
  const { base, hostEnv } = context;
  const parsed = await collect(() => parseCreateOptions(given, base));
  if (parsed.result === undefined) {
    // Of fields that nobody knows it cannot be told what they would come to.
    const { runtime, executor } = context;
    const policy = { capabilities: { add: [], drop: [] } };
    const chosen = chooseExecutor(executor, { runtime, policy });
    return { spec: undefined, runtime: nameRuntime(runtime), ...chosen, ...parsed.refused, score: 0, findings: [] };
  }
  const { session, policy } = parsed.result;
  const host = readHostFacts();
  const place = context.describePlace(host, session.runtime);
  const { result: seccomp, refused } = await collect(async () => {
    checkRequest(policy, session, place, context);
    await context.checkNetwork(policy);
    return readConfinement(policy);
  });
  const image = await context.getImage(session.image ?? context.image, session.signal);
  const request = planSession(policy, session, image, { ...context, host, seccomp });
  const spec = refused.mismatched.length > 0 ? undefined : await context.buildSpec(request);
  const runtime = nameRuntime(place.runtime);
  const { assumed } = context;
  const plan = {
    spec,
    runtime,
    ...chooseExecutor(session.executor ?? context.executor, { runtime, policy }),
    ...refused,
    ...scorePolicy(policy, { user: request.user, spec }),
    ...(assumed === undefined ? {} : { assumed }),
  };
  const secrets = policy.secrets.map(({ value }) => value);
  return redact({ ...plan, spec: spec && hideEnv(spec, chooseEnv(policy, hostEnv, session.env ?? {})) }, secrets);
}

/** Runs a check. What it cannot honour is an answer here; anything else is thrown. */
async function collect<T>(
  act: () => T | Promise<T>,
): Promise<{ result?: T; refused: Pick<SessionPlan, 'mismatched' | 'mismatches'> }> {
  try {
    return { result: await act(), refused: { mismatched: [], mismatches: [] } };
  } catch (error) {
    if (!(error instanceof CapabilityMismatchError)) throw error;
    return { refused: { mismatched: error.mismatchedAttributes, mismatches: error.faults } };
  }
}

/** What a session is given beside its image's environment may be as secret as any secret. */
function hideEnv({ process, ...spec }: OciSpec, given: Readonly<Record<string, string>>): OciSpec {
  const env = process.env.map((entry) => {
    const name = entry.slice(0, entry.indexOf('='));
    return Object.hasOwn(given, name) ? `${name}=[redacted]` : entry;
  });
  return { ...spec, process: { ...process, env } };
}
