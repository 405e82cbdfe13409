/** The output folder: opened before the run, so that a typo does not cost a rehearsal, and written whatever happens. */
import { rmSync, rmdirSync, statSync } from 'node:fs'
import { mkdir, open, writeFile } from 'node:fs/promises'
import { createHash } from 'node:crypto'
import { dirname, isAbsolute, join, relative, resolve } from 'node:path'
import { RehearsalError } from '../errors.js'
import type { Recording, Report } from '../recording.js'
import { renderers, type Format } from '../report/index.js'

const FILES: Record<Format, string> = { html: 'report.html', json: 'report.json', md: 'report.md' }

export interface Output {
  folder: string
  /** Writes the recording first: the rest can be made from it again. Returns the paths written. */
  write(recording: Recording, report: Report): Promise<string[]>
  /** Removes what was opened, when there is nothing to write. */
  discard(): void
}

/** `reports/<name>/<UTC time>-<first 7 of the commit, or of the scenario's content>`. */
export function defaultFolder(name: string, git: string | null, content: string, now: Date): string {
  const time = now.toISOString().replace(/[-:]/g, '').replace(/\.\d+/, '')
  const id = git ?? createHash('sha256').update(content).digest('hex')
  return join('reports', name.replace(/[^\w.-]/g, '-'), `${time}-${id.slice(0, 7)}`)
}

/** Throws OUTPUT_UNWRITABLE, or DISK_FULL. Whatever happens before `write`, no empty file and no empty folder is left. */
export async function openOutput(folder: string, formats: readonly Format[]): Promise<Output> {
  const created: string[] = []
  const folders: string[] = []
  const discard = (): void => {
    process.off('exit', discard)
    for (const file of created) if (statSync(file, { throwIfNoEntry: false })?.size === 0) rmSync(file)
    // Only folders that were made here, and only while they are empty.
    for (const made of folders.reverse())
      try {
        rmdirSync(made)
      } catch {
        return
      }
  }
  process.once('exit', discard)
  let path = folder
  try {
    // One by one: Node's recursive mkdir never ends below a folder such as /proc, which says ENOENT to everything.
    for (const missing of missingFolders(resolve(folder))) {
      path = isAbsolute(folder) ? missing : relative('', missing)
      try {
        await mkdir(missing)
        folders.push(missing)
      } catch (error) {
        // Another rehearsal may have been quicker.
        if (!isFolder(missing)) throw error
      }
    }
    for (const name of ['recording.json', ...formats.map((format) => FILES[format])]) {
      path = join(folder, name)
      const handle = await open(path, 'a')
      const { size } = await handle.stat()
      await handle.close()
      if (size === 0) created.push(path)
    }
  } catch (error) {
    discard()
    throw unwritable(path, error)
  }
  return {
    folder,
    async write(recording, report) {
      const written: string[] = []
      const put = async (name: string, text: string): Promise<void> => {
        const file = join(folder, name)
        await writeFile(file, text).catch((error: unknown) => {
          throw unwritable(file, error)
        })
        written.push(file)
      }
      await put('recording.json', `${JSON.stringify(recording, null, 2)}\n`)
      for (const format of formats) await put(FILES[format], renderers[format](report))
      process.off('exit', discard)
      return written
    },
    discard,
  }
}

/** The folder and those above it that are not there, outermost first. */
function missingFolders(folder: string): string[] {
  if (isFolder(folder)) return []
  return dirname(folder) === folder ? [folder] : [...missingFolders(dirname(folder)), folder]
}

const isFolder = (path: string): boolean => statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false

function unwritable(path: string, error: unknown): RehearsalError {
  if (error instanceof Error && 'code' in error && error.code === 'ENOSPC')
    return new RehearsalError('DISK_FULL', { path }, error)
  return new RehearsalError('OUTPUT_UNWRITABLE', { path, message: reasonOf(error) }, error)
}

/** The system's reason in its own words: `EACCES: permission denied, open 'x'` says `permission denied`. */
export const reasonOf = (error: unknown): string =>
  error instanceof Error ? (/^\w+: ([^,]+)/.exec(error.message)?.[1] ?? error.name) : typeof error
