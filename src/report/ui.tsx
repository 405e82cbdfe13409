/** The few pieces that all sections are made of. */
import type { ComponentChildren } from 'preact'
import { shorten } from './text.js'
import { NOT_MEASURED, plural } from '../units.js'
import { markOf } from './view.js'

/** A section with an anchor. */
export const Section = (props: { id: string; title: string; children: ComponentChildren }) => (
  <section id={props.id} aria-labelledby={`${props.id}-title`}>
    <h2 id={`${props.id}-title`}>{props.title}</h2>
    {props.children}
  </section>
)

/** ✓ ✗ ! with the word for those who cannot see the sign. */
export const Sign = (props: { status: Parameters<typeof markOf>[0] }) => {
  const mark = markOf(props.status)
  return (
    <span class={`sign ${props.status === 'not measured' ? 'none' : props.status}`}>
      <span aria-hidden="true">{mark.sign}</span>
      <span class="hidden">{mark.word}</span>
    </span>
  )
}

/** A table in a box of its own that scrolls sideways, so that the page never does. */
export const Table = (props: {
  label: string
  head: (string | ComponentChildren)[]
  numeric?: number[]
  class?: string
  children: ComponentChildren
}) => (
  <div class="scroll" tabIndex={0} role="region" aria-label={props.label}>
    <table class={props.class}>
      <thead>
        <tr>
          {props.head.map((cell, i) => (
            <th scope="col" class={props.numeric?.includes(i) ? 'n' : undefined}>
              {cell}
            </th>
          ))}
        </tr>
      </thead>
      {props.children}
    </table>
  </div>
)

/** A number, or "not measured" set back. The bound of a bracket goes below the number unless it shall stay `inline`. */
export const Num = (props: { text: string; strong?: boolean; inline?: boolean }) => {
  const [middle = '', half] = props.inline ? [props.text] : props.text.split(' ± ')
  return (
    <td class={props.strong ? 'n strong' : 'n'}>
      {props.text === NOT_MEASURED ? <span class="null">{NOT_MEASURED}</span> : middle}
      {half === undefined ? null : <small>{` ± ${half}`}</small>}
    </td>
  )
}

const LONGEST_SQL = 20_000

/** SQL to read, with a button that the script brings to life when it is SQL to run. */
export const Sql = (props: { sql: string; copy?: boolean; label: string }) => {
  const cut = props.sql.length > LONGEST_SQL
  return (
    <div class="sql">
      {props.copy ? (
        <button type="button" class="copy" hidden>
          Copy
        </button>
      ) : null}
      <pre tabIndex={0} role="region" aria-label={props.label}>
        <code>{cut ? shorten(props.sql, LONGEST_SQL) : props.sql}</code>
      </pre>
      {cut ? <p class="note">{`Cut; all ${plural(props.sql.length, 'character')} are in report.json.`}</p> : null}
    </div>
  )
}

/** Why a section has nothing to show. */
export const Nothing = (props: { children: ComponentChildren }) => <p class="nothing">{props.children}</p>
