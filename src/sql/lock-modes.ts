/**
 * The eight table-level lock modes: what they conflict with and what they block. Source: PostgreSQL documentation,
 * section 13.3.1 "Table-Level Locks" and table 13.2 "Conflicting Lock Modes".
 */
import { LockMode } from '../recording.js'

/** Table 13.2: for each mode, the modes that cannot be held by another transaction at the same time. */
const CONFLICTS: Record<LockMode, readonly LockMode[]> = {
  'ACCESS SHARE': ['ACCESS EXCLUSIVE'],
  'ROW SHARE': ['EXCLUSIVE', 'ACCESS EXCLUSIVE'],
  'ROW EXCLUSIVE': ['SHARE', 'SHARE ROW EXCLUSIVE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE'],
  'SHARE UPDATE EXCLUSIVE': ['SHARE UPDATE EXCLUSIVE', 'SHARE', 'SHARE ROW EXCLUSIVE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE'],
  SHARE: ['ROW EXCLUSIVE', 'SHARE UPDATE EXCLUSIVE', 'SHARE ROW EXCLUSIVE', 'EXCLUSIVE', 'ACCESS EXCLUSIVE'],
  'SHARE ROW EXCLUSIVE': [
    'ROW EXCLUSIVE',
    'SHARE UPDATE EXCLUSIVE',
    'SHARE',
    'SHARE ROW EXCLUSIVE',
    'EXCLUSIVE',
    'ACCESS EXCLUSIVE',
  ],
  EXCLUSIVE: [
    'ROW SHARE',
    'ROW EXCLUSIVE',
    'SHARE UPDATE EXCLUSIVE',
    'SHARE',
    'SHARE ROW EXCLUSIVE',
    'EXCLUSIVE',
    'ACCESS EXCLUSIVE',
  ],
  'ACCESS EXCLUSIVE': LockMode.options,
}

/** Whether a lock of one mode must wait for a lock of the other mode held by another transaction. Symmetric. */
export const conflicts = (a: LockMode, b: LockMode): boolean => CONFLICTS[a].includes(b)

/** Place in PostgreSQL's order of modes, 1 for ACCESS SHARE to 8 for ACCESS EXCLUSIVE. */
export const strength = (mode: LockMode): number => LockMode.options.indexOf(mode) + 1

/** The stronger of two modes in that order. */
export const stronger = (a: LockMode, b: LockMode): LockMode => (strength(a) >= strength(b) ? a : b)

/** Whether a plain SELECT waits for this lock. It takes ACCESS SHARE. */
export const blocksReads = (mode: LockMode): boolean => conflicts(mode, 'ACCESS SHARE')

/** Whether INSERT, UPDATE, DELETE and MERGE wait for this lock. They take ROW EXCLUSIVE. */
export const blocksWrites = (mode: LockMode): boolean => conflicts(mode, 'ROW EXCLUSIVE')

const PG_LOCKS_NAMES: Record<LockMode, string> = {
  'ACCESS SHARE': 'AccessShareLock',
  'ROW SHARE': 'RowShareLock',
  'ROW EXCLUSIVE': 'RowExclusiveLock',
  'SHARE UPDATE EXCLUSIVE': 'ShareUpdateExclusiveLock',
  SHARE: 'ShareLock',
  'SHARE ROW EXCLUSIVE': 'ShareRowExclusiveLock',
  EXCLUSIVE: 'ExclusiveLock',
  'ACCESS EXCLUSIVE': 'AccessExclusiveLock',
}
const BY_PG_LOCKS_NAME = new Map(LockMode.options.map((mode) => [PG_LOCKS_NAMES[mode], mode]))

/** `AccessExclusiveLock`, as in pg_locks.mode and in the server's messages, to `ACCESS EXCLUSIVE`; null for any other. */
export const fromPgLocks = (name: string): LockMode | null => BY_PG_LOCKS_NAME.get(name) ?? null

/** `ACCESS EXCLUSIVE` to `AccessExclusiveLock`. */
export const toPgLocks = (mode: LockMode): string => PG_LOCKS_NAMES[mode]

const BLOCKS_IN_WORDS: Record<LockMode, string> = {
  'ACCESS SHARE': 'blocks only DROP, TRUNCATE, most forms of ALTER TABLE and whatever else needs ACCESS EXCLUSIVE',
  'ROW SHARE': 'blocks EXCLUSIVE and ACCESS EXCLUSIVE locks; reads and writes go on',
  'ROW EXCLUSIVE':
    'blocks CREATE INDEX without CONCURRENTLY, CREATE TRIGGER and most forms of ALTER TABLE; reads and writes go on',
  'SHARE UPDATE EXCLUSIVE': 'blocks other schema changes, VACUUM and ANALYZE on the table; reads and writes go on',
  SHARE: 'blocks INSERT, UPDATE, DELETE and MERGE; SELECT goes on, SELECT ... FOR UPDATE too',
  'SHARE ROW EXCLUSIVE': 'blocks INSERT, UPDATE, DELETE and MERGE; SELECT goes on, SELECT ... FOR UPDATE too',
  EXCLUSIVE: 'blocks INSERT, UPDATE, DELETE, MERGE and SELECT ... FOR UPDATE; only plain SELECT goes on',
  'ACCESS EXCLUSIVE': 'blocks everything on the table, plain SELECT included',
}

/** What a lock of this mode on a table keeps other sessions from doing, as the end of a sentence. */
export const blocksInWords = (mode: LockMode): string => BLOCKS_IN_WORDS[mode]
