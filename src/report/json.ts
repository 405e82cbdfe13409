import { Report } from '../recording.js'

/** The report with its keys in the order of the schema, two spaces, a line feed at the end: diffs read well. */
export const json = (report: Report): string => {
  const parsed = Report.safeParse(report)
  return `${JSON.stringify(parsed.success ? parsed.data : report, null, 2)}\n`
}
