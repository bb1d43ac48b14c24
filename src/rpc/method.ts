import type { MethodDefinition } from '@grpc/grpc-js';

export type UnaryMethod<Req, Res> = MethodDefinition<Req, Res> & { requestStream: false; responseStream: false };
export type ServerStreamMethod<Req, Res> = MethodDefinition<Req, Res> & { requestStream: false; responseStream: true };
export type BidiMethod<Req, Res> = MethodDefinition<Req, Res> & { requestStream: true; responseStream: true };

/** Fields whose absence made a 1.7 or 2.x daemon panic, taking every other client's calls with it. */
type Deadly = 'container' | 'image' | 'target' | 'info' | 'resource' | 'namespace' | 'sandbox' | 'diff' | 'envelope';

/** A request in which those fields are really set; the generated type allows `undefined` for every nested message. */
export type Complete<Req> = { [K in keyof Req]: K extends Deadly ? NonNullable<Req[K]> : Req[K] };
