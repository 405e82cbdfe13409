/**
 * Derives traffic for schemas of other people and plays it:
 *   node test/tools/derived.mjs <folder of *.sql, or a file>... [--rows 2000] [--seconds 5] [--rate 100] [--most 400] [--verbose]
 *
 * Every argument is one schema: its files are run in the order of their names on an embedded PostgreSQL, its tables are
 * filled, operations are derived, tried, and played as a baseline. Prints one line for each schema and what was left out.
 */
import { createJiti } from 'jiti'

const { sweep } = await createJiti(import.meta.url).import('./derived/sweep.ts')
process.exitCode = await sweep(process.argv.slice(2))
