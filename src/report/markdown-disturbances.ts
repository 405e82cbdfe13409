/** The Markdown table of what else went on while the migration ran. */
import { formatBracket, formatCount } from '../units.js'
import { disturbanceRow } from './disturbance-words.js'
import { plain, table } from './markdown-text.js'
import { shorten } from './text.js'
import { markOf, type View } from './view.js'

const cell = (text: string): string => plain(shorten(text, 300))

export const disturbancesMarkdown = ({ disturbances, report }: View): string | null =>
  disturbances.length === 0
    ? null
    : table(
        ['', 'while', 'it held', 'migration waited', 'tries', 'who waited behind', 'longest', 'migration'],
        disturbances
          .map((pass) => disturbanceRow(pass, report.findings))
          .map((row) => [
            markOf(row.status).sign,
            cell(row.name),
            cell(row.held),
            row.waitedMs === null ? '–' : formatBracket(row.waitedMs),
            formatCount(row.tries),
            cell(row.behind),
            row.longestMs === null ? '–' : formatBracket(row.longestMs),
            cell(row.outcome),
          ]),
        [3, 4, 6],
      )
