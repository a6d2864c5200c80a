/**
 * One question for all who ask the same at the same time. "Not there" from a question that was under way already says nothing to who came later: the
 * token may have been issued in between.
 */
export function singleFlight<Key, Argument, Result>(
  ask: (key: Key, argument: Argument) => Promise<Result | undefined>,
): (key: Key, argument: Argument) => Promise<Result | undefined> {
  const flights = new Map<Key, Promise<Result | undefined>>();
  return async (key, argument) => {
    const before = flights.get(key);
    const joined = await before;
    if (joined !== undefined) return joined;
    const later = flights.get(key);
    if (later && later !== before) return later;
    const flight = ask(key, argument).finally(() => {
      if (flights.get(key) === flight) flights.delete(key);
    });
    flights.set(key, flight);
    return flight;
  };
}
