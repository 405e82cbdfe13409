import type { Expected } from './operation.js'

const AE = 'ACCESS EXCLUSIVE'
const customers = { locks: { customers: AE }, blocks: { customers: 'RW' } } as const
const allIndexes = { customers_pkey: AE, customers_email_idx: AE, customers_score_idx: AE } as const
const rewritten = {
  ...customers,
  indexes: allIndexes,
  rewrites: ['customers'],
  builds: ['customers_email_idx', 'customers_pkey', 'customers_score_idx'],
  scans: ['customers:8000x4'],
} as const satisfies Partial<Expected>
const with_ = (id: string, sql: string, rest: Partial<Expected>): Expected => ({ id, sql, ...rest })

/** Columns: adding, dropping, renaming, changing type, default and nullability. */
export const COLUMNS: Expected[] = [
  with_('add a nullable column', 'alter table customers add column c text', customers),
  with_('add a column that is there already', 'alter table customers add column if not exists email text', customers),
  with_(
    'add a column with a constant default',
    `alter table customers add column c text not null default 'x'`,
    customers,
  ),
  with_(
    'add a column with a stable default',
    'alter table customers add column c timestamptz default now()',
    customers,
  ),
  with_(
    'add a column with a volatile default',
    'alter table customers add column c uuid default gen_random_uuid()',
    rewritten,
  ),
  with_('add a NOT NULL column to rows', 'alter table customers add column c int not null', { error: '23502' }),
  with_('add a serial column', 'alter table customers add column c serial', rewritten),
  with_(
    'add a stored generated column',
    'alter table customers add column c text generated always as (lower(email)) stored',
    rewritten,
  ),
  with_(
    'add a virtual generated column',
    'alter table customers add column c text generated always as (lower(email)) virtual',
    customers,
  ),
  with_('add a column of a constrained domain', 'alter table customers add column c price', rewritten),
  with_('add a unique column', 'alter table customers add column c text unique', {
    ...customers,
    builds: ['customers_c_key'],
    scans: ['customers:2000'],
  }),
  with_('add a checked column', 'alter table customers add column c int check (c > 0)', {
    ...customers,
    scans: ['customers:2000'],
  }),
  with_('add a referencing column', 'alter table payments add column c int references customers (id)', {
    locks: { payments: AE, customers: 'SHARE ROW EXCLUSIVE' },
    blocks: { payments: 'RW', customers: 'W' },
  }),
  with_('drop a column', 'alter table customers drop column nick', customers),
  with_('drop an indexed column', 'alter table customers drop column score', {
    ...customers,
    indexes: { customers_score_idx: AE },
  }),
  with_('drop a column that a view reads', 'alter table ledger drop column total', { error: '2BP01' }),
  with_('drop it and the view', 'drop materialized view best; alter table ledger drop column total cascade', {
    locks: { ledger: AE, totals: AE, best: AE },
    indexes: { best_key: AE },
    blocks: { totals: 'RW', best: 'RW' },
  }),
  with_('rename a column', 'alter table customers rename column nick to alias', customers),
  with_('set a default', 'alter table customers alter column score set default 7', customers),
  with_('set NOT NULL', 'alter table customers alter column nick set not null', {
    ...customers,
    scans: ['customers:2000'],
  }),
  with_('set NOT NULL where a CHECK proves it', 'alter table customers alter column nick set not null', {
    ...customers,
    setup: 'alter table customers add constraint k check (nick is not null)',
  }),
  with_('set NOT NULL where a NOT VALID CHECK stands', 'alter table customers alter column nick set not null', {
    ...customers,
    setup: 'alter table customers add constraint k check (nick is not null) not valid',
    scans: ['customers:2000'],
  }),
  with_('set NOT NULL over a NULL', 'alter table customers alter column nick set not null', {
    setup: 'update customers set nick = null where id = 7',
    error: '23502',
  }),
  with_('int to bigint', 'alter table customers alter column score type bigint', rewritten),
  with_('widen a varchar', 'alter table customers alter column nick type varchar(80)', customers),
  with_('varchar to text', 'alter table customers alter column nick type text', customers),
  with_('narrow a varchar', 'alter table customers alter column nick type varchar(30)', rewritten),
  with_('narrow it too far', 'alter table customers alter column nick type varchar(2)', { error: '22001' }),
  with_(
    'retype an indexed column without touching its index',
    'alter table customers alter column email type varchar',
    {
      ...customers,
      indexes: { customers_email_idx: AE },
    },
  ),
  with_(
    'change the collation of an indexed column',
    'alter table customers alter column email type text collate "POSIX"',
    {
      ...customers,
      indexes: { customers_email_idx: AE },
      builds: ['customers_email_idx'],
      scans: ['customers:2000'],
    },
  ),
  with_('widen a numeric', 'alter table customers alter column balance type numeric(14, 2)', customers),
  with_('change the scale of a numeric', 'alter table customers alter column balance type numeric(12, 4)', rewritten),
  with_(
    'timestamp to timestamptz at UTC',
    `set timezone = 'UTC'; alter table customers alter column joined type timestamptz`,
    customers,
  ),
  with_(
    'timestamp to timestamptz elsewhere',
    `set timezone = 'Asia/Tokyo'; alter table customers alter column joined type timestamptz`,
    rewritten,
  ),
  with_('retype a column that a view reads', 'alter table ledger alter column total type bigint', { error: '0A000' }),
  with_(
    'retype, then read it under its new name',
    `
    alter table customers rename to clients;
    alter table clients alter column note type varchar(90);
    update clients set score = 1;`,
    { ...rewritten, scans: ['customers:2000', 'customers:8000x4'], rows: ['customers:+0~2000-0'] },
  ),
]
