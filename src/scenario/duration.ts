/** Durations as people write them: `500ms`, `30s`, `5m`. */

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000 }

/** Milliseconds of a duration such as `500ms`, `1.5s` or `5m`; null when it is not one. */
export function parseDuration(text: string): number | null {
  const [, number, unit = ''] = /^(\d+(?:\.\d+)?)(ms|s|m)$/.exec(text.trim()) ?? []
  const unitMs = UNIT_MS[unit]
  return number === undefined || unitMs === undefined ? null : Number(number) * unitMs
}
