/**
 * A process of its own that uses the embedded provider, to be killed in tests. Writes one JSON line when it is where
 * its argument says, then waits, ends or exits. `filling` | `measuring` | `exit` | `forget` | `no-user` | `query` |
 * `prepare`.
 */
import { join } from 'node:path'
import { prepare } from '../../src/branches/binaries.js'
import { branches } from '../../src/branches/index.js'
import { OURSELVES, findDatabaseUser } from '../../src/branches/user.js'
import { RehearsalError } from '../../src/errors.js'
import { ROLES, connect } from './postgres.js'

const mode = process.argv[2]
const say = (value: unknown) => process.stdout.write(`${JSON.stringify(value)}\n`)

async function main(): Promise<void> {
  if (mode === 'no-user') {
    await findDatabaseUser(0, {})
    return
  }
  if (mode === 'prepare') {
    const [native = '', run = ''] = process.argv.slice(3)
    say(await prepare({ major: 18, bin: join(native, 'bin'), native }, OURSELVES, run))
    return
  }
  const branch = await branches.embedded.open({ major: 18, roles: ROLES })
  if (mode === 'filling') {
    say({ port: branch.address('app').port })
    await new Promise((resolve) => setTimeout(resolve, 60_000))
  }
  await branch.seal()
  const copy = await branch.fork('child')
  const sql = connect(copy.address('migrate'))
  const [row] = await sql<{ data: string }[]>`SELECT current_user AS data`
  if (mode === 'measuring') {
    // Busy, not idle: a backend in the middle of a query must not survive either.
    sql`SELECT count(*) FROM generate_series(1, 1000000000)`.catch(() => undefined)
    say({ dataDirectory: copy.dataDirectory })
    await new Promise((resolve) => setTimeout(resolve, 60_000))
  }
  say({ dataDirectory: copy.dataDirectory, user: row?.data, copiedBy: copy.copiedBy })
  await sql.end()
  if (mode === 'exit') process.exit(3)
  if (mode !== 'forget') await branch.close()
}

main().catch((error: unknown) => {
  say({ code: error instanceof RehearsalError ? error.code : 'none', message: String(error) })
  process.exitCode = 1
})
