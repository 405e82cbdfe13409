/** Name and version of this tool, from its own package.json. */
import { createRequire } from 'node:module'

const manifest = createRequire(import.meta.url)('../package.json') as { version: string }

export const toolVersion = (): string => `pg-rehearse ${manifest.version}`
export const version = manifest.version
