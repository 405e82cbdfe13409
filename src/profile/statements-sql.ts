/**
 * One statement that reads what traffic needs from production: the statement mix and the activity of the tables. Read
 * only, for PostgreSQL 14 to 18, for a role that is a member of pg_read_all_stats.
 *
 *     psql "$URL" -XAtqc "$SQL" > profile.json
 *
 * No values leave. Only SELECT, INSERT, UPDATE, DELETE, MERGE, WITH and VALUES come with their text, since PostgreSQL
 * normalises no other before 16, and without comments. Constants are left in a text in two cases: where an expression of
 * GROUP BY, ORDER BY or DISTINCT stands elsewhere as well (they are blanked, which does no harm), and where the entry was
 * thrown out while the statement ran (such a text is held back, `NOT_EXPORTED` comes instead).
 */

/** Stands for a text that was held back because it had constants in it. */
export const NOT_EXPORTED = '<not normalised>'

/** Comments but for the server's own mark for a longer list (18), three dots between commas. */
const COMMENTS = String.raw`'/\*(?!, \.\.\. \*/).*?\*/|--[^\n]*'`

/** A number where a value stands: compared, assigned, limited. */
const COMPARED = String.raw`'((=|<|>|~|\m(and|between|limit|offset|then|else)\M)\s*)-?\d+(\.\d+)?'`
/** The same in a list, wherever in it. */
const LISTED = String.raw`'\m(values|in)\s*\(([^)]*[^$\w])?\d'`

export const PROFILE_STATEMENTS_SQL = String.raw`
with texts as (
  select s.calls, s.rows, s.total_exec_time, r.rolname,
         btrim(regexp_replace(s.query, ${COMMENTS}, ' ', 'g'), E' \t\r\n;') as query
    from pg_stat_statements s
    left join pg_catalog.pg_roles r on r.oid = s.userid
   where s.dbid = (select oid from pg_catalog.pg_database where datname = current_database())
     and s.toplevel
), safe as (
  select calls, rows, total_exec_time, rolname,
         case when query = '<insufficient privilege>' then query
              when query !~* '^[\s(]*(select|insert|update|delete|merge|with|values)\M'
                then upper(coalesce(substring(query from '^[A-Za-z]+'), '?'))
              when query ~ '\$([A-Za-z_]\w*)?\$' or (query ~ '''' and query ~ '\\') or query ~* ${LISTED}
                or (query !~ '\$\d' and (query ~ '''' or query ~* ${COMPARED}))
                then '${NOT_EXPORTED}'
              else regexp_replace(regexp_replace(query, '''([^'']|'''')*''', '''''', 'g'), ${COMPARED}, '\10', 'gi')
         end as query
    from texts
), merged as (
  select query, rolname, sum(calls) as calls, sum(rows) as rows,
         sum(total_exec_time) / greatest(sum(calls), 1) as mean_ms
    from safe group by query, rolname
)
select jsonb_pretty(jsonb_build_object(
  'kind', 'profile',
  'takenAt', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
  'statements', (
    select jsonb_build_object(
      'since', to_char(i.stats_reset at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'takenAt', to_char(now() at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"'),
      'deallocated', i.dealloc,
      'entries', (
        select coalesce(jsonb_agg(jsonb_build_object(
                 'query', query, 'calls', calls, 'rows', rows, 'meanMs', round(mean_ms::numeric, 3),
                 'user', rolname, 'toplevel', true) order by calls desc, query), '[]')
          from merged))
      from pg_stat_statements_info i),
  'tables', (
    select coalesce(jsonb_agg(jsonb_build_object(
             'name', case when t.schemaname = 'public' then '' else t.schemaname || '.' end || t.relname,
             'rows', greatest(c.reltuples, t.n_live_tup)::bigint, 'bytes', pg_catalog.pg_table_size(t.relid),
             'seqScan', t.seq_scan, 'idxScan', t.idx_scan,
             'inserted', t.n_tup_ins, 'updated', t.n_tup_upd, 'deleted', t.n_tup_del)
             order by t.schemaname, t.relname), '[]')
      from pg_catalog.pg_stat_user_tables t join pg_catalog.pg_class c on c.oid = t.relid)))`
