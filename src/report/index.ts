/** render(report) -> text. Every output is one pure function in this map. */
import type { Report } from '../recording.js'
import { html } from './html.js'
import { json } from './json.js'
import { markdown } from './markdown.js'

export const renderers = { html, json, md: markdown } satisfies Record<string, (report: Report) => string>
export type Format = keyof typeof renderers
