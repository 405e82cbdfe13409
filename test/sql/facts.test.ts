import { describe, expect, it } from 'vitest'
import { statementFacts, type StatementFacts } from '../../src/sql/facts.js'

describe('statementFacts', () => {
  it.each<[string, StatementFacts['transaction']]>([
    ['begin', 'begin'],
    ['start transaction', 'begin'],
    ['commit', 'commit'],
    ['end', 'commit'],
    ['rollback', 'rollback'],
    ['abort', 'rollback'],
    ['savepoint a', 'other'],
    ['release a', 'other'],
    ['rollback to a', 'other'],
    ["prepare transaction 'x'", 'other'],
    ['select 1', null],
  ])('%s: transaction %s', (sql, transaction) => {
    expect(statementFacts(sql).transaction).toBe(transaction)
  })

  it.each([
    'create index concurrently on t (a)',
    'create unique index concurrently i on t (a)',
    'drop index concurrently i',
    'reindex index concurrently i',
    'reindex (concurrently) table t',
    'reindex (verbose, concurrently on) table t',
    'reindex database d',
    'reindex schema public',
    'reindex system d',
    'vacuum',
    'vacuum (full) t',
    'vacuum analyze t',
    'cluster',
    'alter table p detach partition c concurrently',
    'create database d',
    'drop database d',
    "create tablespace s location '/x'",
    'drop tablespace s',
    'alter database d set tablespace s',
    "alter system set work_mem = '1MB'",
    'alter system reset all',
    'discard all',
    "create subscription s connection 'x' publication p",
    "commit prepared 'x'",
    "rollback prepared 'x'",
  ])('%s refuses a transaction block', (sql) => {
    expect(statementFacts(sql).refusesTransactionBlock).toBe(true)
  })

  it.each([
    'create index on t (a)',
    'drop index i',
    'drop table t',
    'reindex index i',
    'reindex (concurrently false) table t',
    'analyze t',
    'analyze',
    'cluster t',
    'alter table p detach partition c',
    'alter table p detach partition c finalize',
    'alter database d set work_mem = 1',
    'refresh materialized view concurrently m',
    "create subscription s connection 'x' publication p with (connect = false)",
    'discard plans',
    "alter type e add value 'x'",
    'create table t ()',
    'commit',
  ])('%s runs in a transaction block', (sql) => {
    expect(statementFacts(sql).refusesTransactionBlock).toBe(false)
  })

  it.each<[string, Partial<StatementFacts>]>([
    ['call p()', { kind: 'CallStmt', mayCommit: true, isDml: false }],
    ['do $$ begin end $$', { kind: 'DoStmt', mayCommit: true }],
    ["set lock_timeout = '1s'", { isSet: true, setting: 'lock_timeout', isSetLocal: false, setsTransaction: false }],
    ["set local Lock_Timeout to '1s'", { isSet: true, setting: 'lock_timeout', isSetLocal: true }],
    ['reset lock_timeout', { isSet: true, setting: 'lock_timeout' }],
    ['reset all', { isSet: true, setting: 'all' }],
    ['set transaction isolation level serializable', { isSet: false, setting: null, setsTransaction: true }],
    ['set session characteristics as transaction read only', { isSet: false, setsTransaction: true }],
    ['begin isolation level serializable', { transaction: 'begin', setsTransaction: true }],
    ['begin', { setsTransaction: false, chains: false }],
    ['commit and chain', { transaction: 'commit', chains: true }],
    ['truncate t', { isTruncate: true, isDml: false }],
    ['insert into t values (1)', { isDml: true, isQuery: false, isPreparable: true }],
    ['update t set a = 1', { isDml: true }],
    ['delete from t', { isDml: true }],
    ['merge into t using u on true when matched then delete', { isDml: true, isPreparable: true }],
    ['with x as (delete from t returning *) select * from x', { isDml: true, isQuery: false, isPreparable: true }],
    ['select 1', { isDml: false, isQuery: true, isPreparable: true }],
    ['values (1)', { isQuery: true }],
    ['table t', { isQuery: true }],
    ['select 1 into t', { isQuery: false }],
    ['create table c as select 1', { isQuery: false, isPreparable: false }],
    ['create rule r as on insert to t do instead delete from u', { isDml: false }],
    ['create index concurrently on t (a)', { concurrently: true }],
    ['refresh materialized view concurrently m', { concurrently: true }],
    ['alter table p detach partition c concurrently', { concurrently: true }],
    ['alter table t add column concurrent int', { concurrently: false }],
    ['-- nothing', { kind: 'empty', transaction: null, refusesTransactionBlock: false }],
  ])('%s', (sql, facts) => {
    expect(statementFacts(sql)).toMatchObject(facts)
  })

  it('throws on what does not parse', () => {
    expect(() => statementFacts('selec 1')).toThrow(/syntax error/)
  })
})
