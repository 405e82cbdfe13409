/** What a program has said about its own failure. */

/** Of what a program printed, the line that tells most: Node ends a failure with its own version, below the stack. */
export function tellingLine(output: string): string | undefined {
  const lines = output
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line !== '')
  const noise =
    /^(?:at |Node\.js v\d|[{}[\]()^~\s]*$|\w+: .*,$|npm (?:ERR!|error) (?:code|path|workspace|A complete log))/
  return (
    lines.findLast((line) => /^(?:\w*(?:Error|Exception)\b(?: \[\w+\])?:|(?:error|fatal)\b.*:)/i.test(line)) ??
    lines.findLast((line) => !noise.test(line)) ??
    lines.at(-1)
  )
}
