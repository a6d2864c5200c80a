import { json } from './answers.ts';
import type { Call, HttpDeps } from './app.ts';

/** `GET /health/live`: the process answers. */
export function live(): Response {
  return json({ status: 'live' });
}

/** `GET /health/ready`: the stores answer too; 503 otherwise. */
export async function ready(_call: Call, { probe }: HttpDeps): Promise<Response> {
  await probe();
  return json({ status: 'ready' });
}
