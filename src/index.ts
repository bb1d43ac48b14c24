// For those who run sessions.
export { CapabilityMismatchError, DriverError, type ErrorCode, type Fault } from './core/error.js';
export type { ProviderOptions } from './provider/options.js';
export { ContainerdProvider } from './provider/provider.js';
