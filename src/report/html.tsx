/** The HTML report: one file, complete without its script, no request to anywhere. */
import type { ComponentChildren } from 'preact'
import { render } from 'preact-render-to-string'
import type { Report } from '../recording.js'
import { SCRIPT, SCRIPT_HASH } from './script.js'
import { Blocked } from './sections/blocked.js'
import { Compat } from './sections/compat.js'
import { Data, RollbackSection } from './sections/data.js'
import { Disturbances } from './sections/disturbances.js'
import { EnvironmentSection } from './sections/environment.js'
import { Findings } from './sections/findings.js'
import { Race } from './sections/race.js'
import { Relations } from './sections/relations.js'
import { Statements } from './sections/statements.js'
import { Timings } from './sections/timings.js'
import { ToolSection } from './sections/tool.js'
import { Traffic } from './sections/traffic.js'
import { Limits, VerdictHead } from './sections/verdict.js'
import { STYLE } from './style.js'
import { visibleDeep } from './text.js'
import { Timeline } from './timeline/timeline.js'
import { Nothing, Section } from './ui.js'
import { markOf, type View, viewOf } from './view.js'

const POLICY = [
  "default-src 'none'",
  "style-src 'unsafe-inline'",
  `script-src 'sha256-${SCRIPT_HASH}'`,
  'img-src data:',
  "base-uri 'none'",
  "form-action 'none'",
].join('; ')

interface PageSection {
  id: string
  title: string
  /** The short word for the navigation, where the title is long. */
  nav?: string
  body: (props: { view: View }) => ComponentChildren
  /** Absent where the section has no sense; without it, it is always there and says what is missing. */
  when?: (view: View) => boolean
}

/** Sections in the order of the page. */
const sections: PageSection[] = [
  { id: 'limits', title: 'Limits', body: Limits },
  { id: 'findings', title: 'Findings', body: Findings },
  { id: 'timeline', title: 'Timeline', body: TimelineSection },
  { id: 'statements', title: 'Statements', body: Statements },
  {
    id: 'tool',
    title: 'How the tool ran it',
    nav: 'Tool',
    body: ToolSection,
    when: (view) => view.report.recording.tool !== null,
  },
  {
    id: 'race',
    title: 'Two migrators at once',
    nav: 'Race',
    body: Race,
    when: (view) => view.race !== null,
  },
  {
    id: 'disturbances',
    title: 'While something else goes on',
    nav: 'Disturbances',
    body: Disturbances,
    when: (view) => view.disturbances.length > 0,
  },
  { id: 'locks', title: 'Strongest lock per relation', nav: 'Locks', body: Relations },
  { id: 'blocked', title: 'Blocked sessions', nav: 'Blocked', body: Blocked },
  { id: 'compat', title: 'Old and new release on every state of the schema', nav: 'Compatibility', body: Compat },
  { id: 'timings', title: 'Queries before and after', nav: 'Queries', body: Timings },
  { id: 'data', title: 'Data', body: Data },
  { id: 'rollback', title: 'Rollback', body: RollbackSection },
  { id: 'traffic', title: 'Traffic', body: Traffic },
  { id: 'environment', title: 'How this was measured', nav: 'Environment', body: EnvironmentSection },
]

function TimelineSection(props: { view: View }) {
  const { timed } = props.view
  return timed === null ? (
    <Nothing>Not measured: the timed pass is missing.</Nothing>
  ) : (
    <Timeline view={props.view} timed={timed} />
  )
}

const Page = (props: { view: View }) => {
  const { report } = props.view
  const shown = sections.filter((one) => one.when?.(props.view) ?? true)
  return (
    <html lang="en">
      <head>
        <meta charSet="utf-8" />
        <meta http-equiv="Content-Security-Policy" content={POLICY} />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="generator" content={report.recording.environment?.tool ?? 'pg-rehearse'} />
        <meta name="color-scheme" content="light dark" />
        <link rel="icon" href="data:," />
        <title>{`${markOf(report.verdict).sign} ${report.verdict}: ${report.recording.name} – Rehearse`}</title>
        <style dangerouslySetInnerHTML={{ __html: STYLE }} />
      </head>
      <body>
        <div class="top">
          <nav aria-label="Sections">
            {shown.map((one) => (
              <a href={`#${one.id}`}>{one.nav ?? one.title}</a>
            ))}
          </nav>
          <button type="button" id="theme" hidden>
            Theme: auto
          </button>
        </div>
        <main>
          <VerdictHead view={props.view} />
          {shown.map(({ id, title, body: Body }) => (
            <Section id={id} title={title}>
              <Body view={props.view} />
            </Section>
          ))}
        </main>
        <footer>
          {`Report ${report.schemaVersion}, ${report.recording.environment?.tool ?? 'pg-rehearse'}. Every number is in report.json beside this page. “Not measured” never means zero.`}
        </footer>
        <script dangerouslySetInnerHTML={{ __html: SCRIPT }} />
      </body>
    </html>
  )
}

/** The report as one HTML document. Pure: the same report gives the same bytes. */
export const html = (report: Report): string =>
  `<!doctype html>\n${render(<Page view={viewOf(visibleDeep(report))} />)}\n`
