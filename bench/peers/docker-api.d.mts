/** What TypeScript calls of docker-api.mjs. */
export declare class DockerApi {
  constructor(socket: string);
  call(method: string, path: string, body?: unknown): Promise<{ Id: string }>;
}
