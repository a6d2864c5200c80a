/** What every peer is told by its parent process, and how it says that it is listening. */

/** The one client that every server of a run knows: confidential, `client_secret_basic`, scope `read write`. */
export interface PeerOptions {
  readonly port: number;
  readonly clientId: string;
  readonly clientSecret: string;
}

export const SCOPE = 'read write';
export const TOKEN_TTL_SECONDS = 3600;

export function peerOptions(): PeerOptions {
  process.once('disconnect', () => process.exit()); // the bench is gone
  return JSON.parse(process.argv[2] ?? '{}');
}

export function sayListening(): void {
  process.send?.('listening');
}
