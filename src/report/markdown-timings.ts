/** The timings of the queries for a pull request: what is another plan or time, in a folded table. */
import { code, details, plain, table } from './markdown-text.js'
import { shorten } from './text.js'
import {
  changeSentence,
  changeWords,
  isOther,
  ratioWords,
  settledWords,
  timingRows,
  wasTimed,
  type RatioWords,
} from './timing-words.js'
import { formatMs } from '../units.js'
import type { View } from './view.js'

const MOST_ROWS = 30
const LONGEST = 300

/** null where nothing was timed. */
export function timingsMarkdown({ quiet }: View): string | null {
  const rows = timingRows(quiet?.timings ?? []).filter((row) => wasTimed(row.timing))
  if (rows.length === 0) return null
  const other = rows.filter((row) => isOther(row.timing))
  if (other.length === 0) return `Queries: none of ${rows.length} operations has another plan or surely another time.`
  const ratio = ({ value, interval }: RatioWords): string => (interval === null ? value : `${value} (${interval})`)
  return details(
    `Queries with another plan or time (${other.length} of ${rows.length})`,
    table(
      ['operation', 'before', 'after', 'after / before', 'after VACUUM ANALYZE', 'plan'],
      other
        .slice(0, MOST_ROWS)
        .map(({ timing, releases }) => [
          `${code(shorten(timing.operation, 120), true)} ${releases}`,
          timing.before === null ? '–' : formatMs(timing.before.medianMs),
          timing.after === null ? 'fails' : formatMs(timing.after.medianMs),
          ratio(ratioWords(timing)),
          ratio(settledWords(timing)),
          plain(shorten(changeWords(timing.plans).map(changeSentence).join('; '), LONGEST)),
        ]),
      [1, 2, 3, 4],
    ) + (other.length > MOST_ROWS ? `\n\n*and ${other.length - MOST_ROWS} more in report.html*` : ''),
  )
}
