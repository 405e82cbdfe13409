import type { Finding } from '../../recording.js'
import { tight } from '../text.js'
import { Nothing, Sign, Sql } from '../ui.js'
import { explainProjection } from '../../units.js'
import { type View, worstFirst } from '../view.js'

const One = (props: { finding: Finding; view: View }) => {
  const { finding } = props
  const found = finding.at === null ? undefined : props.view.byId.get(finding.at.statement)
  return (
    <article class={`finding ${finding.severity}`}>
      <h3>
        <Sign status={finding.severity} /> {tight(finding.title)}
      </h3>
      <p class="meta">
        {finding.at === null ? null : <span class="place">{`${finding.at.file}:${finding.at.line}`}</span>}
        {found === undefined ? null : <a href={`#s-${found.number}`}>{`statement ${found.number}`}</a>}
        <span class="rule-id">{finding.rule}</span>
      </p>
      {finding.evidence.map((sentence) => (
        <p>{tight(sentence)}</p>
      ))}
      {finding.projection === null ? null : <p class="projected">{tight(explainProjection(finding.projection))}</p>}
      {found === undefined ? null : <Sql sql={found.statement.sql} label={`SQL of statement ${found.number}`} />}
      {finding.advice === null ? null : (
        <div class="advice">
          <p>
            <strong>Instead:</strong> {tight(finding.advice.text)}
          </p>
          {finding.advice.sql === null ? null : <Sql sql={finding.advice.sql} copy label="Safer SQL" />}
        </div>
      )}
    </article>
  )
}

export const Findings = (props: { view: View }) => {
  const findings = worstFirst(props.view.report.findings)
  if (findings.length === 0) {
    return (
      <Nothing>
        {props.view.timed === null
          ? 'None; but what was not measured could not be judged.'
          : 'None: no rule found anything to say.'}
      </Nothing>
    )
  }
  return findings.map((finding) => <One finding={finding} view={props.view} />)
}
