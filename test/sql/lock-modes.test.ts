import { describe, expect, it } from 'vitest'
import { LockMode } from '../../src/recording.js'
import * as modes from '../../src/sql/lock-modes.js'

// Table 13.2 of the documentation, row and column in the order of the modes.
const TABLE = ['.......X', '......XX', '....XXXX', '...XXXXX', '..XX.XXX', '..XXXXXX', '.XXXXXXX', 'XXXXXXXX']

describe('lock modes', () => {
  it('conflict as in table 13.2', () => {
    const ours = LockMode.options.map((a) => LockMode.options.map((b) => (modes.conflicts(a, b) ? 'X' : '.')).join(''))
    expect(ours).toEqual(TABLE)
  })

  it('are ordered by strength', () => {
    expect(LockMode.options.map(modes.strength)).toEqual([1, 2, 3, 4, 5, 6, 7, 8])
    expect(modes.stronger('SHARE', 'ROW EXCLUSIVE')).toBe('SHARE')
    expect(modes.stronger('ROW EXCLUSIVE', 'SHARE')).toBe('SHARE')
  })

  it('block reads and writes', () => {
    expect(LockMode.options.filter(modes.blocksReads)).toEqual(['ACCESS EXCLUSIVE'])
    expect(LockMode.options.filter(modes.blocksWrites)).toEqual([
      'SHARE',
      'SHARE ROW EXCLUSIVE',
      'EXCLUSIVE',
      'ACCESS EXCLUSIVE',
    ])
  })

  it.each([
    ['AccessShareLock', 'ACCESS SHARE'],
    ['ShareUpdateExclusiveLock', 'SHARE UPDATE EXCLUSIVE'],
    ['ShareRowExclusiveLock', 'SHARE ROW EXCLUSIVE'],
    ['AccessExclusiveLock', 'ACCESS EXCLUSIVE'],
  ] as const)('%s is %s', (name, mode) => {
    expect(modes.fromPgLocks(name)).toBe(mode)
    expect(modes.toPgLocks(mode)).toBe(name)
  })

  it('knows every name both ways and no other', () => {
    for (const mode of LockMode.options) expect(modes.fromPgLocks(modes.toPgLocks(mode))).toBe(mode)
    expect(modes.fromPgLocks('SIReadLock')).toBeNull()
    expect(modes.fromPgLocks('toString')).toBeNull()
  })

  it('says in words what each blocks', () => {
    for (const mode of LockMode.options) {
      const words = modes.blocksInWords(mode)
      expect(/INSERT, UPDATE|everything/.test(words)).toBe(modes.blocksWrites(mode))
      expect(/plain SELECT included/.test(words)).toBe(modes.blocksReads(mode))
    }
  })
})
