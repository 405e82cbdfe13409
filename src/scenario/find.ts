/** Where the files of a scenario are. */
import { join } from 'node:path'
import { RehearsalError } from '../errors.js'
import type { Folder } from './files.js'

export interface Finder {
  /** Absolute paths: those that scenario.ts names for a field, or the one with a usual name. */
  many(field: string, given: string | string[] | undefined, usual: string[]): Promise<string[]>
  one(field: string, given: string | undefined, usual: string[]): Promise<string | null>
}

/**
 * `usualFolder` is where files of usual names are looked for; named ones are relative to the scenario. Throws SCENARIO_INVALID for a named file that is not there, and when two
 * usual names are.
 */
export function finder(folder: Folder, settingsFile: string, usualFolder = '.'): Finder {
  const many: Finder['many'] = async (field, given, usual) => {
    const names = given === undefined ? usual.map((name) => join(usualFolder, name)) : [given].flat()
    const found: string[] = []
    for (const name of names) {
      if (await folder.has(name)) found.push(name)
      else if (given !== undefined)
        throw new RehearsalError('SCENARIO_INVALID', { file: settingsFile, message: `${field}: no file ${name}` })
    }
    if (given === undefined && found.length > 1)
      throw new RehearsalError('SCENARIO_INVALID', {
        file: folder.shown(folder.path),
        message: `both ${found.join(' and ')}: keep one, or say in scenario.ts which one ${field} is`,
      })
    return found.map((name) => folder.resolve(name))
  }
  return { many, one: async (field, given, usual) => (await many(field, given, usual))[0] ?? null }
}
