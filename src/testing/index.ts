// For tests of code that uses a provider. Nothing of it is in the package's other entry point.
export { type MockOptions, MockProvider } from './mock-provider.js';
export type { MockSession } from './mock-session.js';
export type { MockAnswer, MockCall, MockResult } from './script.js';
