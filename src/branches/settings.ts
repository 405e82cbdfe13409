/** Server settings: fast ones while the database is filled, production-like ones while it is measured. */
import os from 'node:os'
import { statfsSync } from 'node:fs'
import { RehearsalError } from '../errors.js'

export type Settings = Readonly<Record<string, string>>

/** Settings that the harness depends on: where the server listens, what it logs, what it waits for outside itself. */
const RESERVED = new Set([
  ...['data_directory', 'config_file', 'hba_file', 'ident_file', 'external_pid_file', 'include', 'include_dir'],
  ...['include_if_exists', 'listen_addresses', 'port', 'unix_socket_directories', 'unix_socket_group'],
  ...['unix_socket_permissions', 'ssl', 'krb_server_keyfile', 'authentication_timeout', 'logging_collector'],
  ...['log_destination', 'log_min_messages', 'log_min_error_statement', 'log_error_verbosity', 'log_statement'],
  ...['log_min_duration_statement', 'log_min_duration_sample', 'log_duration', 'log_parameter_max_length'],
  ...['log_parameter_max_length_on_error', 'log_line_prefix', 'log_transaction_sample_rate', 'event_source'],
  // These wait for, or write to, something outside the throw-away server.
  ...['synchronous_standby_names', 'archive_mode', 'archive_command', 'archive_library', 'restore_command'],
  ...['primary_conninfo', 'primary_slot_name', 'archive_cleanup_command', 'recovery_end_command'],
])

const MiB = 1024 * 1024

/** Memory that this process may count on, in bytes: the machine's, or the container's when that is less. */
export function usableMemoryBytes(): number {
  const limit = process.constrainedMemory()
  return limit > 0 ? Math.min(limit, os.totalmem()) : os.totalmem()
}

const share = (part: number, low: number, high: number): string =>
  `${Math.round(Math.min(Math.max(usableMemoryBytes() * part, low * MiB), high * MiB) / MiB)}MB`

/** A container's /dev/shm often has 64 MB, too little for parallel queries: then shared memory goes to files. */
function sharedMemoryType(): string {
  if (process.platform !== 'linux') return 'posix'
  try {
    const { blocks, bsize } = statfsSync('/dev/shm')
    return blocks * bsize >= 256 * MiB ? 'posix' : 'mmap'
  } catch {
    return 'mmap'
  }
}

/**
 * The log keeps what the server says about itself, lock waits included, and nothing that a row could be in. For
 * log_min_messages LOG ranks between ERROR and FATAL, so `log` leaves out errors, whose first line may quote input
 * (22P02). `terse` drops DETAIL and CONTEXT; log_min_error_statement drops the statement of all but a PANIC, which
 * `readServerLog` leaves out.
 */
const LOGGING: Settings = {
  logging_collector: 'off',
  log_destination: 'stderr',
  log_min_messages: 'log',
  log_min_error_statement: 'panic',
  log_error_verbosity: 'terse',
  log_statement: 'none',
  log_min_duration_statement: '-1',
  log_min_duration_sample: '-1',
  log_duration: 'off',
  log_transaction_sample_rate: '0',
  log_parameter_max_length: '0',
  log_parameter_max_length_on_error: '0',
  log_line_prefix: '%m [%p] ',
}

/** What stays the same while filling and measuring, so that the catalogue means the same in both. */
const common = (): Settings => ({
  max_connections: '200',
  dynamic_shared_memory_type: sharedMemoryType(),
  timezone: 'UTC',
  log_timezone: 'UTC',
  lc_messages: 'C',
  default_text_search_config: 'pg_catalog.english',
  password_encryption: 'scram-sha-256',
})

/** Like production: durable, with background work; memory scaled modestly to the machine. */
const measuring = (): Settings => ({
  fsync: 'on',
  synchronous_commit: 'on',
  full_page_writes: 'on',
  wal_level: 'replica',
  autovacuum: 'on',
  shared_buffers: share(1 / 8, 128, 1024),
  effective_cache_size: share(1 / 2, 256, 64 * 1024),
  deadlock_timeout: '1s',
  log_lock_waits: 'on',
  track_activities: 'on',
  track_counts: 'on',
  track_io_timing: 'off',
})

/** Fast and reckless: a crash while filling only means that the rehearsal starts over. */
const filling = (): Settings => ({
  fsync: 'off',
  synchronous_commit: 'off',
  full_page_writes: 'off',
  wal_level: 'minimal',
  max_wal_senders: '0',
  max_wal_size: '4GB',
  min_wal_size: '80MB',
  checkpoint_timeout: '1h',
  autovacuum: 'off',
  shared_buffers: share(1 / 8, 128, 1024),
  maintenance_work_mem: share(1 / 8, 64, 1024),
  log_lock_waits: 'off',
  statement_timeout: '0',
  lock_timeout: '0',
  idle_in_transaction_session_timeout: '0',
})

/** Settings of the server that is filled. Production's come first, for what decides whether a schema can be built. */
export const fillingSettings = (production: Settings): Settings => ({
  ...common(),
  ...production,
  ...filling(),
  ...LOGGING,
})

/** Settings of a copy: ours, then production's, then those of the one pass. */
export const measuringSettings = (production: Settings, pass: Settings): Settings => ({
  ...common(),
  ...measuring(),
  ...production,
  ...pass,
  ...LOGGING,
})

/** Whether the harness decides this setting itself, so that it cannot be taken over from production. */
export const isReservedSetting = (name: string): boolean => RESERVED.has(name.toLowerCase())

/** Throws USAGE when a setting has no valid name or is one that the harness decides itself. */
export function checkSettings(settings: Settings): void {
  for (const name of Object.keys(settings)) {
    if (!/^[a-z_][a-z0-9_]*(\.[a-z_][a-z0-9_]*)?$/i.test(name))
      throw new RehearsalError('USAGE', { message: `settings: "${name}" is not the name of a server setting` })
    if (isReservedSetting(name))
      throw new RehearsalError('USAGE', { message: `settings: ${name} is decided by the rehearsal itself` })
  }
}

/** The text of a postgresql.conf with these settings. */
export function configurationFile(settings: Settings): string {
  const quote = (value: string): string =>
    `'${value.replaceAll('\\', '\\\\').replaceAll("'", "''").replaceAll('\n', '\\n')}'`
  return Object.entries(settings)
    .map(([name, value]) => `${name} = ${quote(value)}\n`)
    .join('')
}
