/** The JSON Schemas that are published with the package (`npm run schema`), made from the zod schemas. */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import * as recording from './recording.js'

const MAJOR = recording.SCHEMA_VERSION.split('.')[0] ?? ''

/**
 * File name -> text. Draft 2020-12. Further properties are permitted, because a minor version of the format may add
 * some: a file of a later minor version is valid against the schema of an earlier one.
 */
export function jsonSchemas(): Record<string, string> {
  // Definitions get the names of the exported schemas.
  const names = z.registry<{ id: string; title?: string }>()
  for (const [id, schema] of Object.entries(recording)) if (schema instanceof z.ZodType) names.add(schema, { id })
  const write = (schema: z.ZodType, title: string): string => {
    const made = z.toJSONSchema(schema, { target: 'draft-2020-12', io: 'input', metadata: names })
    return `${JSON.stringify({ title, ...made }, null, 2)}\n`
  }
  return {
    [`recording-${MAJOR}.json`]: write(recording.Recording, `Rehearse recording ${recording.SCHEMA_VERSION}`),
    [`report-${MAJOR}.json`]: write(recording.Report, `Rehearse report ${recording.SCHEMA_VERSION}`),
  }
}

export async function writeJsonSchemas(folder: string): Promise<void> {
  for (const [name, text] of Object.entries(jsonSchemas())) await writeFile(join(folder, name), text)
}
