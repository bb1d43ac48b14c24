/**
 * Isolated sessions straight on containerd: begin with `ContainerdProvider`.
 *
 * @packageDocumentation
 */

// For those who run sessions.
export { type LoadOptions, loadProvider, resolveIsolation } from './config/isolation.js';
export { buildIsolationSchema } from './config/json-schema.js';
export { type Registry, registerContainerd } from './config/registry.js';
export type { ContainerConfig, Deprecation, IsolationConfig } from './config/types.js';
export {
  CapabilityMismatchError,
  DriverError,
  type DriverErrorOptions,
  type ErrorCode,
  type Fault,
} from './core/error.js';
export type { ArchiveSource } from './image/archive.js';
export type { BuildEngine, BuildOptions } from './image/build.js';
export type { FileChange } from './image/changes.js';
export type { DiffOptions } from './image/diff.js';
export type { HistoryEntry, ImageConfig, Platform, TypedBlob } from './image/document.js';
export type { ExportOptions } from './image/export.js';
export type { Image, ImageOrigin, RemoveImageOptions, StoredImage } from './image/image.js';
export type { ImportOptions } from './image/import.js';
export type { ImageDetails, LayerDetails, PlatformDetails } from './image/inspect.js';
export type { PruneOptions, PruneReport } from './image/prune.js';
export type { PullOptions, PullProgress } from './image/pull-options.js';
export type { PullWatch } from './image/pull-watch.js';
export type { PushedImage, PushOptions, PushProgress } from './image/push.js';
export type { RegistryCredentials, RegistryOptions } from './image/registry/options.js';
export type { UnpackOptions } from './image/unpack.js';
export type { ImageBytes, ImageUsage } from './image/usage.js';
export type { RemoveUsedImageOptions } from './image/users.js';
export type { Denial } from './network/allow/denial.js';
export type { Network } from './network/networks.js';
export type { OpenPort } from './network/ports.js';
export type { Capabilities, Place } from './policy/capabilities.js';
export type { PolicyDefaults } from './policy/defaults.js';
export { diffPolicies, type PolicyChange } from './policy/diff.js';
export type { Feature } from './policy/features.js';
export { buildPolicySchema } from './policy/json-schema.js';
export type { JsonSchema } from './policy/schema.js';
export type {
  FlatPolicy,
  HealthCheck,
  IsolationPolicy,
  Layer,
  MountSpec,
  NetworkMode,
  NetworkRules,
  ResourceLimits,
  SecretBinding,
  UlimitSpec,
} from './policy/types.js';
export type { PoolStats } from './pool/stats.js';
export type { CreateOptions, SessionOptions } from './provider/create-options.js';
export type { HealthResult } from './provider/health.js';
export type { Images } from './provider/images.js';
export { ContainerdKataAdapter, type SandboxOptions } from './provider/kata-adapter.js';
export type { NetworkOptions, Networks } from './provider/networks.js';
export type { ProviderOptions, PullPolicy } from './provider/options.js';
export type { SessionPool } from './provider/pool.js';
export type { PoolOptions, TakeOptions } from './provider/pool-options.js';
export type { SessionPlan } from './provider/preview.js';
export { ContainerdProvider } from './provider/provider.js';
export type { Volumes } from './provider/volumes.js';
export type { AttachOptions } from './session/attach.js';
export type { AuditAction, AuditEvent, AuditOutcome, AuditSink } from './session/audit/event.js';
export { JsonlAuditSink, type JsonlAuditSinkOptions } from './session/audit/jsonl-sink.js';
export type { CommitOptions } from './session/commit.js';
export type { SessionEvent } from './session/events.js';
export type { ExecOptions, ExecResult, TtySize } from './session/exec-options.js';
export type { Execution } from './session/execution.js';
export type { RunningExec } from './session/executor.js';
export type { FileEntry, FileStat, FileType } from './session/files/entry.js';
export type { FileData } from './session/files/operation.js';
export type {
  FileOptions,
  ListOptions,
  MakeDirectoryOptions,
  ReadFileOptions,
  RemoveOptions,
  SessionFiles,
  SessionPath,
  StatOptions,
  WriteFileOptions,
} from './session/files/session-files.js';
export type { TransferReport } from './session/files/transfer.js';
export type { ForkOptions } from './session/fork.js';
export type { ForwardOptions, PortForward } from './session/forward.js';
export type { SessionInfo } from './session/info.js';
export type { KillReport } from './session/kill-tree.js';
export type { ListFilter } from './session/list.js';
export type { LogOptions } from './session/logs.js';
export type { ReapReport } from './session/reap.js';
export type { ExecutorChoice, ExecutorName, SessionParent } from './session/record.js';
export type { Session, SessionUpdate } from './session/session.js';
export type { SessionStats, WatchStatsOptions } from './session/stats.js';
export type { StartOptions, StopOptions, TaskState } from './session/task.js';
export type { Attestation, Check } from './session/verify/check.js';
export type { Volume, VolumeDetails, VolumeOwner, VolumePruneOptions, VolumePruneReport } from './session/volumes.js';
export type { HostCheck } from './spec/prerequisites.js';
export type { RuntimeOptions } from './spec/runtime.js';
export type { Finding } from './spec/score.js';
export type { OutputChunk } from './stdio/merge.js';
