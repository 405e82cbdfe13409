/** A project on the disk from texts, as adapters of migration tools find it. */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { onTestFinished } from 'vitest'
import type { ToolRequest } from '../../src/migrations/tools/types.js'

/** Paths to texts; a path that ends in `@` is a symbolic link to what the text says. */
export type Files = Readonly<Record<string, string>>

/** Writes files into a temporary folder that is gone after the test. */
export function projectOf(files: Files): string {
  const root = realpathSync(mkdtempSync(join(tmpdir(), 'rehearse-project-')))
  onTestFinished(() => rmSync(root, { recursive: true, force: true }))
  for (const [name, text] of Object.entries(files)) {
    const path = join(root, name)
    mkdirSync(dirname(path), { recursive: true })
    if (name.endsWith('@')) symlinkSync(text, path.slice(0, -1))
    else writeFileSync(path, text)
  }
  return root
}

/** package.json of an installed package with one program. */
export const packageJson = (name: string, version: string, bin = 'bin.cjs'): string =>
  JSON.stringify({ name, version, bin: { [name]: bin } })

export const requestIn = (project: string, rest: Partial<ToolRequest> = {}): ToolRequest => ({
  project,
  shown: (path) => relative(project, path) || '.',
  ...rest,
})
