/** Flags become client metadata: RFC 7591 names, ours beside them (docs/client.md). The server checks the values. */
import { readJsonObject } from './input.ts';
import type { Document } from './output.ts';

export interface MetadataOptions {
  readonly name?: string;
  readonly scope?: string;
  readonly audience?: readonly string[];
  readonly resource?: readonly string[];
  /** seconds */
  readonly ttl?: number;
  readonly format?: string;
  readonly claims?: string;
  readonly authMethod?: string;
  readonly jwks?: string;
  readonly jwksUri?: string;
  readonly administers?: string;
  readonly metadata?: string;
}

/** The document of `--metadata` with what the other flags say in its place. @throws CommandError */
export async function metadataOf(options: MetadataOptions): Promise<Document> {
  const document = options.metadata === undefined ? {} : await readJsonObject('--metadata', options.metadata);
  const flags: Document = {
    client_name: options.name,
    scope: options.scope,
    audience: options.audience?.filter((value) => value !== ''),
    resources: options.resource?.filter((value) => value !== ''),
    access_token_ttl: options.ttl,
    access_token_format: options.format,
    claims: options.claims === undefined ? undefined : await readJsonObject('--claims', options.claims),
    token_endpoint_auth_method: options.authMethod,
    jwks: options.jwks === undefined ? undefined : await readJsonObject('--jwks', options.jwks),
    jwks_uri: options.jwksUri,
    administers: options.administers === undefined ? undefined : await readJsonObject('--administers', options.administers),
  };
  return { ...document, ...Object.fromEntries(Object.entries(flags).filter(([, value]) => value !== undefined)) };
}
