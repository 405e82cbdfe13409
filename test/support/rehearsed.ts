/** Whole rehearsals of the fixtures' projects by the built command line. */
import { join } from 'node:path'
import type { QuietPass, RacePass, Report, TimedPass } from '../../src/recording.js'
import { place, SHORT } from './cli.js'
import { makeProject, readFixture, rowsOf } from './projects.js'

export interface Rehearsed {
  code: number | null
  stderr: string
  report: Report
  quiet: QuietPass
  timed: TimedPass
  /** null unless asked for. */
  race: RacePass | null
  /** What is left in the folder for temporary files. */
  leftovers: string[]
}

export interface RehearsalOptions {
  /** Folder of `toolFolder`; null where the tool has no program. */
  tools: string | null
  race?: boolean
  /** Of `migrations` in rehearse.config.ts. */
  migrations?: Readonly<Record<string, unknown>>
  /** Further files, or other contents. */
  files?: Readonly<Record<string, string>>
  /** Further arguments of the command line. */
  args?: readonly string[]
}

const OLD = `-- name: get_user; weight: 5
\\set id random(1, 500)
select id, email from users where id = :id;

-- name: touch_user; weight: 2
\\set id random(1, 500)
update users set email = email where id = :id;

-- name: orders_of; weight: 3
\\set id random(1, 500)
select id, total from orders where user_id = :id order by id;
`

/** The command line in a project of the fixture with a configuration of its own. Throws when there is no report. */
export async function rehearseProject(name: string, options: RehearsalOptions): Promise<Rehearsed> {
  const finished = await runProject(name, options)
  const { code, stdout, stderr } = finished
  if (stdout === '') throw new Error(`${name}: exit code ${code ?? '?'}: ${stderr}`)
  const report = JSON.parse(stdout) as Report
  const { passes } = report.recording
  const [quiet] = passes.filter((pass) => pass.kind === 'quiet')
  const timed = passes.filter((pass) => pass.kind === 'timed').at(-1)
  if (!quiet || !timed) throw new Error(`${name}: stopped: ${report.recording.stopped?.message ?? ''}: ${stderr}`)
  const race = passes.find((pass) => pass.kind === 'race') ?? null
  return { code, stderr, report, quiet, timed, race, leftovers: finished.leftovers }
}

/** The same where there may be no report. */
export async function runProject(
  name: string,
  { tools, race = false, migrations = {}, files = {}, args: more = [] }: RehearsalOptions,
): Promise<{ code: number | null; stdout: string; stderr: string; leftovers: string[] }> {
  const { applied, command, packages } = await readFixture(name)
  const usual = ['drizzle-kit', 'node-pg-migrate', 'prisma', 'supabase'].some((word) => command[0]?.endsWith(word))
  const config = {
    migrations: { ...(usual ? {} : { command: command.join(' ') }), ...migrations },
    pending: { applied },
    seed: 'rows.sql',
  }
  const project = await makeProject(name, {
    tools: packages === null ? null : tools,
    files: {
      'rehearse.config.ts': `import { defineConfig } from 'pg-rehearse'\nexport default defineConfig(${JSON.stringify(config)})\n`,
      'rows.sql': await rowsOf(name),
      'rehearsal/old.sql': OLD,
      ...files,
    },
  })
  const here = place()
  try {
    const args = [
      'run',
      project.root,
      ...SHORT,
      '--quiet',
      '--json',
      '--out',
      join(here.cwd, 'out'),
      ...(race ? ['--race'] : []),
    ]
    const finished = await here.run([...args, ...more])
    return { ...finished, leftovers: here.leftovers() }
  } finally {
    here.remove()
    await project.remove()
  }
}
