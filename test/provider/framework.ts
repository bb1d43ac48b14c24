// The shapes that the framework knows providers by. It is not on a registry: these are its types as its users see them.

export interface IsolationProvider {
  name: string;
  capabilities(): {
    mounts: boolean;
    networkModes: ('none' | 'allowlist' | 'full')[];
    envAllowlist: boolean;
    secrets: boolean;
    resources: boolean;
  };
  healthCheck?(): Promise<{ healthy: boolean; message?: string; details?: Record<string, unknown> }>;
  createSession(policy: CanonicalPolicy): Promise<IsolationSession>;
}

interface IsolationSession {
  sessionId: string;
  exec(
    command: string,
    args: string[],
    options?: { env?: Record<string, string>; cwd?: string; timeoutMs?: number },
  ): Promise<{ exitCode: number; stdout: string; stderr: string; timedOut?: boolean }>;
  destroy(): Promise<void>;
}

export interface CanonicalPolicy {
  mounts?: { path: string; readOnly: boolean }[];
  networkMode?: 'none' | 'allowlist' | 'full';
  envAllowlist?: string[];
  secrets?: { name: string; value: string }[];
  resources?: {
    cpuShares?: number;
    memoryMb?: number;
    pidsLimit?: number;
    ulimits?: { type: string; soft: number; hard: number }[];
    timeoutMs?: number;
  };
}

interface FlatPolicy {
  memory?: number;
  cpu?: number;
  networkIsolation?: boolean;
  readOnlyRootfs?: boolean;
}

/** The older Kata provider's front, by ids. */
export interface SessionsById {
  startSession(policy: FlatPolicy): Promise<string>;
  exec(sessionId: string, command: string[]): Promise<{ exitCode: number; stdout: string; stderr: string }>;
  stopSession(sessionId: string): Promise<void>;
  destroySession(sessionId: string): Promise<void>;
}

export interface KataAdapter {
  createSandbox(
    id: string,
    options: {
      runtime: string;
      memoryLimitBytes?: number;
      cpuQuota?: number;
      networkIsolation: boolean;
      readOnlyRootfs: boolean;
      annotations?: Record<string, string>;
    },
  ): Promise<void>;
  execInSandbox(id: string, argv: string[]): Promise<{ exitCode: number; stdout: string; stderr: string }>;
  stopSandbox(id: string): Promise<void>;
  destroySandbox(id: string): Promise<void>;
  healthCheck?(): Promise<{ healthy: boolean; message?: string }>;
}

export interface MismatchError extends Error {
  providerName: string;
  mismatchedAttributes: string[];
  unsupportedPolicies: string[];
}
