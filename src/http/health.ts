import { json } from './answers.ts';
import type { Call, HttpDeps } from './app.ts';

/** `GET /health/live`: the process answers. */
export function live(): Response {
  return json({ status: 'live' });
}

/** `GET /health/ready`: the stores answer too; 503 otherwise. */
export async function ready(_call: Call, { prove }: HttpDeps): Promise<Response> {
  await prove();
  return json({ status: 'ready' });
}
